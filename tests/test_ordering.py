from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backpack.errors import Invalid
from backpack.ordering import order, placing, value_key

# Manual "Comparison/Sort Order": least first.
LADDER: list[Any] = [
    None,
    -(2**63),
    -1.5,
    0,
    0.5,
    2**53,
    2**53 + 1,
    2**63 - 1,
    1e300,
    "",
    "A",
    "B",
    "a",
    "ab",
    "\uffff",
    "\U0001f44b",
    {},
    {"b": None},
    {"a": 1},
    {"a": 1, "b": 0},
    {"a": 2},
    {"b": 0},
    {"a": "x"},
    [],
    [None],
    [1],
    [1, 0],
    [2],
    ["a"],
    [{}],
    [[]],
    [False],
    False,
    True,
]


def ids_of(documents: list[dict[str, Any]], *sort: tuple[str, int]) -> list[Any]:
    return [document["_id"] for document in order(documents, sort)]


def test_value_keys_rise_along_the_types() -> None:
    shuffled = random.Random(1).sample(LADDER, len(LADDER))
    assert sorted(shuffled, key=value_key) == LADDER


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, 1.0), (0.0, -0.0), ({"a": 1}, {"a": 1.0}), ([1, [2]], [1.0, [2.0]])],
    ids=str,
)
def test_value_keys_of_equal_numbers_are_equal(one: Any, other: Any) -> None:
    assert value_key(one) == value_key(other)


def test_order_without_sort_is_by_id() -> None:
    assert ids_of([{"_id": "b"}, {"_id": "a"}]) == ["a", "b"]


@pytest.mark.parametrize("direction", [1, -1])
def test_order_breaks_ties_by_rising_id(direction: int) -> None:
    documents = [{"_id": name, "a": 1} for name in "cab"] + [{"_id": "d", "a": 1.0}]
    assert ids_of(documents, ("a", direction)) == ["a", "b", "c", "d"]


def test_order_takes_missing_as_null() -> None:
    documents: list[dict[str, Any]] = [{"_id": "b", "a": None}, {"_id": "a"}, {"_id": "c", "a": 0}]
    assert ids_of(documents, ("a", 1)) == ["a", "b", "c"]
    assert ids_of(documents, ("a", -1)) == ["c", "a", "b"]


def test_order_by_several_paths() -> None:
    documents = [
        {"_id": "a", "x": 1, "y": {"z": 1}},
        {"_id": "b", "x": 1, "y": {"z": 2}},
        {"_id": "c", "x": 0},
    ]
    assert ids_of(documents, ("x", 1), ("y.z", -1)) == ["c", "b", "a"]
    assert ids_of(documents, ("x", -1), ("y.z", 1)) == ["a", "b", "c"]
    assert ids_of(documents, ("x", 1), ("_id", -1)) == ["c", "b", "a"]


# How a document with arrays sorts, told by the scalar it ties with. Manual "Comparison/Sort Order",
# Arrays; sort_key_generator_test.cpp SortKeyGenerationForArrays*; btree_key_generator_test.cpp
# GetKeysFromArraySubobjectBasic, GetPositionalKeys*, GetKeysSubobjectArraySubobjectEmpty.
@pytest.mark.parametrize(
    ("document", "path", "least", "greatest"),
    [
        ({"a": [3, 1, 2]}, "a", 1, 3),
        ({"a": [1, "x", None]}, "a", None, "x"),
        ({"a": [[9], 2]}, "a", 2, [9]),
        ({"a": [{"b": 3}, {"b": 1}]}, "a.b", 1, 3),
        ({"a": [{"b": [3, 4]}, {"b": 1}]}, "a.b", 1, 4),
        ({"a": [{"b": 3}, {}]}, "a.b", None, 3),
        ({"a": [{"b": 3}, 5]}, "a.b", None, 3),
        ({"a": [{"b": 3}, [{"b": 9}]]}, "a.b", None, 3),
        ({"a": []}, "a.b", None, None),
        ({"a": {"b": 5}}, "a.b.c", None, None),
        ({"a": [7, 8]}, "a.1", 8, 8),
        ({"a": [7, 8]}, "a.2", None, None),
        ({"a": [7, 8]}, "a.01", None, None),
        ({"a": [[3, 1], 8]}, "a.0", [3, 1], [3, 1]),
        ({"a": [[3, 1], 8]}, "a.0.1", 1, 1),
        ({"a": [{"b": 3}, {"b": 1}]}, "a.0.b", 3, 3),
        ({"a": [{"b": [3, 4]}, 0]}, "a.0.b", 3, 4),
        ({"a": [[{"b": 3}, {"b": 1}]]}, "a.0.b", 1, 3),
        ({"a": {"0": 4}}, "a.0", 4, 4),
        ({"a": [{"0": 4}]}, "a.1", None, None),
        ({"a": [{"5": 4}]}, "a.5", 4, 4),
    ],
    ids=lambda value: json.dumps(value),
)
def test_order_by_an_array_takes_its_end(
    document: dict[str, Any], path: str, least: Any, greatest: Any
) -> None:
    for direction, value in ((1, least), (-1, greatest)):
        twin = _nested(path, [value] if isinstance(value, list) else value)
        assert ids_of([{"_id": "b", **document}, {"_id": "a", **twin}], (path, direction)) == [
            "a",
            "b",
        ]
        assert ids_of([{"_id": "a", **document}, {"_id": "b", **twin}], (path, direction)) == [
            "a",
            "b",
        ]


