"""Indexes that make themselves: when, how many, beside what, and who has a say in it."""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from backpack.documents import Document, Ids
from backpack.errors import Invalid, NotFound, TooSlow
from backpack.queries import Query, parse_filter
from backpack.stores.durable import DurableStore
from backpack.stores.indexes import MOST, SCANS

from .cases import Sort

new_id = Ids()

ENOUGH = 2_000  # documents of which an index makes a look quick, and nothing else


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[DurableStore]:
    store = await opened(tmp_path)
    await store.create_collection("cars")
    yield store
    await store.close()


async def opened(folder: Path, **options: Any) -> DurableStore:
    store = DurableStore(folder / "documents.sqlite3", **options)
    await store.open()
    return store


async def fill(store: DurableStore, count: int = ENOUGH, **fields: Any) -> None:
    for start in range(0, count, 1_000):
        rows = range(start, min(start + 1_000, count))
        made = [{"_id": new_id(), "n": n, **{f"f{k}": n for k in range(10)}} for n in rows]
        await store.insert("cars", [{**one, **fields} for one in made])


async def ask(
    store: DurableStore, filter: Document, sort: Sort = (), times: int = SCANS
) -> list[int]:
    """Ask, and wait for what grows of it; answers the last page."""
    query = Query(parse_filter(filter), sort, limit=5)
    found: list[bytes] = []
    for _ in range(times):
        found = await store.find("cars", query)
    if store._upkeep._growth is not None:
        await asyncio.wait([store._upkeep._growth])
    store._upkeep._rest_until = 0.0  # the next build need not wait
    return [orjson.loads(one)["n"] for one in found]


async def indexes(store: DurableStore) -> list[tuple[str, str]]:
    return [(one.fields, one.state) for one in await store.indexes("cars")]


# By themselves


async def test_index_makes_itself_after_a_few_scans(store: DurableStore) -> None:
    await fill(store)
    sort = (("n", -1),)
    assert await ask(store, {"n": {"$gt": 1_000}}, sort, times=SCANS - 1)
    assert await indexes(store) == []
    assert await ask(store, {"n": {"$gt": 1_000}}, sort, times=1) == [*range(1_999, 1_994, -1)]
    assert await indexes(store) == [("-n", "automatic")]
    assert await ask(store, {"n": {"$gt": 1_000}}, sort) == [*range(1_999, 1_994, -1)]
    (made,) = await store.indexes()
    assert (made.collection, made.uses) == ("cars", 2 * SCANS)


async def test_index_makes_itself_in_memory() -> None:
    store = DurableStore(None)
    await store.open()
    await fill(store)
    await ask(store, {}, (("n", -1),))
    assert await indexes(store) == [("-n", "automatic")]
    assert await ask(store, {}, (("n", -1),), times=1) == [*range(1_999, 1_994, -1)]
    await store.close()


async def test_few_documents_get_no_index(store: DurableStore) -> None:
    await fill(store, 50)
    await ask(store, {"n": {"$gt": 10}}, (("n", -1),), times=SCANS * 3)
    assert await indexes(store) == []


async def test_field_that_nobody_has_gets_no_index(store: DurableStore) -> None:
    await fill(store)
    await ask(store, {"typo": {"$gt": 10}}, times=SCANS * 3)
    assert await indexes(store) == []


async def test_indexes_stay_when_the_file_is_opened_again(
    store: DurableStore, tmp_path: Path
) -> None:
    await fill(store)
    await ask(store, {"n": 5})
    await store.pin_index("cars", "f1,-f2")
    await store.forbid_index("cars", "f3")
    await store.close()
    again = await opened(tmp_path)
    assert await indexes(again) == [("n", "automatic"), ("f1,-f2", "pinned"), ("f3", "forbidden")]
    assert await ask(again, {"n": 5}, times=1) == [5]
    assert (await again.indexes("cars"))[0].uses == 1
    await again.close()


async def test_at_most_eight_and_the_least_used_goes(store: DurableStore) -> None:
    await fill(store)
    for number in range(MOST):
        await ask(store, {f"f{number}": 5})
    assert [fields for fields, _ in await indexes(store)] == [f"f{n}" for n in range(MOST)]
    for number in range(MOST):
        if number != 3:
            await ask(store, {f"f{number}": 5}, times=4)
    await ask(store, {"n": 5}, times=SCANS + 2 * SCANS)
    assert ("n", "automatic") not in await indexes(store)
    await ask(store, {"n": 5}, times=1)
    kept = [f"f{n}" for n in range(MOST) if n != 3]
    assert [fields for fields, _ in await indexes(store)] == [*kept, "n"]
    assert await ask(store, {"f3": 5}, times=1) == [5]


