"""Queries as values: what part of a collection is wanted, read from a URL and checked, once.

The filters in them are made in `filters`, matched in `matching`, sorts in `ordering`; their names
can be had from here. Nothing here waits or stores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from .documents import Document, decode, is_id
from .errors import BadRequest, Invalid
from .filters import EVERYTHING, Filter, both, equals, parse_filter, path_problem
from .matching import And, Compare, ElemMatch, Exists, In, Node, Not, Or, Regex, Size
from .ordering import order, placing

__all__ = [
    "EVERYTHING",
    "And",
    "Compare",
    "ElemMatch",
    "Exists",
    "Filter",
    "In",
    "Node",
    "Not",
    "Or",
    "Query",
    "Regex",
    "Size",
    "both",
    "equals",
    "order",
    "parse_filter",
    "parse_sort",
    "parse_url",
    "placing",
    "project",
]

MAX_SORT_PATHS = 8
MAX_FIELDS = 100


@dataclass(frozen=True)
class Query:
    """What part of a collection is wanted, in what order.

    `sort`: (path, 1 or -1) pairs. `limit` is at least 1, None for all. `after` is the `_id` that
    the answer starts behind; never together with `sort`. `fields`: paths, none for whole documents.
    `count`: the number of all matching documents is wanted too.
    """

    filter: Filter = EVERYTHING
    sort: tuple[tuple[str, int], ...] = ()
    skip: int = 0
    limit: int | None = None
    after: str | None = None
    fields: tuple[str, ...] = ()
    count: bool = False


_SHORT = 500  # characters; longer texts, and the filters in them, would fill the memory


def parse_url(query_string: str) -> Query:
    """The query in a URL: `filter=<JSON>&sort=-price,name&skip=0&limit=30&fields=a,b.c&count=1`, or
    with `after=<_id>` in the place of `sort`.

    Raises Invalid for an unknown, repeated or bad parameter, BadRequest when the filter is no JSON
    or the text no UTF-8.
    """
    return _remembered(query_string) if len(query_string) <= _SHORT else _parse_url(query_string)


def _parse_url(query_string: str) -> Query:
    try:
        pairs = parse_qsl(query_string, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError as exc:
        raise BadRequest("The query string is not UTF-8", code="bad_query") from exc
    asked: dict[str, Any] = {}
    for name, text in pairs:
        if name not in _PARAMETERS:
            raise _bad(name, f"is unknown; there are {', '.join(_PARAMETERS)}")
        if name in asked:
            raise _bad(name, "is given twice")
        asked[name] = _PARAMETERS[name](text)
    if asked.keys() >= {"after", "sort"}:
        raise _bad("after", "follows the order of _id, so it cannot go with sort")
    return Query(**asked)


_remembered = lru_cache(maxsize=256)(_parse_url)


def project(document: Document, fields: tuple[str, ...]) -> Document:
    """`document` with only `_id` and `fields`, dotted paths; all of it when there are none.

    As in a MongoDB projection, a path reaches into each element of an array, elements that have no
    fields are left out, and a number in a path is a name, no index.
    """
    return _only(document, _tree(fields)) if fields else document


def _bad(name: str, why: str) -> Invalid:
    return Invalid(f"{name}: {why}", code="bad_query", fields={name: why})


def _filter(text: str) -> Filter:
    try:
        raw = decode(text.encode())
    except BadRequest as exc:
        raise type(exc)(f"filter: {exc.message}", code=exc.code) from exc
    return parse_filter(raw)


def _path(name: str, path: str) -> str:
    problem = path_problem(path)
    if problem:
        raise _bad(name, problem)
    return path


def parse_sort(text: str) -> tuple[tuple[str, int], ...]:
    """The pairs of a sort such as `-price,name`; raises Invalid."""
    items = text.split(",")
    keys = {_path("sort", item.removeprefix("-")): -1 if item[:1] == "-" else 1 for item in items}
    if len(keys) < len(items):
        raise _bad("sort", "names a path twice")
    if len(keys) > MAX_SORT_PATHS:
        raise _bad("sort", f"may have at most {MAX_SORT_PATHS} paths")
    return tuple(keys.items())


def _fields(text: str) -> tuple[str, ...]:
    paths = [_path("fields", path) for path in text.split(",")]
    if len(paths) > MAX_FIELDS:
        raise _bad("fields", f"may have at most {MAX_FIELDS} paths")
    for before, path in zip([*sorted(paths), ""][1:], sorted(paths), strict=True):
        if before == path:
            raise _bad("fields", f"names {path} twice")
    for path in {*paths, "_id"}:
        names = path.split(".")
        if any(".".join(names[:cut]) in {*paths, "_id"} for cut in range(1, len(names))):
            raise _bad("fields", f"{path} is a part of another path")
    return tuple(paths)


def _number(name: str, least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or len(text) > 18 or int(text) < least:
            raise _bad(name, f"must be a whole number from {least} to {10**18 - 1}")
        return int(text)

    return read


def _after(text: str) -> str:
    if not is_id(text):
        raise _bad("after", "must be an _id, 24 lower-case hex digits")
    return text


def _count(text: str) -> bool:
    if text not in ("0", "1"):
        raise _bad("count", "must be 1 or 0")
    return text == "1"


_PARAMETERS: dict[str, Callable[[str], Any]] = {
    "filter": _filter,
    "sort": parse_sort,
    "skip": _number("skip", 0),
    "limit": _number("limit", 1),
    "after": _after,
    "fields": _fields,
    "count": _count,
}


@lru_cache(maxsize=256)
def _tree(fields: tuple[str, ...]) -> dict[str, Any]:
    """The paths as nested names: `("a", "b.c")` as `{"_id": None, "a": None, "b": {"c": None}}`."""
    tree: dict[str, Any] = {}
    for path in fields:
        *outer, last = path.split(".")
        branch = tree
        for name in outer:
            branch = branch.setdefault(name, {})
        branch[last] = None
    tree["_id"] = None
    return tree


def _only(value: Any, tree: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [_only(item, tree) for item in value if isinstance(item, dict | list)]
    kept = {}
    for name, item in value.items():
        if name in tree:
            branch = tree[name]
            if branch is None:
                kept[name] = item
            elif isinstance(item, dict | list):
                kept[name] = _only(item, branch)
    return kept
