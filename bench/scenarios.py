"""The groups of scenarios: what is asked of whom, how often, and what must come of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from load import Probe, Run, load, start_cpu
from peers import App, Backpack, Floor, Peer, PocketBase, Sandbox
from results import Results, Row

from backpack.control import perform

SIZES = (1_000, 10_000, 100_000)
MANY = 100_000
BACKPACKS = 1_000
SPREAD = 100  # backpacks that requests are spread over
_SETTLE = 30.0  # seconds that an index may take to be made
_QUICK = 0.005  # seconds of an answer that has an index behind it


@dataclass(frozen=True)
class Bench:
    """How long and how often everything is measured; `pocketbase`: its binary, if there is one."""

    folder: Path
    seconds: int
    rounds: int
    pocketbase: Path | None

    @contextmanager
    def sandbox(self, *options: str) -> Iterator[Sandbox]:
        with Sandbox.started(self.folder, *options) as sandbox:
            yield sandbox

    @contextmanager
    def peers(self) -> Iterator[tuple[Floor, list[Peer]]]:
        """The floor, Backpack, and PocketBase when there is one."""
        with ExitStack() as stack:
            floor = stack.enter_context(Floor.started(self.folder))
            peers: list[Peer] = [Backpack(stack.enter_context(self.sandbox()))]
            if self.pocketbase is not None:
                started = PocketBase.started(self.pocketbase, self.folder)
                peers.append(stack.enter_context(started))
            yield floor, peers

    def run(self, peer: Peer, requests: Sequence[bytes], **options: Any) -> Run:
        options = {"seconds": self.seconds, **options}
        return load(peer.process, peer.port, requests, self.folder, **options)


Question = Callable[[Peer, str], list[bytes]]


@dataclass(frozen=True)
class Asked:
    """A question and the least ratios to floor and PocketBase, by the number of documents."""

    what: str
    requests: Question
    targets: dict[int, tuple[float, float]]


READS = (
    Asked("GET one by id", lambda peer, name: peer.get_one(name), {1_000: (0.50, 2)}),
    Asked("GET the first 30", lambda peer, name: peer.get_page(name), {1_000: (0.42, 4)}),
    Asked(
        "filter n > 500, sort -n, 30",
        lambda peer, name: peer.filter(name),
        {1_000: (0.35, 6), 100_000: (0.30, 60)},
    ),
)


def requests(bench: Bench, results: Results) -> None:
    """The four questions at 1,000 documents."""
    with bench.peers() as (floor, peers):
        _read(bench, results, floor, peers, 1_000)
        for peer in peers:
            peer.make("made", 0)
        made = {peer.name: peer.create("made", 100) for peer in peers}
        rounds = _rounds(bench, floor, peers, made)
        results.rows.append(Row("POST create, 32 connections", rounds, 0.28, 1.7))
        _memory(results, peers, "after the questions at 1,000 documents")


def documents(bench: Bench, results: Results) -> None:
    """The reads at growing numbers of documents, nobody having made an index."""
    rates: dict[tuple[str, int], list[Run]] = {}
    with bench.peers() as (floor, peers):
        for size in SIZES:
            for asked, rounds in _read(bench, results, floor, peers, size):
                rates[asked.what, size] = rounds["backpack"]
                for name, runs in rounds.items():
                    if name != "floor":
                        line = f"{name}, {asked.what}"
                        results.point("documents", line, size, median(run.rate for run in runs))
        _memory(results, peers, f"after the reads at {MANY:,} documents")
    for asked in READS:
        few, many = (
            median(1 / run.cpu_us for run in rates[asked.what, size]) for size in (SIZES[0], MANY)
        )
        what = f"{asked.what}: {MANY:,} documents against {SIZES[0]:,}, by CPU"
        results.add(what, many / few, "x", ">= 0.9")


def _read(
    bench: Bench, results: Results, floor: Floor, peers: list[Peer], size: int
) -> list[tuple[Asked, dict[str, list[Run]]]]:
    done = []
    for peer in peers:
        peer.make(f"notes{size}", size)
    for asked in READS:
        calls = {peer.name: asked.requests(peer, f"notes{size}") for peer in peers}
        _settle(peers[0], calls["backpack"][0])
        rounds = _rounds(bench, floor, peers, calls)
        of_floor, of_peer = asked.targets.get(size, (None, None))
        results.rows.append(Row(f"{asked.what}, {size:,} documents", rounds, of_floor, of_peer))
        done.append((asked, rounds))
    return done


def _rounds(
    bench: Bench, floor: Floor, peers: list[Peer], calls: dict[str, list[bytes]]
) -> dict[str, list[Run]]:
    """Runs by name. A machine's mood changes: each round has all of them, one after the other."""
    rounds: dict[str, list[Run]] = {"floor": [], **{peer.name: [] for peer in peers}}
    for _ in range(bench.rounds):
        rounds["floor"].append(floor.run(bench.seconds))
        for peer in peers:
            rounds[peer.name].append(bench.run(peer, calls[peer.name]))
    return rounds


def _settle(peer: Peer, call: bytes) -> None:
    """Ask until answers come as fast as an index lets them."""
    path = call.split(b" ", 2)[1].decode()
    client = peer.client if isinstance(peer, App) else httpx.Client()
    ends = time.monotonic() + _SETTLE
    quick = 0
    while quick < 5 and time.monotonic() < ends:
        asked = time.perf_counter()
        client.get(path).raise_for_status()
        quick = quick + 1 if time.perf_counter() - asked < _QUICK else 0