async def test_composite_is_made_where_one_field_is_not_enough(store: DurableStore) -> None:
    await fill(store, 8_000, brand="x")
    wanted = ({"brand": "x"}, (("n", -1),))
    await ask(store, *wanted)
    await ask(store, *wanted)
    assert [fields for fields, _ in await indexes(store)] == ["brand", "brand,-n"]
    assert await ask(store, *wanted, times=1) == [*range(7_999, 7_994, -1)]
    assert {one.fields: one.uses for one in await store.indexes()}["brand,-n"] == SCANS + 1


async def test_elements_of_many_arrays_get_an_index(store: DurableStore) -> None:
    for start in range(0, 3_000, 1_000):
        rows = range(start, start + 1_000)
        await store.insert(
            "cars", [{"_id": new_id(), "n": n, "tags": ["car", f"t{n // 10}"]} for n in rows]
        )
    for _ in range(2):
        await ask(store, {"tags": "t250"})
    assert [(one.fields, one.elements) for one in await store.indexes()] == [
        ("tags", False),
        ("tags", True),
    ]
    assert await ask(store, {"tags": "t250"}, times=1) == [*range(2_500, 2_505)]
    assert [one.uses for one in await store.indexes()] == [SCANS + 1, SCANS + 1]
    assert await store.drop_collection("cars")
    assert await store.indexes() == []
    left = store._connection.execute("SELECT name FROM sqlite_master WHERE name GLOB 'i[0-9]*'")
    assert left.fetchall() == []


async def test_large_count_goes_by_an_index(store: DurableStore) -> None:
    await fill(store)
    await store.pin_index("cars", "n")
    assert await store.count("cars", parse_filter({"n": {"$gte": 500}})) == 1_500
    assert (await store.indexes())[0].uses == 1


# By hand


async def test_pin_forbid_and_release(store: DurableStore) -> None:
    await fill(store)
    await ask(store, {"n": 5})
    await store.pin_index("cars", "n")
    assert await indexes(store) == [("n", "pinned")]
    await store.release_index("cars", "n")
    assert await indexes(store) == [("n", "automatic")]
    await store.forbid_index("cars", "n")
    assert await indexes(store) == [("n", "forbidden")]
    assert await ask(store, {"n": 5}, times=SCANS * 2) == [5]
    assert await indexes(store) == [("n", "forbidden")]
    with pytest.raises(Invalid, match="is forbidden: release it first"):
        await store.pin_index("cars", "f1,n")
    await store.release_index("cars", "n")
    assert await indexes(store) == []
    await ask(store, {"n": 5})
    assert await indexes(store) == [("n", "automatic")]


async def test_forbidden_field_leaves_every_index(store: DurableStore) -> None:
    await fill(store)
    for fields in ("n", "f1,-n", "f1"):
        await store.pin_index("cars", fields)
    await store.forbid_index("cars", "n")
    assert await indexes(store) == [("f1", "pinned"), ("n", "forbidden")]


async def test_pin_takes_the_place_of_the_least_used(store: DurableStore) -> None:
    await fill(store, 200)
    for number in range(MOST):
        await store.pin_index("cars", f"f{number}")
    with pytest.raises(Invalid, match="at most 8 indexes"):
        await store.pin_index("cars", "n")
    await store.release_index("cars", "f5")
    await store.pin_index("cars", "n")
    assert "f5" not in [fields for fields, _ in await indexes(store)]
    assert ("n", "pinned") in await indexes(store)


async def test_what_is_not_there_cannot_be_released(store: DurableStore) -> None:
    with pytest.raises(NotFound, match="no collection 'boats'"):
        await store.pin_index("boats", "n")
    with pytest.raises(NotFound, match="no collection '_users'"):
        await store.indexes("_users")
    with pytest.raises(NotFound, match="'n' is neither pinned nor forbidden in 'cars'"):
        await store.release_index("cars", "n")
    with pytest.raises(Invalid, match="one by one"):
        await store.forbid_index("cars", "a,b")


# What is slow


@pytest.mark.parametrize(
    ("forbidden", "why"),
    [
        pytest.param(True, r"n has no index: it is forbidden, .* --release n", id="forbidden"),
        pytest.param(False, r"n has no index: one is made after 3 such queries", id="too new"),
    ],
)
async def test_slow_query_says_which_field_has_no_index(
    tmp_path: Path, forbidden: bool, why: str
) -> None:
    store = await opened(tmp_path, deadline=0.02)
    await store.create_collection("cars")
    await fill(store, 6_000, text="x" * 4_000)
    if forbidden:
        await store.forbid_index("cars", "n")
    with pytest.raises(TooSlow, match=why):
        await store.find("cars", Query(parse_filter({"n": -1}), sort=(("n", 1),)))
    await store.close()


