"""Uploads that are too large or too many, that break off, or for which there is no room."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from backpack.backpacks import Parts
from backpack.errors import NoSpace
from backpack.homes import Folder, Memory
from backpack.settings import Settings
from backpack.stores.file_folder import FileFolder, FolderIncoming
from backpack.tenants import Home
from backpack.testing import BackpackServer, TestBackpack, TestUser
from tests.forms import FORM, form

TIGHT = Settings(
    dev=True,
    cheap_passwords=True,
    registrations_per_hour=0,
    max_upload=1_000,
    max_user_bytes=2_500,
    max_user_files=4,
)


def serve(home: Callable[[Settings], Home], settings: Settings = TIGHT) -> Iterator[TestBackpack]:
    server = BackpackServer(home, settings).start()
    backpack = server.create("tight")
    yield backpack
    backpack.close()
    server.stop()


@pytest.fixture(params=["memory", "folder"])
def tight(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TestBackpack]:
    """A backpack under small limits."""
    in_memory = request.param == "memory"
    yield from serve(Memory if in_memory else lambda settings: Folder(tmp_path, settings))


@pytest.fixture
def user(tight: TestBackpack) -> TestUser:
    return tight.register()


def put(user: TestUser, name: str, size: int, method: str = "POST") -> tuple[int, str | None]:
    """Upload so many bytes; returns the status, and the code of a refusal."""
    path = "/uploads" if method == "POST" else f"/uploads/{name}"
    body = form(("filename", name), ("file", ("x", b"x" * size)))
    answer = user.client.request(method, path, content=body, headers=FORM)
    return answer.status_code, answer.json().get("code")


def sizes(user: TestUser) -> dict[str, int]:
    records = user.client.get(f"/uploads/{user.id}").json()["records"]
    return {file["filename"]: file["size"] for file in records}


def test_file_has_a_largest_size(user: TestUser) -> None:
    assert put(user, "a", 1_000) == (200, None)
    assert put(user, "b", 1_001) == (413, "file_too_large")
    assert put(user, "a", 1_001, "PUT") == (413, "file_too_large")
    assert sizes(user) == {"a": 1_000}


def test_users_files_have_a_largest_size_together(tight: TestBackpack, user: TestUser) -> None:
    for name, size in (("a", 1_000), ("b", 1_000), ("c", 500)):
        assert put(user, name, size) == (200, None)

    assert put(user, "d", 1) == (413, "quota_exceeded")
    assert put(user, "d", 0) == (200, None)
    assert put(user, "b", 1_000, "PUT") == (200, None)
    assert put(user, "c", 501, "PUT") == (413, "quota_exceeded")
    assert put(user, "b", 900, "PUT") == (200, None)
    assert put(user, "c", 600, "PUT") == (200, None)
    assert sizes(user) == {"a": 1_000, "b": 900, "c": 600, "d": 0}
    assert put(tight.register(), "d", 1_000) == (200, None)


def test_deleted_files_leave_room(user: TestUser) -> None:
    for _ in range(4):
        assert put(user, "a", 1_000) == (200, None)
        assert put(user, "b", 1_000) == (200, None)
        assert put(user, "c", 1_000) == (413, "quota_exceeded")
        for name in ("a", "b"):
            user.client.delete(f"/uploads/{name}").raise_for_status()


def test_refused_uploads_take_no_room(user: TestUser) -> None:
    put(user, "a", 1_000)
    for _ in range(4):
        assert put(user, "a", 900) == (400, "file_exists")
        assert put(user, "b", 1_001) == (413, "file_too_large")
        assert put(user, "b\n", 900) == (422, "invalid_file")

    assert put(user, "b", 1_000) == (200, None)


def test_renaming_takes_no_room(user: TestUser) -> None:
    for name in ("a", "b"):
        put(user, name, 1_000)
    for old, new in (("a", "c"), ("c", "d"), ("d", "a")):
        answer = user.client.patch(f"/uploads/{old}", json={"filename": new})
        assert answer.status_code == 200

    assert put(user, "c", 500) == (200, None)


def test_user_has_a_number_of_files(user: TestUser) -> None:
    for name in "abcd":
        assert put(user, name, 1) == (200, None)

    assert put(user, "e", 1) == (422, "too_many_files")
    assert put(user, "a", 2, "PUT") == (200, None)
    user.client.delete("/uploads/b").raise_for_status()
    assert put(user, "e", 1) == (200, None)


def request_head(backpack: TestBackpack, user: TestUser, call: str, length: str) -> bytes:
    method, path = call.split()
    head = f"{method} /~{backpack.name}{path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{length}\r\n"
    for name in ("authorization", "x-backpack-session"):
        head += f"{name}: {user.client.headers[name]}\r\n"
    return f"{head}content-type: {FORM['content-type']}\r\n\r\n".encode()


def port_of(backpack: TestBackpack) -> int:
    return httpx.URL(backpack.url).port or 0


@pytest.mark.parametrize("call", ["POST /uploads", "PUT /uploads/a"])
def test_huge_upload_is_refused_unread(tight: TestBackpack, user: TestUser, call: str) -> None:
    put(user, "a", 10)

    with socket.create_connection(("127.0.0.1", port_of(tight)), timeout=10) as connection:
        connection.sendall(request_head(tight, user, call, "content-length: 99999999999"))
        answer = connection.recv(65_536)

    assert answer.startswith(b"HTTP/1.1 413")
    assert b'"body_too_large"' in answer


def test_endless_upload_is_refused(tight: TestBackpack, user: TestUser) -> None:
    body = form(("filename", "a"), ("file", ("x", b"x" * 1_200_000)))[:-20]
    chunk = b"%x\r\n%b\r\n" % (len(body), body)

    with socket.create_connection(("127.0.0.1", port_of(tight)), timeout=10) as connection:
        head = request_head(tight, user, "POST /uploads", "transfer-encoding: chunked")
        connection.sendall(head + chunk)
        answer = connection.recv(65_536)

    assert answer.startswith(b"HTTP/1.1 413")


def wait_until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < ends, "it does not come true"
        time.sleep(0.01)


def files_in(folder: Path, place: str) -> list[int]:
    """The sizes of what is in a place of the backpack's files."""
    sizes = []
    for path in (folder / "backpacks/tight/files" / place).glob("*"):
        with suppress(FileNotFoundError):  # it may go between the two looks
            sizes.append(path.stat().st_size)
    return sorted(sizes)


