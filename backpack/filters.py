"""The filter language: a named subset of MongoDB's, checked here; `matching` has its meaning.

A filter is a JSON object. Fields: `{"price": {"$gt": 5}, "tags": "new", "size.h": null}`, each with
a value to equal or an object of operators: `$eq $ne $gt $gte $lt $lte $in $nin $exists $regex
$options $all $size $elemMatch $not`. Beside fields: `$and $or $nor`, arrays of filters.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .documents import MAX_NESTING, REVISION, Document
from .errors import Invalid
from .matching import (
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
    matcher,
)
from .patterns import compile_pattern, for_mongodb

MAX_CONDITIONS = 100
MAX_DEPTH = 16
MAX_VALUES = 1_000


@dataclass(frozen=True)
class Filter:
    """A checked filter: as a tree, and in MongoDB's own language.

    Made only by `parse_filter`, `equals` and `both`. `source` is passed to MongoDB as it is; nobody
    changes it.
    """

    tree: Node
    source: dict[str, Any] = field(compare=False)

    @cached_property
    def matches(self) -> Callable[[Document], bool]:
        """Whether a document matches, exactly as MongoDB has it; compiled at the first use."""
        return matcher(self.tree)


EVERYTHING = Filter(And(()), {})


def parse_filter(raw: object) -> Filter:
    """`raw`, a decoded JSON value, as a filter.

    Raises Invalid when it is none, or too large, saying what is wrong and where.
    """
    tree = _Reading().filter(raw, "", 1)
    return Filter(tree, _for_mongodb(raw))


def equals(path: str, value: str) -> Filter:
    """The filter for documents with `value` at `path`."""
    return Filter(Compare(path, "eq", value), {path: {"$eq": value}})


def both(one: Filter, other: Filter) -> Filter:
    """The filter that matches what `one` and `other` match."""
    if one == EVERYTHING:
        return other
    if other == EVERYTHING:
        return one
    return Filter(And((one.tree, other.tree)), {"$and": [one.source, other.source]})


def path_problem(path: str) -> str | None:
    """What is wrong with a dotted path of a filter, sort or choice of fields; None if nothing."""
    names = path.split(".")
    if not all(names):
        return "a path may not be empty, nor have an empty part"
    if len(names) > MAX_NESTING:
        return f"a path may have at most {MAX_NESTING} parts"
    if "\0" in path or any(name[0] == "$" for name in names):
        return "a path may not contain NUL, nor a part that starts with $"
    return "the name is reserved" if names[0] == REVISION else None


def _for_mongodb(value: Any) -> Any:
    """A copy of a checked filter with its patterns as MongoDB must read them."""
    if isinstance(value, list):
        return [_for_mongodb(item) for item in value]
    if not isinstance(value, dict):
        return value
    copy = {name: _for_mongodb(item) for name, item in value.items()}
    if "$regex" in copy:
        copy["$regex"] = for_mongodb(copy["$regex"], copy.get("$options", ""))
    return copy


def _bad(where: str, why: str) -> Invalid:
    return Invalid(f"{where}: {why}" if where else why, code="bad_filter")


def _inside(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _joined(nodes: list[Node]) -> Node:
    return nodes[0] if len(nodes) == 1 else And(tuple(nodes))


def _has_operators(raw: object) -> bool:
    return isinstance(raw, dict) and next(iter(raw), "")[:1] == "$"


class _Reading:
    """One pass over a filter; counts its conditions. `where` names the place for messages."""

    def __init__(self) -> None:
        self._conditions = 0

    def filter(self, raw: object, where: str, depth: int) -> Node:
        if not isinstance(raw, dict):
            raise _bad(where, "a filter must be a JSON object")
        if depth > MAX_DEPTH:
            raise _bad(where, f"a filter may be nested at most {MAX_DEPTH} levels deep")
        if not raw:
            self._count(where)
        nodes: list[Node] = []
        for name, value in raw.items():
            inside = _inside(where, name)
            if name in _LOGICAL:
                nodes.append(_LOGICAL[name](self._filters(value, inside, depth + 1)))
            elif name[:1] == "$":
                raise _bad(where, _no_logic(name))
            else:
                nodes.append(self._field(name, value, inside, depth))
        return _joined(nodes)

    def _count(self, where: str) -> None:
        self._conditions += 1
        if self._conditions > MAX_CONDITIONS:
            raise _bad(where, f"a filter may have at most {MAX_CONDITIONS} conditions")

    def _filters(self, raw: object, where: str, depth: int) -> tuple[Node, ...]:
        if not isinstance(raw, list) or not raw:
            raise _bad(where, "must be an array of at least one filter")
        return tuple(
            self.filter(item, f"{where}[{place}]", depth) for place, item in enumerate(raw)
        )

    def _field(self, path: str, raw: object, where: str, depth: int) -> Node:
        problem = path_problem(path)
        if problem:
            raise _bad(where, problem)
        if _has_operators(raw):
            return self._operators(path, raw, where, depth)
        self._count(where)
        return Compare(path, "eq", _value(raw, where))

    def _operators(self, path: str, raw: object, where: str, depth: int) -> Node:
        if not isinstance(raw, dict) or not raw:
            raise _bad(where, "must be an object of operators")
        if depth > MAX_DEPTH:
            raise _bad(where, f"a filter may be nested at most {MAX_DEPTH} levels deep")
        return _joined(
            [
                self._operator(path, name, value, raw, _inside(where, name), depth)
                for name, value in raw.items()
                if name != "$options" or "$regex" not in raw
            ]
        )

    def _operator(
        self, path: str, name: str, value: object, beside: dict[str, Any], where: str, depth: int
    ) -> Node:
        if name == "$not":
            return Not(self._operators(path, value, where, depth + 1))
        if name == "$elemMatch":
            return self._elem_match(path, value, where, depth + 1)
        if name == "$all":
            return self._all(path, value, where, depth)
        self._count(where)
        if name == "$regex":
            return _regex(path, value, beside.get("$options", ""), where)
        leaf = _LEAVES.get(name)
        if leaf is None:
            raise _bad(where, _no_operator(name))
        return leaf(path, value, where)

    def _elem_match(self, path: str, raw: object, where: str, depth: int) -> Node:
        if not isinstance(raw, dict):
            raise _bad(where, "must be an object")
        if _has_operators(raw) and next(iter(raw)) not in _LOGICAL:
            return ElemMatch(path, self._operators("", raw, where, depth), fields=False)
        return ElemMatch(path, self.filter(raw, where, depth), fields=True)

    def _all(self, path: str, raw: object, where: str, depth: int) -> Node:
        items = _array(raw, where)
        if not items or not _has_operators(items[0]):
            self._count(where)
            values = [_value(item, f"{where}[{place}]") for place, item in enumerate(items)]
            parts = tuple(Compare(path, "eq", value) for value in values)
            return And(parts) if parts else Or(())
        nodes: list[Node] = []
        for place, item in enumerate(items):
            inside = f"{where}[{place}]"
            if not isinstance(item, dict) or list(item) != ["$elemMatch"]:
                raise _bad(inside, "beside $elemMatch every item must be an $elemMatch")
            inner = _inside(inside, "$elemMatch")
            nodes.append(self._elem_match(path, item["$elemMatch"], inner, depth + 1))
        return And(tuple(nodes))


def _no_operator(name: str) -> str:
    if name == "$options":
        return "$options needs a $regex beside it"
    if name[:1] == "$":
        return f"{name} is no operator here; there are {', '.join(sorted(_OPERATORS))}"
    return "a field cannot stand beside operators"


def _no_logic(name: str) -> str:
    """Why an operator cannot stand where the names of fields do."""
    if name in _OPERATORS:
        return f'{name} stands behind a field: {{"price": {{"{name}": ...}}}}'
    return f"{name} is no operator here; beside fields there are {', '.join(_LOGICAL)}"


def _value(raw: Any, where: str, depth: int = 1) -> Any:
    """`raw` as a value to compare with: any JSON value without operators in it."""
    if isinstance(raw, dict):
        for name in raw:
            if name[:1] == "$":
                raise _bad(where, f"{name} cannot stand inside a value")
            if "\0" in name:
                raise _bad(where, "a field name may not contain NUL")
        inner = list(raw.values())
    elif isinstance(raw, list):
        inner = raw
    elif isinstance(raw, int) and not -(2**63) <= raw < 2**63:
        raise _bad(where, "an integer must fit into 64 bits")
    elif isinstance(raw, float) and not math.isfinite(raw):
        raise _bad(where, "a number must be finite")
    else:
        return raw
    if depth > MAX_NESTING:
        raise _bad(where, f"a value may be nested at most {MAX_NESTING} levels deep")
    for item in inner:
        _value(item, where, depth + 1)
    return raw


def _array(raw: object, where: str) -> list[Any]:
    if not isinstance(raw, list):
        raise _bad(where, "must be an array")
    if len(raw) > MAX_VALUES:
        raise _bad(where, f"may have at most {MAX_VALUES} values")
    return raw


def _comparison(op: str) -> Callable[[str, object, str], Node]:
    return lambda path, raw, where: Compare(path, op, _value(raw, where))


def _in(path: str, raw: object, where: str) -> Node:
    values = enumerate(_array(raw, where))
    return In(path, tuple(_value(item, f"{where}[{place}]") for place, item in values))


def _exists(path: str, raw: object, where: str) -> Node:
    if not isinstance(raw, bool):
        raise _bad(where, "must be true or false")
    return Exists(path) if raw else Not(Exists(path))


def _size(path: str, raw: object, where: str) -> Node:
    if isinstance(raw, bool) or not isinstance(raw, int) or raw < 0:
        raise _bad(where, "must be a whole number, at least 0")
    return Size(path, raw)


def _regex(path: str, pattern: object, flags: object, where: str) -> Node:
    if not isinstance(pattern, str) or not isinstance(flags, str):
        raise _bad(where, "the pattern and its $options must be strings")
    try:
        compile_pattern(pattern, flags)
    except Invalid as exc:
        raise _bad(where, exc.message) from exc
    return Regex(path, pattern, flags)


_LOGICAL: dict[str, Callable[[tuple[Node, ...]], Node]] = {
    "$and": And,
    "$or": Or,
    "$nor": lambda parts: Not(Or(parts)),
}
_LEAVES: dict[str, Callable[[str, object, str], Node]] = {
    "$eq": _comparison("eq"),
    "$ne": lambda path, raw, where: Not(Compare(path, "eq", _value(raw, where))),
    "$gt": _comparison("gt"),
    "$gte": _comparison("gte"),
    "$lt": _comparison("lt"),
    "$lte": _comparison("lte"),
    "$in": _in,
    "$nin": lambda path, raw, where: Not(_in(path, raw, where)),
    "$exists": _exists,
    "$size": _size,
}
# What stands behind a field.
_OPERATORS = frozenset((*_LEAVES, "$all", "$elemMatch", "$not", "$regex"))
