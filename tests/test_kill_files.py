"""Files in a real sandbox: answered uploads survive its death, and large ones take no memory."""

from __future__ import annotations

import itertools
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.forms import FORM, form
from tests.sandboxes import Sandbox

MIB = 1_048_576
WRITERS = 8


def start(folder: Path) -> Sandbox:
    return Sandbox(folder, "--data", "data")


def log_in(sandbox: Sandbox) -> tuple[str, dict[str, str]]:
    """The id of a new user, and the header of a session."""
    account = {"email": "ada@example.com", "password": "correct horse battery"}
    with sandbox.client() as guest:
        guest.post("/register", json=account).raise_for_status()
        answer = guest.post("/login", json={**account, "token": True}).json()
    return answer["id"], {"x-backpack-session": answer["token"]}


def content_of(name: str) -> bytes:
    return name.encode() * 40_000


def upload_until_killed(
    sandbox: Sandbox, session: dict[str, str], writer: str, kept: dict[str, bytes]
) -> None:
    """Upload, overwrite, rename and delete, and note what has been answered."""
    with sandbox.client(**session) as client:
        try:
            for n in itertools.count():
                name = f"{writer}-{n}"
                body = form(("filename", name), ("file", ("x", content_of(name))))
                client.post("/uploads", content=body, headers=FORM).raise_for_status()
                kept[name] = content_of(name)
                if n % 3 == 1:
                    body = form(("file", ("x", content_of("new"))))
                    del kept[name]
                    client.put(f"/uploads/{name}", content=body, headers=FORM).raise_for_status()
                    kept[name] = content_of("new")
                if n % 3 == 2:
                    changes = {"filename": f"moved-{name}"}
                    del kept[name]
                    client.patch(f"/uploads/{name}", json=changes).raise_for_status()
                    kept[f"moved-{name}"] = content_of(name)
                if n % 4 == 3:
                    del kept[next(iter(found for found in kept if name in found))]
                    moved = "moved-" if n % 3 == 2 else ""
                    client.delete(f"/uploads/{moved}{name}").raise_for_status()
        except (httpx.TransportError, ValueError):
            return


def check_files(
    sandbox: Sandbox, data: Path, user: str, session: dict[str, str], kept: dict[str, bytes]
) -> None:
    with sandbox.client(**session) as client:
        listed = client.get(f"/uploads/{user}").json()["records"]
        found = {
            file["filename"]: client.get(f"/uploads/{user}/{file['filename']}").content
            for file in listed
        }
    assert {name: found.get(name) for name in kept} == kept
    for name, content in found.items():
        assert content in (content_of(name.removeprefix("moved-")), content_of("new"))
    assert len({file["_id"] for file in listed}) == len(listed)
    if not listed:
        return
    (files,) = data.glob("backpacks/*/files")
    assert list((files / "doubtful").iterdir()) == []
    assert len(list((files / "kept").iterdir())) == len(listed)


def test_answered_uploads_survive_kill(tmp_path: Path) -> None:
    kept: dict[str, bytes] = {}
    with start(tmp_path) as sandbox:
        user, session = log_in(sandbox)

    for turn in range(4):
        with start(tmp_path) as sandbox:
            check_files(sandbox, tmp_path / "data", user, session, kept)
            writers = [
                threading.Thread(
                    target=upload_until_killed, args=(sandbox, session, f"{turn}-{n}", kept)
                )
                for n in range(WRITERS)
            ]
            before = len(kept)
            for writer in writers:
                writer.start()
            while len(kept) < before + 30 and any(writer.is_alive() for writer in writers):
                writers[0].join(0.01)
            sandbox.stop(signal.SIGKILL)
            for writer in writers:
                writer.join()

    with start(tmp_path) as sandbox:
        check_files(sandbox, tmp_path / "data", user, session, kept)


def test_killed_upload_leaves_the_old_file(tmp_path: Path) -> None:
    body = form(("file", ("x", b"n" * 3_000_000)))
    with start(tmp_path) as sandbox:
        user, session = log_in(sandbox)
        with sandbox.client(**session) as client:
            old = form(("filename", "a"), ("file", ("x", content_of("a"))))
            client.post("/uploads", content=old, headers=FORM).raise_for_status()
            url, headers = httpx.URL(client.base_url), dict(client.headers)
        head = f"PUT {url.path}uploads/a HTTP/1.1\r\nhost: 127.0.0.1\r\n"
        for name in ("authorization", "x-backpack-session"):
            head += f"{name}: {headers[name]}\r\n"
        head += f"content-type: {FORM['content-type']}\r\ncontent-length: {len(body)}\r\n\r\n"
        with socket.create_connection((url.host, url.port or 0)) as connection:
            connection.sendall(head.encode() + body[:2_000_000])
            (files,) = (tmp_path / "data").glob("backpacks/*/files")
            ends = time.monotonic() + 20
            while not any(path.stat().st_size for path in (files / "doubtful").glob("*")):
                assert time.monotonic() < ends, "nothing arrives"
                time.sleep(0.01)
            sandbox.stop(signal.SIGKILL)

    with start(tmp_path) as sandbox:
        check_files(sandbox, tmp_path / "data", user, session, {"a": content_of("a")})


def peak_mb(sandbox: Sandbox) -> float:
    status = Path(f"/proc/{sandbox.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) / 1024


def test_large_file_takes_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKPACK_MAX_UPLOAD", str(200 * MIB))
    block = bytes(range(256)) * (MIB // 256)
    head, _, tail = form(("filename", "large"), ("file", ("x", b"|"))).partition(b"|")

    def large() -> Iterator[bytes]:
        yield head
        for _ in range(200):
            yield block
        yield tail

    with start(tmp_path) as sandbox:
        user, session = log_in(sandbox)
        with sandbox.client(**session) as client:
            before = peak_mb(sandbox)
            sent = client.post("/uploads", content=large(), headers=FORM, timeout=120)
            after_upload = peak_mb(sandbox)
            with client.stream("GET", f"/uploads/{user}/large", timeout=120) as answer:
                received = sum(len(part) for part in answer.iter_bytes())
            after_download = peak_mb(sandbox)

    assert (sent.json()["size"], received) == (200 * MIB, 200 * MIB)
    assert after_upload - before < 30
    assert after_download - before < 30
