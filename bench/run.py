"""Requests a second of the sandbox, as ratios to Sanic answering a constant, all from one run.

    python bench/run.py [--seconds 4] [--rounds 3] [--documents 1000] [--write]

Needs `wrk`. Servers run on core 0 and wrk on core 1. A logged-in user, the API key, rules and CORS
headers are part of every request to Backpack. `--write` puts the table into bench/RESULTS.md and
the figures into bench/results.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import sanic

HERE = Path(__file__).parent
SERVER_CORE, LOAD_CORE = 0, 1
CONNECTIONS = 32
DOCUMENT = {"title": "A title of some length", "body": "lorem ipsum " * 16, "tags": ["a", "b", "c"]}


@dataclass(frozen=True)
class Scenario:
    """One kind of request; `target` is the least ratio to the floor that is asked for."""

    name: str
    path: str = "/"
    method: str = "GET"
    body: str = ""
    target: float | None = None


FILTER = quote('{"n":{"$gt":500}}')
SCENARIOS = (
    Scenario("GET one by id", "/notes/", target=0.45),
    Scenario("GET the first 30", "/notes?limit=30", target=0.35),
    Scenario("filter n > 500, sort -n, limit 30", f"/notes?filter={FILTER}&sort=-n&limit=30"),
    Scenario("POST create", "/made", "POST", json.dumps({**DOCUMENT, "n": 5}), target=0.25),
)


@contextmanager
def server(
    command: list[str], ready: Path
) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, Any]]]:
    """A server process on its core, and what it wrote into its ready file."""
    process = subprocess.Popen(
        ["taskset", "-c", str(SERVER_CORE), sys.executable, *command], stdout=subprocess.DEVNULL
    )
    try:
        while not ready.exists() or not ready.read_text():
            if process.poll() is not None:
                raise SystemExit(f"{command} ended with {process.returncode}")
            time.sleep(0.02)
        yield process, json.loads(ready.read_text())
    finally:
        process.terminate()
        process.wait()


def wrk(
    url: str, headers: dict[str, str], scenario: Scenario, seconds: int, ids: list[str]
) -> float:
    """Requests a second; ends the run when an answer is no 2xx."""
    script = HERE / "request.lua"
    environment = {
        **os.environ,
        "METHOD": scenario.method,
        "BODY": scenario.body,
        "IDS": " ".join(ids) if scenario.path.endswith("/") and ids else "",
        "TARGET": scenario.path,
    }
    command = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s"]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    out = subprocess.run(
        [*command, "-s", str(script), url],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        raise SystemExit(f"{scenario.name}: {out}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", out)
    assert found, out
    return float(found[1])


def fill(backpack: dict[str, Any], count: int) -> tuple[dict[str, str], list[str]]:
    """Register, log in by cookie as a page of the frontend does, make `count` records."""
    host = backpack["backend"].removeprefix("http://")
    headers = {
        "authorization": f"key {backpack['api_key']}",
        "Host": host,  # so spelled it takes the place of the one that wrk adds
        "origin": backpack["frontend"],
        "content-type": "application/json",
    }
    address = f"http://127.0.0.1:{host.rpartition(':')[2]}"
    with httpx.Client(base_url=address, headers=headers, timeout=60) as client:
        account = {"email": "bench@example.com", "password": "correct horse battery"}
        client.post("/register", json=account).raise_for_status()
        answer = client.post("/login", json=account).raise_for_status()
        headers["cookie"] = answer.headers["set-cookie"].partition(";")[0]
        client.headers["cookie"] = headers["cookie"]
        for name in ("notes", "made"):
            client.post("/collections", json={"collectionName": name}).raise_for_status()
        ids: list[str] = []
        for start in range(0, count, 1000):
            batch = [{**DOCUMENT, "n": n} for n in range(start, min(start + 1000, count))]
            made = client.post("/notes", json=batch).raise_for_status()
            ids += [record["_id"] for record in made.json()]
    return headers, ids


def resident_mb(process: subprocess.Popen[bytes]) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found[1]) / 1024


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """User and system time that a process has used (proc(5))."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Served:
    """A server under load: `address` and what a client sends to it."""

    process: subprocess.Popen[bytes]
    address: str
    headers: dict[str, str]
    ids: list[str]

    def run(self, scenario: Scenario, seconds: int) -> Run:
        before = cpu_seconds(self.process)
        rate = wrk(self.address, self.headers, scenario, seconds, self.ids)
        used = cpu_seconds(self.process) - before
        return Run(rate, used / (rate * seconds) * 1e6)


