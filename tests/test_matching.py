"""Tables of what filters match. Each names where MongoDB says so: a page of its manual, or tests of
its server below `src/mongo/db/matcher/`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backpack.filters import parse_filter
from backpack.matching import And, Not, Or, matcher

Row = tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]


def rows(*table: Row) -> pytest.MarkDecorator:
    """Parametrizes a test with a filter, documents it matches, and documents it does not."""
    names = [json.dumps(row[0], ensure_ascii=False) for row in table]
    return pytest.mark.parametrize(("filter", "matched", "others"), table, ids=names)


def assert_matches(
    filter: dict[str, Any], matched: list[dict[str, Any]], others: list[dict[str, Any]]
) -> None:
    matches = parse_filter(filter).matches
    assert [document for document in matched + others if matches(document)] == matched


# Manual "Comparison/Sort Order"; expression_leaf_test.cpp EqOp.MatchesElement, MatchesFullArray,
# LtOp.MatchesElement; SERVER-11444 on booleans.
@rows(
    ({}, [{}, {"a": 1}], []),
    ({"a": 1}, [{"a": 1}, {"a": 1.0}], [{"a": True}, {"a": "1"}, {"a": None}, {}]),
    ({"a": 0}, [{"a": 0.0}, {"a": -0.0}], [{"a": False}, {"a": None}, {"a": ""}]),
    ({"a": True}, [{"a": True}], [{"a": 1}, {"a": "true"}]),
    ({"a": "x"}, [{"a": "x"}], [{"a": "X"}, {"a": "x "}, {"a": ["xx"]}]),
    ({"a": "e\u0301"}, [{"a": "e\u0301"}], [{"a": "\u00e9"}]),
    ({"a": 2**53 + 1}, [{"a": 2**53 + 1}], [{"a": 2**53}, {"a": float(2**53)}]),
    ({"a": {"$gt": float(2**53)}}, [{"a": 2**53 + 1}], [{"a": 2**53}, {"a": 2**53 - 1}]),
    (
        {"a": {"$gt": 1}},
        [{"a": 1.5}, {"a": 2}],
        [{"a": 1}, {"a": "2"}, {"a": True}, {"a": None}, {}],
    ),
    ({"a": {"$lte": 1}}, [{"a": 1.0}, {"a": -5}], [{"a": False}, {"a": None}, {"a": ""}, {}]),
    ({"a": {"$gt": "B"}}, [{"a": "a"}, {"a": "Ba"}], [{"a": "B"}, {"a": "A"}, {"a": 5}]),
    ({"a": {"$gt": "\uffff"}}, [{"a": "\U0001f44b"}], [{"a": "\ufffe"}]),
    ({"a": {"$gt": False}}, [{"a": True}], [{"a": False}, {"a": 1}]),
    ({"a": {"$lt": True}}, [{"a": False}], [{"a": True}, {"a": 0}, {"a": None}]),
    ({"a": {"$gt": 1, "$lt": 3}}, [{"a": 2}], [{"a": 1}, {"a": 3}]),
)
def test_values_compare_within_their_type(filter: Any, matched: Any, others: Any) -> None:
    assert_matches(filter, matched, others)


# Manual "Query for Null or Missing Fields"; EqOp.MatchesNull, LtOp.MatchesNull, LteOp.MatchesNull.
@rows(
    (
        {"a": None},
        [{"a": None}, {}, {"b": 1}, {"a": [None]}, {"a": [1, None]}],
        [{"a": 0}, {"a": []}],
    ),
    ({"a": {"$ne": None}}, [{"a": 0}, {"a": []}], [{"a": None}, {}, {"a": [1, None]}]),
    ({"a": {"$gte": None}}, [{"a": None}, {}], [{"a": 1}, {"a": False}]),
    ({"a": {"$lte": None}}, [{"a": None}, {}], [{"a": 1}, {"a": "x"}]),
    ({"a": {"$gt": None}}, [], [{"a": None}, {}, {"a": 1}]),
    ({"a": {"$lt": None}}, [], [{"a": None}, {}, {"a": 1}]),
    ({"a": {"$in": [None, 2]}}, [{"a": None}, {}, {"a": 2}, {"a": [None]}], [{"a": 1}, {"a": []}]),
    ({"a": {"$nin": [None, 2]}}, [{"a": 1}, {"a": []}], [{"a": None}, {}, {"a": [1, 2]}]),
    ({"a": {"$exists": True}}, [{"a": None}, {"a": []}, {"a": 0}], [{}, {"b": 1}]),
    ({"a": {"$exists": False}}, [{}, {"b": 1}], [{"a": None}, {"a": []}]),
    (
        {"a.b": {"$exists": True}},
        [{"a": {"b": None}}, {"a": [1, {"b": 1}]}],
        [{"a": []}, {"a": [{}]}, {"a": 1}],
    ),
    ({"a.b": {"$exists": False}}, [{"a": [{}]}, {"a": [1]}, {}], [{"a": [{}, {"b": 1}]}]),
    ({"a": {"$eq": None, "$exists": True}}, [{"a": None}], [{}]),
)
def test_null_is_missing_but_exists(filter: Any, matched: Any, others: Any) -> None:
    assert_matches(filter, matched, others)


# EqOp.MatchesNestedNull: elements that are objects can miss a field, other elements cannot.
@rows(
    (
        {"a.b": None},
        [
            {},
            {"a": {}},
            {"a": [{}]},
            {"a": {"b": None}},
            {"a": 5},
            {"a": None},
            {"a": [{"b": 1}, {}]},
        ],
        [
            {"a": []},
            {"a": [None]},
            {"a": [1, 2]},
            {"a": [[]]},
            {"a": [[{}]]},
            {"a": {"b": 4}},
            {"a": {"b": {}}},
        ],
    ),
    ({"a.b": {"$ne": None}}, [{"a": []}, {"a": [5]}, {"a": {"b": 1}}], [{"a": [{}]}, {"a": 5}, {}]),
    (
        {"a.b.c": None},
        [{"a": [{"b": 1}]}, {"a": {"b": [{}]}}],
        [{"a": [{"b": []}]}, {"a": {"b": [1]}}],
    ),
    ({"a.b": {"$in": [None]}}, [{"a": [{}]}, {"a": 5}], [{"a": [5]}, {"a": []}]),
)
def test_nested_null_needs_an_object(filter: Any, matched: Any, others: Any) -> None:
    assert_matches(filter, matched, others)


# Manual "Query an Array", "Query an Array of Embedded Documents"; EqOp.MatchesArrayValue,
# MatchesReferencedObjectValue, MatchesThroughNestedArray; LtOp.MatchesWholeArray.
@rows(
    ({"a": 5}, [{"a": [5.0, 6]}, {"a": 5}], [{"a": [6, 7]}, {"a": [[5]]}, {"a": []}]),
    (
        {"a": [1, 2]},
        [{"a": [1, 2]}, {"a": [1.0, 2]}, {"a": [[1, 2], 3]}],
        [{"a": [2, 1]}, {"a": [1, 2, 3]}, {"a": [1]}],
    ),
    ({"a": []}, [{"a": []}, {"a": [[], 1]}], [{"a": [1]}, {}, {"a": None}]),
    ({"a": {"$ne": 5}}, [{"a": [6]}, {"a": []}, {}], [{"a": [5, 6]}, {"a": 5}]),
    ({"a": {"$gt": 5, "$lt": 3}}, [{"a": [1, 9]}], [{"a": [4]}, {"a": 4}]),
    (
        {"a": {"$lt": [5]}},
        [{"a": [4]}, {"a": [[4]]}, {"a": []}],
        [{"a": [5]}, {"a": [6]}, {"a": [[6]]}, {"a": 4}],
    ),
    (
        {"a": {"$gte": [1, 2]}},
        [{"a": [1, 2]}, {"a": [1, 2, 0]}, {"a": [2]}, {"a": ["x"]}],
        [{"a": [1]}, {"a": 5}],
    ),
    (
        {"a.b": 5},
        [{"a": {"b": 5}}, {"a": {"b": [5]}}, {"a": [{"b": 5}]}, {"a": [{"b": [4, 5]}]}],
        [{"a": [[{"b": 5}]]}, {"a": {"b": [[5]]}}],
    ),
    (
        {"a.b.c.d": 3},
        [{"a": {"b": [{"c": [{"d": 1}, {"d": 2}]}, {"c": [{"d": 3}]}]}}],
        [{"a": {"b": [{"c": [{"d": 1}]}]}}],
    ),
    ({"a.b": {"$gt": 1, "$lt": 3}}, [{"a": [{"b": 9}, {"b": 0}]}], [{"a": [{"b": 3}]}]),
)
def test_arrays_match_by_element_and_whole(filter: Any, matched: Any, others: Any) -> None:
    assert_matches(filter, matched, others)


# path_test.cpp ArrayIndex1 to 3, ArrayIndexNested1 and 2; EqOp.MatchesReferencedArrayValue.
@rows(
    (
        {"a.0": 5},
        [{"a": [5]}, {"a": {"0": 5}}, {"a": [{"0": 5}]}, {"a": [1, {"0": [5]}]}],
        [{"a": [[5]]}, {"a": [4, 5]}, {"a": 5}],
    ),
    ({"a.0": [5]}, [{"a": [[5]]}, {"a": {"0": [5]}}], [{"a": [5]}]),
    ({"a.1": {"1": 4}}, [{"a": [5, {"1": 4}, 3]}], [{"a": [{"1": 4}]}]),
    ({"a.1.b": 4}, [{"a": [5, {"b": 4}]}, {"a": [5, [{"b": 4}]]}], [{"a": [{"b": 4}]}]),
    (
        {"a.1.b": None},
        [{"a": [5, {"b": 4}]}, {"a": [5, {}]}],
        [{"a": [5, 6]}, {"a": [5]}, {"a": []}],
    ),
    (
        {"a.0.0": 5},
        [{"a": [[5]]}, {"a": [{"0": 5}]}, {"a": [{"0": {"0": 5}}]}],
        [{"a": [5]}, {"a": [[[5]]]}],
    ),
    ({"a.01": 5}, [{"a": {"01": 5}}, {"a": [{"01": 5}]}], [{"a": [1, 5]}]),
    ({"a.0": {"$size": 1}}, [{"a": [[1]]}, {"a": {"0": [1]}}], [{"a": [1]}]),
    ({"a.0": {"$exists": True}}, [{"a": [None]}], [{"a": []}, {"a": {}}]),
    ({"a.99999999999999999999": None}, [{}], [{"a": [1]}]),
)
def test_numbers_are_indexes_and_names(filter: Any, matched: Any, others: Any) -> None:
    assert_matches(filter, matched, others)


# Manual "Query on Embedded/Nested Documents": fields in order; "Comparison/Sort Order", Objects.
@rows(
    (
        {"a": {"x": 1, "y": 2}},
        [{"a": {"x": 1, "y": 2}}, {"a": {"x": 1.0, "y": 2}}, {"a": [{"x": 1, "y": 2}]}],
        [{"a": {"y": 2, "x": 1}}, {"a": {"x": 1}}, {"a": {"x": True, "y": 2}}],
    ),
    ({"a": {}}, [{"a": {}}, {"a": [{}]}], [{"a": {"x": 1}}, {"a": []}, {}, {"a": None}]),
    (
        {"a": {"$gt": {"x": 1}}},
        [{"a": {"x": 2}}, {"a": {"y": 0}}, {"a": {"x": "a"}}, {"a": {"x": 1, "y": None}}],
        [{"a": {"x": 1}}, {"a": {}}, {"a": {"z": None}}, {"a": 5}],
    ),
    ({"a": {"$eq": {"b.c": 1}}}, [], [{"a": {"b": {"c": 1}}}]),
)
def test_objects_compare_in_field_order(filter: Any, matched: Any, others: Any) -> None:
    assert_matches(filter, matched, others)


# Manual "$in", "$nin", "$all", "$size"; expression_array_test.cpp SizeMatchExpression.
@rows(
    (
        {"a": {"$in": [1, "x", [2], {"b": 1}]}},
        [{"a": 1.0}, {"a": "x"}, {"a": [2]}, {"a": ["x", 9]}, {"a": {"b": 1}}],
        [{"a": True}, {"a": 2}, {"a": {"b": 2}}, {}],
    ),
    ({"a": {"$in": []}}, [], [{}, {"a": []}, {"a": 1}]),
    ({"a": {"$nin": []}}, [{}, {"a": []}], []),
    ({"a": {"$in": [True]}}, [{"a": True}, {"a": [True]}], [{"a": 1}]),
    ({"a": {"$in": [2**53 + 1]}}, [{"a": 2**53 + 1}], [{"a": float(2**53)}]),
    ({"a": {"$all": [1, 2]}}, [{"a": [2, 3, 1]}], [{"a": [1]}, {"a": 1}, {"a": [[1, 2]]}]),
    ({"a": {"$all": [1]}}, [{"a": 1}, {"a": [1, 2]}], [{"a": [2]}]),
    ({"a": {"$all": [[1, 2]]}}, [{"a": [1, 2]}, {"a": [[1, 2]]}], [{"a": [2, 1]}]),
    ({"a": {"$all": []}}, [], [{"a": []}, {"a": [1]}, {}]),
    ({"a": {"$not": {"$all": []}}}, [{"a": []}, {}], []),
    ({"a": {"$all": [None]}}, [{}, {"a": None}, {"a": [None]}], [{"a": 1}]),
    ({"a.b": {"$all": [1, 2]}}, [{"a": [{"b": 1}, {"b": 2}]}], [{"a": [{"b": 1}]}]),
    (
        {"a": {"$all": [{"$elemMatch": {"b": 1}}, {"$elemMatch": {"b": 2, "c": 3}}]}},
        [{"a": [{"b": 1}, {"b": 2, "c": 3}]}],
        [{"a": [{"b": 1}, {"b": 2}]}, {"a": {"b": 1}}],
    ),
    ({"a": {"$size": 0}}, [{"a": []}], [{"a": [1]}, {}, {"a": ""}, {"a": {}}]),
    ({"a": {"$size": 2}}, [{"a": [1, [2]]}], [{"a": [[1, 2]]}, {"a": [1]}]),
    ({"a.b": {"$size": 1}}, [{"a": [{"b": [1]}]}, {"a": {"b": [1]}}], [{"a": [{"b": 1}]}]),
    ({"a": {"$not": {"$size": 1}}}, [{"a": []}, {"a": 1}, {}], [{"a": [5]}]),
)
def test_sets_and_sizes(filter: Any, matched: Any, others: Any) -> None:
    assert_matches(filter, matched, others)


# Manual "$elemMatch (query)"; expression_array_test.cpp ElemMatchObjectMatchExpression and
# ElemMatchValueMatchExpression. Negations within speak of one element.
@rows(
    (
        {"a": {"$elemMatch": {"b": 1, "c": 2}}},
        [{"a": [{"b": 1, "c": 2}]}],
        [{"a": [{"b": 1}, {"c": 2}]}, {"a": {"b": 1, "c": 2}}],
    ),
    (
        {"a": {"$elemMatch": {"$gt": 1, "$lt": 3}}},
        [{"a": [9, 2]}],
        [{"a": [0, 9]}, {"a": 2}, {"a": [[2]]}],
    ),
    ({"a": {"$elemMatch": {}}}, [{"a": [{}]}, {"a": [1, []]}], [{"a": [1]}, {"a": []}, {"a": {}}]),
    (
        {"a": {"$elemMatch": {"b": {"$ne": 5}}}},
        [{"a": [{"b": 5}, {"b": 6}]}, {"a": [{}]}, {"a": [[]]}],
        [{"a": [{"b": 5}]}, {"a": []}, {"a": [1]}, {}],
    ),
    (
        {"a": {"$elemMatch": {"$ne": 5}}},
        [{"a": [5, 6]}, {"a": [None]}],
        [{"a": [5]}, {"a": []}, {"a": 6}],
    ),
    (
        {"a": {"$elemMatch": {"$not": {"$gt": 5}}}},
        [{"a": [9, "x"]}, {"a": [5]}],
        [{"a": [6]}, {"a": []}],
    ),
    ({"a": {"$elemMatch": {"$nin": [1, 2]}}}, [{"a": [1, 3]}], [{"a": [1, 2]}]),
    ({"a": {"$not": {"$elemMatch": {"$gt": 5}}}}, [{"a": [5]}, {"a": 9}, {}], [{"a": [6]}]),
    (
        {"a": {"$elemMatch": {"$or": [{"b": 1}, {"c": 1}]}}},
        [{"a": [{"c": 1}]}],
        [{"a": [{"b": 2}]}],
    ),
    (
        {"a": {"$elemMatch": {"$nor": [{"b": 1}]}}},
        [{"a": [{"b": 1}, {"b": 2}]}],
        [{"a": [{"b": 1}, 5]}],
    ),
    (
        {"a": {"$elemMatch": {"$elemMatch": {"$gt": 5}}}},
        [{"a": [[1, 9]]}],
        [{"a": [9]}, {"a": [[1]]}],
    ),
    ({"a": {"$elemMatch": {"$size": 1}}}, [{"a": [[7]]}], [{"a": [7]}]),
    ({"a": {"$elemMatch": {"$eq": [1]}}}, [{"a": [[1]]}], [{"a": [1]}]),
    (
        {"a": {"$elemMatch": {"$in": [None, 1]}}},
        [{"a": [None]}, {"a": [1]}],
        [{"a": [2]}, {"a": []}],
    ),
    ({"a": {"$elemMatch": {"$exists": True}}}, [{"a": [None]}], [{"a": []}]),
    ({"a": {"$elemMatch": {"$all": [1]}}}, [{"a": [1]}], [{"a": [[1]]}]),
    ({"a": {"$elemMatch": {"$regex": "^x"}}}, [{"a": ["ax", "xa"]}], [{"a": "xa"}]),
    ({"a": {"$elemMatch": {"0": 5}}}, [{"a": [[5]]}, {"a": [{"0": 5}]}], [{"a": [5]}]),
    ({"a": {"$elemMatch": {"0.b": 5}}}, [{"a": [[{"b": 5}]]}], [{"a": [{"b": 5}]}]),
    ({"a": {"$elemMatch": {"b.c": 5}}}, [{"a": [{"b": [{"c": 5}]}]}], [{"a": [{"b": 5}]}]),
    ({"a.b": {"$elemMatch": {"c": 1}}}, [{"a": [{"b": [{"c": 1}]}]}], [{"a": [{"b": {"c": 1}}]}]),
    ({"a.0": {"$elemMatch": {"$gt": 1}}}, [{"a": [[2]]}], [{"a": [2]}]),
)
def test_elem_match_judges_one_element(filter: Any, matched: Any, others: Any) -> None:
    assert_matches(filter, matched, others)


# Manual "$regex": strings only, arrays by element; "$not" with $regex.
@rows(
    (
        {"a": {"$regex": "^x"}},
        [{"a": "xy"}, {"a": ["a", "x"]}],
        [{"a": "ax"}, {"a": 5}, {"a": None}, {}, {"a": [["x"]]}],
    ),
    ({"a": {"$regex": "X", "$options": "i"}}, [{"a": "x"}], [{"a": "y"}]),
    ({"a": {"$options": "i", "$regex": "X"}}, [{"a": "x"}], [{"a": "y"}]),
    (
        {"a": {"$not": {"$regex": "^x"}}},
        [{"a": "ax"}, {"a": 5}, {}, {"a": []}],
        [{"a": ["a", "x"]}],
    ),
    ({"a": {"$not": {"$regex": "X", "$options": "i"}}}, [{"a": "y"}], [{"a": "x"}]),
    ({"a": {"$regex": "", "$ne": "b"}}, [{"a": ""}, {"a": "a"}], [{"a": "b"}, {"a": 1}]),
)
def test_patterns_match_strings(filter: Any, matched: Any, others: Any) -> None:
    assert_matches(filter, matched, others)


# Manual "$and", "$or", "$nor", "$not".
@rows(
    ({"$and": [{"a": 1}, {"b": 2}]}, [{"a": 1, "b": 2}], [{"a": 1}, {"b": 2}]),
    (
        {"$or": [{"a": 1}, {"b": 2}], "c": 3},
        [{"a": 1, "c": 3}, {"b": 2, "c": 3}],
        [{"a": 1}, {"c": 3}],
    ),
    ({"$nor": [{"a": 1}, {"b": 2}]}, [{}, {"a": 2}], [{"a": 1}, {"b": 2}]),
    ({"$nor": [{}]}, [], [{}, {"a": 1}]),
    (
        {"a": {"$not": {"$gt": 1, "$lt": 3}}},
        [{"a": 1}, {"a": 3}, {}, {"a": "x"}],
        [{"a": 2}, {"a": [0, 9]}],
    ),
    ({"a": {"$not": {"$not": {"$eq": 1}}}}, [{"a": 1}, {"a": [1]}], [{"a": 2}, {}]),
    ({"_id": {"$in": ["0" * 24]}}, [{"_id": "0" * 24}], [{"_id": "1" * 24}]),
)
def test_conditions_combine(filter: Any, matched: Any, others: Any) -> None:
    assert_matches(filter, matched, others)


scalars = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.5, 1.0, "", "a", "b"])
names = st.sampled_from(["a", "b", "0"])
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=2),
    max_leaves=6,
)
documents = st.dictionaries(names, values, max_size=3)
paths = st.lists(names, min_size=1, max_size=3).map(".".join)
conditions = st.one_of(
    st.tuples(st.sampled_from(["$eq", "$gt", "$gte", "$lt", "$lte"]), values),
    st.tuples(st.just("$in"), st.lists(values, max_size=3)),
    st.tuples(st.just("$all"), st.lists(values, max_size=3)),
    st.tuples(st.just("$exists"), st.booleans()),
    st.tuples(st.just("$size"), st.integers(0, 2)),
    st.tuples(st.just("$elemMatch"), st.dictionaries(names, scalars, max_size=2)),
    st.tuples(st.just("$elemMatch"), scalars.map(lambda value: {"$gt": value})),
).map(lambda pair: dict([pair]))
trees = st.builds(lambda path, condition: parse_filter({path: condition}).tree, paths, conditions)


@given(trees, trees, documents)
def test_connectives_are_boolean(one: Any, other: Any, document: Any) -> None:
    first, second = matcher(one)(document), matcher(other)(document)
    assert matcher(Not(one))(document) is not first
    assert matcher(And((one, other)))(document) is (first and second)
    assert matcher(Or((one, other)))(document) is (first or second)


@given(paths, st.lists(values, max_size=3), documents)
def test_in_is_any_equal(path: str, wanted: list[Any], document: Any) -> None:
    equal = [parse_filter({path: {"$eq": value}}).matches(document) for value in wanted]
    assert parse_filter({path: {"$in": wanted}}).matches(document) is any(equal)
    assert parse_filter({path: {"$nin": wanted}}).matches(document) is not any(equal)


@given(paths, values, documents)
def test_at_least_is_more_or_equal(path: str, wanted: Any, document: Any) -> None:
    matches = {
        op: parse_filter({path: {op: wanted}}).matches(document) for op in ("$gte", "$gt", "$eq")
    }
    assert matches["$gte"] is (matches["$gt"] or matches["$eq"])
