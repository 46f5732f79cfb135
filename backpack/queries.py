"""Queries as values: URL parameters and socket filters are checked here, once, and matched exactly.

The filter language is a named subset of MongoDB's with MongoDB's semantics. Nothing here waits or stores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
