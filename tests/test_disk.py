"""A full and a read-only disk, on real small file systems: plain answers, and nothing is lost."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from backpack.documents import Ids
from backpack.drivers.stacks import BackpackSpec
from backpack.drivers.swarm_records import Record, Records
from backpack.errors import NoSpace, Unavailable
from backpack.queries import Query
from backpack.stores.durable import DurableStore
from tests.sandboxes import Sandbox, command, environment
from tests.services import need

ACCOUNT = {"email": "ada@example.org", "password": "correct horse"}
FULL = {
    "message": (
        "The server's disk is full: nothing was changed; free some space there, then try again"
    ),
    "code": "no_space",
}
READ_ONLY = {
    "message": (
        "The server's database or its disk is read-only: nothing was changed; let it be written, "
        "then try again"
    ),
    "code": "read_only",
}
MIB = 1024 * 1024

_PATIENCE = 20.0  # seconds

new_id = Ids()


def mount(folder: Path, size: int) -> None:
    """Put an empty file system of `size` bytes on a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    run = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    possible = sys.platform == "linux" and os.geteuid() == 0
    mounted = possible and subprocess.run(run, capture_output=True, check=False).returncode == 0
    need(mounted, "needs to mount a small file system: run as root on Linux")


def remount(folder: Path, option: str) -> bool:
    """Whether it could be done; a file system with files open for writing does not become `ro`."""
    run = ["mount", "-o", f"remount,{option}", str(folder)]
    return subprocess.run(run, capture_output=True, check=False).returncode == 0


