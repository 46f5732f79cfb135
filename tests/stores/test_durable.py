"""What is particular to the store in a SQLite file; what every store keeps is in `contract`."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn

import orjson
import pytest

from backpack.documents import Document, Ids
from backpack.errors import NoSpace, TooSlow, Unavailable
from backpack.queries import EVERYTHING, Compare, Filter, Node, Not, Query, parse_filter
from backpack.stores.durable import DurableStore

new_id = Ids()

MANY = 4_000
TEXT = "the quick brown fox jumps over the lazy dog " * 100

# Matched document by document, and all in one statement: each takes more than half a second.
SLOW = {
    "matched": {"$or": [{"text": {"$regex": f"(x|y|z)+{n}$"}} for n in range(99)]},
    "sql": {"$or": [{f"text.{n}.a.b.c": {"$lt": 0}} for n in range(99)]},
}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[DurableStore]:
    store = DurableStore(tmp_path / "documents.sqlite3")
    await store.open()
    await store.create_collection("cars")
    yield store
    await store.close()


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a collection of so many documents that they are looked through in a thread."""
    path = tmp_path_factory.mktemp("crowded") / "documents.sqlite3"

    async def fill() -> None:
        store = DurableStore(path)
        await store.open()
        for start in range(0, MANY, 500):
            batch = [{"_id": new_id(), "n": start + n, "text": TEXT} for n in range(500)]
            await store.insert("cars", batch)
        await store.close()

    asyncio.run(fill())
    return path


def numbers(found: list[bytes]) -> list[int]:
    return [orjson.loads(encoded)["n"] for encoded in found]


def failing(document: Document) -> NoReturn:
    raise ValueError(document["n"])


# Group commit


async def test_writes_of_a_tick_share_a_transaction(store: DurableStore) -> None:
    await store.insert("cars", [{"_id": new_id()}])
    said: list[str] = []
    store._connection.set_trace_callback(said.append)
    await asyncio.gather(*(store.insert("cars", [{"_id": new_id(), "n": n}]) for n in range(16)))
    assert [text for text in said if "INSERT" not in text] == ["BEGIN IMMEDIATE", "COMMIT"]
    assert len(said) == 18


async def test_failing_write_fails_alone(store: DurableStore) -> None:
    taken, other = new_id(), new_id()
    await store.insert("cars", [{"_id": taken, "n": 0}, {"_id": other, "n": 1}])
    answers = await asyncio.gather(
        store.insert("cars", [{"_id": new_id(), "n": 2}]),
        store.insert("cars", [{"_id": taken, "n": 3}]),
        store.insert("cars", [{"_id": new_id(), "n": 4}, {"_id": taken, "n": 5}]),
        store.change("cars", other, failing),
        store.change("cars", taken, lambda old: {**old, "n": 6}),
        store.insert("cars", [{"_id": new_id(), "n": 7}]),
        return_exceptions=True,
    )
    assert [type(answer).__name__ for answer in answers] == [
        "list",
        "Conflict",
        "Conflict",
        "ValueError",
        "Changed",
        "list",
    ]
    assert numbers(await store.find("cars", Query())) == [6, 1, 2, 7]


