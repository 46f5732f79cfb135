"""Which way a query is answered: by an index where that is cheap, else by a scan.

What an index has to be asked is in `plans`; how rows are looked through, in `scans`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..queries import Query
from . import plans, scans
from .catalogue import Table
from .indexes import Index
from .plans import Choice, Walk
from .scans import Deadline

FEW = 500  # rows that an index may leave to look through on the event loop's thread
SMALL = 1_000  # rows of a table that may be looked through there without one
_UNCLEAR = 200  # rows that are matched and sorted beside a walk
_PAGE = 1_000  # documents of a page that may be read there

_KNOWN = 128  # queries of a store whose walk is kept
_SHORT = 8_192  # characters of a statement that is kept

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Effort:
    """How many rows may be looked through; without `scan` there has to be an index to find them."""

    rows: int
    scan: bool


@dataclass(frozen=True)
class Answer(Generic[_Result]):
    """A result, and the indexes it was found by."""

    result: _Result
    indexes: tuple[Index, ...] = ()


Look = Callable[[sqlite3.Connection, Table, Deadline, Effort], Answer[_Result] | None]


def find(
    query: Query, connection: sqlite3.Connection, table: Table, deadline: Deadline, effort: Effort
) -> Answer[list[bytes]] | None:
    """The encoded documents that `query` asks for; None where that takes more effort."""
    walk = plans.walk(query, table)
    if walk is not None and walk.covers:
        page = _walked(query, connection, table, deadline, walk, effort)
        if page is not None:
            return page
    choice = _fewest(query, connection, table, effort.rows)
    if choice is not None:
        found = scans.find(query, connection, table, deadline, choice)
        return Answer(found, choice.indexes)
    if walk is not None and not walk.covers:
        page = _walked(query, connection, table, deadline, walk, effort)
        if page is not None:
            return page
    if not effort.scan and not (_is_page(query) and _is_by_id(query)):
        return None
    return Answer(scans.find(query, connection, table, deadline))


def _walked(
    query: Query,
    connection: sqlite3.Connection,
    table: Table,
    deadline: Deadline,
    walk: Walk,
    effort: Effort,
) -> Answer[list[bytes]] | None:
    """The answer by a walk; None where it is long, or too many rows are not clear."""
    if not effort.scan and not _is_page(query):
        return None
    number = f"SELECT count(*) FROM ({walk.unclear} LIMIT {_UNCLEAR + 1})"
    (unclear,) = connection.execute(number, walk.values).fetchone()
    if unclear > _UNCLEAR:
        return None
    try:
        page = scans.walked(query, connection, table, deadline, walk, has_unclear=unclear > 0)
    except sqlite3.OperationalError as exc:
        if not scans.is_beyond_sqlite(exc):
            raise
        return None
    return Answer(page, (walk.index,))


def count(
    query: Query, connection: sqlite3.Connection, table: Table, deadline: Deadline, effort: Effort
) -> Answer[int] | None:
    """How many documents match the filter; None where that takes more effort."""
    walk = plans.walk(query, table, count=True)
    if walk is not None and walk.exact:
        (unclear,) = connection.execute(walk.probe).fetchone()
        if not unclear:
            (number,) = connection.execute(walk.number, walk.values).fetchone()
            return Answer(number, (walk.index,))
    choice = _fewest(query, connection, table, effort.rows)
    if choice is None and not effort.scan:
        return None
    number = scans.count(query.filter, connection, table, deadline, choice)
    return Answer(number, choice.indexes if choice else ())


def _fewest(query: Query, connection: sqlite3.Connection, table: Table, most: int) -> Choice | None:
    """The choice of the fewest rows, at most `most`."""
    best = None
    for choice in plans.choices(query.filter.tree, table):
        number = f"SELECT count(*) FROM ({choice.rows} LIMIT {most + 1})"
        (rows,) = connection.execute(number, choice.values).fetchone()
        if rows <= most:
            best, most = choice, rows
    return best


def _is_page(query: Query) -> bool:
    return query.limit is not None and query.skip + query.limit <= _PAGE


def _is_by_id(query: Query) -> bool:
    return all(path == "_id" for path, _ in query.sort)


class Pages:
    """Pages that an index gives without a row read in vain: the way of each query is kept.

    Working out a way takes as long as going it: 15 us of 30.
    """

    def __init__(self) -> None:
        self._known: dict[int, _Known] = {}

    def find(
        self, query: Query, connection: sqlite3.Connection, table: Table
    ) -> Answer[list[bytes]] | None:
        """What `query` asks for, where that costs no more than its page; None otherwise."""
        if not table.indexes:
            return None
        # By identity: 1, 1.0 and true are equal, and queries that are asked again are the same.
        known = self._known.get(id(query))
        if known is None or known.query is not query or known.table is not table:
            known = self._learn(query, table)
        walk = known.walk
        if walk is None:
            return None
        if known.changes != connection.total_changes:
            if connection.execute(walk.probe).fetchone()[0]:
                return None
            known.changes = connection.total_changes
        rows = connection.execute(known.statement, known.values)
        return Answer([doc for doc, _ in rows], (walk.index,))

    def _learn(self, query: Query, table: Table) -> _Known:
        walk = plans.walk(query, table) if _is_page(query) else None
        if walk is not None and not (walk.bounded and walk.exact):
            walk = None
        known = _Known(query, table, walk)
        if len(self._known) >= _KNOWN:
            self._known.clear()
        if walk is None or len(walk.clear) < _SHORT:
            self._known[id(query)] = known
        return known


class _Known:
    """The way of a query in a table, and as of which change there was no row that is not clear."""

    def __init__(self, query: Query, table: Table, walk: Walk | None) -> None:
        self.query = query
        self.table = table
        self.walk = walk
        self.changes = -1
        self.statement = f"{walk.clear} LIMIT :limit OFFSET :skip" if walk else ""
        self.values = {**walk.values, "limit": query.limit, "skip": query.skip} if walk else {}
