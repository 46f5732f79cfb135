"""Each way in which an index answers: what it finds is what the exact matcher finds."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from backpack.documents import Document, Ids
from backpack.queries import Compare, Filter, Node, Not, Query, order, parse_filter
from backpack.stores import builds, upkeep
from backpack.stores.durable import DurableStore
from backpack.stores.indexes import Wanted, parse_fields

from .cases import Sort

new_id = Ids()

ROWS = 240
MIXED: list[Any] = [None, -1, 0, 2.5, 2**53, 2**53 + 1, "", "a", "ab", "ü", True, False]
ARRAYS: list[Any] = [[], [5], [1, 9], ["a", None], [[5]], [{"x": 5}], [True, "a\0b"]]
OBJECTS: list[Any] = [{}, {"x": 5}, {"x": [5, 7]}, {"y": 1}]
ODD: list[Any] = ["a\0b", "a\0", "\0", "a\\u0000"]

FILTERS: dict[str, Document] = {
    "all": {},
    "equal": {"v": 5},
    "float": {"v": 2.5},
    "null": {"v": None},
    "true": {"v": True},
    "text": {"v": "a"},
    "odd text": {"v": "a\0b"},
    "object": {"v": {"x": 5}},
    "range": {"v": {"$gt": 3}},
    "window": {"v": {"$gte": 3, "$lt": 9}},
    "texts": {"v": {"$gte": "a", "$lt": "b"}},
    "up to null": {"v": {"$lte": None}},
    "one of": {"v": {"$in": [1, 5, None, "a", False]}},
    "not": {"v": {"$ne": 5}},
    "there": {"v": {"$exists": True}, "n": {"$gt": 3}},
    "pattern": {"v": {"$regex": "^a"}},
    "inside": {"v.x": 5},
    "either": {"$or": [{"v": 5}, {"n": {"$gt": 200}}]},
    "both": {"n": {"$gt": 20}, "v": {"$lt": 9}},
    "group": {"g": 2, "v": {"$gt": 1}},
    "elements": {"v": {"$elemMatch": {"$gt": 4}}},
    "size": {"v": {"$size": 2}},
}
SORTS: dict[str, Sort] = {
    "as stored": (),
    "up": (("v", 1),),
    "down": (("v", -1),),
    "two ways": (("g", 1), ("v", -1)),
    "two back": (("g", -1), ("v", 1)),
    "inside": (("v.x", -1), ("n", 1)),
    "newest": (("_id", -1),),
}
INDEXES = ["v", "-v", "n", "v.x", "g,-v", "g,v"]


def kind(name: str) -> list[Any]:
    source = random.Random(3)
    numbers: list[Any] = [source.randint(0, 9) for _ in range(ROWS)]
    more = {
        "numbers": [],
        "mixed": MIXED,
        "arrays": ARRAYS * 3,
        "objects": OBJECTS * 3,
        "odd": ODD * 2,
        "many arrays": ARRAYS * 30,
        "everything": MIXED + ARRAYS + OBJECTS + ODD,
    }[name]
    return [*numbers, *more]


def documents(values: Iterable[Any]) -> list[Document]:
    made = [{"_id": new_id(), "n": n, "g": n % 4, "v": v} for n, v in enumerate(values)]
    for one in made[::17]:
        del one["v"]
    return made


def expected(kept: list[Document], query: Query) -> list[int]:
    found = [one for one in kept if query.filter.matches(one)]
    end = None if query.limit is None else query.skip + query.limit
    return [one["n"] for one in order(found, query.sort)[query.skip : end]]


async def check(store: DurableStore, kept: list[Document]) -> None:
    """Ask everything, of the pages that there are, and compare."""
    wrong = []
    for filter in FILTERS:
        for sort in SORTS:
            for skip, limit in ((0, None), (0, 7), (3, 20)):
                query = Query(parse_filter(FILTERS[filter]), SORTS[sort], skip, limit)
                found = [orjson.loads(one)["n"] for one in await store.find("cars", query)]
                if found != expected(kept, query):
                    wrong.append((filter, sort, skip, limit))
        wanted = parse_filter(FILTERS[filter])
        if await store.count("cars", wanted) != len(expected(kept, Query(wanted))):
            wrong.append((filter, "count", 0, None))
    assert wrong == []


def replaced(new: Document, _: Document) -> Document:
    return new


async def uses(store: DurableStore) -> dict[str, int]:
    return {one.fields: one.uses for one in await store.indexes("cars")}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[DurableStore]:
    store = DurableStore(tmp_path / "documents.sqlite3")
    await store.open()
    await store.create_collection("cars")
    yield store
    await store.close()


@pytest.mark.parametrize(
    "values", ["numbers", "mixed", "arrays", "objects", "odd", "many arrays", "everything"]
)
@pytest.mark.parametrize("by_id", [False, True], ids=["by seq", "by id"])
async def test_indexed_answers_are_the_matchers(
    store: DurableStore, values: str, by_id: bool
) -> None:
    kept = documents(kind(values))
    stored = kept[::-1] if by_id else kept
    await store.insert("cars", stored)
    for fields in INDEXES:
        await store.pin_index("cars", fields)
    await check(store, kept)


async def test_what_comes_after_the_index_is_found(store: DurableStore) -> None:
    kept = documents(kind("numbers"))
    await store.insert("cars", kept)
    for fields in INDEXES:
        await store.pin_index("cars", fields)
    page = Query(parse_filter({"v": {"$gt": 3}}), (("v", -1),), limit=9)
    before = [orjson.loads(one)["n"] for one in await store.find("cars", page)]
    assert before == expected(kept, page)
    for values in (ARRAYS, OBJECTS, ODD, MIXED):
        for value in values:
            one = {"_id": new_id(), "n": len(kept), "g": 2, "v": value}
            await store.insert("cars", [one])
            kept.append(one)
            found = [orjson.loads(one)["n"] for one in await store.find("cars", page)]
            assert found == expected(kept, page), value
    await check(store, kept)


async def test_what_changes_is_found(store: DurableStore) -> None:
    kept = documents(kind("everything"))
    await store.insert("cars", kept)
    for fields in ("-v", "g,v"):
        await store.pin_index("cars", fields)
    await elements(store, "v")
    values = [*MIXED, *ARRAYS, *OBJECTS, *ODD]
    random.Random(8).shuffle(values)
    for one, value in zip(kept[::3], values * 4, strict=False):
        one["v"] = value
        await store.change("cars", one["_id"], partial(replaced, dict(one)))
    for one in kept[1::5]:
        await store.change("cars", one["_id"], lambda _: None)
    await check(store, [one for place, one in enumerate(kept) if place % 5 != 1])


async def test_lower_id_keeps_its_place(store: DurableStore) -> None:
    """An index from before the collection was out of order still answers in order."""
    kept = documents(kind("numbers"))
    early, kept = kept[:40], kept[40:]
    await store.insert("cars", kept)
    for fields in ("v", "-v", "g,-v"):
        await store.pin_index("cars", fields)
    await store.insert("cars", early)
    await check(store, [*early, *kept])


async def elements(store: DurableStore, path: str) -> None:
    """Let the elements of arrays at `path` have an index, as queries would ask for it."""
    table = store._catalogue.get("cars")
    assert table is not None
    wanted = Wanted(parse_fields(path), elements=True)
    await store._upkeep._change(table, partial(upkeep._make, wanted, None))


@pytest.mark.parametrize("values", ["arrays", "many arrays", "everything"])
async def test_elements_are_found(store: DurableStore, values: str) -> None:
    kept = documents(kind(values))
    await store.insert("cars", kept[::2])
    await store.pin_index("cars", "v")
    await elements(store, "v")
    await store.insert("cars", kept[1::2])
    await check(store, kept)


async def test_long_arrays_are_found(store: DurableStore) -> None:
    values: list[Any] = [[n, *range(1_000, 1_000 + n)] for n in (150, 199, 200, 201, 500)]
    kept = documents([[7]] * 700 + values)
    await store.insert("cars", kept)
    await store.pin_index("cars", "v")
    await elements(store, "v")
    late = {"_id": new_id(), "n": 900, "v": [*range(1_000, 1_400), 150]}
    await store.insert("cars", [late])
    kept.append(late)
    for value in (150, 201, 1_199, 1_450):
        query = Query(parse_filter({"v": value}), limit=30)
        found = [orjson.loads(one)["n"] for one in await store.find("cars", query)]
        assert found == expected(kept, query), value
    assert (await uses(store))["v"] >= 4


@pytest.mark.parametrize(
    ("filter", "sort", "index"),
    [
        pytest.param({"v": 5}, (), "v", id="equal"),
        pytest.param({"v": 5, "n": {"$exists": True}}, (), "v", id="equal, with a rest"),
        pytest.param({"v": {"$gt": 7}}, (("v", -1),), "-v", id="range and sort"),
        pytest.param({}, (("v", -1),), "-v", id="sort"),
        pytest.param({"g": 2}, (("v", -1),), "g,-v", id="equal and sort"),
        pytest.param({}, (("g", 1), ("v", -1)), "g,-v", id="mixed directions"),
        pytest.param({}, (("g", -1), ("v", 1)), "g,-v", id="mixed, the other way"),
        pytest.param({"n": {"$gt": 200}}, (("g", 1),), "n", id="few, sorted otherwise"),
        pytest.param({"$or": [{"n": 5}, {"v": 6}]}, (), "n", id="either"),
    ],
)
async def test_query_goes_by_an_index(
    store: DurableStore, filter: Document, sort: Sort, index: str
) -> None:
    await store.insert("cars", documents(kind("everything")))
    for fields in ("v", "-v", "n", "g,-v"):
        await store.pin_index("cars", fields)
    before = await uses(store)
    await store.find("cars", Query(parse_filter(filter), sort, limit=5))
    after = await uses(store)
    assert after[index] > before[index]


async def test_filter_beyond_the_parser_is_answered(store: DurableStore) -> None:
    kept = documents(kind("everything"))
    await store.insert("cars", kept)
    await store.pin_index("cars", "v")
    nested: Node = Compare("v", "gt", 4)
    for _ in range(150):
        nested = Not(nested)
    alternatives = [{"v": {"$in": [None, n, f"{n}"]}} for n in range(100)]
    for wanted in (Filter(nested, {}), parse_filter({"$or": alternatives})):
        for sort in ((), (("v", 1),)):
            query = Query(wanted, sort, limit=30)
            found = [orjson.loads(one)["n"] for one in await store.find("cars", query)]
            assert found == expected(kept, query)


async def test_index_dropped_under_a_query_is_not_missed(
    store: DurableStore, tmp_path: Path
) -> None:
    """Between the end of the thread that drops it and the loop's hearing of it."""
    kept = documents(kind("numbers"))
    await store.insert("cars", kept)
    await store.pin_index("cars", "-v")
    query = Query(parse_filter({"v": {"$gt": 3}}), (("v", -1),), limit=9)
    assert len(await store.find("cars", query)) == 9
    (made,) = await store.indexes("cars")
    assert made.uses == 1
    table = store._catalogue.get("cars")
    assert table is not None
    forbid = upkeep._Work(table, lambda there, now: builds.forbid(there, now, "v"))
    forbid.run(tmp_path / "documents.sqlite3")
    found = [orjson.loads(one)["n"] for one in await store.find("cars", query)]
    assert found == expected(kept, query)
