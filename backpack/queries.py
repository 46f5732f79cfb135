"""Queries as values: URL parameters and socket filters are checked here, once, and matched exactly.

The filter language is a named subset of MongoDB's with MongoDB's semantics. Nothing here waits or stores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

from .documents import Document

# A filter is a tree of these. Paths are dotted; "" is the value itself (only below ElemMatch).


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
    """`pattern` is RE2 syntax, `flags` of the letters i, m, s, x."""

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


@dataclass(frozen=True)
class Filter:
    """A checked filter: as a tree, and in MongoDB's own language.

    Made only by `parse_filter`, `equals` and `both`.
    """

    tree: Node
    source: dict[str, Any] = field(compare=False)

    @cached_property
    def matches(self) -> Callable[[Document], bool]:
        """Whether a document matches, exactly as MongoDB has it; compiled at the first call."""
        raise NotImplementedError


EVERYTHING = Filter(And(()), {})


def parse_filter(raw: object) -> Filter:
    """`raw` as a filter; raises Invalid when it is none, saying what is wrong and where."""
    raise NotImplementedError


def equals(path: str, value: str) -> Filter:
    """The filter for documents with `value` at `path`."""
    return Filter(Compare(path, "eq", value), {path: {"$eq": value}})


def both(one: Filter, other: Filter) -> Filter:
    """The filter that matches what `one` and `other` match."""
    if one.tree == EVERYTHING.tree:
        return other
    if other.tree == EVERYTHING.tree:
        return one
    return Filter(And((one.tree, other.tree)), {"$and": [one.source, other.source]})


@dataclass(frozen=True)
class Query:
    """What part of a collection is wanted, in what order.

    `sort`: (path, 1 or -1) pairs. `limit` is at least 1, None for all. `after` is the `_id` that
    the answer starts behind; never together with `sort`. `fields`: paths, none for whole documents.
    """

    filter: Filter = EVERYTHING
    sort: tuple[tuple[str, int], ...] = ()
    skip: int = 0
    limit: int | None = None
    after: str | None = None
    fields: tuple[str, ...] = ()
    count: bool = False


@lru_cache(maxsize=1024)
def parse_url(query_string: str) -> Query:
    """The query that a URL's query string asks for; raises Invalid, or BadRequest for bad JSON."""
    raise NotImplementedError


def order(documents: list[Document], sort: Sequence[tuple[str, int]]) -> list[Document]:
    """`documents` by MongoDB's order of values, ties by `_id` ascending."""
    raise NotImplementedError


def project(document: Document, fields: tuple[str, ...]) -> Document:
    """`document` with only `_id` and `fields`, as a MongoDB projection has it."""
    raise NotImplementedError
