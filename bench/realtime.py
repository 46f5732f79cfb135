"""What a write costs until everybody has heard of it, beside PocketBase, all from one run.

    python bench/realtime.py [--pocketbase FILE] [--mongo-wire FILE] [--write]

Servers have core 0; the clients, one thread that counts bytes, have core 1, with the database and
Redis where there are these. Without a binary its rows are left out; BACKPACK_BENCH_POCKETBASE and
BACKPACK_MONGO_WIRE stand in for the options. `--write` puts the table into
bench/RESULTS-realtime.md.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from broadcasters import (
    SOCKETS_OF_A_USER,
    Broadcaster,
    document,
    pocketbase,
    replicas,
    sandbox,
)
from crowd import Crowd
from load import LOAD_CORE
from report import circumstances

HERE = Path(__file__).parent
DOCUMENT = document(200)
CLIENTS = 1_000
IDLE = 5_000
IN_FLIGHT = 8
PAUSE = 0.03  # seconds of rest between two writes whose way is timed
FILES = 2 * IDLE + 1_000  # that a process may have open

median = statistics.median


@dataclass(frozen=True)
class Flood:
    """Deliveries a second, and microseconds of the server's CPU for each."""

    rate: float
    cpu_us: float


@dataclass(frozen=True)
class Row:
    """A figure of Backpack's beside its measure: `ratio` of the two, and what it must be."""

    what: str
    own: str
    other: str = ""
    ratio: float | None = None
    wanted: str = ""

    def line(self) -> str:
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        return f"| {self.what} | {self.own} | {self.other} | {ratio} | {self.wanted} |"


class Audience:
    """A server and the clients who are connected to each of its processes."""

    def __init__(self, server: Broadcaster) -> None:
        self._server = server
        self._crowd = Crowd(server.clients(CLIENTS))
        self._writers = [server.writer(DOCUMENT) for _ in range(IN_FLIGHT)]
        self._size = self._crowd.size_of(self._writers[0])

    def flood(self, seconds: float) -> Flood:
        """What is delivered while the writers write; ends the run when anything is lost."""
        crowd, before, used = self._crowd, self._answered, self._cpu_seconds
        came = crowd.bytes
        rate = crowd.flood(self._writers, seconds) / self._size
        deliveries = (self._answered - before) * crowd.size
        crowd.wait_for(came + deliveries * self._size)
        return Flood(rate, (self._cpu_seconds - used) / deliveries * 1e6)

    @property
    def _answered(self) -> int:
        return sum(writer.answered for writer in self._writers)

    @property
    def _cpu_seconds(self) -> float:
        return sum(process.cpu_seconds for process in self._server.processes)

    def receipts(self, writes: int) -> list[float]:
        """Milliseconds until each client had each of some writes."""
        waits: list[float] = []
        for _ in range(writes):
            time.sleep(PAUSE)
            waits += self._crowd.receipts(self._writers[0], self._size)
        return [wait * 1_000 for wait in waits]

    def close(self) -> None:
        self._crowd.close()


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[int(len(values) * share)]


def idle_kb(server: Broadcaster) -> float:
    """Resident memory that each of many connections takes while nothing is said."""
    before = server.processes[0].memory_mb()
    clients = server.clients(IDLE)
    time.sleep(1)
    used = server.processes[0].memory_mb() - before
    for one in clients:
        one.close()
    time.sleep(1)  # those who come next are not to hear of those who left
    return used * 1_024 / IDLE


def flood_row(what: str, pairs: list[tuple[Flood, Flood]], wanted: str) -> Row:
    """Medians over the rounds; each ratio is of two runs that followed one another."""
    own, other = ([pair[place] for pair in pairs] for place in (0, 1))
    return Row(
        what,
        _flood([*own]),
        _flood([*other]),
        median(mine.rate / theirs.rate for mine, theirs in pairs),
        wanted,
    )


def _flood(floods: list[Flood]) -> str:
    rate, cpu_us = median(one.rate for one in floods), median(one.cpu_us for one in floods)
    return f"{rate:,.0f}/s, {cpu_us:.2f} us of CPU each"


