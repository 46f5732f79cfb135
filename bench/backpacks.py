"""What many backpacks in one process cost: to make, to keep idle, to serve, to start with.

`python bench/backpacks.py`: a sandbox on core 0, wrk (github.com/wg/wrk) on core 1.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from backpack import control

BATCH = 1_000  # documents in each of the backpacks that are asked
ROUNDS = 3
ACCOUNT = {"email": "ada@example.org", "password": "correct horse battery"}
FIRST = "b0"

# Each request asks the next backpack.
LUA = """
local targets = { %s }
local at = 0
request = function()
  at = at %% #targets + 1
  return targets[at]
end
"""


@contextmanager
def sandbox(folder: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """A sandbox on a data folder: the number of its process, and what its lock says."""
    command = ["taskset", "-c", "0", sys.executable, "-m", "backpack", "dev"]
    options = ["--port", "0", "--backpack", FIRST, "--data", str(folder)]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert any("Backpack is ready" in line for line in process.stdout)
            yield process.pid, json.loads((folder / "lock").read_text())
        finally:
            process.terminate()
            process.wait(60)


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def cpu(pid: int) -> float:
    """Seconds of processor time that a process has taken."""
    spent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(spent[11]) + int(spent[12])) / os.sysconf("SC_CLK_TCK")


def fill(backpack: dict[str, str]) -> tuple[dict[str, str], str]:
    """Put documents into a backpack; the headers of its user, and the `_id` of a document."""
    headers = {"authorization": f"key {backpack['api_key']}"}
    with httpx.Client(base_url=backpack["connect"], headers=headers, timeout=60) as client:
        client.post("/register", json=ACCOUNT).raise_for_status()
        token = client.post("/login", json={**ACCOUNT, "token": True}).json()["token"]
        headers["x-backpack-session"] = client.headers["x-backpack-session"] = token
        client.post("/collections", json={"collectionName": "cars"}).raise_for_status()
        documents = [{"n": n, "title": f"t{n % 10}", "text": "x" * 250} for n in range(BATCH)]
        found = client.post("/cars", json=documents).raise_for_status().json()
    return headers, found[BATCH // 2]["_id"]


def rate(pid: int, port: str, requests: Sequence[str], folder: Path, seconds: int) -> float:
    """Requests in a second of the server's processor time, each of `requests` in turn."""
    script = folder / "targets.lua"
    script.write_text(LUA % ",".join(map(json.dumps, requests)))
    command = ["taskset", "-c", "1", "wrk", "-t1", "-c32", f"-d{seconds}s", "-s", str(script)]
    before = cpu(pid)
    said = subprocess.run(
        [*command, f"http://127.0.0.1:{port}/"], capture_output=True, text=True, check=True
    ).stdout
    assert "Non-2xx" not in said, said
    found = re.search(r"(\d+) requests in", said)
    assert found, said
    return int(found[1]) / (cpu(pid) - before)


def start(folder: Path) -> float:
    """Seconds of processor time until a sandbox is ready."""
    with sandbox(folder) as (pid, _):
        return cpu(pid)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backpacks", type=int, default=1_000)
    parser.add_argument("--asked", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "data"
        few = min(start(folder) for _ in range(ROUNDS))
        with sandbox(folder) as (pid, lock):
            measure(options, folder.parent, pid, lock)
        many = min(start(folder) for _ in range(ROUNDS))
        print(f"start with 1: {few:.2f} s, with {options.backpacks}: {many:.2f} s of processor")


def measure(options: argparse.Namespace, folder: Path, pid: int, lock: dict[str, Any]) -> None:
    made = control.ask(lock["socket"], "list", {})
    times: list[float] = []
    idle, known, before = 0, 0, cpu(pid)
    for n in range(1, options.backpacks):
        if n == min(options.backpacks // 2, 200):  # as many files are open now as ever will be
            idle, known = resident(pid), n
        began = time.perf_counter()
        made.append(control.ask(lock["socket"], "create", {"name": f"b{n}"}))
        times.append(time.perf_counter() - began)
    each = (resident(pid) - idle) / (options.backpacks - known)
    slowest = statistics.quantiles(times, n=100)[-1]
    print(
        f"create: median {statistics.median(times) * 1e3:.1f} ms, p99 {slowest * 1e3:.1f} ms, "
        f"{(cpu(pid) - before) / len(times) * 1e3:.1f} ms of processor; "
        f"a further one {each / 1e3:.1f} kB, all {resident(pid) / 1e6:.0f} MB"
    )
    filled = [(one, *fill(one)) for one in made[: options.asked]]
    port = made[0]["connect"].split(":")[2].partition("/")[0]
    for label, path in (
        ("get one", "/cars/{id}"),
        ("list 30", "/cars?limit=30"),
        ("filter", "/cars?filter=%7B%22n%22:%7B%22$gt%22:500%7D%7D&sort=-n&limit=30"),
    ):
        texts = [
            f"GET /~{one['name']}{path.format(id=record) if '{id}' in path else path} HTTP/1.1\r\n"
            f"Host: 127.0.0.1:{port}\r\n"
            + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            + "\r\n"
            for one, headers, record in filled
        ]
        pairs = [
            (
                rate(pid, port, texts[:1], folder, options.seconds),
                rate(pid, port, texts, folder, options.seconds),
            )
            for _ in range(ROUNDS)
        ]
        one = statistics.median(pair[0] for pair in pairs)
        ratio = statistics.median(spread / alone for alone, spread in pairs)
        print(
            f"{label}: {one:.0f} of one in a second of processor, "
            f"spread over {options.asked}: x {ratio:.2f}"
        )
    print(f"resident: {resident(pid) / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