def until(succeeds: Callable[[], bool]) -> None:
    ends = time.monotonic() + _PATIENCE
    while not succeeds():
        assert time.monotonic() < ends
        time.sleep(0.01)


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A data folder on a file system of its own, of 20 MiB."""
    folder = tmp_path / "data"
    mount(folder, 20 * MIB)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """A file in `folder` that takes all the space there is."""
    path = folder / "filling"
    with open(path, "wb", buffering=0) as file:
        for size in (MIB, 4_096, 1):
            with suppress(OSError):
                while True:
                    file.write(b"x" * size)
    return path


def log_in(sandbox: Sandbox, name: str = "my-app") -> httpx.Client:
    """A client of a newly registered user, with a collection `notes`."""
    with sandbox.client(name) as guest:
        guest.post("/register", json=ACCOUNT).raise_for_status()
        token = guest.post("/login", json={**ACCOUNT, "token": True}).json()["token"]
    client = sandbox.client(name, **{"x-backpack-session": token})
    client.post("/collections", json={"collectionName": "notes"}).raise_for_status()
    return client


def said(answer: httpx.Response) -> tuple[int, Any]:
    return answer.status_code, answer.json()


def keep(kept: dict[str, Any], answer: httpx.Response) -> bool:
    """Whether a write was answered, and then note the record; else the disk has to be full."""
    if answer.is_success:
        kept[answer.json()["_id"]] = answer.json()
        return True
    assert said(answer) == (507, FULL)
    return False


def check_files(folder: Path) -> None:
    for file in folder.rglob("*.sqlite3"):
        with closing(sqlite3.connect(file)) as database:
            assert database.execute("PRAGMA quick_check").fetchone() == ("ok",)


def test_full_disk(data: Path, tmp_path: Path) -> None:
    with Sandbox(tmp_path, "--data", "data") as sandbox:
        other = data / "other"  # what will be removed; a log of 4 MiB may need that much first
        other.write_bytes(b"x" * 8 * MIB)
        with closing(log_in(sandbox)) as user, sandbox.client() as guest:
            small = user.post("/notes", json={"n": 0}).json()
            kept = {small["_id"]: small}
            refused = 0
            while refused < 20:
                refused += not keep(kept, user.post("/notes", json={"text": "x" * 50_000}))
            fill(data)
            # In place, which takes least: the log may have room from a write that did not fit.
            while keep(kept, user.patch(f"/notes/{small['_id']}", json={"n": 1})):
                pass
            first = next(reversed(kept))

            for answer in (
                user.post("/notes", json={"n": 0}),
                user.post("/notes", json=[{"n": n} for n in range(100)]),
                user.patch(f"/notes/{first}", json={"n": -1}),
                user.put(f"/notes/{first}", json={"n": -1}),
                user.delete(f"/notes/{first}"),
                user.post("/collections", json={"collectionName": "more"}),
                user.put("/me/password", json={"current": ACCOUNT["password"], "new": "new " * 4}),
                user.post("/logout"),
                guest.post("/login", json=ACCOUNT),
                guest.post("/register", json={**ACCOUNT, "email": "bob@example.org"}),
            ):
                assert said(answer) == (507, FULL), answer.request

            assert user.get(f"/notes/{first}").json() == kept[first]
            assert user.get("/me").json()["email"] == ACCOUNT["email"]
            assert guest.get("/healthz").status_code == 200
            assert {one["_id"]: one for one in user.get("/notes").json()} == kept
            other.unlink()

            record = user.post("/notes", json={"n": 1}).raise_for_status().json()
            merged = user.patch(f"/notes/{first}", json={"n": -1}).raise_for_status().json()
            kept[first] = merged
            guest.post("/login", json=ACCOUNT).raise_for_status()
            user.delete(f"/notes/{record['_id']}").raise_for_status()
            assert {one["_id"]: one for one in user.get("/notes").json()} == kept
        ended = sandbox.stop()

    assert ended.code == 0
    told = ended.err.splitlines()
    assert len([line for line in told if "/notes failed: The server's disk is full" in line]) == 1
    assert len(told) <= 2  # the other one is of the write-ahead log
    check_files(data)


def test_full_disk_leaves_nothing_of_a_file(data: Path, tmp_path: Path) -> None:
    def upload(user: httpx.Client, name: str, size: int) -> httpx.Response:
        return user.post("/uploads", files={"file": (name, b"x" * size)})

    with Sandbox(tmp_path, "--data", "data") as sandbox, closing(log_in(sandbox)) as user:
        first = upload(user, "first", 1_000).raise_for_status().json()
        path = f"/uploads/{first['userId']}"

        answers = [
            upload(user, "second", 30 * MIB),
            user.put("/uploads/first", files={"file": ("x", b"y" * 30 * MIB)}),
        ]

        assert [said(answer) for answer in answers] == [(507, FULL)] * 2
        assert list(data.glob("backpacks/*/files/doubtful/*")) == []
        assert user.get(path).json() == {"records": [first]}
        assert user.get(f"{path}/first").content == b"x" * 1_000
        upload(user, "second", 10 * MIB).raise_for_status()

        filling = fill(data)
        refused = [
            upload(user, "third", 100_000),
            user.put("/uploads/first", files={"file": ("x", b"y" * 100_000)}),
        ]

        assert [said(answer) for answer in refused] == [(507, FULL)] * 2
        assert user.get(f"{path}/first").content == b"x" * 1_000
        filling.unlink()
        upload(user, "third", 100_000).raise_for_status()
        user.delete("/uploads/second").raise_for_status()
        assert len(list(data.glob("backpacks/*/files/*/*"))) == 2


def test_full_disk_makes_no_half_backpack(data: Path, tmp_path: Path) -> None:
    with Sandbox(tmp_path, "--data", "data") as sandbox:
        filling = fill(data)
        made = subprocess.run(
            command("create", "shop", "--data", "data"),
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (made.returncode, made.stderr) == (2, f"backpack: {FULL['message']}\n")
        filling.unlink()
        assert sandbox.stop().code == 0
    assert os.listdir(data / "backpacks") == ["my-app"]


def test_read_only_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk can only become read-only by a command while no file on it is open."""
    monkeypatch.setenv("BACKPACK_OPEN_DATABASES", "1")
    folder = tmp_path / "data" / "backpacks" / "shop"
    mount(folder, 4 * MIB)
    try:
        with Sandbox(tmp_path, "--data", "data", "--backpack", "other") as sandbox:
            with closing(log_in(sandbox, "shop")) as user, sandbox.client("shop") as guest:
                record = user.post("/notes", json={"n": 1}).json()
                with closing(log_in(sandbox, "other")) as other:
                    # Two files must not be open, so the one of `shop` is closed.
                    other.post("/notes", json={}).raise_for_status()
                    until(lambda: remount(folder, "ro"))
                assert user.get(f"/notes/{record['_id']}").json() == record
                assert user.get("/me").json()["email"] == ACCOUNT["email"]
                for _ in range(20):
                    assert said(user.post("/notes", json={"n": 2})) == (503, READ_ONLY)
                    assert said(user.delete(f"/notes/{record['_id']}")) == (503, READ_ONLY)
                    assert said(guest.post("/login", json=ACCOUNT)) == (503, READ_ONLY)
                assert remount(folder, "rw")
                until(lambda: user.post("/notes", json={"n": 3}).is_success)
                found = user.get("/notes").json()
                assert [one["n"] for one in found] == [1, 3]
                guest.post("/login", json=ACCOUNT).raise_for_status()
            ended = sandbox.stop()
        assert ended.code == 0
        assert len(ended.err.splitlines()) == 1
        check_files(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def opened(path: Path) -> DurableStore:
    store = DurableStore(path)
    await store.open()
    return store


async def until_written(store: DurableStore) -> bytes:
    async with asyncio.timeout(_PATIENCE):
        while True:
            with suppress(NoSpace, Unavailable):
                return (await store.insert("cars", [{"_id": new_id()}]))[0]
            await asyncio.sleep(0.01)


async def test_full_disk_lets_closed_files_be_read(data: Path) -> None:
    store = await opened(data / "documents.sqlite3")
    (first,) = await store.insert("cars", [{"_id": new_id()}])
    await store.close()
    filling = fill(data)
    store = await opened(data / "documents.sqlite3")
    assert await store.find("cars", Query()) == [first]
    with pytest.raises(NoSpace):
        await store.insert("cars", [{"_id": new_id()}])
    filling.unlink()
    second = await until_written(store)
    assert await store.find("cars", Query()) == [first, second]
    await store.close()


async def test_read_only_disk_shows_what_is_in_the_log(data: Path) -> None:
    """As after a crash: the last writes are in the write-ahead log only."""
    store = await opened(data / "documents.sqlite3")
    (first,) = await store.insert("cars", [{"_id": new_id()}])
    (data / "copy").mkdir()
    for end in ("", "-wal", "-shm"):
        name = f"documents.sqlite3{end}"
        (data / "copy" / name).write_bytes((data / name).read_bytes())
    await store.close()
    assert remount(data, "ro")
    store = await opened(data / "copy" / "documents.sqlite3")
    assert await store.find("cars", Query()) == [first]
    with pytest.raises(Unavailable, match="read-only"):
        await store.insert("cars", [{"_id": new_id()}])
    assert remount(data, "rw")
    second = await until_written(store)
    assert await store.find("cars", Query()) == [first, second]
    await store.close()


def test_swarm_notes_nothing_on_full_disk(data: Path) -> None:
    records = Records(data / "records")
    fill(data)

    with pytest.raises(NoSpace):
        records.put(Record(BackpackSpec("shop"), "making", "key", 1))

    assert records.all() == Records(data / "records").all() == []
