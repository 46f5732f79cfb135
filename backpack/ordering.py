"""The order of values and of documents, as MongoDB has it. Which documents match is in `matching`.

Sources: MongoDB manual, "Comparison/Sort Order" and "sort()"; for paths through arrays the server's
own rule, by which a document sorts as the first of the keys that an index on the same paths would
hold (`src/mongo/db/index/btree_key_generator.cpp`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .documents import Document, index_of
from .errors import Invalid

# A value as a tuple of its type's place and something to compare within the type.
ValueKey = tuple[int, Any]
Sort = Sequence[tuple[str, int]]
Path = tuple[str, ...]

# An empty array sorts before null where a path ends at it.
_EMPTY: ValueKey = (-1, 0)
_NULL: ValueKey = (0, 0)
# One array in a document of 1 MiB has fewer elements; the product of two, as by the paths a.b and
# a.0.b, can pass it, and would not end.
_MAX_KEYS = 2**19


def value_key(value: Any) -> ValueKey:
    """A key that compares as the value does: null, numbers, strings, objects, arrays, booleans.

    Objects compare by their fields in order, each by type, then name, then value.
    """
    kind = type(value)
    if kind is str:
        return 2, value
    if kind is int or kind is float:
        return 1, value
    if value is None:
        return _NULL
    if kind is bool:
        return 5, value
    if kind is list:
        return 4, tuple([value_key(item) for item in value])
    return 3, tuple([_field_key(name, item) for name, item in value.items()])


def _field_key(name: str, value: Any) -> tuple[int, str, Any]:
    place, key = value_key(value)
    return place, name, key


def order(documents: list[Document], sort: Sort) -> list[Document]:
    """`documents` by `sort`, (path, 1 or -1) pairs; ties, and all without a sort, by `_id`.

    Raises Invalid when two paths lead through different arrays of one document, or a number in a
    path is an index and a field of an element as well; MongoDB refuses both.
    """
    ordered = sorted(documents, key=lambda document: document["_id"])
    if not sort:
        return ordered
    paths = [tuple(path.split(".")) for path, _ in sort]
    keyed = [(_sort_key(document, paths, sort), document) for document in ordered]
    for place in reversed(range(len(sort))):
        keyed.sort(key=lambda pair: pair[0][place], reverse=sort[place][1] < 0)
    return [document for _, document in keyed]


class _Reversed:
    """A key that compares the other way round."""

    __slots__ = ("_key",)

    def __init__(self, key: ValueKey) -> None:
        self._key = key

    def __lt__(self, other: _Reversed) -> bool:
        return other._key < self._key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Reversed) and self._key == other._key

    __hash__ = None  # type: ignore[assignment]


def placing(sort: Sort) -> Callable[[Document], tuple[Any, ...]]:
    """A function for keys that compare as `order` puts documents; for lists that are sorted piece
    by piece. It raises Invalid as `order` does."""
    paths = [tuple(path.split(".")) for path, _ in sort]
    down = [way < 0 for _, way in sort]

    def place(document: Document) -> tuple[Any, ...]:
        keys = _sort_key(document, paths, sort) if sort else ()
        ways = zip(keys, down, strict=True)
        return (*[_Reversed(key) if back else key for key, back in ways], document["_id"])

    return place


def _sort_key(document: Document, paths: list[Path], sort: Sort) -> Sequence[ValueKey]:
    """The key that comes first in the order asked for."""
    plain = [_at(document, path) for path in paths]
    if all(found.array is None for found in plain):
        return [found.key for found in plain]
    keys = _Spread().keys(document, [_Place(path) for path in paths])
    first = next(keys)
    for count, key in enumerate(keys):
        if count > _MAX_KEYS:
            raise Invalid("Cannot sort by arrays in arrays as large as these", code="bad_sort")
        if _is_before(key, first, sort):
            first = key
    return first


def _is_before(one: Sequence[ValueKey], other: Sequence[ValueKey], sort: Sort) -> bool:
    for mine, theirs, (_, direction) in zip(one, other, sort, strict=True):
        if mine != theirs:
            return (mine < theirs) is (direction > 0)
    return False


@dataclass(frozen=True)
class _Found:
    """Where a walk along a path ended: at an array with `rest` of the path to go, or at a value."""

    key: ValueKey = _NULL
    array: list[Any] | None = None
    rest: Path = ()


_MISSING = _Found()


def _at(value: Any, path: Path) -> _Found:
    for depth, name in enumerate(path):
        if type(value) is list:
            return _Found(array=value, rest=path[depth:])
        if type(value) is not dict or name not in value:
            return _MISSING
        value = value[name]
    return _Found(array=value) if type(value) is list else _Found(value_key(value))


@dataclass(frozen=True)
class _Place:
    """One path of a sort on its way into a document.

    `key`: what was found, once the path has ended. `ends`: it ends at the element of an array that
    is up next. `picked`: what the number at its start picked out of that array, and `nested`
    whether it is an array itself.
    """

    rest: Path = ()
    key: ValueKey | None = None
    ends: bool = False
    picked: _Found | None = None
    nested: bool = False


class _Spread:
    """One document's keys; what a path picks out of an array by index is looked up once."""

    def __init__(self) -> None:
        self._picked: dict[tuple[int, Path], _Place] = {}

    def keys(self, value: Any, places: list[_Place]) -> Iterator[list[ValueKey]]:
        """Every key of `value`, one for each element of the array that its paths lead through."""
        found = [_step(value, place) for place in places]
        arrays = [step.array for step in found if step.array is not None]
        if not arrays:
            yield [step.key for step in found]
            return
        array = arrays[0]
        if any(other is not array for other in arrays):
            raise Invalid("Cannot sort by two arrays of one document", code="bad_sort")
        inner = [self._into(array, *pair) for pair in zip(found, places, strict=True)]
        for item in _items(array, inner):
            yield from self.keys(item, inner)

    def _into(self, array: list[Any], step: _Found, place: _Place) -> _Place:
        """How the path at `place` goes on inside the elements of `array`, where `step` led."""
        if step.array is None:
            return _Place(key=step.key)
        if step.rest:
            return self._pick(array, step.rest)
        if not array:
            return _Place(key=_EMPTY)
        return _Place(key=step.key) if place.nested else _Place(ends=True)

    def _pick(self, array: list[Any], rest: Path) -> _Place:
        known = self._picked.get((id(array), rest))
        if known is None:
            known = self._picked[id(array), rest] = _picked(array, rest)
        return known


def _picked(array: list[Any], rest: Path) -> _Place:
    index = index_of(rest[0])
    if not 0 <= index < len(array):
        return _Place(rest)
    if any(type(item) is dict and rest[0] in item for item in array):
        raise Invalid(
            f"Cannot sort by the index {rest[0]}: it is a field of the array's elements too",
            code="bad_sort",
        )
    picked = _at(array[index], rest[1:])
    nested = type(array[index]) is list
    if nested and not picked.rest:  # an array picked by its index counts as a value
        picked = _Found(value_key(picked.array), picked.array)
    return _Place(rest, picked=picked, nested=nested)


def _items(array: list[Any], places: list[_Place]) -> list[Any]:
    """The elements that make a difference to at least one path."""
    if not array:
        return [None]
    same = all(place.key or place.picked for place in places)
    return array[:1] if same else array


def _step(value: Any, place: _Place) -> _Found:
    if place.key:
        return _Found(place.key)
    if place.ends:
        return _Found(value_key(value))
    if place.picked:
        return place.picked
    return _at(value, place.rest) if type(value) is dict else _MISSING