def receipt_rows(pairs: list[tuple[list[float], list[float]]]) -> Iterator[Row]:
    for name, share in (("median", 0.5), ("p95", 0.95)):
        figures = [[percentile(waits, share) for waits in pair] for pair in pairs]
        own, other = (median(one[place] for one in figures) for place in (0, 1))
        ratio = median(mine / theirs for mine, theirs in figures)
        what = f"a write until each of {CLIENTS:,} has it, {name}"
        yield Row(what, f"{own:.1f} ms", f"{other:.1f} ms", ratio, "<= 0.5")


def beside_pocketbase(binary: Path, folder: Path, rounds: int, seconds: float) -> Iterator[Row]:
    with ExitStack() as stack:
        own_server = stack.enter_context(sandbox(folder, IDLE // SOCKETS_OF_A_USER))
        peer = stack.enter_context(pocketbase(binary, folder))
        own_kb, peer_kb = idle_kb(own_server), idle_kb(peer)
        own, other = Audience(own_server), Audience(peer)
        pairs = [(own.flood(seconds), other.flood(seconds)) for _ in range(rounds)]
        what = f"deliveries to {CLIENTS:,} clients, {IN_FLIGHT} creates in flight"
        yield flood_row(what, pairs, ">= 2")
        receipts = [(own.receipts(30), other.receipts(30)) for _ in range(rounds)]
        yield from receipt_rows(receipts)
        own.close()
        other.close()
    yield Row(
        f"resident memory of an idle connection, {IDLE:,} at once",
        f"{own_kb:.1f} kB",
        f"{peer_kb:.1f} kB",
        own_kb / peer_kb,
        "<= 25 kB",
    )


def beside_one_process(mongo_wire: Path, rounds: int, seconds: float) -> Iterator[Row]:
    """Two processes share the core that the one has to itself: what they deliver together, beside
    what that one does, is what each would deliver on a core of its own."""
    users = CLIENTS // SOCKETS_OF_A_USER
    with ExitStack() as stack:
        two, one = (
            Audience(stack.enter_context(replicas(mongo_wire, number, users))) for number in (2, 1)
        )
        pairs = [(two.flood(seconds), one.flood(seconds)) for _ in range(rounds)]
        what = f"two processes, each with {CLIENTS:,} clients, both on the core of one beside them"
        yield flood_row(what, pairs, ">= 0.7")
        by_cpu = median(other.cpu_us / own.cpu_us for own, other in pairs)
        yield Row("the same by CPU", "", "", by_cpu, ">= 0.7")
        two.close()
        one.close()


def table(rows: Sequence[Row]) -> str:
    lines = ["| what | Backpack | beside it | ratio | wanted |", "|---|---:|---:|---:|---:|"]
    return "\n".join([*lines, *(row.line() for row in rows)])


def report(rows: Sequence[Row], facts: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    return f"""# Measured: realtime

{facts["date"]}, {facts["machine"]}; {versions}.
Command: `{facts["command"]}`.

A server has one core; its clients have another, with the database and Redis where there are these.
Documents of {len(DOCUMENT)} bytes. PocketBase tells its clients by server-sent events, Backpack by
websockets. Every byte is counted: nothing was lost. Ratios are medians of runs that followed one
another: trust them, not the absolute figures.

{table(rows)}
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    variables = os.environ.get
    parser.add_argument("--pocketbase", default=variables("BACKPACK_BENCH_POCKETBASE"))
    parser.add_argument("--mongo-wire", default=variables("BACKPACK_MONGO_WIRE"))
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    binary = Path(args.pocketbase) if args.pocketbase else None
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        if binary is not None:
            rows += beside_pocketbase(binary, Path(folder), args.rounds, args.seconds)
        if args.mongo_wire:
            rows += beside_one_process(Path(args.mongo_wire), args.rounds, args.seconds)
    command = f"python bench/realtime.py --seconds {args.seconds:g} --rounds {args.rounds}"
    text = report(rows, circumstances(command, binary))
    print(text)
    if args.write:
        (HERE / "RESULTS-realtime.md").write_text(text)


if __name__ == "__main__":
    main()
