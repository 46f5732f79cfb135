from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backpack.documents import REVISION
from backpack.errors import Invalid
from backpack.filters import EVERYTHING, Filter, both, equals, parse_filter
from backpack.matching import (
    And,
    Compare,
    ElemMatch,
    Exists,
    In,
    Node,
    Not,
    Or,
    Regex,
    Size,
)


def nested(depth: int) -> dict[str, Any]:
    """A filter of that many levels."""
    return {"$and": [nested(depth - 1)]} if depth > 1 else {"a": 1}


TREES: list[tuple[dict[str, Any], Node]] = [
    ({}, And(())),
    ({"a": 1}, Compare("a", "eq", 1)),
    ({"a": None, "b.c": []}, And((Compare("a", "eq", None), Compare("b.c", "eq", [])))),
    ({"a": {}}, Compare("a", "eq", {})),
    ({"a": {"b": {"c": 1}}}, Compare("a", "eq", {"b": {"c": 1}})),
    ({"a": {"$eq": {"b": 1}}}, Compare("a", "eq", {"b": 1})),
    ({"a": {"$ne": 1}}, Not(Compare("a", "eq", 1))),
    ({"a": {"$gt": 1, "$lte": 5}}, And((Compare("a", "gt", 1), Compare("a", "lte", 5)))),
    ({"a": {"$in": [1, None]}}, In("a", (1, None))),
    ({"a": {"$nin": []}}, Not(In("a", ()))),
    ({"a": {"$exists": True}}, Exists("a")),
    ({"a": {"$exists": False}}, Not(Exists("a"))),
    ({"a": {"$options": "i", "$regex": "x"}}, Regex("a", "x", "i")),
    ({"a": {"$size": 0}}, Size("a", 0)),
    ({"a": {"$all": [1]}}, And((Compare("a", "eq", 1),))),
    ({"a": {"$all": []}}, Or(())),
    (
        {"a": {"$all": [{"$elemMatch": {"b": 1}}]}},
        And((ElemMatch("a", Compare("b", "eq", 1), fields=True),)),
    ),
    ({"a": {"$elemMatch": {}}}, ElemMatch("a", And(()), fields=True)),
    ({"a": {"$elemMatch": {"$gt": 1}}}, ElemMatch("a", Compare("", "gt", 1), fields=False)),
    (
        {"a": {"$elemMatch": {"$or": [{"b": 1}]}}},
        ElemMatch("a", Or((Compare("b", "eq", 1),)), fields=True),
    ),
    ({"a": {"$not": {"$gt": 1}}}, Not(Compare("a", "gt", 1))),
    ({"$nor": [{"a": 1}]}, Not(Or((Compare("a", "eq", 1),)))),
    ({"$and": [{"a": 1}], "b": 2}, And((And((Compare("a", "eq", 1),)), Compare("b", "eq", 2)))),
]


@pytest.mark.parametrize(("raw", "tree"), TREES, ids=[json.dumps(raw) for raw, _ in TREES])
def test_filters_become_trees(raw: dict[str, Any], tree: Node) -> None:
    assert parse_filter(raw).tree == tree


