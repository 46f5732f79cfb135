"""Looking through a collection: SQL as far as it is exact, the rest is matched and sorted here.

Blocks its thread until it is done; which thread and which connection, the caller decides.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import islice
from typing import Any

import orjson

from ..documents import Document
from ..errors import TooSlow
from ..queries import Filter, Query, order
from .catalogue import Table
from .sql import UNDECIDED, Ordering, Predicate, ordering, predicate

# Rows between two looks at the clock; those that are matched here cost several times as much.
_ROWS, _MATCHED_ROWS = 1_000, 100

# SQLite's bounds on a statement, some set when it was compiled (sqlite.org/limits.html).
_BEYOND_SQLITE = ("stack overflow", "too large", "too many", "too big")


class Deadline:
    """When a scan has to end: `seconds` from now, or when `end` is called.

    `pause`: seconds that the scan's thread sleeps between pieces of work, so that others get the
    interpreter.
    """

    def __init__(self, seconds: float, pause: float = 0.0) -> None:
        self._seconds = seconds
        self._pause = pause
        self._at = time.monotonic() + seconds

    def passed(self) -> bool:
        return time.monotonic() > self._at

    def end(self) -> None:
        self._at = 0.0

    def check(self) -> None:
        """Between two pieces of work: raises TooSlow when the time is up."""
        if self.passed():
            raise self.too_slow()
        if self._pause:
            time.sleep(self._pause)

    def too_slow(self) -> TooSlow:
        return TooSlow(
            f"The query took longer than {self._seconds:g} s: narrow its filter, "
            "or leave out its sort and read in pages by limit and after"
        )


def page(query: Query, connection: sqlite3.Connection, table: Table) -> list[bytes]:
    """What a query without filter and sort asks for; costs as much as `skip + limit` rows."""
    where, values = _behind(table, query.after)
    rows = connection.execute(
        f"SELECT doc FROM {table.name} WHERE {where} ORDER BY {table.place} "
        "LIMIT :limit OFFSET :skip",
        {**values, **_bounds(query)},
    )
    return [doc for (doc,) in rows]


def find(
    query: Query, connection: sqlite3.Connection, table: Table, deadline: Deadline
) -> list[bytes]:
    """The encoded documents that `query` asks for; raises TooSlow."""
    scan = _Scan(connection, table, query.filter, deadline)
    by = ordering(query.sort, table.place)
    try:
        return scan.find(query, predicate(query.filter.tree), by)
    except sqlite3.OperationalError as exc:
        if not _is_beyond_sqlite(exc):
            raise
        return scan.find(query, UNDECIDED, by if by.plain == "1" else Ordering(table.place, "0"))


def count(filter: Filter, connection: sqlite3.Connection, table: Table, deadline: Deadline) -> int:
    """How many documents match; raises TooSlow."""
    scan = _Scan(connection, table, filter, deadline)
    try:
        return scan.count(predicate(filter.tree))
    except sqlite3.OperationalError as exc:
        if not _is_beyond_sqlite(exc):
            raise
        return scan.count(UNDECIDED)


def _is_beyond_sqlite(exc: sqlite3.OperationalError) -> bool:
    return any(words in str(exc) for words in _BEYOND_SQLITE)


def _behind(table: Table, after: str | None) -> tuple[str, dict[str, Any]]:
    """The condition for documents behind the `_id` `after`, which need not be there any more."""
    if after is None:
        return "1", {}
    if table.by_id:
        return "id>:after", {"after": after}
    last = f"SELECT seq FROM {table.name} WHERE id<=:after ORDER BY id DESC LIMIT 1"
    return f"seq>ifnull(({last}),0)", {"after": after}


def _bounds(query: Query) -> dict[str, int]:
    return {"limit": -1 if query.limit is None else query.limit, "skip": query.skip}


class _Scan:
    """One look through a table."""

    def __init__(
        self, connection: sqlite3.Connection, table: Table, filter: Filter, deadline: Deadline
    ) -> None:
        self._connection = connection
        self._table = table
        self._filter = filter
        self._deadline = deadline

    def find(self, query: Query, wanted: Predicate, by: Ordering) -> list[bytes]:
        if by.plain != "1":
            return self._sorted(query, wanted, by)
        behind, values = _behind(self._table, query.after)
        where = f"{behind} AND {wanted.superset} ORDER BY {by.terms}"
        if wanted.exact:
            return self._taken(where, {**wanted.values, **values, **_bounds(query)})
        with closing(self._matching(wanted, where, values)) as found:
            return list(islice(found, query.skip, _end(query)))

    def _sorted(self, query: Query, wanted: Predicate, by: Ordering) -> list[bytes]:
        """What SQL can match and sort, it also cuts; only the rest is matched and sorted here."""
        sure = f"({wanted.subset} AND {by.plain})"
        end = _end(query)
        unsure: list[bytes] = []
        for encoded in self._matching(wanted, f"{wanted.superset} AND {sure} IS NOT TRUE", {}):
            unsure.append(encoded)
            if end is not None and len(unsure) >= end + _ROWS:
                unsure = _ordered(unsure, query)[:end]
        bounds = _bounds(query) if not unsure else {"limit": -1 if end is None else end, "skip": 0}
        found = self._taken(f"{sure} ORDER BY {by.terms}", {**wanted.values, **bounds})
        return _ordered(found + unsure, query)[query.skip : end] if unsure else found

    def count(self, wanted: Predicate) -> int:
        statement = f"SELECT count(*) FROM {self._table.name} WHERE {wanted.subset}"
        (sure,) = self._connection.execute(statement, wanted.values).fetchone()
        if wanted.exact:
            return int(sure)
        unsure = f"{wanted.superset} AND {wanted.subset} IS NOT TRUE"
        return int(sure) + sum(1 for _ in self._matching(wanted, unsure, {}))

    def _taken(self, where: str, values: dict[str, Any]) -> list[bytes]:
        statement = f"SELECT doc FROM {self._table.name} WHERE {where} LIMIT :limit OFFSET :skip"
        return [doc for (doc,) in self._rows(statement, values, _ROWS)]

    def _matching(
        self, wanted: Predicate, where: str, values: dict[str, Any]
    ) -> Generator[bytes, None, None]:
        statement = f"SELECT doc, {wanted.subset} FROM {self._table.name} WHERE {where}"
        matches = self._filter.matches
        for doc, sure in self._rows(statement, {**wanted.values, **values}, _MATCHED_ROWS):
            if sure or matches(orjson.loads(doc)):
                yield doc

    def _rows(
        self, statement: str, values: dict[str, Any], at_once: int
    ) -> Iterator[tuple[Any, ...]]:
        with closing(self._connection.execute(statement, values)) as cursor:
            while True:
                rows = cursor.fetchmany(at_once)
                yield from rows
                if len(rows) < at_once:
                    return
                self._deadline.check()


def _end(query: Query) -> int | None:
    return None if query.limit is None else query.skip + query.limit


def _ordered(found: list[bytes], query: Query) -> list[bytes]:
    documents: list[Document] = [orjson.loads(encoded) for encoded in found]
    texts = {document["_id"]: encoded for document, encoded in zip(documents, found, strict=True)}
    return [texts[document["_id"]] for document in order(documents, query.sort)]
