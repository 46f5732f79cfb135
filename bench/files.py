"""Files of users: downloads and uploads, beside Sanic's own static files and a plain copy."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from load import Process, Run, load, server
from peers import Backpack
from results import Results, Row
from scenarios import Bench

HERE = Path(__file__).parent
SIZE = 1_048_576  # bytes
CONNECTIONS = 8
_BOUNDARY = "----WebKitFormBoundarySQyyyVGiw7tWvFRb"  # as a browser makes it


class Floor:
    """Sanic serving a static file, and copying a plain body to a file."""

    def __init__(self, process: Process, port: int) -> None:
        self.process, self.port = process, port

    @classmethod
    @contextmanager
    def started(cls, folder: Path) -> Iterator[Floor]:
        ready = folder / "floor.json"
        command = [sys.executable, str(HERE / "file_floor.py"), str(ready), str(folder)]
        with server(command) as process:
            yield cls(process, process.wait_for(ready)["port"])

    def call(self, method: str, path: str, body: bytes = b"") -> bytes:
        length = f"content-length: {len(body)}\r\n" if body else ""
        return f"{method} {path} HTTP/1.1\r\nhost: floor\r\n{length}\r\n".encode() + body


def files(bench: Bench, results: Results) -> None:
    """Downloads and uploads of 1 MiB over 8 connections and over one."""
    # Without the byte that tells requests apart (requests.lua).
    content = os.urandom(SIZE).replace(b"\x1e", b"\x1f")
    (bench.folder / "file").write_bytes(content)
    with Floor.started(bench.folder) as floor, bench.sandbox() as sandbox:
        app = Backpack(sandbox)
        form = _form(content)
        sent = {"content-type": f"multipart/form-data; boundary={_BOUNDARY}"}
        made = app.client.post("/uploads", content=form, headers=sent).raise_for_status().json()
        path = f"/uploads/{made['userId']}/{made['filename']}"
        upload = app.call("PUT", f"/uploads/{made['filename']}", form, **sent)
        pairs = (
            ("GET of 1 MiB", floor.call("GET", "/file"), app.call("GET", path), 0.8),
            ("upload of 1 MiB", floor.call("PUT", "/copy", content), upload, 0.6),
        )
        for connections in (CONNECTIONS, 1):
            for what, below, own, least in pairs:
                rounds: dict[str, list[Run]] = {"floor": [], "backpack": []}
                for _ in range(bench.rounds):
                    for name, asked, call in (("floor", floor, below), ("backpack", app, own)):
                        run = load(
                            asked.process,
                            asked.port,
                            [call],
                            bench.folder,
                            connections=connections,
                            seconds=bench.seconds,
                        )
                        rounds[name].append(run)
                results.rows.append(Row(f"{what}, connections: {connections}", rounds, least))
        results.add("peak memory after the files", app.process.memory_mb("VmHWM"), "MB")


def _form(content: bytes) -> bytes:
    head = 'content-disposition: form-data; name="file"; filename="bench.bin"'
    return (
        f"--{_BOUNDARY}\r\n{head}\r\n\r\n".encode() + content + f"\r\n--{_BOUNDARY}--\r\n".encode()
    )
