"""Real services for tests, started on a free port once a run, and stopped. Nothing of Backpack."""

from __future__ import annotations

import os
import shutil
import signal
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


class Service:
    """A server process on a port of its own, which can be killed, halted and started again."""

    def __init__(
        self, binary: str, *options: str, port: int, folder: Path, **variables: str
    ) -> None:
        self.port = port
        self._command = [binary, *options]
        self._environment = {**os.environ, **variables}
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, also again; returns when it accepts connections."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self._folder, env=self._environment, stdout=log, stderr=log
            )
        self._wait_until_open(self._process)

    def _wait_until_open(self, process: subprocess.Popen[bytes]) -> None:
        ends = time.monotonic() + _START
        while process.poll() is None and time.monotonic() < ends:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        said = (self._folder / "log").read_text(errors="replace")[-2000:]
        pytest.fail(f"{self._command} does not accept connections: {said}", pytrace=False)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def halt(self) -> None:
        """Let it answer nothing; its connections stay open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Let it end by itself, if it does."""
        if self._process is None or self._process.poll() is not None:
            return
        self.go_on()
        self._process.terminate()
        try:
            self._process.wait(_STOP)
        except subprocess.TimeoutExpired:
            self.kill()

    def __enter__(self) -> Service:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def mongo_wire(folder: Path, **variables: str) -> Service:
    """A server that speaks MongoDB's protocol; it keeps its data in `folder`."""
    binary = os.environ.get("BACKPACK_MONGO_WIRE", "")
    need(Path(binary).is_file(), _NO_MONGO)
    port = free_port()
    options = ("-listen", f"127.0.0.1:{port}", "-dir", str(folder / "data"))
    return Service(binary, *options, port=port, folder=folder, **variables)


def redis(folder: Path, *options: str) -> Service:
    """An empty Redis server that keeps nothing on disk, unless `options` say so."""
    binary = shutil.which("redis-server")
    need(binary, _NO_REDIS)
    port = free_port()
    plain = ("--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no")
    return Service(str(binary), *plain, *options, port=port, folder=folder)


@pytest.fixture(scope="session")
def mongo_url() -> Iterator[str]:
    """The URL of a server that speaks MongoDB's protocol. Each test has a database of its own."""
    running = os.environ.get("MONGO_URL")
    if running:
        yield running
        return
    with _folder() as folder, mongo_wire(folder) as service:
        yield f"mongodb://127.0.0.1:{service.port}/"


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The URL of an empty Redis server that keeps nothing on disk."""
    with _folder() as folder, redis(folder) as service:
        yield f"redis://127.0.0.1:{service.port}/0"


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
