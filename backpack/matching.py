"""Filters as trees, and what they match: MongoDB's semantics, exactly.

How a filter is written and checked is in `filters`. Sources: MongoDB manual, "Query an Array",
"Query for Null or Missing Fields", "Comparison/Sort Order" and the operators' pages; for paths
through arrays `src/mongo/db/matcher/path.cpp` of the server.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .documents import index_of
from .ordering import value_key
from .patterns import compile_pattern

# Paths are dotted; "" is the value itself (only below ElemMatch).


@dataclass(frozen=True)
class And:
    """Every part matches; without parts it matches everything."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Or:
    """At least one part matches; without parts it matches nothing."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Not:
    """The part does not match. `$ne`, `$nin` and `$nor` are written with it."""

    part: Node


@dataclass(frozen=True)
class Compare:
    """`op` is one of eq, gt, gte, lt, lte; `value` any JSON value."""

    path: str
    op: str
    value: Any


@dataclass(frozen=True)
class In:
    path: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Exists:
    """The path is there, null or not. Its absence is `Not(Exists(path))`."""

    path: str


@dataclass(frozen=True)
class Regex:
    """`pattern` is RE2 syntax, `flags` of the letters i, m, s."""

    path: str
    pattern: str
    flags: str = ""


@dataclass(frozen=True)
class Size:
    path: str
    size: int


@dataclass(frozen=True)
class ElemMatch:
    """An array at the path has an element that `part` matches.

    `fields`: `part` speaks of fields of the element, which is a document or array; otherwise of
    the element itself, by the path "".
    """

    path: str
    part: Node
    fields: bool


Node = And | Or | Not | Compare | In | Exists | Regex | Size | ElemMatch
# $all is And of Compare(eq) or ElemMatch; an empty $all is Or(()).

Test = Callable[[Any], bool]
_MISSING = object()
_OPERATORS = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}


def matcher(node: Node) -> Test:
    """A function that says whether a document matches `node`.

    Below an ElemMatch whose part speaks of the element itself, it is given the element.
    """
    if isinstance(node, And):
        return _every([matcher(part) for part in node.parts])
    if isinstance(node, Or):
        return _some([matcher(part) for part in node.parts])
    if isinstance(node, Not):
        part = matcher(node.part)
        return lambda value: not part(value)
    # $size and $elemMatch judge the array at a path's end; the others each element, then the array.
    return _along(node.path, _test(node), spread=not isinstance(node, Size | ElemMatch))


def _every(parts: list[Test]) -> Test:
    if len(parts) == 1:
        return parts[0]

    def test(value: Any) -> bool:
        for part in parts:
            if not part(value):
                return False
        return True

    return test


def _some(parts: list[Test]) -> Test:
    def test(value: Any) -> bool:
        for part in parts:
            if part(value):
                return True
        return False

    return test


def _along(path: str, test: Test, *, spread: bool) -> Test:
    """`test` for what lies at `path`: true when it is for any of the places the path leads to."""
    if not path:
        return test
    if "." not in path:
        return _at_field(path, test, spread=spread)
    names = path.split(".")
    return _walk(names, [index_of(name) for name in names], test, spread=spread)


def _at_field(name: str, test: Test, *, spread: bool) -> Test:
    def at_field(document: Any) -> bool:
        value = document.get(name, _MISSING)
        if spread and type(value) is list:
            return any(map(test, value)) or test(value)
        return test(value)

    return at_field


def _walk(names: list[str], indexes: list[int], test: Test, *, spread: bool) -> Test:
    last = len(names)

    def walk(value: Any, depth: int = 0) -> bool:
        while depth < last:
            if type(value) is dict:
                value = value.get(names[depth], _MISSING)
            elif type(value) is list:
                return through(value, depth)
            else:
                return test(_MISSING)
            depth += 1
        if spread and type(value) is list:
            return any(map(test, value)) or test(value)
        return test(value)

    def through(array: list[Any], depth: int) -> bool:
        """Arrays are entered at one place by its index, and at each element that is an object."""
        for item in array:
            if type(item) is dict and walk(item, depth):
                return True
        if not 0 <= indexes[depth] < len(array):
            return False
        item = array[indexes[depth]]
        if depth + 1 == last:
            return test(item)
        if type(item) is dict:
            return walk(item, depth + 1)
        return type(item) is list and through(item, depth + 1)

    return walk


def _test(node: Compare | In | Exists | Regex | Size | ElemMatch) -> Test:
    """What a leaf asks of one value; the value may be `_MISSING`."""
    if isinstance(node, Compare):
        return _equals(node.value) if node.op == "eq" else _compares(node.op, node.value)
    if isinstance(node, In):
        return _is_one_of(node.values)
    if isinstance(node, Exists):
        return lambda value: value is not _MISSING
    if isinstance(node, Regex):
        contains = compile_pattern(node.pattern, node.flags)
        return lambda value: type(value) is str and contains(value)
    if isinstance(node, Size):
        size = node.size
        return lambda value: type(value) is list and len(value) == size
    return _has_element(matcher(node.part), fields=node.fields)


def _equals(wanted: Any) -> Test:
    kind = type(wanted)
    if wanted is None:
        return lambda value: value is None or value is _MISSING
    if kind is bool:
        return lambda value: value is wanted
    if kind is str:
        return lambda value: bool(value == wanted)
    if kind is int or kind is float:
        return lambda value: value == wanted and type(value) is not bool
    key = value_key(wanted)
    return lambda value: (
        type(value) is kind and len(value) == len(wanted) and value_key(value) == key
    )


def _compares(op: str, wanted: Any) -> Test:
    compare, kind = _OPERATORS[op], type(wanted)
    if wanted is None:
        reaches = op in ("gte", "lte")
        return lambda value: reaches and (value is None or value is _MISSING)
    if kind is int or kind is float:
        return lambda value: (type(value) is int or type(value) is float) and compare(value, wanted)
    if kind is str or kind is bool:
        return lambda value: type(value) is kind and compare(value, wanted)
    key = value_key(wanted)
    return lambda value: type(value) is kind and compare(value_key(value), key)


def _is_one_of(wanted: tuple[Any, ...]) -> Test:
    scalars = frozenset(value for value in wanted if type(value) in (str, int, float))
    others = [_equals(value) for value in wanted if type(value) not in (str, int, float)]
    is_other = _some(others)

    def test(value: Any) -> bool:
        kind = type(value)
        if kind is str or kind is int or kind is float:
            return value in scalars
        return is_other(value)

    return test


def _has_element(part: Test, *, fields: bool) -> Test:
    if not fields:
        return lambda value: type(value) is list and any(map(part, value))

    def on_fields(item: Any) -> bool:
        if type(item) is list:
            item = {str(place): nested for place, nested in enumerate(item)}
        return type(item) is dict and part(item)

    return lambda value: type(value) is list and any(map(on_fields, value))
