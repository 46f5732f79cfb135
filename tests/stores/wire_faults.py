"""Where the MongoDB-wire server of the tests, FerretDB 1.24, is known to answer unlike MongoDB.

Each class is a function with its reason. The differential test does not ask the wire server in
these cases; what MongoDB answers there is in `test_manual.py`, with its source.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from backpack.documents import Document
from backpack.queries import parse_filter

from .cases import Case, Sort, has_nested_arrays

_NEGATIVE = ("$ne", "$nin", "$not")


def differs(documents: Sequence[Document], case: Case) -> bool:
    """Whether the wire server may answer unlike MongoDB."""
    matches = parse_filter(case.filter).matches
    return _sorts_by_arrays(list(filter(matches, documents)), case.sort) or any(
        _absence_behind_array(documents, path, condition)
        or _object_in_array(documents, path, condition)
        or _object_beside_others(condition)
        or _object_for_all(condition)
        or _elem_match(condition)
        for path, condition in _conditions(case.filter)
    )


def differs_in_merge(document: Document, patch: Document) -> bool:
    """Whether `$set` and `$unset` of the wire server may not do what a merge does."""
    return has_nested_arrays(patch) or any(
        _places_in_array(document, path.split("."), value) for path, value in patch.items()
    )


def _places_in_array(container: Any, names: list[str], value: Any) -> bool:
    # It takes an element that is unset out of the array; MongoDB leaves null in its place. It
    # refuses an array in an array. And behind an array's end MongoDB fills up, where a merge ends.
    if isinstance(container, list):
        if not names[0].isdigit() or int(names[0]) >= len(container):
            return True
        if len(names) == 1:
            return value is None or isinstance(value, list)
        return _places_in_array(container[int(names[0])], names[1:], value)
    if not isinstance(container, dict) or len(names) == 1:
        return False
    return _places_in_array(container.get(names[0]), names[1:], value)


def _sorts_by_arrays(documents: Sequence[Document], sort: Sort) -> bool:
    # A path through an array counts as missing. MongoDB takes the least, or greatest, element.
    # Two arrays in one sort are taken as they are. MongoDB refuses that.
    met = sum(_meets_array(documents, path) for path, _ in sort)
    return met > 1 or any(_reaches_through_array(documents, path) for path, _ in sort)


def _conditions(filter: Document) -> Iterator[tuple[str, Any]]:
    for name, value in filter.items():
        if name[:1] == "$":
            for part in value:
                yield from _conditions(part)
        else:
            yield name, value


def _operators(condition: Any) -> Iterator[tuple[str, Any]]:
    """The operators of a condition, also in `$not` and `$elemMatch`; a plain value is `$eq`."""
    if not _is_operators(condition):
        yield "$eq", condition
        return
    for name, value in condition.items():
        yield name, value
        if name in ("$not", "$elemMatch") and _is_operators(value):
            yield from _operators(value)


def _is_operators(condition: Any) -> bool:
    return isinstance(condition, dict) and next(iter(condition), "")[:1] == "$"


def _operands(condition: Any) -> Iterator[Any]:
    for name, value in _operators(condition):
        if name in ("$in", "$nin", "$all"):
            yield from value
        elif name not in ("$not", "$elemMatch"):
            yield value


def _at(document: Any, path: str) -> Iterator[tuple[Any, bool]]:
    """What lies on the way of `path`: each value, and whether it is the last."""
    names = path.split(".")
    for depth, name in enumerate(names):
        if not isinstance(document, dict) or name not in document:
            return
        document = document[name]
        yield document, depth + 1 == len(names)


def _passes_array(documents: Sequence[Document], path: str) -> bool:
    return any(
        isinstance(value, list) and not last
        for document in documents
        for value, last in _at(document, path)
    )


def _reaches_through_array(documents: Sequence[Document], path: str) -> bool:
    there = parse_filter({path: {"$exists": True}}).matches
    return _passes_array([document for document in documents if there(document)], path)


def _meets_array(documents: Sequence[Document], path: str) -> bool:
    return any(
        isinstance(value, list) for document in documents for value, _ in _at(document, path)
    )


def _absence_behind_array(documents: Sequence[Document], path: str, condition: Any) -> bool:
    # {"a.b": null} over [{}], [] and [5], and every negation of what an element lacks.
    if not _passes_array(documents, path):
        return False
    return (
        any(operand is None for operand in _operands(condition))
        or any(name in _NEGATIVE for name, _ in _operators(condition))
        or ("$exists", False) in list(_operators(condition))
    )


def _object_in_array(documents: Sequence[Document], path: str, condition: Any) -> bool:
    # An object is not always found among objects in an array, least where one is {} or has null.
    return any(isinstance(operand, dict) for operand in _operands(condition)) and any(
        isinstance(value, list) and any(isinstance(item, dict) for item in value)
        for document in documents
        for value, _ in _at(document, path)
    )


def _object_beside_others(condition: Any) -> bool:
    # {"$ne": {...}} and {"$eq": {...}} make it forget the other operators of the same condition.
    if not _is_operators(condition):
        return False
    whole = isinstance(condition.get("$ne"), dict) or isinstance(condition.get("$eq"), dict)
    return (whole and len(condition) > 1) or _object_beside_others(condition.get("$not"))


def _object_for_all(condition: Any) -> bool:
    # {"$all": [{...}]} is not found where the object stands alone.
    return any(
        any(isinstance(operand, dict) for operand in value)
        for name, value in _operators(condition)
        if name == "$all"
    )


def _elem_match(condition: Any) -> bool:
    # With fields it never matches; of operators it refuses the negative ones, and it compares
    # an array with the whole instead of the elements.
    return any(
        not _is_operators(value)
        or any(inner in _NEGATIVE for inner, _ in _operators(value))
        or any(isinstance(operand, list) for operand in _operands(value))
        for name, value in _operators(condition)
        if name == "$elemMatch"
    )
