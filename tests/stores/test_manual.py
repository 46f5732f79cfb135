"""By hand, with their source: the cases that `wire_faults` keeps from the differential test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from backpack.documents import Document, merge
from backpack.errors import Invalid
from backpack.queries import Query, parse_filter
from backpack.stores.base import Store
from backpack.stores.durable import DurableStore
from backpack.stores.mongo import FakeMongoStore

from . import wire_faults
from .cases import Case

AT = "2026-01-02T03:04:05.678Z"


@pytest.fixture(params=["file", "memory", "fake"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made: dict[str, Store] = {
        "file": DurableStore(tmp_path / "a.sqlite3"),
        "memory": DurableStore(None),
        "fake": FakeMongoStore.fresh(),
    }
    store = made[request.param]
    await store.open()
    yield store
    await store.close()


async def kept(store: Store, documents: list[Document]) -> list[Document]:
    """`documents` with ids in their order, stored."""
    numbered = [{"_id": f"{n:024x}", **document} for n, document in enumerate(documents)]
    await store.insert("cars", numbered)
    return numbered


# Sources: tests of MongoDB's server below src/mongo/db/matcher, and pages of its manual.
@pytest.mark.parametrize(
    ("filter", "matched", "others"),
    [
        pytest.param(
            {"a.b": None},
            [{}, {"a": {}}, {"a": [{}]}, {"a": [{"b": 1}, {}]}, {"a": 5}],
            [{"a": []}, {"a": [5]}, {"a": [[]]}, {"a": [[{}]]}, {"a": {"b": 4}}],
            id="EqOp.MatchesNestedNull",
        ),
        pytest.param(
            {"a.b": {"$in": [None, 2]}},
            [{"a": [{}]}, {"a": [{"b": 2}]}, {"a": 5}],
            [{"a": []}, {"a": [5]}, {"a": [{"b": 3}]}],
            id="EqOp.MatchesNestedNull, by $in",
        ),
        pytest.param(
            {"a.b": {"$lte": None}},
            [{}, {"a": [{}]}, {"a": [{"b": None}]}],
            [{"a": []}, {"a": ["b"]}, {"a": [{"b": 1}]}],
            id="LteOp.MatchesDotNotationNull",
        ),
        pytest.param(
            {"a.b": {"$ne": 5}},
            [{"a": []}, {"a": [6]}, {"a": [{"b": 6}, {}]}, {}],
            [{"a": [{"b": 5}]}, {"a": [{"b": 6}, {"b": 5}]}, {"a": [5, {"b": [4, 5]}]}],
            id="manual $ne: no element may equal",
        ),
        pytest.param(
            {"a.b": {"$nin": [None, 1]}},
            [{"a": []}, {"a": [5]}, {"a": [{"b": 2}]}],
            [{"a": [{}]}, {"a": [{"b": 2}, {"b": 1}]}, {"a": 5}, {}],
            id="manual $nin: none of the values, nor missing",
        ),
        pytest.param(
            {"a.b": {"$not": {"$gt": 1}}},
            [{"a": []}, {"a": [{"b": 1}, {"b": 0}]}, {"a": [{"b": "x"}]}, {}],
            [{"a": [{"b": 1}, {"b": 2}]}],
            id="manual $not: also where the field is missing",
        ),
        pytest.param(
            {"a.b": {"$exists": False}},
            [{}, {"a": []}, {"a": [1]}, {"a": [{}]}],
            [{"a": [{}, {"b": None}]}],
            id="manual $exists",
        ),
        pytest.param(
            {"a.0": None},
            [{"a": [None]}, {"a": [{}]}, {"a": [{"b": 1}]}, {"a": 5}, {}],
            [{"a": []}, {"a": [1]}, {"a": [{"0": 1}]}],
            id="EqOp.MatchesReferencedArrayValue: an index is a name in elements too",
        ),
        pytest.param(
            {"a": {}},
            [{"a": {}}, {"a": [{}]}, {"a": [1, {}]}],
            [{"a": []}, {"a": [[{}]]}, {"a": {"b": None}}, {}],
            id="manual Query an Array: an empty object as element",
        ),
        pytest.param(
            {"a": {"x": {"y": None}}},
            [{"a": [{"x": 1}, {"x": {"y": None}}]}, {"a": {"x": {"y": None}}}],
            [{"a": [{"x": None}]}, {"a": [{"x": {}}]}],
            id="manual Query Embedded Documents: the whole object, in an array",
        ),
        pytest.param(
            {"a": {"$ne": {"x": 2}, "$lt": "b"}},
            [{"a": "a"}, {"a": ["a", {"x": 1}]}],
            [{"a": {"x": 1}}, {"a": "c"}, {"a": ["a", {"x": 2}]}, {}],
            id="manual $ne beside $lt: both hold",
        ),
        pytest.param(
            {"a": {"$eq": {"x": 1}, "$gte": "a"}},
            [{"a": [{"x": 1}, "b"]}],
            [{"a": {"x": 1}}, {"a": [{"x": 1}]}, {"a": "b"}],
            id="manual $eq beside $gte: both hold",
        ),
        pytest.param(
            {"a": {"$all": [{"x": 1}]}},
            [{"a": {"x": 1}}, {"a": [{"x": 1}, 2]}],
            [{"a": []}, {"a": {"x": 1, "y": 2}}, {"a": [[{"x": 1}]]}],
            id="manual $all: of one value is that value",
        ),
        pytest.param(
            {"a": {"$elemMatch": {"x": {"$gte": 1}, "y": 2}}},
            [{"a": [{"x": 1, "y": 2}]}, {"a": [0, {"x": 3, "y": [2]}]}],
            [{"a": [{"x": 1}, {"y": 2}]}, {"a": {"x": 1, "y": 2}}, {"a": [1, 2]}, {}],
            id="manual $elemMatch: one element meets all",
        ),
        pytest.param(
            {"a": {"$elemMatch": {"$ne": 1, "$lt": 5}}},
            [{"a": [1, 2]}, {"a": [1, 9, 0]}],
            [{"a": [1]}, {"a": [1, 9]}, {"a": 2}, {"a": []}],
            id="manual $elemMatch: $ne of the same element",
        ),
        pytest.param(
            {"a": {"$elemMatch": {"x": {"$nin": [1]}}}},
            [{"a": [{"x": 1}, {"x": 2}]}, {"a": [{"x": 1}, {}]}],
            [{"a": [{"x": 1}]}, {"a": [1, 2]}, {"a": []}],
            id="manual $elemMatch: a missing field is in no list",
        ),
        pytest.param(
            {"a": {"$elemMatch": {"$gt": [1]}}},
            [{"a": [[2], 0]}],
            [{"a": [2, 3]}, {"a": [[1]]}],
            id="ElemMatchValue: an array compares with an element that is one",
        ),
    ],
)
async def test_filter_matches(
    store: Store, filter: Document, matched: list[Document], others: list[Document]
) -> None:
    documents = await kept(store, matched + others)
    assert wire_faults.differs(documents, Case(filter, (), 0, None))
    wanted = parse_filter(filter)
    found = [orjson.loads(one) for one in await store.find("cars", Query(wanted))]
    assert found == documents[: len(matched)]
    assert await store.count("cars", wanted) == len(matched)


# Sources: SERVER-19402, "the lowest-valued element for ascending sorts, the highest-valued element
# for descending sorts"; SERVER-5065 for elements without the field; manual "Comparison/Sort Order".
@pytest.mark.parametrize(
    ("sort", "documents"),
    [
        pytest.param(
            (("a.b", 1),),
            [{"a": [{"b": 3}, {}]}, {"a": [{"b": 9}, {"b": 1}]}, {"a": {"b": 2}}],
            id="up: the least element",
        ),
        pytest.param(
            (("a.b", -1),),
            [{"a": [{"b": 1}, {"b": 9}]}, {"a": {"b": 4}}, {"a": [{"b": 3}, {}]}, {}],
            id="down: the greatest element",
        ),
        pytest.param(
            (("a.0", 1),),
            [{"a": [1, 9]}, {"a": [2, 0]}, {"a": [3]}],
            id="the element at an index",
        ),
        pytest.param(
            (("a.b", 1), ("a.c", 1)),
            [{"a": [{"b": 1, "c": 5}, {"b": 2, "c": 1}]}, {"a": [{"b": 1, "c": 6}]}],
            id="two paths: both of the same element",
        ),
    ],
)
async def test_sort_passes_through_arrays(
    store: Store, sort: tuple[tuple[str, int], ...], documents: list[Document]
) -> None:
    ordered = await kept(store, documents)
    assert wire_faults.differs(ordered, Case({}, sort, 0, None))
    found = await store.find("cars", Query(sort=(*sort, ("_id", -1))))
    assert [orjson.loads(one) for one in found] == ordered


# "cannot sort with keys that are parallel arrays", src/mongo/db/index/btree_key_generator.cpp.
async def test_sort_refuses_two_arrays(store: Store) -> None:
    documents = await kept(store, [{"a": [1], "b": 2}, {"a": [1], "b": [2]}])
    sort = (("a", 1), ("b", 1))
    assert wire_faults.differs(documents, Case({}, sort, 0, None))
    with pytest.raises(Invalid, match="two arrays"):
        await store.find("cars", Query(sort=sort))


# Manual $unset: "replaces the matching element with null rather than removing".
@pytest.mark.parametrize(
    ("document", "patch", "expected"),
    [
        pytest.param({"a": [1, 2]}, {"a.0": None}, {"a": [None, 2]}, id="an element becomes null"),
        pytest.param({"a": [1]}, {"a.0": [2]}, {"a": [[2]]}, id="an array in an array"),
        pytest.param({"a": [1]}, {"a.3": None}, {"a": [1]}, id="nothing behind the end"),
    ],
)
async def test_merge_reaches_into_arrays(
    store: Store, document: Document, patch: Document, expected: Any
) -> None:
    stamps = {"createdAt": AT, "updatedAt": AT}
    (made,) = await kept(store, [{**document, **stamps}])
    assert wire_faults.differs_in_merge(made, patch)
    changed = await store.change("cars", made["_id"], lambda old: merge(old, patch, AT))
    assert changed is not None and changed.after is not None
    assert orjson.loads(changed.after) == {"_id": made["_id"], **expected, **stamps}
