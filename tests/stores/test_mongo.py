"""What is MongoDB's alone: other writers, servers that are away or silent, deadlines, URLs."""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pymongo
import pytest

from backpack.documents import REVISION, Document
from backpack.errors import Conflict, Invalid, TooSlow, Unanswered, Unavailable
from backpack.queries import EVERYTHING, Query, parse_filter
from backpack.stores import mongo
from backpack.stores.mongo import MongoStore

from ..services import free_port, mongo_wire

ID = "65a000000000000000000001"


@pytest.fixture
def database() -> str:
    return f"backpack-test-{secrets.token_hex(8)}"


@pytest.fixture
async def store(mongo_url: str, database: str) -> AsyncIterator[MongoStore]:
    store = MongoStore.from_url(mongo_url, database)
    await store.open()
    yield store
    await store.close()
    with pymongo.MongoClient[Document](mongo_url) as client:
        client.drop_database(database)


@pytest.fixture
def elsewhere(
    mongo_url: str, database: str
) -> Callable[[Callable[[MongoStore], Awaitable[Any]]], Any]:
    """Runs a call on another store of the same database, to its end, as another process would."""

    async def run(call: Callable[[MongoStore], Awaitable[Any]]) -> Any:
        other = MongoStore.from_url(mongo_url, database)
        try:
            return await call(other)
        finally:
            await other.close()

    def elsewhere(call: Callable[[MongoStore], Awaitable[Any]]) -> Any:
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, run(call)).result()

    return elsewhere


Elsewhere = Callable[[Callable[[MongoStore], Awaitable[Any]]], Any]


async def test_stored_document_ends_with_revision(
    store: MongoStore, mongo_url: str, database: str
) -> None:
    def stored() -> list[tuple[str, Any]]:
        with pymongo.MongoClient[Document](mongo_url) as client:
            (document,) = client[database]["cars"].find()
        return list(document.items())

    await store.insert("cars", [{"n": 1, "_id": ID}])
    first = stored()
    assert first[:2] == [("_id", ID), ("n", 1)]
    assert first[2][0] == REVISION
    await store.change("cars", ID, lambda old: {**old, "n": 2})
    assert stored() == [("_id", ID), ("n", 2), (REVISION, first[2][1] + 1)]


async def test_change_starts_again_after_another_writer(
    store: MongoStore, elsewhere: Elsewhere
) -> None:
    await store.insert("cars", [{"_id": ID, "n": 1}])
    seen: list[int] = []

    def edit(old: Document) -> Document:
        seen.append(old["n"])
        if len(seen) == 1:
            elsewhere(lambda other: other.change("cars", ID, lambda old: {**old, "n": 10}))
        return {**old, "n": old["n"] + 1}

    changed = await store.change("cars", ID, edit)
    assert seen == [1, 10]
    assert changed is not None
    assert changed.before == b'{"_id":"%s","n":10}' % ID.encode()
    assert changed.after == b'{"_id":"%s","n":11}' % ID.encode()
    assert await store.get("cars", ID) == changed.after


async def test_change_finds_nothing_after_another_delete(
    store: MongoStore, elsewhere: Elsewhere
) -> None:
    await store.insert("cars", [{"_id": ID}])

    def edit(old: Document) -> Document:
        elsewhere(lambda other: other.change("cars", ID, lambda old: None))
        return {**old, "n": 1}

    assert await store.change("cars", ID, edit) is None
    assert await store.get("cars", ID) is None


async def test_delete_spares_what_another_wrote(store: MongoStore, elsewhere: Elsewhere) -> None:
    await store.insert("cars", [{"_id": ID, "keep": False}])

    def edit(old: Document) -> Document | None:
        if old["keep"]:
            return old
        elsewhere(lambda other: other.change("cars", ID, lambda old: {**old, "keep": True}))
        return None

    changed = await store.change("cars", ID, edit)
    assert changed is not None
    assert changed.after == b'{"_id":"%s","keep":true}' % ID.encode()


async def test_change_knows_a_successor_by_its_revision(
    store: MongoStore, elsewhere: Elsewhere
) -> None:
    await store.insert("cars", [{"_id": ID, "n": 1}])
    seen: list[int] = []

    async def put_anew(other: MongoStore) -> None:
        await other.change("cars", ID, lambda old: None)
        await other.insert("cars", [{"_id": ID, "n": 5}])

    def edit(old: Document) -> Document:
        seen.append(old["n"])
        if len(seen) == 1:
            elsewhere(put_anew)
        return {**old, "n": old["n"] + 1}

    await store.change("cars", ID, edit)
    assert seen == [1, 5]


async def test_change_gives_up_at_its_deadline(
    store: MongoStore, mongo_url: str, database: str, elsewhere: Elsewhere
) -> None:
    await store.insert("cars", [{"_id": ID, "n": 0}])
    hasty = MongoStore.from_url(mongo_url, database, deadline=0.01)

    def edit(old: Document) -> Document:
        elsewhere(lambda other: other.change("cars", ID, lambda old: {**old, "n": old["n"] + 1}))
        return {**old, "n": -1}

    with pytest.raises(Unavailable, match="others are changing this document"):
        await hasty.change("cars", ID, edit)
    await hasty.close()


async def test_failed_insert_takes_back_only_its_own(
    store: MongoStore, elsewhere: Elsewhere
) -> None:
    ids = [f"65a00000000000000000000{n}" for n in range(4)]
    elsewhere(lambda other: other.insert("cars", [{"_id": ids[2], "mine": True}]))
    with pytest.raises(Conflict):
        await store.insert("cars", [{"_id": one} for one in ids])
    assert await store.find("cars", Query()) == [b'{"_id":"%s","mine":true}' % ids[2].encode()]


