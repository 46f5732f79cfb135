"""Every promise of stores/base.py as a test. A store's class says how to open it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

import orjson
import pytest

from backpack.documents import Document, Ids
from backpack.errors import Conflict, Invalid, TooLarge
from backpack.queries import EVERYTHING, Query, parse_filter
from backpack.stores.base import Changed, Store

new_id = Ids()


class Opener(Protocol):
    """Gives a store that is not open yet; the same `name` gives the same data where it is kept."""

    def __call__(self, name: str = "one", *, max_document: int = 1_048_576) -> Store: ...


def nested(levels: int) -> Document:
    """An object of that many levels, the outermost being the first."""
    inner: Document = {}
    for _ in range(levels - 1):
        inner = {"a": inner}
    return inner


VALUES: dict[str, Any] = {
    "null": None,
    "true": True,
    "false": False,
    "one": 1,
    "one as double": 1.0,
    "zero as double": 0.0,
    "2^31": 2**31,
    "-2^31-1": -(2**31) - 1,
    "2^53+1": 2**53 + 1,
    "greatest integer": 2**63 - 1,
    "least integer": -(2**63),
    "greatest double": 1.7976931348623157e308,
    "least double": 5e-324,
    "0.1+0.2": 0.1 + 0.2,
    "1e22": 1e22,
    "empty text": "",
    "text": "Grüße, 世界 👋 e\u0301",
    "text with NUL": "a\0b",
    "text with quotes": "\"'\\`;--\n\r\t\x01\u2028\uffff",
    "long text": "x" * 300_000,
    "empty object": {},
    "empty array": [],
    "array": [1, "1", 1.5, True, None, {"a": []}],
    "64 levels": nested(63),
    "object": {"b": 1, "a": 2, "10": 3, "9": 4},
    "names": {"__proto__": {"x": 1}, "constructor": 1, "a b": 2, "ü👋": 3, "q\"'\\": 4, "\x01": 5},
}


class StoreContract:
    """What every store keeps. A subclass gives the fixture `opener`, and the flags that differ."""

    persistent = True  # what was written is there after close, for the next that opens it
    nested_arrays = True  # an array may hold an array
    negative_zero = True  # -0.0 comes back as such
    escaped_names = True  # the name of a field at the top may need escapes as JSON

    @pytest.fixture
    def opener(self) -> Opener:
        raise NotImplementedError

    @pytest.fixture
    async def store(self, opener: Opener) -> AsyncIterator[Store]:
        store = opener()
        await store.open()
        yield store
        await store.close()

    @pytest.fixture
    async def cars(self, store: Store) -> str:
        await store.create_collection("cars")
        return "cars"

    # Collections

    async def test_collections_start_empty(self, store: Store) -> None:
        assert await store.collections() == []

    async def test_create_collection_makes_an_empty_one(self, store: Store) -> None:
        assert await store.create_collection("cars") is True
        assert await store.collections() == ["cars"]
        assert await store.find("cars", Query()) == []

    async def test_create_collection_again_is_false(self, store: Store) -> None:
        await store.create_collection("cars")
        await store.insert("cars", [{"_id": new_id()}])
        assert await store.create_collection("cars") is False
        assert await store.count("cars", EVERYTHING) == 1

    async def test_create_collection_has_one_winner(self, store: Store) -> None:
        made = await asyncio.gather(*(store.create_collection("cars") for _ in range(8)))
        assert sorted(made) == [False] * 7 + [True]
        assert await store.collections() == ["cars"]

    async def test_collections_come_in_code_point_order(self, store: Store) -> None:
        names = ["b_1", "zoo", "A", "b-1", "Zoo", "a", "x" * 64, "select", "sqlite-x", "Documents"]
        for name in names:
            await store.create_collection(name)
        assert await store.collections() == sorted(names)

    async def test_collections_differ_by_case(self, store: Store) -> None:
        await store.create_collection("cars")
        assert await store.has_collection("Cars") is False
        assert await store.create_collection("Cars") is True
        (stored,) = await store.insert("Cars", [{"_id": new_id(), "n": 1}])
        assert await store.find("cars", Query()) == []
        assert await store.find("Cars", Query()) == [stored]

    async def test_has_collection_sees_a_new_one(self, store: Store) -> None:
        assert await store.has_collection("cars") is False
        await store.create_collection("cars")
        assert await store.has_collection("cars") is True

    async def test_has_collection_is_not_made_by_reading(self, store: Store) -> None:
        await store.get("cars", new_id())
        await store.find("cars", Query())
        await store.count("cars", EVERYTHING)
        await store.change("cars", new_id(), lambda old: old)
        assert await store.has_collection("cars") is False
        assert await store.collections() == []

    async def test_drop_collection_takes_its_documents(self, store: Store, cars: str) -> None:
        (stored,) = await store.insert(cars, [{"_id": new_id()}])
        assert await store.has_collection(cars)
        assert await store.drop_collection(cars) is True
        assert await store.has_collection(cars) is False
        assert await store.collections() == []
        assert await store.get(cars, orjson.loads(stored)["_id"]) is None
        await store.create_collection(cars)
        assert await store.find(cars, Query()) == []

    async def test_drop_collection_without_one_is_false(self, store: Store, cars: str) -> None:
        assert await store.drop_collection("Cars") is False
        assert await store.collections() == ["cars"]

    async def test_internal_collection_is_never_listed(self, store: Store) -> None:
        await store.insert("_users", [{"_id": "me@example.com", "n": 1}])
        assert await store.collections() == []
        assert await store.has_collection("_users") is False
        assert await store.get("_users", "me@example.com") == b'{"_id":"me@example.com","n":1}'

    # Insert and get

    async def test_insert_answers_what_get_reads(self, store: Store, cars: str) -> None:
        ids = [new_id(), new_id()]
        stored = await store.insert(cars, [{"_id": ids[0], "n": 1}, {"_id": ids[1], "n": 2}])
        assert stored == [
            b'{"_id":"%s","n":1}' % ids[0].encode(),
            b'{"_id":"%s","n":2}' % ids[1].encode(),
        ]
        assert [await store.get(cars, one) for one in ids] == stored

    async def test_insert_of_nothing_is_nothing(self, store: Store, cars: str) -> None:
        assert await store.insert(cars, []) == []

    async def test_insert_leaves_its_argument_alone(self, store: Store, cars: str) -> None:
        document = {"_id": new_id(), "a": {"b": [1]}}
        before = orjson.dumps(document)
        await store.insert(cars, [document])
        assert orjson.dumps(document) == before

    async def test_field_order_is_kept_behind_the_id(self, store: Store, cars: str) -> None:
        record_id = new_id()
        await store.insert(
            cars, [{"z": 1, "10": 2, "9": 3, "_id": record_id, "a": {"y": 1, "b": 2}}]
        )
        expected = b'{"_id":"%s","z":1,"10":2,"9":3,"a":{"y":1,"b":2}}' % record_id.encode()
        assert await store.get(cars, record_id) == expected
        assert await store.find(cars, Query()) == [expected]

    @pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
    async def test_value_comes_back_as_it_was(self, store: Store, cars: str, value: Any) -> None:
        document = {"_id": new_id(), "value": value, "last": 1}
        expected = orjson.dumps(document)
        assert await store.insert(cars, [document]) == [expected]
        assert await store.get(cars, document["_id"]) == expected
        assert await store.find(cars, Query()) == [expected]

    async def test_names_at_the_top_come_back(self, store: Store, cars: str) -> None:
        names: Document = VALUES["names"]
        if not self.escaped_names:
            names = {name: value for name, value in names.items() if "\\" not in repr(name)}
        document = {"_id": new_id(), **names}
        await store.insert(cars, [document])
        assert await store.get(cars, document["_id"]) == orjson.dumps(document)

    async def test_nested_arrays_come_back(self, store: Store, cars: str) -> None:
        document: Document = {"_id": new_id(), "a": [[1, [2]], []]}
        if self.nested_arrays:
            await store.insert(cars, [document])
            assert await store.get(cars, document["_id"]) == orjson.dumps(document)
        else:
            with pytest.raises(Invalid):
                await store.insert(cars, [document])

    async def test_negative_zero_comes_back(self, store: Store, cars: str) -> None:
        document: Document = {"_id": new_id(), "n": -0.0}
        await store.insert(cars, [document])
        found = await store.get(cars, document["_id"])
        assert found == orjson.dumps({**document, "n": -0.0 if self.negative_zero else 0.0})

    async def test_get_of_nothing_is_none(self, store: Store, cars: str) -> None:
        record_id = new_id()
        await store.insert("others", [{"_id": record_id}])
        assert await store.get(cars, record_id) is None
        assert await store.get("unknown", record_id) is None

    async def test_taken_id_conflicts(self, store: Store, cars: str) -> None:
        (stored,) = await store.insert(cars, [{"_id": new_id(), "n": 1}])
        record_id = orjson.loads(stored)["_id"]
        with pytest.raises(Conflict):
            await store.insert(cars, [{"_id": record_id, "n": 2}])
        assert await store.find(cars, Query()) == [stored]

    async def test_insert_is_all_or_none(self, store: Store, cars: str) -> None:
        (stored,) = await store.insert(cars, [{"_id": new_id(), "n": 1}])
        taken = orjson.loads(stored)["_id"]
        with pytest.raises(Conflict):
            await store.insert(cars, [{"_id": new_id()}, {"_id": taken}, {"_id": new_id()}])
        assert await store.find(cars, Query()) == [stored]

    async def test_insert_refuses_an_id_twice(self, store: Store, cars: str) -> None:
        twice = new_id()
        with pytest.raises(Conflict):
            await store.insert(cars, [{"_id": twice, "n": 1}, {"_id": new_id()}, {"_id": twice}])
        assert await store.find(cars, Query()) == []

    async def test_insert_refuses_a_large_document(self, opener: Opener) -> None:
        document = {"_id": new_id(), "text": "ü" * 50}
        size = len(orjson.dumps(document))
        async with opened(opener("small", max_document=size)) as store:
            with pytest.raises(TooLarge):
                await store.insert(
                    "cars", [{"_id": new_id()}, {**document, "text": "ü" * 50 + "u"}]
                )
            assert await store.find("cars", Query()) == []
            assert await store.insert("cars", [document]) == [orjson.dumps(document)]

    async def test_concurrent_inserts_are_all_kept(self, store: Store, cars: str) -> None:
        batches = [[{"_id": new_id(), "n": n}, {"_id": new_id(), "n": n}] for n in range(16)]
        stored = await asyncio.gather(*(store.insert(cars, batch) for batch in batches))
        assert await store.find(cars, Query()) == [one for batch in stored for one in batch]

    async def test_concurrent_inserts_of_an_id_have_one_winner(
        self, store: Store, cars: str
    ) -> None:
        record_id = new_id()
        answers = await asyncio.gather(
            *(store.insert(cars, [{"_id": record_id, "n": n}]) for n in range(8)),
            return_exceptions=True,
        )
        (won,) = [answer for answer in answers if isinstance(answer, list)]
        assert [type(lost) for lost in answers if lost is not won] == [Conflict] * 7
        assert await store.find(cars, Query()) == won

    async def test_internal_ids_may_be_any_text(self, store: Store) -> None:
        ids = [
            "a@b.c",
            "A@b.c",
            "ü@b.c",
            "",
            "'; --",
            "世",
            "\U0001f44b",
            "\uffff",
            "x" * 500,
            "9",
            "10",
        ]
        stored = await store.insert("_users", [{"_id": one, "mine": one} for one in ids])
        assert [await store.get("_users", one) for one in ids] == stored
        assert texts(await store.find("_users", Query()), "mine") == sorted(ids)

    # Find and count

    async def test_find_is_in_id_order(self, store: Store, cars: str) -> None:
        ids = [new_id() for _ in range(5)]
        for record_id in (ids[3], ids[0], ids[4], ids[1], ids[2]):
            await store.insert(cars, [{"_id": record_id}])
        assert texts(await store.find(cars, Query()), "_id") == ids

    async def test_find_in_an_unknown_collection_is_empty(self, store: Store) -> None:
        assert await store.find("cars", Query(parse_filter({"n": 1}), sort=(("n", 1),))) == []
        assert await store.count("cars", EVERYTHING) == 0

    async def test_find_answers_what_matches(self, store: Store, cars: str) -> None:
        await fill(store, cars, [1, 2, 3, 2])
        wanted = parse_filter({"n": 2})
        assert numbers(await store.find(cars, Query(wanted))) == [2, 2]
        assert await store.count(cars, wanted) == 2
        assert await store.count(cars, EVERYTHING) == 4

    @pytest.mark.parametrize(
        ("sort", "expected"),
        [
            pytest.param((("n", 1),), "bdace", id="up, ties by _id"),
            pytest.param((("n", -1),), "eacbd", id="down, ties by _id"),
            pytest.param((("n", 1), ("_id", -1)), "dbcae", id="ties by _id down"),
            pytest.param((("_id", -1),), "edcba", id="by _id down"),
            pytest.param((("m", -1), ("n", 1)), "bcdae", id="two keys"),
        ],
    )
    async def test_find_sorts(
        self, store: Store, cars: str, sort: tuple[tuple[str, int], ...], expected: str
    ) -> None:
        rows = {"a": (2, 0), "b": (1, 1), "c": (2, 1), "d": (1, 0), "e": (3, 0)}
        for name, (n, m) in rows.items():
            await store.insert(cars, [{"_id": new_id(), "name": name, "n": n, "m": m}])
        assert "".join(texts(await store.find(cars, Query(sort=sort)), "name")) == expected

    @pytest.mark.parametrize(
        ("skip", "limit", "expected"),
        [
            pytest.param(0, 2, [5, 4], id="limit"),
            pytest.param(3, None, [2, 1], id="skip"),
            pytest.param(1, 3, [4, 3, 2], id="both"),
            pytest.param(4, 9, [1], id="limit past the end"),
            pytest.param(5, None, [], id="skip all"),
            pytest.param(2**40, 1, [], id="skip far"),
        ],
    )
    async def test_find_takes_a_part(
        self, store: Store, cars: str, skip: int, limit: int | None, expected: list[int]
    ) -> None:
        await fill(store, cars, [3, 1, 5, 2, 4])
        query = Query(sort=(("n", -1),), skip=skip, limit=limit)
        assert numbers(await store.find(cars, query)) == expected

    async def test_find_takes_a_part_in_id_order(self, store: Store, cars: str) -> None:
        await fill(store, cars, [1, 2, 3, 4])
        assert numbers(await store.find(cars, Query(skip=1, limit=2))) == [2, 3]

    async def test_find_after_goes_on_behind_an_id(self, store: Store, cars: str) -> None:
        ids = await fill(store, cars, [1, 2, 3, 4, 5])
        await store.change(cars, ids[1], lambda old: None)
        wanted = parse_filter({"n": {"$ne": 4}})
        assert numbers(await store.find(cars, Query(after=ids[0]))) == [3, 4, 5]
        assert numbers(await store.find(cars, Query(after=ids[1], limit=2))) == [3, 4]
        assert numbers(await store.find(cars, Query(wanted, after=ids[1], skip=1))) == [5]
        assert numbers(await store.find(cars, Query(after=ids[4]))) == []

    async def test_find_answers_whole_documents(self, store: Store, cars: str) -> None:
        stored = await store.insert(cars, [{"_id": new_id(), "n": 1, "m": 2}])
        assert await store.find(cars, Query(fields=("n",), count=True)) == stored

    async def test_find_sees_what_was_written(self, store: Store, cars: str) -> None:
        (record_id,) = await fill(store, cars, [1])
        wanted = Query(parse_filter({"n": 2}), sort=(("n", 1),))
        assert await store.find(cars, wanted) == []
        changed = await store.change(cars, record_id, lambda old: {**old, "n": 2})
        assert changed is not None
        assert await store.find(cars, wanted) == [changed.after]

    # Change

    async def test_change_replaces_a_document(self, store: Store, cars: str) -> None:
        record_id = new_id()
        (before,) = await store.insert(cars, [{"_id": record_id, "n": 1, "gone": True}])
        changed = await store.change(
            cars, record_id, lambda old: {"_id": record_id, "n": old["n"] + 1}
        )
        after = b'{"_id":"%s","n":2}' % record_id.encode()
        assert changed == Changed(before, after)
        assert await store.get(cars, record_id) == after

    async def test_change_deletes_where_edit_says_none(self, store: Store, cars: str) -> None:
        record_id, other = await fill(store, cars, [1, 2])
        before = await store.get(cars, record_id)
        assert before is not None
        assert await store.change(cars, record_id, lambda old: None) == Changed(before, None)
        assert await store.get(cars, record_id) is None
        assert texts(await store.find(cars, Query()), "_id") == [other]

    async def test_change_of_nothing_is_none(self, store: Store, cars: str) -> None:
        (record_id,) = await fill(store, cars, [1])
        await store.change(cars, record_id, lambda old: None)
        seen: list[Document] = []
        assert await store.change(cars, record_id, seen.append) is None
        assert await store.change("unknown", record_id, seen.append) is None
        assert seen == []

    async def test_change_takes_nothing_from_a_failing_edit(self, store: Store, cars: str) -> None:
        (record_id,) = await fill(store, cars, [1])
        before = await store.get(cars, record_id)

        def fail(old: Document) -> Document:
            raise Conflict("no")

        with pytest.raises(Conflict, match=r"^no$"):
            await store.change(cars, record_id, fail)
        assert await store.get(cars, record_id) == before
        changed = await store.change(cars, record_id, lambda old: {**old, "n": 2})
        assert changed is not None

    async def test_change_hands_over_plain_values(self, store: Store, cars: str) -> None:
        values = [1, 2**40, 1.0, True, None, "a"]
        document: Document = {"_id": new_id(), "values": values, "in": {"n": 2**62}}
        await store.insert(cars, [document])
        seen: list[Document] = []

        def edit(old: Document) -> Document:
            seen.append(old)
            return old

        await store.change(cars, document["_id"], edit)
        assert seen == [document]
        assert list(seen[0]) == ["_id", "values", "in"]
        assert [type(value) for value in seen[0]["values"]] == [
            int,
            int,
            float,
            bool,
            type(None),
            str,
        ]
        assert type(seen[0]["in"]["n"]) is int

    async def test_change_keeps_the_order_of_fields(self, store: Store, cars: str) -> None:
        (record_id,) = await fill(store, cars, [1])
        changed = await store.change(
            cars, record_id, lambda old: {"z": 1, "b": 2, "a": 3, "_id": record_id}
        )
        assert changed is not None
        assert changed.after == b'{"_id":"%s","z":1,"b":2,"a":3}' % record_id.encode()
        assert await store.get(cars, record_id) == changed.after

    async def test_change_refuses_a_large_document(self, opener: Opener) -> None:
        async with opened(opener("small", max_document=200)) as store:
            (record_id,) = await fill(store, "cars", [1])
            before = await store.get("cars", record_id)
            with pytest.raises(TooLarge):
                await store.change("cars", record_id, lambda old: {**old, "text": "x" * 200})
            assert await store.get("cars", record_id) == before

    async def test_change_lets_an_id_be_used_again(self, store: Store) -> None:
        await store.insert("_users", [{"_id": "a@b.c", "n": 1}])
        await store.change("_users", "a@b.c", lambda old: None)
        stored = await store.insert("_users", [{"_id": "a@b.c", "n": 2}])
        assert await store.find("_users", Query()) == stored

    async def test_concurrent_changes_lose_no_update(self, store: Store, cars: str) -> None:
        (record_id,) = await fill(store, cars, [0])
        changes = await asyncio.gather(
            *(
                store.change(cars, record_id, lambda old: {**old, "n": old["n"] + 1})
                for _ in range(48)
            )
        )
        steps = [
            (parsed(change.before)["n"], parsed(change.after)["n"]) for change in changes if change
        ]
        assert sorted(steps) == [(n, n + 1) for n in range(48)]
        assert numbers(await store.find(cars, Query())) == [48]

    async def test_concurrent_changes_do_not_mix_documents(self, store: Store, cars: str) -> None:
        ids = await fill(store, cars, [0] * 8)
        await asyncio.gather(
            *(
                store.change(cars, record_id, lambda old: {**old, "n": old["n"] + 1})
                for record_id in ids * 4
            )
        )
        assert numbers(await store.find(cars, Query())) == [4] * 8

    async def test_concurrent_deletes_have_one_winner(self, store: Store, cars: str) -> None:
        (record_id,) = await fill(store, cars, [0])
        answers = await asyncio.gather(
            *(store.change(cars, record_id, lambda old: None) for _ in range(8))
        )
        assert len([answer for answer in answers if answer is not None]) == 1

    # Lifetime

    async def test_open_again_finds_what_was_kept(self, opener: Opener) -> None:
        async with opened(opener()) as store:
            await store.create_collection("empty")
            await store.create_collection("dropped")
            await store.drop_collection("dropped")
            await store.create_collection("cars")
            ids = await fill(store, "cars", [1, 2, 3])
            await store.change("cars", ids[0], lambda old: {**old, "n": 9})
            await store.change("cars", ids[1], lambda old: None)
            await store.insert("_users", [{"_id": "me@example.com"}])
        async with opened(opener()) as store:
            kept = (
                await store.collections(),
                numbers(await store.find("cars", Query())),
                await store.get("_users", "me@example.com"),
            )
        if self.persistent:
            assert kept == (["cars", "empty"], [9, 3], b'{"_id":"me@example.com"}')
        else:
            assert kept == ([], [], None)

    async def test_stores_share_nothing(self, store: Store, cars: str, opener: Opener) -> None:
        await fill(store, cars, [1])
        async with opened(opener("other")) as other:
            assert await other.collections() == []
            assert await other.has_collection(cars) is False
            assert await other.find(cars, Query()) == []


class opened:
    """`async with opened(store)`: open, and closed at the end."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def __aenter__(self) -> Store:
        await self._store.open()
        return self._store

    async def __aexit__(self, *failure: object) -> None:
        await self._store.close()


async def fill(store: Store, collection: str, values: Sequence[int]) -> list[str]:
    """Insert a document `{"_id", "n"}` for each value; answers their ids."""
    documents: list[Document] = [{"_id": new_id(), "n": value} for value in values]
    await store.insert(collection, documents)
    return [document["_id"] for document in documents]


def parsed(encoded: bytes | None) -> Document:
    assert encoded is not None
    document: Document = orjson.loads(encoded)
    return document


def numbers(found: Sequence[bytes]) -> list[int]:
    return [parsed(one)["n"] for one in found]


def texts(found: Sequence[bytes], name: str) -> list[str]:
    return [parsed(one)[name] for one in found]