async def test_full_disk_fails_what_does_not_fit(store: DurableStore) -> None:
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count={pages + 10}")
    small = [[{"_id": new_id(), "n": n}] for n in range(3)]
    answers = await asyncio.gather(
        store.insert("cars", small[0]),
        store.insert("cars", [{"_id": new_id(), "text": "x" * 100_000}]),
        store.insert("cars", small[1]),
        store.insert("others", [{"_id": new_id(), "text": "x" * 100_000}]),
        store.insert("cars", small[2]),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [list, NoSpace, list, NoSpace, list]
    assert numbers(await store.find("cars", Query())) == [0, 1, 2]
    assert await store.collections() == ["cars"]


async def test_read_only_database_says_so(store: DurableStore) -> None:
    (stored,) = await store.insert("cars", [{"_id": new_id(), "n": 1}])
    store._connection.execute("PRAGMA query_only=1")
    with pytest.raises(Unavailable, match="read-only"):
        await store.insert("cars", [{"_id": new_id()}])
    assert await store.find("cars", Query()) == [stored]


async def test_cancelled_write_is_not_made(store: DurableStore) -> None:
    cancelled = asyncio.ensure_future(store.insert("cars", [{"_id": new_id(), "n": 1}]))
    kept = asyncio.ensure_future(store.insert("cars", [{"_id": new_id(), "n": 2}]))
    asyncio.get_running_loop().call_soon(cancelled.cancel)
    await asyncio.wait([cancelled, kept])
    assert cancelled.cancelled()
    assert numbers(await store.find("cars", Query())) == [2]


async def test_close_finishes_queued_writes(tmp_path: Path) -> None:
    path = tmp_path / "documents.sqlite3"
    store = DurableStore(path)
    await store.open()
    writes = [asyncio.ensure_future(store.insert("cars", [{"_id": new_id()}])) for _ in range(16)]
    await asyncio.sleep(0)
    await store.close()
    assert [len(stored) for stored in await asyncio.gather(*writes)] == [1] * 16
    with pytest.raises(Unavailable):
        await store.insert("cars", [{"_id": new_id()}])
    with pytest.raises(Unavailable):
        await store.find("cars", Query(limit=1))
    assert os.listdir(tmp_path) == ["documents.sqlite3"]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM c1").fetchone() == (16,)


async def test_log_stays_small_beside_steady_writers(store: DurableStore, tmp_path: Path) -> None:
    async def write() -> None:
        for _ in range(20):
            await store.insert("cars", [{"_id": new_id(), "text": "x" * 100_000}])

    await asyncio.gather(*(write() for _ in range(16)))
    assert await store.count("cars", EVERYTHING) == 320
    assert (tmp_path / "documents.sqlite3-wal").stat().st_size < 8 * 1024 * 1024


WRITER = """
import asyncio, sys
from pathlib import Path
from backpack.documents import Ids
from backpack.stores.durable import DurableStore

new_id = Ids()

async def write(store):
    while True:
        record_id = new_id()
        await store.insert("cars", [{"_id": record_id, "n": 0, "text": "x" * 300}])
        await store.change("cars", record_id, lambda old: {**old, "n": 1})
        sys.stdout.write(record_id + "\\n")

async def main():
    store = DurableStore(Path(sys.argv[1]))
    await store.open()
    await asyncio.gather(*(write(store) for _ in range(16)))

sys.stdout.reconfigure(line_buffering=True)
asyncio.run(main())
"""


async def test_answered_writes_survive_kill(tmp_path: Path) -> None:
    path = tmp_path / "documents.sqlite3"
    answered: set[str] = set()
    for _ in range(3):
        answered |= written_until_killed(path, random.randint(200, 3_000))
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA quick_check").fetchone() == ("ok",)
    store = DurableStore(path)
    await store.open()
    found = [orjson.loads(encoded) for encoded in await store.find("cars", Query())]
    await store.close()
    assert answered <= {document["_id"] for document in found if document["n"] == 1}
    assert [document["_id"] for document in found] == sorted(document["_id"] for document in found)


def written_until_killed(path: Path, writes: int) -> set[str]:
    """The ids that a process of 16 writers has answered before it was killed."""
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        answered = [process.stdout.readline() for _ in range(writes)]
        process.send_signal(signal.SIGKILL)
        answered += process.stdout.readlines()
    assert all(answered)
    return {line.strip() for line in answered if line.endswith("\n")}


# The file


async def test_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "documents.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version=99")
    with pytest.raises(Unavailable, match=r"schema 99.*update Backpack") as caught:
        await DurableStore(path).open()
    assert caught.value.code == "newer_schema"


