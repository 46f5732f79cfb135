"""Random documents, queries and merges: every store answers as the exact matcher does."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from random import Random

import orjson
import pymongo
import pytest

from backpack.documents import Document, check_merge, merge
from backpack.errors import Invalid
from backpack.queries import Query, order
from backpack.stores.base import Store
from backpack.stores.durable import DurableStore
from backpack.stores.mongo import FakeMongoStore, MongoStore

from . import wire_faults
from .cases import Case, Questions, documents, has_nested_arrays, patches
from .shaken import ShakenStore

# 60 collections of 20 documents, with 50 queries each: 3,000 cases; every second one has arrays.
SEEDS = range(60)
DOCUMENTS = 20
QUERIES = 50
PATCHES = 10
MANY = 2_500  # documents, so many that SQLite is asked in another thread

AT = "2026-01-02T03:04:05.678Z"
Answer = tuple[list[bytes], int] | str
Collection = pymongo.collection.Collection[Document]


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[list[Store]]:
    """A file, memory, and a file with indexes that are made and dropped at random."""
    opened: list[Store] = [
        DurableStore(tmp_path / "a.sqlite3"),
        DurableStore(None),
        ShakenStore(tmp_path / "b.sqlite3"),
    ]
    for store in opened:
        await store.open()
    yield opened
    for store in opened:
        await store.close()


@pytest.fixture
async def exact() -> FakeMongoStore:
    """The store whose answers come from the exact matcher, and nothing else."""
    return FakeMongoStore.fresh()


@pytest.fixture
def cars(mongo_url: str) -> Iterator[Collection]:
    """A collection of a database of its own, by MongoDB's driver."""
    name = f"backpack-test-{secrets.token_hex(8)}"
    with pymongo.MongoClient[Document](mongo_url) as client:
        yield client[name]["cars"]
        client.drop_database(name)


@pytest.fixture
async def mongodb(mongo_url: str, cars: Collection) -> AsyncIterator[MongoStore]:
    """The store of that database."""
    store = MongoStore.from_url(mongo_url, cars.database.name)
    await store.open()
    yield store
    await store.close()


@pytest.mark.parametrize("seed", SEEDS)
async def test_sqlite_answers_as_the_matcher(
    stores: list[Store], exact: FakeMongoStore, seed: int
) -> None:
    random = Random(seed)
    kept = _documents(random, seed)
    for store in (*stores, exact):
        await store.insert("cars", kept)
    wrong = []
    for case in Questions(random, kept, arrays=_has_arrays(seed)).cases(QUERIES):
        expected = await _answer(exact, case)
        answers = [await _answer(store, case) for store in stores]
        if answers != [expected] * len(stores):
            wrong.append((case, expected, answers))
    assert wrong == []


@pytest.mark.parametrize("seed", range(2))
async def test_sqlite_answers_of_a_large_collection(stores: list[Store], seed: int) -> None:
    random = Random(seed + 5_000)
    kept = documents(random, MANY, arrays=_has_arrays(seed))
    for store in stores:
        await store.insert("cars", kept)
    wrong = []
    for case in Questions(random, kept, arrays=_has_arrays(seed)).cases(QUERIES):
        expected = _matched(kept, case)
        answers = [await _answer(store, case) for store in stores]
        if answers != [expected] * len(stores):
            wrong.append(case)
    assert wrong == []


@pytest.mark.parametrize("seed", SEEDS)
async def test_mongodb_answers_as_the_matcher(
    mongodb: MongoStore, exact: FakeMongoStore, seed: int
) -> None:
    random = Random(seed + 10_000)
    # The wire server refuses arrays in arrays.
    kept = [one for one in _documents(random, seed) if not has_nested_arrays(one)]
    for store in (mongodb, exact):
        await store.insert("cars", kept)
    wrong = []
    for case in _asked(random, kept, seed):
        expected = await _answer(exact, case)
        answer = await _answer(mongodb, case)
        if answer != expected:
            wrong.append((case, expected, answer))
    assert wrong == []


