"""Real services for tests, started on a free port once a run, and stopped. Nothing of Backpack."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_START = 30.0  # seconds a service has until it accepts connections
_STOP = 10.0  # seconds a service has to end by itself

_NO_MONGO = (
    "needs a MongoDB server: set MONGO_URL, or build tests/mongo-wire with Go, as its README says, "
    "and set BACKPACK_MONGO_WIRE to the binary"
)
_NO_REDIS = "needs redis-server: apt-get install redis-server"


def need(condition: object, reason: str) -> None:
    """Skip the test unless `condition` holds; where BACKPACK_REQUIRE_SERVICES=1, fail it."""
    if condition:
        return
    if os.environ.get("BACKPACK_REQUIRE_SERVICES") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def mongo_url() -> Iterator[str]:
    """The URL of a server that speaks MongoDB's protocol. Each test has a database of its own."""
    running = os.environ.get("MONGO_URL")
    if running:
        yield running
        return
    binary = os.environ.get("BACKPACK_MONGO_WIRE", "")
    need(Path(binary).is_file(), _NO_MONGO)
    with _folder() as folder:
        port = free_port()
        command = [binary, "-listen", f"127.0.0.1:{port}", "-dir", str(folder / "data")]
        with _running(command, port, folder):
            yield f"mongodb://127.0.0.1:{port}/"


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The URL of an empty Redis server that keeps nothing on disk."""
    binary = shutil.which("redis-server")
    need(binary, _NO_REDIS)
    with _folder() as folder:
        port = free_port()
        options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
        with _running([str(binary), *options], port, folder):
            yield f"redis://127.0.0.1:{port}/0"


def free_port() -> int:
    """A port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="backpack-service-") as name:
        yield Path(name)


@contextmanager
def _running(command: list[str], port: int, folder: Path) -> Iterator[None]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        _wait_until_open(process, port, folder)
        yield
    finally:
        process.terminate()
        try:
            process.wait(_STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_open(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    ends = time.monotonic() + _START
    while process.poll() is None and time.monotonic() < ends:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    said = (folder / "log").read_text(errors="replace")[-2000:]
    pytest.fail(f"{process.args!r} does not accept connections; it said:\n{said}", pytrace=False)