def creates(bench: Bench, results: Results) -> None:
    """100,000 creates over 16 connections, each round into a new collection."""
    with bench.peers() as (_, peers):
        rounds: dict[str, list[Run]] = {peer.name: [] for peer in peers}
        for number in range(bench.rounds):
            for peer in peers:
                name = f"made{number}"
                peer.make(name, 0)
                calls = peer.create(name, MANY)
                run = bench.run(peer, calls, connections=16, count=MANY, seconds=600)
                rounds[peer.name].append(run)
        what = f"{MANY:,} creates over 16 connections"
        results.rows.append(Row(what, rounds, None, 1.7))
        _memory(results, peers, f"after {MANY * bench.rounds:,} creates")


def backpacks(bench: Bench, results: Results) -> None:
    """1,000 backpacks in one process: what each takes, and what it costs to have them."""
    with bench.sandbox("--backpack", "app0") as sandbox:
        apps = [App(sandbox.backpacks[0], sandbox.port)]
        _fill(apps[0])
        calls = [_calls(apps[:1])]
        few = [[bench_run(bench, sandbox, one) for one in calls[0]] for _ in range(bench.rounds)]
        before = sandbox.process.memory_mb()
        results.point("backpacks", "resident MB", 1, before)
        times = []
        for number in range(1, BACKPACKS):
            asked = time.perf_counter()
            facts = perform(sandbox.data, "create", {"name": f"app{number}"})
            times.append(time.perf_counter() - asked)
            headers = {
                "host": facts["backend"].removeprefix("http://"),
                "authorization": f"key {facts['api_key']}",
            }
            httpx.get(f"http://127.0.0.1:{sandbox.port}/", headers=headers).raise_for_status()
            if number < SPREAD:
                sandbox.backpacks.append(facts)
            if number + 1 in (100, 200, 300, 500, 700, BACKPACKS):
                results.point("backpacks", "resident MB", number + 1, sandbox.process.memory_mb())
        kilobytes = (sandbox.process.memory_mb() - before) * 1_024 / (BACKPACKS - 1)
        results.add("a further idle backpack: resident", kilobytes, "kB", "<= 100")
        results.add("a further backpack: to create", median(times) * 1_000, "ms", "<= 10")
        apps += [App(facts, sandbox.port) for facts in sandbox.backpacks[1:]]
        for app in apps[1:]:
            _fill(app)
        spread = _calls(apps)
        many = [[bench_run(bench, sandbox, one) for one in spread] for _ in range(bench.rounds)]
        for place, asked_for in enumerate(READS):
            ratio = median(1 / one[place].cpu_us for one in many)
            ratio /= median(1 / one[place].cpu_us for one in few)
            what = f"{asked_for.what}: {BACKPACKS:,} backpacks, requests over {SPREAD}, by CPU"
            results.add(what, ratio, "x", ">= 0.8")
        results.add("peak memory with 1,000 backpacks", sandbox.process.memory_mb("VmHWM"), "MB")
        many_data = sandbox.data
    for count, data in ((1, bench.folder / "new"), (BACKPACKS, many_data)):
        seconds = median(start_cpu(data) for _ in range(bench.rounds))
        results.add(f"processor time to start with {count:,}", seconds, "s")


def _fill(app: App) -> None:
    app.make("notes", 1_000)
    for _ in range(20):  # enough for an index to be made
        app.client.get(app.filter("notes")[0].split(b" ", 2)[1].decode()).raise_for_status()


def _calls(apps: list[App]) -> list[list[bytes]]:
    """For each of READS the requests to all apps in turn."""
    asked = [
        [app.get_one("notes")[:50] for app in apps],
        [app.get_page("notes") for app in apps],
        [app.filter("notes") for app in apps],
    ]
    return [[call for turn in zip(*each, strict=True) for call in turn] for each in asked]


def bench_run(bench: Bench, sandbox: Sandbox, calls: list[bytes]) -> Run:
    return load(sandbox.process, sandbox.port, calls, bench.folder, seconds=bench.seconds)


def stalls(bench: Bench, results: Results) -> None:
    """The longest wait for a tiny answer while long work runs at 100,000 documents."""
    with bench.sandbox() as sandbox:
        app = Backpack(sandbox)
        app.make("notes", MANY)
        jobs: dict[str, Callable[[], object]] = {
            "nothing": lambda: time.sleep(2),
            "scans that no index helps": lambda: _scans(app),
            "filters on new fields, and their indexes": lambda: _index(app),
            "creates, and their checkpoints": lambda: app.make("more", MANY),
            "counts": lambda: [app.client.get("/notes?count=1&limit=1") for _ in range(20)],
            "an export of everything": lambda: app.client.get("/notes").raise_for_status(),
        }
        for what, job in jobs.items():
            with Probe(sandbox.port) as probe:
                thread = threading.Thread(target=job)
                thread.start()
                thread.join()
            bound = "<= 20" if what != "nothing" else ""
            results.add(f"longest wait beside {what}", probe.longest_ms, "ms", bound)
        peak = sandbox.process.memory_mb("VmHWM")
        results.add("peak memory with all of these", peak, "MB", "<= 250")


def _scans(app: App) -> None:
    for number in range(15):
        text = f"/notes?filter=%7B%22body%22%3A%7B%22%24regex%22%3A%22x{number}%22%7D%7D&limit=30"
        app.client.get(text).raise_for_status()


def _index(app: App) -> None:
    for field in ("title", "n", "createdAt"):
        for _ in range(20):
            app.client.get(f"/notes?sort=-{field}&limit=30").raise_for_status()


def _memory(results: Results, peers: list[Peer], when: str) -> None:
    for peer in peers:
        results.add(f"{peer.name}, peak memory {when}", peer.process.memory_mb("VmHWM"), "MB")


READING: dict[str, Callable[[Bench, Results], None]] = {
    "requests": requests,
    "documents": documents,
    "creates": creates,
    "backpacks": backpacks,
    "stalls": stalls,
}