@pytest.mark.parametrize("seed", SEEDS)
async def test_merge_is_the_same_everywhere(
    stores: list[Store], exact: FakeMongoStore, seed: int
) -> None:
    random = Random(seed + 20_000)
    kept = [{**one, "createdAt": AT, "updatedAt": AT} for one in _documents(random, seed)]
    everywhere = [*stores, exact]
    for store in everywhere:
        await store.insert("cars", kept)
    for patch in patches(random, PATCHES):
        record_id = random.choice(kept)["_id"]
        answers = [await _merged(store, record_id, patch) for store in everywhere]
        assert answers == answers[:1] * len(everywhere), patch
    listed = [await store.find("cars", Query()) for store in everywhere]
    assert listed == listed[:1] * len(everywhere)


@pytest.mark.parametrize("seed", SEEDS)
def test_merge_is_what_mongodb_sets_and_unsets(cars: Collection, seed: int) -> None:
    random = Random(seed + 30_000)
    for document in _documents(random, seed):
        for patch in patches(random, 1):
            if has_nested_arrays(document) or wire_faults.differs_in_merge(document, patch):
                continue
            cars.replace_one({"_id": document["_id"]}, document, upsert=True)
            expected = _set_and_unset(cars, document["_id"], patch)
            assert _merge(document, patch) == expected, (document, patch)


def _has_arrays(seed: int) -> bool:
    return seed % 2 == 1


def _documents(random: Random, seed: int) -> list[Document]:
    return documents(random, DOCUMENTS, arrays=_has_arrays(seed))


def _asked(random: Random, kept: Sequence[Document], seed: int) -> list[Case]:
    """Cases that do not meet a known fault of the wire server."""
    questions = Questions(random, list(kept), arrays=_has_arrays(seed))
    asked: list[Case] = []
    while len(asked) < QUERIES:
        asked += [case for case in questions.cases(1) if not wire_faults.differs(kept, case)]
    return asked


def _matched(kept: list[Document], case: Case) -> Answer:
    query = case.query()
    found = [document for document in kept if query.filter.matches(document)]
    behind = [one for one in found if query.after is None or one["_id"] > query.after]
    end = None if query.limit is None else query.skip + query.limit
    try:
        ordered = order(behind, query.sort)
    except Invalid:
        return "Invalid"
    return [orjson.dumps(document) for document in ordered[query.skip : end]], len(found)


async def _answer(store: Store, case: Case) -> Answer:
    """What the store finds and how many match; `"Invalid"` where it refuses."""
    query = case.query()
    try:
        return await store.find("cars", query), await store.count("cars", query.filter)
    except Invalid:
        return "Invalid"


async def _merged(store: Store, record_id: str, patch: Document) -> bytes | str | None:
    try:
        changed = await store.change(
            "cars", record_id, lambda old: merge(old, check_merge(patch), AT)
        )
    except Invalid:
        return "Invalid"
    return None if changed is None else changed.after


def _merge(document: Document, patch: Document) -> Document | str:
    stamped = {**document, "createdAt": AT, "updatedAt": AT}
    try:
        merged = merge(stamped, check_merge(patch), AT)
    except Invalid:
        return "Invalid"
    return {name: value for name, value in merged.items() if name not in ("createdAt", "updatedAt")}


def _set_and_unset(cars: Collection, record_id: str, patch: Document) -> Document | str:
    put = {path: value for path, value in patch.items() if value is not None}
    gone = dict.fromkeys(path for path, value in patch.items() if value is None)
    update = {"$set": put} if put else {}
    if gone:
        update["$unset"] = gone
    if update:
        try:
            cars.update_one({"_id": record_id}, update)
        except pymongo.errors.WriteError:
            return "Invalid"
    found = cars.find_one({"_id": record_id})
    assert found is not None
    return found
