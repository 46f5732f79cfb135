"""Random documents, queries and patches for the differential test. Nothing here asks a store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from backpack.documents import Document
from backpack.queries import Query, parse_filter

Sort = tuple[tuple[str, int], ...]

_NUMBERS = (0, 1, 2, 3, 1.0, 0.5, 2.5, -1.5, 2**31, 2**53, 2**53 + 1, 2.0**53, 2**63 - 1)
_TEXTS = ("", "a", "b", "ab", "A", "10", "9", "ü", "👋", "a\nb", "a\0b")
_OBJECTS: tuple[Document, ...] = (
    {},
    {"x": 1},
    {"x": 1.0},
    {"x": 2},
    {"x": 1, "y": 2},
    {"y": 2, "x": 1},
    {"x": None},
    {"x": "a"},
    {"y": {"x": 1}},
    {"x": {"y": 1, "z": "b"}},
    {"x": {"y": None}},
)
_PATTERNS = ("a", "^a", "b$", "^$", "A", "a.b", "^(a|b)+$", "[0-9]", "\\d", "ü", "^.$", "", "(?i)b")
_FIELDS = ("a", "b", "c", "o", "t")
_PATHS = (
    *("a", "b", "c", "o", "t") * 2,
    *("o.x", "o.y", "o.x.y", "t.x", "t.y", "t.0", "t.1") * 2,
    *("a.x", "b.x", "o.y.x", "t.x.y", "z", "_id"),
)
_COMPARISONS = ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte")


@dataclass(frozen=True)
class Case:
    """A query of a client's words: `filter` as JSON."""

    filter: Document
    sort: Sort
    skip: int
    limit: int | None
    after: str | None = None

    def query(self) -> Query:
        return Query(parse_filter(self.filter), self.sort, self.skip, self.limit, self.after)


def documents(random: Random, count: int, *, arrays: bool) -> list[Document]:
    """Documents in any order of their ids."""
    made: list[Document] = []
    for number in range(count):
        made.append({"_id": f"{number:024x}", **_document(random, arrays)})
    random.shuffle(made)
    return made


def _document(random: Random, arrays: bool) -> Document:
    document: Document = {}
    for name in random.sample(_FIELDS, random.randint(1, len(_FIELDS))):
        if name == "o":
            document[name] = _copied(random.choice(_OBJECTS))
        elif name == "t" and arrays:
            document[name] = _array(random)
        elif name in "bt" and arrays and random.random() < 0.3:
            document[name] = random.choice((_array, _value))(random)
        else:
            document[name] = _scalar(random) if random.random() < 0.85 else _value(random)
    return document


def _scalar(random: Random) -> Any:
    kind = random.random()
    if kind < 0.5:
        return random.choice(_NUMBERS)
    if kind < 0.85:
        return random.choice(_TEXTS)
    return random.choice((True, False, None))


def _value(random: Random) -> Any:
    return _copied(random.choice(_OBJECTS)) if random.random() < 0.3 else _scalar(random)


def _array(random: Random) -> list[Any]:
    kind = random.random()
    if kind < 0.5:
        return [
            random.choice((1, 2, 3, 1.0, "a", "b", None, True)) for _ in range(random.randint(0, 3))
        ]
    if kind < 0.8:
        return [_copied(random.choice(_OBJECTS)) for _ in range(random.randint(1, 3))]
    if kind < 0.9:
        return [_value(random) for _ in range(random.randint(0, 4))]
    return [random.choice(([], [1], [1, 2], ["a"], [[1]], 1)) for _ in range(random.randint(1, 2))]


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copied(item) for name, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def has_nested_arrays(value: Any) -> bool:
    """Whether an array holds an array somewhere in `value`."""
    if isinstance(value, dict):
        return any(map(has_nested_arrays, value.values()))
    if isinstance(value, list):
        return any(isinstance(item, list) or has_nested_arrays(item) for item in value)
    return False


