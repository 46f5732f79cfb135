"""Results as tables that people read."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from results import Fact, Results, Row

import backpack


def circumstances(command: str, pocketbase: Path | None) -> dict[str, Any]:
    """When, where and with what was measured."""
    versions = {
        "backpack": backpack.__version__,
        "python": platform.python_version(),
        "sanic": version("sanic"),
        "uvloop": version("uvloop"),
        "sqlite": sqlite3.sqlite_version,
    }
    if pocketbase is not None:
        versions["pocketbase"] = _pocketbase_version(pocketbase)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{_processor()}, {os.cpu_count()} cores, Linux {platform.release()}",
        "versions": versions,
        "command": command,
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _pocketbase_version(binary: Path) -> str:
    """What Go wrote into the binary of the module that it was built from."""
    told = subprocess.run(
        ["go", "version", "-m", str(binary)], capture_output=True, text=True, check=False
    )
    lines = [line.split() for line in told.stdout.splitlines()]
    found = [parts[2] for parts in lines if "github.com/pocketbase/pocketbase" in parts]
    return found[0].removeprefix("v") if found else "unknown"


def table(rows: list[Row]) -> str:
    lines = [
        "| what | requests/s | floor's | PocketBase's | x floor | at least | x PocketBase "
        "| at least | CPU us a request | floor's | PocketBase's |",
        "|---|" + "---:|" * 10,
    ]
    for row in rows:
        cells = [
            row.what,
            *(_number(row.rate(name)) for name in ("backpack", "floor", "pocketbase")),
            _ratio(row.ratio("floor")),
            _ratio(row.target_floor),
            _ratio(row.ratio("pocketbase")),
            _ratio(row.target_peer),
            *(_number(row.cpu_us(name)) for name in ("backpack", "floor", "pocketbase")),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def facts_table(facts: list[Fact]) -> str:
    lines = ["| what | measured | asked for |", "|---|---:|---:|"]
    lines += [f"| {one.what} | {one.value:,.2f} {one.unit} | {one.bound} |" for one in facts]
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def page(facts: dict[str, Any], results: Results, rounds: int) -> str:
    """The whole report, in Markdown."""
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    parts = [
        "# Measured",
        f"{facts['date']}, {facts['machine']}; {versions}.\nCommand: `{facts['command']}`.",
        f"Medians of {rounds} rounds. Each server has one core and wrk the other, with 32 "
        "connections unless\nsaid. Requests to Backpack come from a logged-in user of a page, with "
        "cookie, API key, rules and CORS\nheaders; SQLite files. PocketBase's collections are open "
        "to everybody. The floor is Sanic answering a\nconstant of 150 bytes. Ratios are of runs "
        "that followed one another: trust them, not the absolute\nfigures.",
    ]
    if results.rows:
        parts.append(table(results.rows))
    if results.facts:
        parts.append(facts_table(results.facts))
    parts.append("Broadcasts are in [RESULTS-realtime.md](RESULTS-realtime.md).")
    return "\n\n".join(parts) + "\n"