NONE = (
    "is no operator here; there are $all, $elemMatch, $eq, $exists, $gt, $gte, $in, $lt, $lte, "
    "$ne, $nin, $not, $regex, $size"
)
LOGICAL = "is no operator here; beside fields there are $and, $or, $nor"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ([], "a filter must be a JSON object"),
        (None, "a filter must be a JSON object"),
        ("a", "a filter must be a JSON object"),
        ({"$where": "1"}, f"$where {LOGICAL}"),
        ({"$expr": {}}, f"$expr {LOGICAL}"),
        ({"a": 1, "$gt": 1}, '$gt stands behind a field: {"price": {"$gt": ...}}'),
        ({"$and": []}, "$and: must be an array of at least one filter"),
        ({"$or": {"a": 1}}, "$or: must be an array of at least one filter"),
        ({"$or": [{}, 5]}, "$or[1]: a filter must be a JSON object"),
        ({"": 1}, "a path may not be empty, nor have an empty part"),
        ({"a..b": 1}, "a..b: a path may not be empty, nor have an empty part"),
        ({"a.": 1}, "a.: a path may not be empty, nor have an empty part"),
        ({"a.$b": 1}, "a.$b: a path may not contain NUL, nor a part that starts with $"),
        ({"a\0": 1}, "a\0: a path may not contain NUL, nor a part that starts with $"),
        ({REVISION: 1}, f"{REVISION}: the name is reserved"),
        ({REVISION + ".x": 1}, f"{REVISION}.x: the name is reserved"),
        ({"a": {"$foo": 1}}, f"a.$foo: $foo {NONE}"),
        ({"a": {"$mod": [2, 0]}}, f"a.$mod: $mod {NONE}"),
        ({"a": {"$and": [{}]}}, f"a.$and: $and {NONE}"),
        ({"a": {"$gt": 1, "b": 2}}, "a.b: a field cannot stand beside operators"),
        ({"a": {"b": 1, "$gt": 2}}, "a: $gt cannot stand inside a value"),
        ({"a": {"b": [{"$gt": 2}]}}, "a: $gt cannot stand inside a value"),
        ({"a": {"$eq": {"$gt": 2}}}, "a.$eq: $gt cannot stand inside a value"),
        ({"a": {"b\0": 1}}, "a: a field name may not contain NUL"),
        ({"a": {"$in": 1}}, "a.$in: must be an array"),
        ({"a": {"$in": [1, {"$gt": 1}]}}, "a.$in[1]: $gt cannot stand inside a value"),
        ({"a": {"$nin": None}}, "a.$nin: must be an array"),
        ({"a": {"$all": {}}}, "a.$all: must be an array"),
        (
            {"a": {"$all": [{"$elemMatch": {}}, 1]}},
            "a.$all[1]: beside $elemMatch every item must be an $elemMatch",
        ),
        (
            {"a": {"$all": [1, {"$elemMatch": {}}]}},
            "a.$all[1]: $elemMatch cannot stand inside a value",
        ),
        (
            {"a": {"$all": [{"$gt": 1}]}},
            "a.$all[0]: beside $elemMatch every item must be an $elemMatch",
        ),
        ({"a": {"$exists": 1}}, "a.$exists: must be true or false"),
        ({"a": {"$size": -1}}, "a.$size: must be a whole number, at least 0"),
        ({"a": {"$size": 1.5}}, "a.$size: must be a whole number, at least 0"),
        ({"a": {"$size": True}}, "a.$size: must be a whole number, at least 0"),
        ({"a": {"$elemMatch": 1}}, "a.$elemMatch: must be an object"),
        (
            {"a": {"$elemMatch": {"$gt": 1, "$or": [{}]}}},
            f"a.$elemMatch.$or: $or {NONE}",
        ),
        (
            {"a": {"$elemMatch": {"$or": [{}], "$gt": 1}}},
            'a.$elemMatch: $gt stands behind a field: {"price": {"$gt": ...}}',
        ),
        ({"a": {"$not": 1}}, "a.$not: must be an object of operators"),
        ({"a": {"$not": {}}}, "a.$not: must be an object of operators"),
        ({"a": {"$not": {"b": 1}}}, "a.$not.b: a field cannot stand beside operators"),
        ({"a": {"$regex": 1}}, "a.$regex: the pattern and its $options must be strings"),
        (
            {"a": {"$regex": "a", "$options": 1}},
            "a.$regex: the pattern and its $options must be strings",
        ),
        (
            {"a": {"$regex": "a", "$options": "g"}},
            "a.$regex: options are letters of ims, each once",
        ),
        ({"a": {"$options": "i"}}, "a.$options: $options needs a $regex beside it"),
        (
            {"$or": [{"a": {"$regex": "("}}]},
            "$or[0].a.$regex: not a pattern in RE2 syntax: missing ): (",
        ),
        ({"a": 2**63}, "a: an integer must fit into 64 bits"),
        ({"a": {"$gt": [-(2**63) - 1]}}, "a.$gt: an integer must fit into 64 bits"),
        ({"a": float("nan")}, "a: a number must be finite"),
        ({"a": {"b": float("inf")}}, "a: a number must be finite"),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_what_is_no_filter_is_refused(raw: object, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_filter(raw)
    assert (caught.value.status, caught.value.code) == (422, "bad_filter")
    assert caught.value.message == message


def _deep_value(depth: int) -> Any:
    return [_deep_value(depth - 1)] if depth > 1 else []


@pytest.mark.parametrize(
    ("fits", "too_much", "why"),
    [
        ({"$or": [{"a": 1}] * 100}, {"$or": [{"a": 1}] * 101}, "at most 100 conditions"),
        ({"$or": [{}] * 100}, {"$or": [{}] * 101}, "at most 100 conditions"),
        (
            {str(n): 1 for n in range(100)},
            {str(n): 1 for n in range(101)},
            "at most 100 conditions",
        ),
        (nested(16), nested(17), "at most 16 levels"),
        ({"a": {"$in": [1] * 1_000}}, {"a": {"$in": [1] * 1_001}}, "at most 1000 values"),
        ({"a": {"$nin": [1] * 1_000}}, {"a": {"$nin": [1] * 1_001}}, "at most 1000 values"),
        ({"a": {"$all": [1] * 1_000}}, {"a": {"$all": [1] * 1_001}}, "at most 1000 values"),
        (
            {"a": {"$all": [{"$elemMatch": {"b": 1}}] * 100}},
            {"a": {"$all": [{"$elemMatch": {"b": 1}}] * 101}},
            "at most 100 conditions",
        ),
        ({".".join("a" * 64): 1}, {".".join("a" * 65): 1}, "at most 64 parts"),
        ({"a": _deep_value(64)}, {"a": _deep_value(65)}, "at most 64 levels"),
    ],
    ids=["or", "empty", "fields", "depth", "in", "nin", "all", "elemMatch", "path", "value"],
)
def test_filters_have_limits(fits: Any, too_much: Any, why: str) -> None:
    parse_filter(fits)
    with pytest.raises(Invalid) as caught:
        parse_filter(too_much)
    assert why in caught.value.message


@pytest.mark.parametrize(
    "operator",
    [lambda inner: {"$not": inner}, lambda inner: {"$elemMatch": inner}],
    ids=["not", "elemMatch"],
)
def test_nested_operators_have_a_limit(operator: Any) -> None:
    condition: dict[str, Any] = {"$gt": 1}
    for _ in range(15):
        condition = operator(condition)
    parse_filter({"a": condition})
    with pytest.raises(Invalid):
        parse_filter({"a": operator(condition)})


def test_source_is_a_copy_with_patterns_spelt_out() -> None:
    raw = {"$or": [{"a": {"$not": {"$regex": "^x$", "$options": "i"}}}, {"b": {"$in": [[1]]}}]}
    source = parse_filter(raw).source
    assert source == {
        "$or": [{"a": {"$not": {"$regex": "^x\\z", "$options": "i"}}}, {"b": {"$in": [[1]]}}]
    }
    raw["$or"].clear()
    assert len(source["$or"]) == 2


def test_equals_is_the_filter_for_one_value() -> None:
    made = equals("userId", "u")
    assert made == parse_filter({"userId": "u"})
    assert made.source == {"userId": {"$eq": "u"}}
    assert made.matches({"userId": "u"}) and not made.matches({})


def test_both_matches_what_each_matches() -> None:
    joined = both(parse_filter({"a": 1}), equals("b", "x"))
    assert joined.tree == And((Compare("a", "eq", 1), Compare("b", "eq", "x")))
    assert joined.source == {"$and": [{"a": 1}, {"b": {"$eq": "x"}}]}
    assert joined.matches({"a": 1, "b": "x"}) and not joined.matches({"a": 1})


def test_both_with_everything_is_the_other() -> None:
    one = equals("a", "x")
    assert both(EVERYTHING, one) is one
    assert both(one, EVERYTHING) is one
    assert both(EVERYTHING, EVERYTHING) == EVERYTHING


raw_filters = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "a",
                    "a.b",
                    "$eq",
                    "$ne",
                    "$gt",
                    "$in",
                    "$nin",
                    "$all",
                    "$and",
                    "$or",
                    "$nor",
                    "$not",
                    "$elemMatch",
                    "$size",
                    "$exists",
                    "$regex",
                    "$options",
                    "$x",
                ]
            )
            | st.text(max_size=3),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(raw_filters, st.dictionaries(st.sampled_from(["a", "b"]), raw_filters, max_size=2))
def test_anything_is_a_filter_or_refused(raw: Any, document: Any) -> None:
    try:
        made = parse_filter(raw)
    except Invalid as exc:
        assert exc.code == "bad_filter"
    else:
        assert isinstance(made, Filter)
        assert made.matches(document) in (True, False)