@pytest.mark.parametrize(
    ("path", "why"),
    [("no/such/folder", "unable to open"), ("text", "not a database")],
)
async def test_unusable_file_is_named(tmp_path: Path, path: str, why: str) -> None:
    (tmp_path / "text").write_text("no database " * 100)
    with pytest.raises(Unavailable, match=why) as caught:
        await DurableStore(tmp_path / path).open()
    assert str(tmp_path / path) in caught.value.message


async def test_locked_file_is_refused_at_once(store: DurableStore, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "documents.sqlite3")) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="another process"):
            await store.insert("cars", [{"_id": new_id()}])
    assert len(await store.insert("cars", [{"_id": new_id()}])) == 1


@pytest.mark.parametrize("name", ["c1", "catalogue", "sqlite_sequence", 'a"b', "a'b", "a;--", "ü"])
async def test_collection_name_is_no_identifier(store: DurableStore, name: str) -> None:
    await store.create_collection(name)
    await store.insert(name, [{"_id": new_id(), "n": 1}])
    assert await store.collections() == sorted(["cars", name])
    assert numbers(await store.find(name, Query(parse_filter({"n": 1})))) == [1]
    assert await store.drop_collection(name)
    assert await store.find("cars", Query()) == []


# Order


async def test_lower_ids_take_their_place(tmp_path: Path) -> None:
    ids = [new_id() for _ in range(6)]
    for order in ((1, 3, 5), (2, 0), (4,)):
        store = DurableStore(tmp_path / "documents.sqlite3")
        await store.open()
        await store.insert("cars", [{"_id": ids[n], "n": n, "tie": [0]} for n in order])
        await store.insert("grown", [{"_id": ids[n], "n": n} for n in sorted(order)])
        await store.close()
    store = DurableStore(tmp_path / "documents.sqlite3")
    await store.open()
    queries = [
        Query(),
        Query(limit=6),
        Query(after=ids[1], limit=3),
        Query(parse_filter({"n": {"$gte": 1}})),
        Query(sort=(("_id", -1),)),
        Query(sort=(("tie", -1),)),
        Query(sort=(("missing", -1),), skip=1),
    ]
    found = [numbers(await store.find("cars", query)) for query in queries]
    await store.close()
    assert found == [
        [0, 1, 2, 3, 4, 5],
        [0, 1, 2, 3, 4, 5],
        [2, 3, 4],
        [1, 2, 3, 4, 5],
        [5, 4, 3, 2, 1, 0],
        [0, 1, 2, 3, 4, 5],
        [1, 2, 3, 4, 5],
    ]


async def test_batch_out_of_order_is_put_in_order(store: DurableStore) -> None:
    ids = [new_id() for _ in range(3)]
    await store.insert("cars", [{"_id": ids[n], "n": n} for n in (0, 2, 1)])
    assert numbers(await store.find("cars", Query(limit=9))) == [0, 1, 2]


async def test_ids_go_on_after_the_greatest_was_deleted(store: DurableStore) -> None:
    ids = [new_id() for _ in range(4)]
    await store.insert("cars", [{"_id": ids[n], "n": n} for n in (0, 1, 3)])
    await store.change("cars", ids[3], lambda old: None)
    await store.insert("cars", [{"_id": ids[2], "n": 2}])
    assert numbers(await store.find("cars", Query(after=ids[0], limit=9))) == [1, 2]
    assert numbers(await store.find("cars", Query(after=ids[3], limit=9))) == []


# What SQLite's JSON functions cannot do


