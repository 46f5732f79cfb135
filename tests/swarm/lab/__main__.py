"""A lab by hand: up, down."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from . import Images, Lab, missing
from .images import cache
from .lab import remove


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.swarm.lab")
    parser.add_argument("command", choices=("up", "down"))
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp/backpack-by-hand"))
    options = parser.parse_args()
    if options.command == "down":
        remove(options.folder)
        return
    lacks = missing()
    if lacks:
        raise SystemExit(lacks)
    began = time.monotonic()
    options.folder.mkdir()
    lab = Lab(Images(cache()), options.folder, lasting=True)
    lab.start()
    for _ in range(1, options.nodes):
        lab.join()
    for name, value in {
        "DOCKER_HOST": lab.docker_host,
        "LAB_EDGE": lab.edge,
        "LAB_DOMAIN": lab.domain,
        "LAB_ACME_URL": lab.acme_url,
        "LAB_ACME_CA": lab.acme_ca,
        "LAB_ACME_ROOT": lab.acme_root,
    }.items():
        print(f"export {name}={value}")
    print(f"# up in {time.monotonic() - began:.1f} s")


main()
