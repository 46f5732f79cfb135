"""Many SQLite files in one process: few are open at once, and nobody notices."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from backpack.documents import Ids
from backpack.queries import Query, parse_filter
from backpack.stores.durable import DurableStore
from backpack.stores.handles import Handles

LIMIT = 4
MANY = 24

new_id = Ids()


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[list[DurableStore]]:
    """Many stores that share few handles, all opened once, each with a document in `cars`."""
    handles = Handles(LIMIT)
    made = [DurableStore(tmp_path / f"{n}.sqlite3", handles=handles) for n in range(MANY)]
    for n, store in enumerate(made):
        await store.open()
        await store.insert("cars", [{"_id": new_id(), "n": n}])
    yield made
    for store in made:
        await store.close()


def open_files(folder: Path) -> set[str]:
    """Which files are open: only those have a log beside them."""
    return {path.name.removesuffix("-wal") for path in folder.glob("*.sqlite3-wal")}


async def numbers(store: DurableStore, query: Query | None = None) -> list[Any]:
    return [orjson.loads(encoded)["n"] for encoded in await store.find("cars", query or Query())]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.01)


async def test_few_files_are_open(stores: list[DurableStore], tmp_path: Path) -> None:
    for n in (*range(MANY), *reversed(range(MANY))):
        assert await numbers(stores[n]) == [n]
        await until(lambda: len(open_files(tmp_path)) <= LIMIT)
    assert open_files(tmp_path) == {f"{n}.sqlite3" for n in range(LIMIT)}


async def test_closed_file_goes_on_where_it_was(stores: list[DurableStore]) -> None:
    for round in range(3):
        for store in stores:
            assert await store.collections() == (["bikes", "cars"] if round else ["cars"])
            await store.create_collection("bikes")
            await store.insert("cars", [{"_id": new_id(), "n": -round}])
    for n, store in enumerate(stores):
        assert await numbers(store) == [n, 0, -1, -2]
        assert await numbers(store, Query(parse_filter({"n": {"$lt": 0}}))) == [-1, -2]
        assert await store.count("cars", parse_filter({"n": n})) == (2 if n == 0 else 1)


async def test_writes_to_all_at_once(stores: list[DurableStore], tmp_path: Path) -> None:
    """More are busy than may be open."""
    writes = [store.insert("cars", [{"_id": new_id(), "n": -1}]) for store in stores * 5]
    await asyncio.gather(*writes)
    for n, store in enumerate(stores):
        assert await numbers(store) == [n, *[-1] * 5]
    await until(lambda: len(open_files(tmp_path)) <= LIMIT)


async def test_scan_goes_on_while_others_are_used(stores: list[DurableStore]) -> None:
    batches = [[{"_id": new_id(), "n": n} for n in range(700)] for _ in range(2)]
    for batch in batches:
        await stores[0].insert("cars", batch)
    scan = asyncio.ensure_future(numbers(stores[0], Query(parse_filter({"n": {"$gte": 699}}))))
    for n in range(1, MANY):
        assert await numbers(stores[n]) == [n]
    assert await scan == [699, 699]


async def test_threads_do_not_grow_with_stores(stores: list[DurableStore]) -> None:
    before = threading.active_count()
    for store in stores:
        await store.insert("cars", [{"_id": new_id(), "n": 0}])
    await asyncio.sleep(0)
    assert threading.active_count() - before <= 2


async def test_log_of_an_idle_file_is_moved_off_the_loop(
    stores: list[DurableStore], tmp_path: Path
) -> None:
    last = stores[-1]
    await last.insert("cars", [{"_id": new_id(), "n": 0, "text": "x" * 1_000_000}])
    log = tmp_path / f"{MANY - 1}.sqlite3-wal"
    assert log.stat().st_size > 1_000_000
    for n in range(LIMIT):
        await numbers(stores[n])
    await until(lambda: not log.exists())
    assert await numbers(last) == [MANY - 1, 0]


CRAMPED = """
import asyncio, resource, sys
from pathlib import Path
from backpack.stores.durable import DurableStore
from backpack.stores.handles import Handles

async def main():
    handles = Handles(100)
    stores = [DurableStore(Path(sys.argv[1]) / f"{n}.sqlite3", handles=handles) for n in range(80)]
    for _ in range(2):
        for store in stores:
            await store.open()
            await store.create_collection("cars")
    for store in stores:
        await store.close()
    print("done")

resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
asyncio.run(main())
"""


def test_few_descriptors_suffice(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CRAMPED, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == ("done\n", "")
    assert len(os.listdir(tmp_path)) == 80


@pytest.mark.parametrize(("word", "level"), [("normal", 1), ("full", 2)])
async def test_commits_wait_for_the_disk_when_asked_to(
    tmp_path: Path, word: str, level: int
) -> None:
    store = DurableStore(tmp_path / "documents.sqlite3", synchronous=word)
    await store.open()
    assert store._connection.execute("PRAGMA synchronous").fetchone() == (level,)
    await store.close()