async def test_strings_with_nul_are_told_apart(store: DurableStore) -> None:
    texts = ["a\0b", "a", "a\0a", "b", "\0"]
    await store.insert("cars", [{"_id": new_id(), "n": n, "s": s} for n, s in enumerate(texts)])

    async def found(filter: Document) -> list[int]:
        wanted = parse_filter(filter)
        answer = numbers(await store.find("cars", Query(wanted)))
        assert await store.count("cars", wanted) == len(answer)
        return answer

    assert await found({"s": "a"}) == [1]
    assert await found({"s": "a\0b"}) == [0]
    assert await found({"s": {"$gt": "a"}}) == [0, 2, 3]
    assert await found({"s": {"$ne": "a"}}) == [0, 2, 3, 4]
    assert numbers(await store.find("cars", Query(sort=(("s", 1),)))) == [4, 1, 2, 0, 3]
    assert numbers(await store.find("cars", Query(sort=(("s", -1),), limit=2))) == [3, 0]


async def test_names_that_need_escapes_are_found(store: DurableStore) -> None:
    name = 'q"\\\n'
    await store.insert("cars", [{"_id": new_id(), "n": n, name: 3 - n} for n in range(3)])
    wanted = Filter(Compare(name, "gt", 1), {})
    assert numbers(await store.find("cars", Query(wanted, sort=((name, 1),)))) == [1, 0]


async def test_filter_beyond_the_parser_is_answered(store: DurableStore) -> None:
    await store.insert("cars", [{"_id": new_id(), "n": n} for n in range(4)])
    tree: Node = Compare("n", "gt", 1)
    for _ in range(150):
        tree = Not(tree)
    wanted = Filter(tree, {})
    assert numbers(await store.find("cars", Query(wanted))) == [2, 3]
    assert numbers(await store.find("cars", Query(wanted, sort=(("n", -1),)))) == [3, 2]
    assert await store.count("cars", wanted) == 2


async def test_arrays_are_merged_into_a_sorted_page(store: DurableStore) -> None:
    values = [5, [1, 9], 3, {"x": 1}, None, "a", [], True, [4], {"x": 0}]
    await store.insert("cars", [{"_id": new_id(), "n": n, "v": v} for n, v in enumerate(values)])
    up = [6, 4, 1, 2, 8, 0, 5, 9, 3, 7]
    down = [7, 3, 9, 5, 1, 0, 8, 2, 4, 6]
    assert numbers(await store.find("cars", Query(sort=(("v", 1),)))) == up
    assert numbers(await store.find("cars", Query(sort=(("v", -1),)))) == down
    page = Query(sort=(("v", 1),), skip=2, limit=3)
    assert numbers(await store.find("cars", page)) == up[2:5]


@pytest.mark.parametrize("arrays", [0, 29, 30, 31, 90])
async def test_sorted_page_holds_any_number_of_arrays(store: DurableStore, arrays: int) -> None:
    """A few are merged into what SQL has sorted and cut; for more it is asked again."""
    values: list[Any] = [[n] if n < arrays else n for n in range(100)]
    shuffled = random.Random(5).sample(range(100), 100)
    await store.insert("cars", [{"_id": new_id(), "n": n, "v": values[n]} for n in shuffled])
    sort = (("v", -1),)
    assert numbers(await store.find("cars", Query(sort=sort))) == [*range(99, -1, -1)]
    page = Query(sort=sort, skip=5, limit=9)
    assert numbers(await store.find("cars", page)) == [*range(94, 85, -1)]
    page = Query(parse_filter({"v": {"$lt": 50}}), sort=sort, skip=1, limit=3)
    assert numbers(await store.find("cars", page)) == [48, 47, 46]


# Large collections


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param(Query(), range(MANY), id="all"),
        pytest.param(Query(skip=1_100, limit=2), (1_100, 1_101), id="skip far"),
        pytest.param(
            Query(parse_filter({"n": {"$gt": 3_990}}), limit=2), (3_991, 3_992), id="filter"
        ),
        pytest.param(Query(sort=(("n", -1),), limit=2), (3_999, 3_998), id="sort"),
    ],
)
async def test_scan_leaves_the_loop_alone(crowded: Path, query: Query, expected: range) -> None:
    store = DurableStore(crowded)
    await store.open()
    scan = asyncio.ensure_future(store.find("cars", query))
    await asyncio.sleep(0)
    assert not scan.done()
    assert numbers(await scan) == list(expected)
    await store.close()