@dataclass(frozen=True)
class Run:
    """Requests a second, and microseconds of the server's CPU for each."""

    rate: float
    cpu_us: float


def measure(seconds: int, rounds: int, documents: int) -> dict[str, Any]:
    runs: dict[str, list[tuple[Run, Run]]] = {scenario.name: [] for scenario in SCENARIOS}
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder)
        floor_command = [str(HERE / "floor.py"), str(ready / "floor.json")]
        dev_command = ["-m", "backpack", "dev", "--port", "0", "--data", str(ready / "data")]
        dev_command += ["--ready-file", str(ready / "dev.json")]
        with (
            server(floor_command, ready / "floor.json") as (floor_process, floor_ready),
            server(dev_command, ready / "dev.json") as (process, sandbox),
        ):
            started_mb = resident_mb(process)
            headers, ids = fill(sandbox["backpacks"][0], documents)
            floor = Served(floor_process, f"http://127.0.0.1:{floor_ready['port']}", {}, [])
            backpack = Served(process, f"http://127.0.0.1:{sandbox['port']}", headers, ids)
            for _ in range(rounds):
                for scenario in SCENARIOS:
                    # The machine's mood changes: each is compared with a floor of the same moment.
                    below = floor.run(Scenario("floor"), seconds)
                    runs[scenario.name].append((below, backpack.run(scenario, seconds)))
            loaded_mb = resident_mb(process)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}",
        "versions": {
            "python": platform.python_version(),
            "sanic": sanic.__version__,
            "sqlite": sqlite3.sqlite_version,
        },
        "command": f"bench/run.py --seconds {seconds} --rounds {rounds} --documents {documents}",
        "resident_mb": {"started": round(started_mb, 1), "after": round(loaded_mb, 1)},
        "scenarios": [row(scenario, runs[scenario.name]) for scenario in SCENARIOS],
    }


def row(scenario: Scenario, pairs: list[tuple[Run, Run]]) -> dict[str, Any]:
    """Medians over the rounds; each ratio is of two runs that followed one another."""
    median = statistics.median
    return {
        "name": scenario.name,
        "target": scenario.target,
        "floor_per_second": round(median(floor.rate for floor, _ in pairs)),
        "per_second": round(median(run.rate for _, run in pairs)),
        "ratio": round(median(run.rate / floor.rate for floor, run in pairs), 3),
        "cpu_us": round(median(run.cpu_us for _, run in pairs), 1),
        "cpu_ratio": round(median(floor.cpu_us / run.cpu_us for floor, run in pairs), 3),
    }


def table(result: dict[str, Any]) -> str:
    lines = [
        "| what | requests/s | floor's | ratio | at least | CPU us a request | ratio by CPU |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in result["scenarios"]:
        target = f"{one['target']:.2f}" if one["target"] else ""
        lines.append(
            f"| {one['name']} | {one['per_second']:,} | {one['floor_per_second']:,} "
            f"| {one['ratio']:.2f} | {target} | {one['cpu_us']} | {one['cpu_ratio']:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--documents", type=int, default=1000)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    for tool in ("wrk", "taskset"):
        if shutil.which(tool) is None:
            raise SystemExit(f"{tool} is missing: apt-get install wrk util-linux")
    result = measure(args.seconds, args.rounds, args.documents)
    print(json.dumps(result, indent=2))
    print(table(result))
    if args.write:
        (HERE / "results.json").write_text(json.dumps(result, indent=2) + "\n")
        (HERE / "RESULTS.md").write_text(report(result))


def report(result: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    memory = result["resident_mb"]
    return f"""# Measured

{result["date"]}, {result["machine"]}; {versions}.
Medians of one run of `python {result["command"]}`: the server on one core, wrk with {CONNECTIONS}
connections on another; a logged-in user, the key, rules and CORS headers; SQLite file. The floor is
Sanic answering a constant of 150 bytes. Trust the ratios, not the absolute figures.

{table(result)}

Resident memory: {memory["started"]} MB when ready, {memory["after"]} MB after the run.
"""


if __name__ == "__main__":
    main()
