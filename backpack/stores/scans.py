"""Looking through a collection: SQL as far as it is exact, the rest is matched and sorted here.

Blocks its thread until it is done; which thread and which connection, the caller decides.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Generator, Iterable
from contextlib import closing
from itertools import chain, islice
from typing import Any

import orjson

from ..documents import Document
from ..errors import TooSlow
from ..queries import Filter, Query, order
from .catalogue import Table
from .sql import UNDECIDED, Columns, Ordering, Predicate, ordering, predicate

# Rows between two looks at the clock; those that are matched here cost several times as much.
_ROWS, _MATCHED_ROWS = 1_000, 100

# Rows of a sorted page that SQL may leave open; with more it is asked again, for all of them.
_UNSURE = 30

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
    bounds = (-1 if query.limit is None else query.limit, query.skip)
    order = f"ORDER BY {table.place} LIMIT ? OFFSET ?"
    if query.after is None:
        rows = connection.execute(f"SELECT doc FROM {table.name} {order}", bounds)
    else:
        rows = connection.execute(
            f"SELECT doc FROM {table.name} WHERE {_behind(table, '?')} {order}",
            (query.after, *bounds),
        )
    return [doc for (doc,) in rows]


def find(
    query: Query, connection: sqlite3.Connection, table: Table, deadline: Deadline
) -> list[bytes]:
    """The encoded documents that `query` asks for; raises TooSlow."""
    columns = Columns()
    wanted = predicate(query.filter.tree, columns)
    by = ordering(query.sort, table.place, columns)
    try:
        return _Scan(connection, table, columns, deadline).find(query, wanted, by)
    except sqlite3.OperationalError as exc:
        if not _is_beyond_sqlite(exc):
            raise
        by = by if by.plain == "1" else Ordering(table.place, "0")
        return _Scan(connection, table, Columns(), deadline).find(query, UNDECIDED, by)


def count(filter: Filter, connection: sqlite3.Connection, table: Table, deadline: Deadline) -> int:
    """How many documents match; raises TooSlow."""
    columns = Columns()
    wanted = predicate(filter.tree, columns)
    try:
        return _Scan(connection, table, columns, deadline).count(filter, wanted)
    except sqlite3.OperationalError as exc:
        if not _is_beyond_sqlite(exc):
            raise
        return _Scan(connection, table, Columns(), deadline).count(filter, UNDECIDED)


def _is_beyond_sqlite(exc: sqlite3.OperationalError) -> bool:
    return any(words in str(exc) for words in _BEYOND_SQLITE)


def _behind(table: Table, after: str) -> str:
    """The condition for documents behind the `_id` `after`, which need not be there any more."""
    if table.by_id:
        return f"id>{after}"
    last = f"SELECT seq FROM {table.name} WHERE id<={after} ORDER BY id DESC LIMIT 1"
    return f"seq>ifnull(({last}),0)"


class _Scan:
    """One look through a table; predicates and orderings speak of its documents by `columns`."""

    def __init__(
        self, connection: sqlite3.Connection, table: Table, columns: Columns, deadline: Deadline
    ) -> None:
        self._connection = connection
        self._table = table
        self._columns = columns
        self._deadline = deadline

    def find(self, query: Query, wanted: Predicate, by: Ordering) -> list[bytes]:
        if by.plain != "1":
            return self._sorted(query, wanted, by)
        behind = "1" if query.after is None else _behind(self._table, ":after")
        source = self._rows_of("doc", f"{behind} AND {wanted.narrow} ORDER BY {by.terms}")
        statement = f"SELECT doc,{wanted.subset} FROM {source} WHERE {wanted.superset}"
        values = {**wanted.values, "after": query.after}
        if wanted.exact:
            bounds = {"limit": -1 if query.limit is None else query.limit, "skip": query.skip}
            rows = self._run(f"{statement} LIMIT :limit OFFSET :skip", {**values, **bounds}, _ROWS)
            return [doc for doc, _ in rows]
        with closing(self._matching(query.filter, statement, values)) as found:
            return list(islice(found, query.skip, _end(query)))

    def _sorted(self, query: Query, wanted: Predicate, by: Ordering) -> list[bytes]:
        """What SQL can match and sort, it also cuts; only the rest is matched and sorted here."""
        end = _end(query)
        # Only keys are sorted; a CROSS JOIN reads the documents in the order of its left side.
        statement = (
            f"SELECT doc,matches,sure FROM (SELECT seq,{wanted.subset} AS matches,"
            f"({wanted.subset} AND {by.plain}) IS TRUE AS sure "
            f"FROM {self._rows_of('seq', wanted.narrow)} WHERE {wanted.superset} "
            f"ORDER BY sure,{by.terms} LIMIT :most) CROSS JOIN {self._table.name} USING(seq)"
        )
        if end is not None:
            with closing(self._run(statement, {**wanted.values, "most": end + _UNSURE})) as rows:
                first = list(islice(rows, _UNSURE + 1))
                if len(first) <= _UNSURE or first[-1][-1]:
                    return _merged(chain(first, rows), query)
        with closing(self._run(statement, {**wanted.values, "most": -1})) as rows:
            return _merged(rows, query)

    def count(self, filter: Filter, wanted: Predicate) -> int:
        rows = self._rows_of("id", wanted.narrow) if self._columns else self._table.name
        sure = "count(*)" if wanted.exact else f"total({wanted.subset})"
        statement = f"SELECT count(*),{sure} FROM {rows} WHERE {wanted.superset}"
        possible, sure = self._connection.execute(statement, wanted.values).fetchone()
        if possible == sure:
            return int(possible)
        rows = self._rows_of("doc", wanted.narrow)
        unsure = f"{wanted.superset} AND {wanted.subset} IS NOT TRUE"
        statement = f"SELECT doc,0 FROM {rows} WHERE {unsure}"
        return int(sure) + sum(1 for _ in self._matching(filter, statement, wanted.values))

    def _rows_of(self, names: str, where: str) -> str:
        """A subquery of the columns `names`, `id`, `odd` and those that are written for documents.

        Without its LIMIT, SQLite would merge it into the query round it, and write each of its
        columns out again. The rows come in its order.
        """
        columns = ",".join(["id", "odd", names, *self._columns.terms])
        return f"(SELECT {columns} FROM {self._table.name} WHERE {where} LIMIT -1)"

    def _matching(
        self, filter: Filter, statement: str, values: dict[str, Any]
    ) -> Generator[bytes, None, None]:
        """The documents that match, of rows (document, whether it is sure to match)."""
        for doc, sure in self._run(statement, values):
            if sure or filter.matches(orjson.loads(doc)):
                yield doc

    def _run(
        self, statement: str, values: dict[str, Any], at_once: int = _MATCHED_ROWS
    ) -> Generator[tuple[Any, ...], None, None]:
        with closing(self._connection.execute(statement, values)) as rows:
            for number, row in enumerate(rows, 1):
                yield row
                if number % at_once == 0:
                    self._deadline.check()


def _merged(rows: Iterable[tuple[bytes, bool, bool]], query: Query) -> list[bytes]:
    """The page of rows (document, whether it matches for sure, whether its place is sure as well).

    Those that are not sure come first, the others in order.
    """
    end = _end(query)
    unsure: list[bytes] = []
    found: list[bytes] = []
    passed = 0
    for doc, matches, sure in rows:
        if sure:
            passed += 1
            if unsure or passed > query.skip:
                found.append(doc)
            if passed == end:
                break
        elif matches or query.filter.matches(orjson.loads(doc)):
            unsure.append(doc)
            if end is not None and len(unsure) >= end + _ROWS:
                unsure = _ordered(unsure, query)[:end]
    return _ordered(found + unsure, query)[query.skip : end] if unsure else found


def _end(query: Query) -> int | None:
    return None if query.limit is None else query.skip + query.limit


def _ordered(found: list[bytes], query: Query) -> list[bytes]:
    # Only what is sorted by is kept: the garbage collector stops all threads for 200 ms to walk
    # through 100,000 whole documents.
    heads = {"_id", *(path.partition(".")[0] for path, _ in query.sort)}
    texts: dict[str, bytes] = {}
    documents: list[Document] = []
    for encoded in found:
        document = orjson.loads(encoded)
        texts[document["_id"]] = encoded
        documents.append({name: document[name] for name in heads if name in document})
    return [texts[document["_id"]] for document in order(documents, query.sort)]