async def test_scan_sees_what_was_written(store: DurableStore) -> None:
    batches = [[{"_id": new_id(), "n": n} for n in range(700)] for _ in range(2)]
    for batch in batches:
        await store.insert("cars", batch)
    wanted = Query(parse_filter({"n": {"$gte": 699}}))
    assert numbers(await store.find("cars", wanted)) == [699, 699]
    await store.change("cars", str(batches[0][5]["_id"]), lambda old: {**old, "n": 5_000})
    assert numbers(await store.find("cars", wanted)) == [5_000, 699, 699]
    scan = asyncio.ensure_future(store.count("cars", parse_filter({"n": 1})))
    assert await store.drop_collection("cars")
    assert await scan in (0, 2)
    assert await store.find("cars", wanted) == []


@pytest.mark.parametrize("filter", SLOW.values(), ids=SLOW)
async def test_slow_query_ends_at_its_deadline(crowded: Path, filter: Document) -> None:
    store = DurableStore(crowded, deadline=0.2)
    await store.open()
    with pytest.raises(TooSlow, match=r"longer than 0\.2 s: narrow its filter, .* limit and after"):
        await store.count("cars", parse_filter(filter))
    assert await store.count("cars", EVERYTHING) == MANY
    await store.close()


@pytest.mark.parametrize("filter", SLOW.values(), ids=SLOW)
async def test_slow_query_ends_in_memory(filter: Document) -> None:
    store = DurableStore(None, deadline=0.05)
    await store.open()
    for _ in range(4):
        await store.insert("cars", [{"_id": new_id(), "text": TEXT} for _ in range(500)])
    with pytest.raises(TooSlow, match=r"longer than 0\.05 s"):
        await store.count("cars", parse_filter(filter))
    assert await store.count("cars", EVERYTHING) == 2_000
    await store.close()


async def test_query_behind_slow_ones_is_told(crowded: Path) -> None:
    store = DurableStore(crowded, deadline=0.2)
    await store.open()
    scans = [store.count("cars", parse_filter(SLOW["matched"])) for _ in range(3)]
    answers = await asyncio.gather(*scans, return_exceptions=True)
    assert type(answers[0]) is TooSlow
    assert {type(answer) for answer in answers[1:]} <= {TooSlow, Unavailable}
    await store.close()


async def test_cancelled_scan_makes_room(crowded: Path) -> None:
    store = DurableStore(crowded, deadline=60)
    await store.open()
    filters = [parse_filter(filter) for filter in SLOW.values()]
    scans = [asyncio.ensure_future(store.count("cars", filter)) for filter in filters * 20]
    await asyncio.sleep(0)
    for scan in scans:
        scan.cancel()
    async with asyncio.timeout(10):  # one of them would take longer to its deadline
        assert await store.count("cars", EVERYTHING) == MANY
    await store.close()


async def test_scan_that_ends_disturbs_none_that_begins(crowded: Path) -> None:
    store = DurableStore(crowded)
    await store.open()
    # SQLite locks a file for a moment while one of its connections closes.
    counts = [store.count("cars", EVERYTHING) for _ in range(300)]
    assert await asyncio.gather(*counts) == [MANY] * 300
    await store.close()


async def test_few_large_documents_do_not_hold_the_loop(store: DurableStore) -> None:
    for n in range(40):
        await store.insert("cars", [{"_id": new_id(), "n": n, "text": "x" * 1_000_000}])
    scan = asyncio.ensure_future(store.find("cars", Query(parse_filter({"n": {"$gt": 38}}))))
    await asyncio.sleep(0)
    assert not scan.done()
    assert numbers(await scan) == [39]