async def test_has_collection_hears_of_others(
    store: MongoStore, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mongo, "_MEMORY", 0.0)
    assert await store.has_collection("cars") is False
    elsewhere(lambda other: other.create_collection("cars"))
    assert await store.has_collection("cars") is True
    elsewhere(lambda other: other.drop_collection("cars"))
    assert await store.has_collection("cars") is False


async def test_query_over_its_deadline_is_too_slow(
    store: MongoStore, mongo_url: str, database: str
) -> None:
    await store.insert("cars", [{"_id": f"{n:024x}", "s": "x" * 300, "n": n} for n in range(4000)])
    hasty = MongoStore.from_url(mongo_url, database, deadline=0.001, server_timeout=5.0)
    wanted = parse_filter({"s": {"$regex": "y$"}, "n": {"$gt": 3}})
    with pytest.raises(TooSlow):
        await hasty.find("cars", Query(wanted, sort=(("s", 1), ("n", -1))))
    with pytest.raises(TooSlow):
        await hasty.count("cars", wanted)
    await hasty.close()


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda store: store.open(), id="open"),
        pytest.param(lambda store: store.collections(), id="collections"),
        pytest.param(lambda store: store.has_collection("cars"), id="has_collection"),
        pytest.param(lambda store: store.create_collection("cars"), id="create_collection"),
        pytest.param(lambda store: store.drop_collection("cars"), id="drop_collection"),
        pytest.param(lambda store: store.insert("cars", [{"_id": ID}]), id="insert"),
        pytest.param(lambda store: store.insert("cars", [{"_id": "a"}, {"_id": "b"}]), id="batch"),
        pytest.param(lambda store: store.get("cars", ID), id="get"),
        pytest.param(lambda store: store.find("cars", Query()), id="find"),
        pytest.param(lambda store: store.count("cars", EVERYTHING), id="count"),
        pytest.param(lambda store: store.change("cars", ID, lambda old: None), id="change"),
    ],
)
async def test_absent_server_is_unavailable(call: Callable[[MongoStore], Awaitable[Any]]) -> None:
    absent = MongoStore.from_url(f"mongodb://127.0.0.1:{free_port()}/", "any", server_timeout=0.05)
    with pytest.raises(Unavailable):
        await call(absent)
    await absent.close()


async def test_absent_server_is_waited_for_once() -> None:
    absent = MongoStore.from_url(f"mongodb://127.0.0.1:{free_port()}/", "any", server_timeout=1.0)
    with pytest.raises(Unavailable) as first:
        await absent.get("cars", ID)
    with pytest.raises(Unavailable) as second:
        await absent.get("cars", ID)
    await absent.close()

    # The second was not even asked for.
    assert (first.value.__cause__ is None, second.value.__cause__ is None) == (False, True)


async def test_server_that_comes_is_found(tmp_path: Path) -> None:
    with mongo_wire(tmp_path) as server:
        server.kill()
        store = MongoStore.from_url(
            f"mongodb://127.0.0.1:{server.port}/", "any", server_timeout=0.2
        )
        with pytest.raises(Unavailable):
            await store.get("cars", ID)
        await asyncio.to_thread(server.start)
        async with asyncio.timeout(30):
            while not await found_nothing(store):
                await asyncio.sleep(0.02)
        await store.close()


async def found_nothing(store: MongoStore) -> bool:
    try:
        return await store.get("cars", ID) is None
    except Unavailable:
        return False


async def test_silent_server_is_unavailable_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"mongodb://127.0.0.1:{silent.getsockname()[1]}/"
        waiting = MongoStore.from_url(url, "any", server_timeout=0.2)
        began = time.monotonic()
        with pytest.raises(Unavailable):
            await waiting.get("cars", ID)
        assert time.monotonic() - began < 3
        await waiting.close()


@pytest.mark.parametrize("new", [{"_id": "a", "n": 1}, None], ids=["change", "delete"])
async def test_write_that_is_not_answered_may_have_happened(
    tmp_path: Path, new: dict[str, Any] | None
) -> None:
    with mongo_wire(tmp_path) as server:
        url = f"mongodb://127.0.0.1:{server.port}/"
        store = MongoStore.from_url(url, "any", deadline=0.5, server_timeout=0.5)
        await store.insert("cars", [{"_id": "a"}])

        def edit(old: dict[str, Any]) -> dict[str, Any] | None:
            server.halt()  # it is read, and not yet written
            return new

        with pytest.raises(Unanswered):
            await store.change("cars", "a", edit)
        with pytest.raises(Unavailable) as refused:
            await store.insert("cars", [{"_id": "b"}])
        server.go_on()
        await store.close()

    assert type(refused.value) is Unavailable  # it was not even asked for


async def test_insert_that_is_not_answered_may_have_happened(tmp_path: Path) -> None:
    with mongo_wire(tmp_path) as server:
        url = f"mongodb://127.0.0.1:{server.port}/"
        store = MongoStore.from_url(url, "any", deadline=0.5, server_timeout=0.5)
        await store.insert("cars", [{"_id": "a"}])

        server.halt()
        with pytest.raises(Unanswered):
            await store.insert("cars", [{"_id": "b"}])
        server.go_on()
        await store.close()


@pytest.mark.parametrize(
    "url", ["", "http://127.0.0.1/", "mongodb://", "mongodb://h:99999/", "mongodb://a@b@c/"]
)
def test_unreadable_url_is_invalid(url: str) -> None:
    with pytest.raises(Invalid, match="Not a URL of a MongoDB server"):
        MongoStore.from_url(url, "any")