def _nested(path: str, value: Any) -> dict[str, Any]:
    """A document without arrays on the way to `value`."""
    for name in reversed(path.split(".")):
        value = {name: value}
    assert isinstance(value, dict)
    return value


def test_order_puts_empty_arrays_before_null() -> None:
    documents: list[dict[str, Any]] = [
        {"_id": "null", "a": None},
        {"_id": "empty", "a": []},
        {"_id": "missing"},
        {"_id": "least", "a": -(2**63)},
    ]
    assert ids_of(documents, ("a", 1)) == ["empty", "missing", "null", "least"]
    assert ids_of(documents, ("a", -1)) == ["least", "missing", "null", "empty"]


def test_order_takes_one_element_for_all_paths() -> None:
    """SortKeyGenerationForArraysRespectsCompoundOrdering: the key is (0, 3), never (0, 0)."""
    documents: list[dict[str, Any]] = [
        {"_id": "b", "a": [{"b": 1, "c": 0}, {"b": 0, "c": 3}, {"b": 0, "c": 1}]},
        {"_id": "a", "a": {"b": 0, "c": 3}},
        {"_id": "c", "a": {"b": 0, "c": 2}},
        {"_id": "d", "a": {"b": 0, "c": 4}},
    ]
    assert ids_of(documents, ("a.b", 1), ("a.c", -1)) == ["d", "a", "b", "c"]


@pytest.mark.parametrize(
    ("document", "sort"),
    [
        ({"a": [1], "b": [2]}, (("a", 1), ("b", 1))),
        ({"a": [], "b": [2]}, (("a", 1), ("b", 1))),
        ({"a": [{"b": [1], "c": [1]}]}, (("a.b", 1), ("a.c", 1))),
        ({"a": [{"0": 1}]}, (("a.0", 1),)),
        ({"a": [5, {"0": 1}]}, (("a.0", 1),)),
    ],
    ids=str,
)
def test_order_refuses_what_has_no_key(document: Any, sort: Any) -> None:
    with pytest.raises(Invalid) as caught:
        order([{"_id": "a", **document}], sort)
    assert caught.value.code == "bad_sort"


def test_order_refuses_products_of_arrays() -> None:
    document = {"_id": "a", "a": [[{"b": 0}] * 1_000] + [{"b": 0}] * 1_000}
    with pytest.raises(Invalid) as caught:
        order([document], (("a.b", 1), ("a.0.b", 1)))
    assert caught.value.code == "bad_sort"


@pytest.mark.parametrize("path", ["a.0", "a.0.0"])
def test_order_by_an_index_is_cheap_in_long_arrays(path: str) -> None:
    long = {"_id": "a", "a": [[0] * 20_000] + [{"b": 1}] * 20_000}
    assert ids_of([long, {"_id": "b", "a": [5]}], (path, -1)) == ["a", "b"]
    assert ids_of([long, {"_id": "b", "a": [5]}], ("a.b", -1), (path, -1)) == ["a", "b"]


values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.5, 1.0, "", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner),
    max_leaves=6,
)


@given(st.lists(values, max_size=6), st.randoms(use_true_random=False))
def test_order_is_total(column: list[Any], randomness: random.Random) -> None:
    documents = [{"_id": str(place), "a": value} for place, value in enumerate(column)]
    shuffled = randomness.sample(documents, len(documents))
    assert order(shuffled, [("a", 1)]) == order(documents, [("a", 1)])


@given(st.lists(values.filter(lambda value: not isinstance(value, list)), max_size=6))
def test_order_downwards_is_the_reverse(column: list[Any]) -> None:
    documents = [{"_id": str(place), "a": value} for place, value in enumerate(column)]
    keys = [value_key(document["a"]) for document in order(documents, [("a", -1)])]
    assert keys == sorted(map(value_key, column), reverse=True)


@given(
    st.lists(st.fixed_dictionaries({"a": values, "b": st.integers(0, 1)}), max_size=6),
    st.sampled_from([(), (("a", 1),), (("a", -1), ("b", 1)), (("b", -1), ("a.b", 1))]),
)
def test_placing_is_the_order(
    rows: list[dict[str, Any]], sort: tuple[tuple[str, int], ...]
) -> None:
    documents = [{"_id": str(place), **row} for place, row in enumerate(rows)]
    expected: list[Any] | str
    try:
        expected = order(documents, sort)
    except Invalid:
        expected = "Invalid"
    try:
        placed: list[Any] | str = sorted(documents, key=placing(sort))
    except Invalid:
        placed = "Invalid"
    assert placed == expected
