"""Sites: a deployed file beside Sanic's own static files, and how long it takes to deploy."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from files import Floor
from load import Run, load
from peers import Backpack
from results import Results, Row
from scenarios import Bench

SIZE = 8_192  # bytes of the file that is asked for
FILES, FILE_SIZE = 1_000, 20_000  # of the site that is deployed, in bytes
CONNECTIONS = 16


def sites(bench: Bench, results: Results) -> None:
    """A deployed site's file of 8 KiB, and deploying 1,000 files of 20 MB together."""
    content = os.urandom(SIZE)
    (bench.folder / "file").write_bytes(content)
    with Floor.started(bench.folder) as floor, bench.sandbox() as sandbox:
        app = Backpack(sandbox)
        data = sandbox.data
        took = [_deploy(data, _write(bench.folder / f"site-{n}", n)) for n in range(bench.rounds)]
        results.add("deploying 1,000 files, 20 MB", median(took), "s", "at most 3")
        served = bench.folder / "served"
        served.mkdir()
        (served / "index.html").write_text("<!doctype html><title>Bench</title>")
        (served / "file.bin").write_bytes(content)
        _deploy(data, served)
        asked = ((floor, "floor"), (app, "backpack"))
        rounds: dict[str, list[Run]] = {name: [] for _, name in asked}
        host = sandbox.backpacks[0]["frontend"].removeprefix("http://")
        own = f"GET /file.bin HTTP/1.1\r\nhost: {host}\r\n\r\n".encode()
        for _ in range(bench.rounds):
            for server, name in asked:
                call = floor.call("GET", "/file") if server is floor else own
                run = load(
                    server.process,
                    server.port,
                    [call],
                    bench.folder,
                    connections=CONNECTIONS,
                    seconds=bench.seconds,
                )
                rounds[name].append(run)
        results.rows.append(Row("GET of a site's file of 8 KiB", rounds, 0.8))


def _write(folder: Path, seed: int) -> Path:
    """A site of which no file is as in another; three quarters are text."""
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


def _deploy(data: Path, site: Path) -> float:
    """The seconds that the whole command takes, with the sandbox running."""
    command = [sys.executable, "-m", "backpack", "deploy", str(site), "--data", str(data)]
    began = time.perf_counter()
    subprocess.run([*command, "--backpack", "my-app"], check=True, capture_output=True)
    return time.perf_counter() - began
