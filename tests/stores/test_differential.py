"""Random documents, queries and merges: every store gives the answer of the exact matcher, MongoDB too."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from random import Random

import orjson
import pymongo
import pytest

from backpack.documents import Document, check_merge, merge
from backpack.errors import Invalid
from backpack.queries import Query
from backpack.stores.base import Store
from backpack.stores.durable import DurableStore
from backpack.stores.mongo import FakeMongoStore, MongoStore

from . import wire_faults
from .cases import Case, Questions, documents, has_nested_arrays, patches

# 60 collections of 20 documents, with 50 queries each: 3,000 cases; every second one has arrays.
SEEDS = range(60)
DOCUMENTS = 20
QUERIES = 50
PATCHES = 10

AT = "2026-01-02T03:04:05.678Z"
Answer = list[bytes] | str


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[list[Store]]:
    opened: list[Store] = [DurableStore(tmp_path / "a.sqlite3"), DurableStore(None)]
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
async def mongodb(mongo_url: str) -> AsyncIterator[MongoStore]:
    name = f"backpack-test-{secrets.token_hex(8)}"
    store = MongoStore.from_url(mongo_url, name)
    await store.open()
    yield store
    await store.close()
    with pymongo.MongoClient[Document](mongo_url) as client:
        client.drop_database(name)


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


@pytest.mark.parametrize("seed", SEEDS)
async def test_mongodb_answers_as_the_matcher(
    mongodb: MongoStore, exact: FakeMongoStore, seed: int
) -> None:
    random = Random(seed + 10_000)
    # FerretDB refuses arrays in arrays.
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
def test_merge_is_what_mongodb_sets_and_unsets(mongo_url: str, seed: int) -> None:
    random = Random(seed + 30_000)
    kept = [one for one in _documents(random, seed) if not has_nested_arrays(one)]
    name = f"backpack-test-{secrets.token_hex(8)}"
    with pymongo.MongoClient[Document](mongo_url) as client:
        cars = client[name]["cars"]
        for document, patch in zip(kept, patches(random, DOCUMENTS), strict=False):
            cars.insert_one(dict(document))
            assert _set_and_unset(cars, document["_id"], patch) == _merge(document, patch), (
                document,
                patch,
            )
        client.drop_database(name)


def _has_arrays(seed: int) -> bool:
    return seed % 2 == 1


def _documents(random: Random, seed: int) -> list[Document]:
    return documents(random, DOCUMENTS, arrays=_has_arrays(seed))


def _asked(random: Random, kept: Sequence[Document], seed: int) -> list[Case]:
    """So many cases as the wire server can be asked without one of its known faults."""
    questions = Questions(random, list(kept), arrays=_has_arrays(seed))
    asked: list[Case] = []
    while len(asked) < QUERIES:
        asked += [case for case in questions.cases(1) if not wire_faults.differs(kept, case)]
    return asked


async def _answer(store: Store, case: Case) -> Answer | tuple[Answer, int]:
    """What the store finds, and how many match; the name of the error where it refuses."""
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
        return "refused"
    return {name: value for name, value in merged.items() if name not in ("createdAt", "updatedAt")}


def _set_and_unset(
    cars: pymongo.collection.Collection[Document], record_id: str, patch: Document
) -> Document | str:
    put = {path: value for path, value in patch.items() if value is not None}
    gone = dict.fromkeys(path for path, value in patch.items() if value is None)
    update = {"$set": put} if put else {}
    if gone:
        update["$unset"] = gone
    if update:
        try:
            cars.update_one({"_id": record_id}, update)
        except pymongo.errors.WriteError:
            return "refused"
    found = cars.find_one({"_id": record_id})
    assert found is not None
    return orjson.loads(orjson.dumps(found))
