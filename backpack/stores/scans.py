"""Looking through a collection: SQL as far as it is exact, the rest is matched and sorted here.

Blocks its thread until it is done; which thread and which connection, the caller decides.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from heapq import merge
from itertools import chain, islice
from math import inf
from operator import itemgetter
from typing import Any

import orjson

from ..errors import TooSlow
from ..queries import Filter, Query, placing
from .catalogue import Table
from .plans import Choice, Walk
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
    interpreter. `clock`: what is measured.
    """

    def __init__(
        self,
        seconds: float,
        pause: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds = seconds
        self._pause = pause
        self._clock = clock
        self._at = clock() + seconds

    def passed(self) -> bool:
        return self._clock() > self._at

    def end(self) -> None:
        self._at = -inf

    @property
    def left(self) -> float:
        """Seconds; negative when it has passed."""
        return self._at - self._clock()

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
            f"SELECT doc FROM {table.name} WHERE {table.behind('?')} {order}",
            (query.after, *bounds),
        )
    return [doc for (doc,) in rows]


def find(
    query: Query,
    connection: sqlite3.Connection,
    table: Table,
    deadline: Deadline,
    choice: Choice | None = None,
) -> list[bytes]:
    """The encoded documents that `query` asks for, all of them in `choice`; raises TooSlow."""
    columns = Columns()
    wanted = predicate(query.filter.tree, columns)
    by = ordering(query.sort, table.place, columns)
    try:
        return _Scan(connection, table, columns, deadline, choice).find(query, wanted, by)
    except sqlite3.OperationalError as exc:
        if not is_beyond_sqlite(exc):
            raise
        by = by if by.plain == "1" else Ordering(table.place, "0")
        return _Scan(connection, table, Columns(), deadline).find(query, UNDECIDED, by)


def count(
    filter: Filter,
    connection: sqlite3.Connection,
    table: Table,
    deadline: Deadline,
    choice: Choice | None = None,
) -> int:
    """How many documents match, all of them in `choice`; raises TooSlow."""
    columns = Columns()
    wanted = predicate(filter.tree, columns)
    try:
        return _Scan(connection, table, columns, deadline, choice).count(filter, wanted)
    except sqlite3.OperationalError as exc:
        if not is_beyond_sqlite(exc):
            raise
        return _Scan(connection, table, Columns(), deadline).count(filter, UNDECIDED)


def walked(
    query: Query,
    connection: sqlite3.Connection,
    table: Table,
    deadline: Deadline,
    walk: Walk,
    *,
    has_unclear: bool,
) -> list[bytes]:
    """What `query` asks for along an index; `has_unclear`: some rows are not clear."""
    scan = _Scan(connection, table, Columns(), deadline)
    if not has_unclear:
        return scan.page(query, walk.clear, walk.values, exact=walk.exact)
    behind = "1" if query.after is None else table.behind(":after")
    statement = f"SELECT doc FROM {table.name} WHERE seq IN ({walk.unclear}) AND {behind}"
    unclear = connection.execute(statement, walk.values).fetchall()
    with closing(scan.matching(query.filter, walk.statement, walk.values)) as clear:
        unsure = ((doc, False, False) for (doc,) in unclear)
        return _merged(chain(unsure, ((doc, True, True) for doc in clear)), query, deadline)


def is_beyond_sqlite(exc: sqlite3.OperationalError) -> bool:
    """Whether a statement was too much for SQLite's parser."""
    return any(words in str(exc) for words in _BEYOND_SQLITE)


