"""Measures the sandbox beside Sanic's floor and, where its binary is given, PocketBase.

    python bench/run.py [--only requests documents ...] [--pocketbase PATH] [--write]

Needs `wrk` and two cores: servers run on the first, loads on the second. `--write` puts the report
into bench/RESULTS.md, the figures into bench/results.json and the plots into docs/.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import plot
import report
from files import files
from grid import grid
from panels import panel
from results import Results
from scenarios import READING, Bench
from sites import sites

GROUPS = {**READING, "files": files, "sites": sites, "panel": panel, "grid": grid}

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"


def main() -> None:
    options = _parser().parse_args()
    for tool in ("wrk", "taskset"):
        if shutil.which(tool) is None:
            raise SystemExit(f"{tool} is missing: apt-get install wrk util-linux")
    results = Results()
    for name in options.only or GROUPS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(Path(folder), options.seconds, options.rounds, options.pocketbase)
            GROUPS[name](bench, results)
    facts = report.circumstances(_command(options), options.pocketbase)
    page = report.page(facts, results, options.rounds)
    print(page)
    if options.write:
        (HERE / "RESULTS.md").write_text(page, "utf-8")
        figures = json.dumps({**facts, **results.as_json()}, indent=2)
        (HERE / "results.json").write_text(figures + "\n", "utf-8")
        _write_plots(results)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=GROUPS, metavar="GROUP", help=_groups())
    given = os.environ.get("BACKPACK_BENCH_POCKETBASE")
    parser.add_argument(
        "--pocketbase",
        type=Path,
        default=Path(given) if given else None,
        metavar="PATH",
        help="the binary that bench/pocketbase builds (default: $BACKPACK_BENCH_POCKETBASE)",
    )
    parser.add_argument("--seconds", type=int, default=4, help="of each run (default: 4)")
    parser.add_argument("--rounds", type=int, default=3, help="of which the median counts")
    parser.add_argument("--write", action="store_true", help="keep the report and the plots")
    return parser


def _groups() -> str:
    return "some of:\n" + "\n".join(f"{name}: {group.__doc__}" for name, group in GROUPS.items())


def _command(options: argparse.Namespace) -> str:
    """The command line, without paths of this machine."""
    parts = ["python bench/run.py", *(["--only", *options.only] if options.only else [])]
    parts += ["--pocketbase PATH"] if options.pocketbase else []
    return " ".join([*parts, f"--seconds {options.seconds} --rounds {options.rounds}"])


def _write_plots(results: Results) -> None:
    for name, (title, x_name, y_name, logarithmic) in _PLOTS.items():
        if series := results.series.get(name):
            svg = plot.lines(title, x_name, y_name, series, logarithmic=logarithmic)
            (DOCS / f"{name}.svg").write_text(svg, "utf-8")


_PLOTS = {
    "documents": ("Requests a second on one core", "documents", "requests/s", True),
    "backpacks": ("Memory of one process", "backpacks", "MB", False),
}


if __name__ == "__main__":
    main()