@pytest.fixture
def wide(tmp_path: Path) -> Iterator[TestBackpack]:
    """A backpack in a folder, under the usual limits."""
    settings = Settings(dev=True, cheap_passwords=True, registrations_per_hour=0)
    yield from serve(lambda settings: Folder(tmp_path, settings), settings)


@pytest.mark.parametrize("call", ["POST /uploads", "PUT /uploads/a"])
def test_upload_that_breaks_off_leaves_nothing(
    wide: TestBackpack, tmp_path: Path, call: str
) -> None:
    user = wide.register()
    put(user, "a", 10)
    body = form(("filename", "b"), ("file", ("x", b"x" * 3_000_000)))

    with socket.create_connection(("127.0.0.1", port_of(wide)), timeout=10) as connection:
        head = request_head(wide, user, call, f"content-length: {len(body)}")
        connection.sendall(head + body[:1_500_000])
        wait_until(lambda: sum(files_in(tmp_path, "doubtful")) > 500_000)

    wait_until(lambda: files_in(tmp_path, "doubtful") == [])
    assert files_in(tmp_path, "kept") == [10]
    assert sizes(user) == {"a": 10}
    assert user.client.get(f"/uploads/{user.id}/a").content == b"x" * 10


def test_deleted_backpack_takes_its_files_along(tmp_path: Path) -> None:
    server = BackpackServer(lambda settings: Folder(tmp_path, settings), TIGHT).start()
    backpack = server.create("tight")
    user = backpack.register()
    put(user, "a", 10)

    backpack.close()
    again = server.create("tight")

    assert files_in(tmp_path, "kept") == []
    other = again.register()
    assert other.client.get(f"/uploads/{user.id}/a").status_code == 404
    again.close()
    server.stop()


def test_upload_into_deleted_backpack_makes_nothing(tmp_path: Path) -> None:
    settings = Settings(dev=True, cheap_passwords=True, registrations_per_hour=0)
    server = BackpackServer(lambda settings: Folder(tmp_path, settings), settings).start()
    for sent in (0, 1_500_000):
        backpack = server.create("tight")
        user = backpack.register()
        body = form(("filename", "b"), ("file", ("x", b"x" * 3_000_000)))
        with socket.create_connection(("127.0.0.1", port_of(backpack)), timeout=10) as connection:
            head = request_head(
                backpack,
                user,
                "POST /uploads",
                f"content-length: {len(body)}\r\nexpect: 100-continue",
            )
            connection.sendall(head)
            assert connection.recv(1_000).startswith(b"HTTP/1.1 100")
            connection.sendall(body[:sent])
            if sent:
                wait_until(lambda: sum(files_in(tmp_path, "doubtful")) > 500_000)
            backpack.close()
            connection.sendall(body[sent:])
            answer = connection.recv(65_536)

        assert answer.startswith(b"HTTP/1.1 503")
        assert list((tmp_path / "backpacks").iterdir()) == []
    server.stop()


class FullIncoming(FolderIncoming):
    """The disk is full after 400,000 bytes."""

    written = 0

    async def write(self, data: Sequence[bytes | memoryview]) -> None:
        self.written += sum(map(len, data))
        if self.written > 400_000:
            raise NoSpace
        await super().write(data)


class FullFolder(FileFolder):
    def create(self, content_id: str) -> FolderIncoming:
        return FullIncoming(self._doubtful / content_id)


class FullHome(Folder):
    async def open(self, name: str) -> Parts:
        parts = await super().open(name)
        files = FullFolder(self._path / name / "files")
        return Parts(parts.store, parts.sessions, parts.bus, files, parts.release)


def test_full_disk_leaves_nothing(tmp_path: Path) -> None:
    settings = Settings(dev=True, cheap_passwords=True, registrations_per_hour=0)
    for backpack in serve(lambda settings: FullHome(tmp_path, settings), settings):
        user = backpack.register()
        assert put(user, "a", 1_000) == (200, None)

        assert put(user, "b", 900_000) == (507, "no_space")
        assert put(user, "a", 900_000, "PUT") == (507, "no_space")

        assert (files_in(tmp_path, "kept"), files_in(tmp_path, "doubtful")) == ([1_000], [])
        assert sizes(user) == {"a": 1_000}