class Questions:
    """Random queries; most values in them are at the same path in one of `documents`."""

    def __init__(self, random: Random, documents: list[Document], *, arrays: bool) -> None:
        self._random = random
        self._arrays = arrays
        self._ids = [document["_id"] for document in documents]
        self._held = {
            path: [value for one in documents for value in _reached(one, path.split("."))]
            for path in _PATHS
        }

    def cases(self, count: int) -> Iterator[Case]:
        random = self._random
        for _ in range(count):
            filter = self._filter(2) if random.random() < 0.9 else {}
            skip = random.choice((0, 0, 0, 0, 0, 1, 2))
            limit = random.choice((None, None, 1, 2, 5, 100))
            sort = self._sort()
            after = random.choice(self._ids) if not sort and random.random() < 0.5 else None
            yield Case(filter, sort, skip, limit, after)

    def _sort(self) -> Sort:
        random = self._random
        paths = random.sample(sorted(set(_PATHS)), random.choice((0, 1, 1, 1, 2, 3)))
        return tuple((path, random.choice((1, -1))) for path in paths)

    def _filter(self, depth: int) -> Document:
        random = self._random
        if depth and random.random() < 0.25:
            word = random.choice(("$and", "$or", "$or", "$or", "$nor"))
            return {word: [self._filter(depth - 1) for _ in range(random.randint(1, 3))]}
        paths = random.sample(_PATHS, random.choice((1, 1, 1, 1, 2)))
        return {path: self._condition(path) for path in paths}

    def _condition(self, path: str) -> Any:
        kind = self._random.random()
        if kind < 0.2:
            return self._operand(path)
        condition = self._operator(path)
        if kind > 0.9:
            condition |= self._operator(path)
        if self._random.random() < 0.1:
            return {"$not": condition}
        return condition

    def _operator(self, path: str) -> Document:
        random = self._random
        kind = random.random()
        if kind < 0.5:
            return {random.choice(_COMPARISONS): self._operand(path)}
        if kind < 0.65:
            values = [self._operand(path) for _ in range(random.choice((0, 1, 2, 3)))]
            return {random.choice(("$in", "$nin")): values}
        if kind < 0.75:
            return {"$exists": random.random() < 0.5}
        if kind < 0.85:
            options = {"$options": "i"} if random.random() < 0.3 else {}
            return {"$regex": random.choice(_PATTERNS), **options}
        return self._array_operator(path)

    def _array_operator(self, path: str) -> Document:
        random = self._random
        kind = random.random()
        if kind < 0.35:
            return {"$size": random.randint(0, 3)}
        if kind < 0.65:
            return {"$all": [self._operand(path) for _ in range(random.choice((0, 1, 1, 2)))]}
        if kind < 0.85:
            name = random.choice("xy")
            return {"$elemMatch": {name: self._condition(f"t.{name}")}}
        return {"$elemMatch": self._operator(path)}

    def _operand(self, path: str) -> Any:
        random = self._random
        held = self._held[path]
        if held and random.random() < 0.7:
            return _copied(random.choice(held))
        if self._arrays and random.random() < 0.1:
            return random.choice(([], [1], [1, 2], ["a"], [{"x": 1}], [None]))
        return _value(random) if random.random() < 0.2 else _scalar(random)


def _reached(value: Any, names: list[str]) -> Iterator[Any]:
    """What lies behind `names`: each array, and each of its elements."""
    if isinstance(value, list):
        if not names:
            yield value
        for item in value:
            yield from _reached(item, names)
    elif not names:
        yield value
    elif isinstance(value, dict) and names[0] in value:
        yield from _reached(value[names[0]], names[1:])


def patches(random: Random, count: int) -> Iterator[Document]:
    """Merges as clients send them: names at the top, dotted paths, None to remove."""
    for _ in range(count):
        chosen = random.sample(
            (
                "a",
                "b",
                "o",
                "t",
                "o.x",
                "o.y",
                "o.x.y",
                "o.n.m",
                "n.m.k",
                "t.0",
                "t.1",
                "t.0.x",
                "a.x",
            ),
            random.randint(0, 3),
        )
        paths = [
            path for path in chosen if not any(path.startswith(f"{other}.") for other in chosen)
        ]
        yield {path: None if random.random() < 0.3 else _any(random) for path in paths}


def _any(random: Random) -> Any:
    value = _array(random) if random.random() < 0.2 else _value(random)
    return 7 if value is None else value