# Beside writes


async def test_builds_beside_steady_writes_refuse_and_lose_none(store: DurableStore) -> None:
    await fill(store, 5_000)
    over = asyncio.Event()
    written: list[str] = []

    async def write() -> None:
        while not over.is_set():
            record_id = new_id()
            await store.insert("cars", [{"_id": record_id, "n": -1, "f1": 0}])
            await store.change("cars", record_id, lambda old: {**old, "n": -2})
            written.append(record_id)

    writers = [asyncio.ensure_future(write()) for _ in range(8)]
    for fields in ("n", "-f1", "f2,-n") * 4:
        await store.pin_index("cars", fields)
        await store.forbid_index("cars", "n")
        await store.release_index("cars", "n")
    over.set()
    await asyncio.gather(*writers)
    assert len(written) > 8
    found = await store.find("cars", Query(parse_filter({"n": -2})))
    assert {orjson.loads(one)["_id"] for one in found} == set(written)
    checked = store._connection.execute("PRAGMA integrity_check").fetchall()
    assert checked == [(b"ok",)]


async def test_close_breaks_off_a_build(store: DurableStore, tmp_path: Path) -> None:
    await fill(store, 20_000)
    pin = asyncio.ensure_future(store.pin_index("cars", "n"))
    await asyncio.sleep(0)
    await store.close()
    await asyncio.wait([pin])
    pin.exception()  # broken off, or done before
    with closing(sqlite3.connect(tmp_path / "documents.sqlite3")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        (made,) = connection.execute("SELECT count(*) FROM indexes").fetchone()
        (there,) = connection.execute(
            "SELECT count(*) FROM sqlite_master WHERE name='i1'"
        ).fetchone()
        assert made == there


async def test_full_disk_makes_no_index_and_no_trouble(store: DurableStore) -> None:
    await fill(store)
    (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
    limit = f"PRAGMA max_page_count={pages + 4}"
    connect = sqlite3.connect

    def small(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)
        connection.execute(limit)
        return connection

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", small)
        assert await ask(store, {"n": 5}) == [5]
    assert await indexes(store) == []
    await fill(store, 10)
    assert await ask(store, {"n": 1_999}, times=1) == [1_999]


WRITER = """
import asyncio, sys
from pathlib import Path
from backpack.documents import Ids
from backpack.stores.durable import DurableStore

new_id = Ids()

async def write(store):
    while True:
        record_id = new_id()
        await store.insert("cars", [{"_id": record_id, "n": 0, "tags": ["a", "b"]}])
        await store.change("cars", record_id, lambda old: {**old, "n": 1})
        sys.stdout.write(record_id + "\\n")

async def build(store):
    await store.create_collection("cars")
    while True:
        for path in ("n", "tags"):
            await store.forbid_index("cars", path)
            await store.release_index("cars", path)
        for fields in ("n", "tags,-n", "-tags"):
            await store.pin_index("cars", fields)

async def main():
    store = DurableStore(Path(sys.argv[1]))
    await store.open()
    await asyncio.gather(build(store), *(write(store) for _ in range(8)))

sys.stdout.reconfigure(line_buffering=True)
asyncio.run(main())
"""


async def test_kill_in_the_middle_of_builds_leaves_a_good_file(tmp_path: Path) -> None:
    path = tmp_path / "documents.sqlite3"
    answered: set[str] = set()
    for _ in range(5):
        answered |= written_until_killed(path, random.randint(300, 2_000))
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    store = await opened(tmp_path)
    for sort in ((("n", -1),), (("tags", 1),)):
        found = await store.find("cars", Query(parse_filter({"n": 1, "tags": "a"}), sort))
        assert answered <= {orjson.loads(one)["_id"] for one in found}
    await store.close()


def written_until_killed(path: Path, writes: int) -> set[str]:
    """The ids that a process of writers has answered before it was killed."""
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        answered = [process.stdout.readline() for _ in range(writes)]
        process.send_signal(signal.SIGKILL)
        answered += process.stdout.readlines()
    assert all(answered)
    return {line.strip() for line in answered if line.endswith("\n")}


async def test_file_from_before_indexes_gets_them(store: DurableStore, tmp_path: Path) -> None:
    await fill(store)
    await store.close()
    with closing(sqlite3.connect(tmp_path / "documents.sqlite3")) as connection:
        connection.execute("DROP TABLE indexes")
        connection.execute("PRAGMA user_version=1")
    again = await opened(tmp_path)
    assert await ask(again, {"n": 5}) == [5]
    assert await indexes(again) == [("n", "automatic")]
    await again.close()
