"""Sites: a deployed file a second, as a ratio to Sanic's own static files, and how long it takes to
deploy.

    python bench/sites.py [--seconds 4] [--rounds 3] [--kib 8] [--connections 16]

Needs `wrk`. Servers run on core 0 and wrk on core 1. The site that is deployed has 1,000 files of
20 MB together, three quarters of them text; the time is that of the whole command, with the sandbox
running.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from files import Target
from run import HERE, Run, resident_mb, server

FILES, FILE_SIZE = 1_000, 20_000  # bytes


def write_site(folder: Path, seed: int) -> Path:
    """A site of which no file is as in another."""
    chance = random.Random(seed)
    words = [f"{chance.getrandbits(40):x}" for _ in range(4_000)]
    for n in range(FILES):
        path = folder / f"part-{n % 20}" / f"file-{n}.{'png' if n % 4 == 0 else 'js'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if n % 4 == 0:
            path.write_bytes(chance.randbytes(FILE_SIZE))
        else:
            text = " ".join(chance.choices(words, k=FILE_SIZE // 8))
            path.write_text(text.ljust(FILE_SIZE)[:FILE_SIZE])
    (folder / "index.html").write_text("<!doctype html><title>Bench</title>")
    return folder


def deploy(data: Path, site: Path) -> float:
    """The seconds that the command takes."""
    command = [sys.executable, "-m", "backpack", "deploy", str(site), "--backpack", "my-app"]
    started = time.perf_counter()
    subprocess.run([*command, "--data", str(data)], check=True, capture_output=True)
    return time.perf_counter() - started


def measure(args: argparse.Namespace) -> tuple[list[float], list[tuple[Run, Run]]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = folder / "data"
        (folder / "file").write_bytes(os.urandom(args.kib * 1024))
        floor_command = [str(HERE / "file_floor.py"), str(folder / "floor.json"), name]
        dev_command = ["-m", "backpack", "dev", "--port", "0", "--data", str(data)]
        dev_command += ["--ready-file", str(folder / "dev.json")]
        with (
            server(floor_command, folder / "floor.json") as (floor_process, floor),
            server(dev_command, folder / "dev.json") as (process, sandbox),
        ):
            took = [deploy(data, write_site(folder / f"site-{n}", n)) for n in range(args.rounds)]
            served = folder / "served"
            served.mkdir()
            (served / "index.html").write_text("<!doctype html><title>Bench</title>")
            (served / "file.bin").write_bytes((folder / "file").read_bytes())
            deploy(data, served)
            host = sandbox["backpacks"][0]["frontend"].removeprefix("http://")
            below = Target(floor_process, f"http://127.0.0.1:{floor['port']}/file", "GET", {})
            own_url = f"http://127.0.0.1:{sandbox['port']}/file.bin"
            own = Target(process, own_url, "GET", {"Host": host})
            pairs = [
                (below.run(args.seconds, args.connections), own.run(args.seconds, args.connections))
                for _ in range(args.rounds)
            ]
            print(f"resident after all: {resident_mb(process):.0f} MB")
    return took, pairs


def main() -> None:
    parser: Any = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kib", type=int, default=8)
    parser.add_argument("--connections", type=int, default=16)
    args = parser.parse_args()
    took, pairs = measure(args)
    median = statistics.median
    print("| what | measured | Sanic's | ratio | wanted | ratio by CPU |")
    print("|---|---|---|---|---|---|")
    print(
        f"| GET of {args.kib} KiB, a second | {median(own.rate for _, own in pairs):.0f} "
        f"| {median(floor.rate for floor, _ in pairs):.0f} "
        f"| {median(own.rate / floor.rate for floor, own in pairs):.2f} | at least 0.8 "
        f"| {median(floor.cpu_us / own.cpu_us for floor, own in pairs):.2f} |"
    )
    print(f"| deploy of 1,000 files, 20 MB, s | {median(took):.2f} | | | at most 3 | |")


if __name__ == "__main__":
    main()
