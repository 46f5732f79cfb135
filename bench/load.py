"""Server processes on one core, load on another, and what both can be seen to do from outside."""

from __future__ import annotations

import json
import os
import re
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SERVER_CORE, LOAD_CORE = "0", "1"
FILES = 8_192  # that a server may have open

_SCRIPT = Path(__file__).parent / "requests.lua"
_START = 120.0  # seconds until a server is ready


@dataclass(frozen=True)
class Run:
    """Requests a second, and microseconds of the server's CPU for each."""

    rate: float
    cpu_us: float


class Process:
    """A running server."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def cpu_seconds(self) -> float:
        """User and system time used so far (proc(5))."""
        text = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2]
        fields = text.split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mb(self, line: str = "VmRSS") -> float:
        """Resident memory; the most there was so far with the line `VmHWM`."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        found = re.search(rf"{line}:\s+(\d+) kB", status)
        assert found
        return int(found[1]) / 1024

    def wait_for(self, ready: Path) -> dict[str, Any]:
        """What the server wrote into its ready file."""
        ends = time.monotonic() + _START
        while not ready.exists() or not ready.read_text():
            self.check(ends)
        facts: dict[str, Any] = json.loads(ready.read_text())
        return facts

    def wait_for_port(self, port: int) -> None:
        ends = time.monotonic() + _START
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return
            except OSError:
                self.check(ends)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        ends = time.monotonic() + _START
        while not condition():
            self.check(ends)

    def check(self, ends: float) -> None:
        """Wait a moment; ends the run when the server has ended, or the time is up."""
        if self._process.poll() is not None or time.monotonic() > ends:
            raise SystemExit(f"{self._process.args!r} did not start")
        time.sleep(0.02)


@contextmanager
def server(
    command: Sequence[str],
    core: str = SERVER_CORE,
    variables: Mapping[str, str] | None = None,
    log: Any = None,
) -> Iterator[Process]:
    """A server process on a core, with more variables; it complains into the file `log`."""
    process = subprocess.Popen(
        ["taskset", "-c", core, *command],
        stdout=subprocess.DEVNULL,
        stderr=log,
        env={**os.environ, **(variables or {})},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES)),
    )
    try:
        yield Process(process)
    finally:
        process.terminate()
        process.wait()


def start_cpu(data: Path) -> float:
    """Seconds of the processor until a sandbox on a data folder is ready."""
    command = [sys.executable, "-m", "backpack", "dev", "--port", "0", "--data", str(data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while b"Backpack is ready" not in process.stdout.readline():
            pass
        seconds = Process(process).cpu_seconds
        process.terminate()
    return seconds


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def load(
    process: Process,
    port: int,
    requests: Sequence[bytes],
    folder: Path,
    *,
    connections: int = 32,
    seconds: int = 600,
    count: int | None = None,
) -> Run:
    """Send requests in turn with wrk; ends the run when an answer is no 2xx."""
    file = folder / "requests"
    file.write_bytes(b"\x1e".join(requests))
    command = ["taskset", "-c", LOAD_CORE, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s"]
    command += ["--timeout", "60s", "-s", str(_SCRIPT), f"http://127.0.0.1:{port}"]
    environment = {**os.environ, "REQUESTS": str(file), "COUNT": str(count or "")}
    began, before = time.perf_counter(), process.cpu_seconds
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    took, used = time.perf_counter() - began, process.cpu_seconds - before
    answered = re.search(r"(\d+) requests in", done.stdout)
    if done.returncode or "Non-2xx" in done.stdout or not (count or answered):
        raise SystemExit(f"{requests[0][:200]!r}: {done.stdout}{done.stderr}")
    if count:
        return Run(count / took, used / count * 1e6)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    assert answered
    assert rate
    if not int(answered[1]):  # one answer takes longer than the run
        return load(process, port, requests, folder, connections=connections, seconds=seconds * 4)
    return Run(float(rate[1]), used / int(answered[1]) * 1e6)


class Probe:
    """Asks for something tiny every millisecond, and notes how long the answers took."""

    _CALL = b"GET /healthz HTTP/1.1\r\nhost: nobody\r\n\r\n"

    def __init__(self, port: int) -> None:
        self._port = port
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.waits: list[float] = []

    def __enter__(self) -> Probe:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        with socket.create_connection(("127.0.0.1", self._port)) as connection:
            while not self._over.wait(0.001):
                asked = time.perf_counter()
                connection.sendall(self._CALL)
                connection.recv(4_096)
                self.waits.append(time.perf_counter() - asked)

    @property
    def longest_ms(self) -> float:
        return max(self.waits) * 1_000