class _Scan:
    """One look through a table; predicates and orderings speak of its documents by `columns`."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        table: Table,
        columns: Columns,
        deadline: Deadline,
        choice: Choice | None = None,
    ) -> None:
        self._connection = connection
        self._table = table
        self._columns = columns
        self._deadline = deadline
        self._within = f" AND seq IN ({choice.rows})" if choice else ""
        self._values = choice.values if choice else {}

    def find(self, query: Query, wanted: Predicate, by: Ordering) -> list[bytes]:
        if by.plain != "1":
            return self._sorted(query, wanted, by)
        behind = "1" if query.after is None else self._table.behind(":after")
        source = self._rows_of("doc", f"{behind} AND {wanted.narrow}", f"ORDER BY {by.terms}")
        statement = f"SELECT doc,{wanted.subset} FROM {source} WHERE {wanted.superset}"
        values = {**wanted.values, "after": query.after}
        return self.page(query, statement, values, exact=wanted.exact)

    def page(
        self, query: Query, statement: str, values: dict[str, Any], *, exact: bool
    ) -> list[bytes]:
        """The page of rows (document, whether it matches for sure) in the order asked for."""
        if exact:
            bounds = {"limit": -1 if query.limit is None else query.limit, "skip": query.skip}
            rows = self._run(f"{statement} LIMIT :limit OFFSET :skip", {**values, **bounds}, _ROWS)
            return [doc for doc, _ in rows]
        with closing(self.matching(query.filter, statement, values)) as found:
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
                    return _merged(chain(first, rows), query, self._deadline)
        with closing(self._run(statement, {**wanted.values, "most": -1})) as rows:
            return _merged(rows, query, self._deadline)

    def count(self, filter: Filter, wanted: Predicate) -> int:
        looks = self._columns or self._within
        rows = self._rows_of("id", wanted.narrow) if looks else self._table.name
        sure = "count(*)" if wanted.exact else f"total({wanted.subset})"
        statement = f"SELECT count(*),{sure} FROM {rows} WHERE {wanted.superset}"
        values = {**wanted.values, **self._values}
        possible, sure = self._connection.execute(statement, values).fetchone()
        if possible == sure:
            return int(possible)
        rows = self._rows_of("doc", wanted.narrow)
        unsure = f"{wanted.superset} AND {wanted.subset} IS NOT TRUE"
        statement = f"SELECT doc,0 FROM {rows} WHERE {unsure}"
        return int(sure) + sum(1 for _ in self.matching(filter, statement, wanted.values))

    def _rows_of(self, names: str, where: str, order: str = "") -> str:
        """A subquery of the columns `names`, `id`, `odd` and those that are written for documents.

        Without its LIMIT, SQLite would merge it into the query round it, and write each of its
        columns out again. The rows come in its order.
        """
        columns = ",".join(["id", "odd", names, *self._columns.terms])
        rows = f"{self._table.name} WHERE {where}{self._within} {order}"
        return f"(SELECT {columns} FROM {rows} LIMIT -1)"

    def matching(
        self, filter: Filter, statement: str, values: dict[str, Any]
    ) -> Generator[bytes, None, None]:
        """The documents that match, of rows (document, whether it is sure to match)."""
        for doc, sure in self._run(statement, values):
            if sure or filter.matches(orjson.loads(doc)):
                yield doc

    def _run(
        self, statement: str, values: dict[str, Any], at_once: int = _MATCHED_ROWS
    ) -> Generator[tuple[Any, ...], None, None]:
        with closing(self._connection.execute(statement, {**values, **self._values})) as rows:
            for number, row in enumerate(rows, 1):
                yield row
                if number % at_once == 0:
                    self._deadline.check()


def _merged(
    rows: Iterable[tuple[bytes, bool, bool]], query: Query, deadline: Deadline
) -> list[bytes]:
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
                unsure = _ordered(unsure, query, deadline)[:end]
    return _ordered(found + unsure, query, deadline)[query.skip : end] if unsure else found


def _end(query: Query) -> int | None:
    return None if query.limit is None else query.skip + query.limit


def _ordered(found: list[bytes], query: Query, deadline: Deadline) -> list[bytes]:
    """Sorted in pieces: the whole of it in one would hold the interpreter for 50 ms at 100,000.

    No keys are kept: the garbage collector stops all threads for 25 ms to walk through as many.
    """

    place = placing(query.sort)

    def keyed(documents: Iterable[bytes]) -> Iterator[tuple[Any, bytes]]:
        return ((place(orjson.loads(one)), one) for one in documents)

    pieces: list[list[bytes]] = []
    for start in range(0, len(found), _ROWS):
        piece = sorted(keyed(found[start : start + _ROWS]), key=itemgetter(0))
        pieces.append([one for _, one in piece])
        if len(found) > _ROWS:
            deadline.check()
    if len(pieces) == 1:
        return pieces[0]
    ordered: list[bytes] = []
    for _, one in merge(*map(keyed, pieces), key=itemgetter(0)):
        ordered.append(one)
        if len(ordered) % _MATCHED_ROWS == 0:
            deadline.check()
    return ordered
