"""What the command line writes on a terminal: tables and weight. What it says is said elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TextIO


def say(*lines: str, to: TextIO | None = None) -> None:
    """Write lines at once, on standard output unless `to` says otherwise; a reader that has gone
    away is no failure."""
    stream = to or sys.stdout
    try:
        print(*lines, sep="\n", file=stream, flush=True)
    except BrokenPipeError:
        # What is still buffered would fail again when Python ends (docs of the signal module).
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def bold(text: str) -> str:
    return _styled(text, "1")


def dim(text: str) -> str:
    return _styled(text, "2")


def _styled(text: str, code: str) -> str:
    """`text` with a weight (ECMA-48, SGR), on a terminal that may have one (no-color.org)."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\033[{code}m{text}\033[0m"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table whose columns are as wide as what is in them."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    ]
    return [dim(lines[0]), *lines[1:]]
