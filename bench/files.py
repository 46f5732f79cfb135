"""Files of users: downloads and uploads a second, as ratios to Sanic's own, all from one run.

    python bench/files.py [--seconds 4] [--rounds 3] [--kib 1024] [--connections 8]

Needs `wrk`. Downloads are compared with Sanic's static files; uploads, which are forms, with a
handler that copies the plain body to a file. Servers run on core 0 and wrk on core 1. The API key,
a session and CORS headers are part of every request to Backpack.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from run import HERE, LOAD_CORE, Run, cpu_seconds, resident_mb, server

FORM = "multipart/form-data; boundary=backpack-bench"


@dataclass(frozen=True)
class Target:
    """One request to a server: `body` is a file, or nothing."""

    process: subprocess.Popen[bytes]
    url: str
    method: str
    headers: dict[str, str]
    body: Path | None = None

    def run(self, seconds: int, connections: int) -> Run:
        """Load the server for so long; ends the run when an answer is no 2xx."""
        url = httpx.URL(self.url)
        command = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{connections}"]
        command += [f"-d{seconds}s", "-s", str(HERE / "file.lua")]
        for name, value in self.headers.items():
            command += ["-H", f"{name}: {value}"]
        asked = {"METHOD": self.method, "TARGET": url.path, "BODY": str(self.body or "")}
        before = cpu_seconds(self.process)
        out = subprocess.run(
            [*command, self.url], env={**os.environ, **asked}, capture_output=True, text=True
        ).stdout
        used = cpu_seconds(self.process) - before
        found = re.search(r"Requests/sec:\s+([\d.]+)", out)
        if not found or "Non-2xx" in out or "Socket errors" in out:
            raise SystemExit(f"{self.method} {self.url}: {out}")
        rate = float(found[1])
        return Run(rate, used / (rate * seconds) * 1e6)


def prepare(backpack: dict[str, Any], form: Path) -> tuple[dict[str, str], str]:
    """Log in as a page of the frontend does, upload the file; returns the headers and its path."""
    host = backpack["backend"].removeprefix("http://")
    headers = {
        "authorization": f"key {backpack['api_key']}",
        "Host": host,  # so spelled it takes the place of the one that wrk adds
        "origin": backpack["frontend"],
    }
    address = f"http://127.0.0.1:{host.rpartition(':')[2]}"
    with httpx.Client(base_url=address, headers=headers, timeout=60) as client:
        account = {"email": "bench@example.com", "password": "correct horse battery"}
        user = client.post("/register", json=account).raise_for_status().json()["id"]
        answer = client.post("/login", json=account).raise_for_status()
        headers["cookie"] = answer.headers["set-cookie"].partition(";")[0]
        sent = {"content-type": FORM, "cookie": headers["cookie"]}
        client.post("/uploads", content=form.read_bytes(), headers=sent).raise_for_status()
    return headers, f"/uploads/{user}/bench.bin"


def write_bodies(folder: Path, size: int) -> tuple[Path, Path]:
    """Random bytes in the file `file`, and a form with them."""
    plain, form = folder / "file", folder / "form"
    plain.write_bytes(os.urandom(size))
    head = 'content-disposition: form-data; name="file"; filename="bench.bin"\r\n\r\n'
    form.write_bytes(
        f"--backpack-bench\r\n{head}".encode() + plain.read_bytes() + b"\r\n--backpack-bench--\r\n"
    )
    return plain, form


def measure(size: int, run: Callable[[Target], Run], rounds: int) -> dict[str, list[list[Run]]]:
    runs: dict[str, list[list[Run]]] = {"GET": [], "upload": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain, form = write_bodies(folder, size)
        floor_command = [str(HERE / "file_floor.py"), str(folder / "floor.json"), name]
        dev_command = ["-m", "backpack", "dev", "--port", "0", "--data", str(folder / "data")]
        dev_command += ["--ready-file", str(folder / "dev.json")]
        with (
            server(floor_command, folder / "floor.json") as (floor_process, floor),
            server(dev_command, folder / "dev.json") as (process, sandbox),
        ):
            headers, path = prepare(sandbox["backpacks"][0], form)
            below = f"http://127.0.0.1:{floor['port']}"
            own = f"http://127.0.0.1:{sandbox['port']}"
            form_headers = {**headers, "content-type": FORM}
            pairs = {
                "GET": (
                    Target(floor_process, f"{below}/file", "GET", {}),
                    Target(process, f"{own}{path}", "GET", headers),
                ),
                "upload": (
                    Target(floor_process, f"{below}/copy", "PUT", {}, plain),
                    Target(process, f"{own}/uploads/bench.bin", "PUT", form_headers, form),
                ),
            }
            for _ in range(rounds):
                for kind, pair in pairs.items():
                    runs[kind].append([run(target) for target in pair])
            print(f"resident after all: {resident_mb(process):.0f} MB")
    return runs


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kib", type=int, default=1024)
    parser.add_argument("--connections", type=int, default=8)
    args = parser.parse_args()
    runs = measure(
        args.kib * 1024, lambda target: target.run(args.seconds, args.connections), args.rounds
    )
    median = statistics.median
    print("| what | a second | Sanic's | ratio | at least | CPU us each | ratio by CPU |")
    print("|---|---|---|---|---|---|---|")
    for kind, least in (("GET", 0.8), ("upload", 0.6)):
        pairs = runs[kind]
        print(
            f"| {kind} of {args.kib} KiB | {median(own.rate for _, own in pairs):.0f} "
            f"| {median(floor.rate for floor, _ in pairs):.0f} "
            f"| {median(own.rate / floor.rate for floor, own in pairs):.2f} | {least} "
            f"| {median(own.cpu_us for _, own in pairs):.0f} "
            f"| {median(floor.cpu_us / own.cpu_us for floor, own in pairs):.2f} |"
        )


if __name__ == "__main__":
    main()
