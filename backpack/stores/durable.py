"""The store in one SQLite file, or in memory. How queries become SQL is in `sql`.

Reads of a few documents run on the event loop's thread, as a hop to another costs more than they
do; scans of large collections run in a `Reader`. All writes go through `Commits`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import orjson

from .. import documents
from ..documents import Document
from ..errors import Conflict, TooSlow
from ..queries import EVERYTHING, Filter, Query
from . import scans
from .base import INTERNAL, Changed
from .catalogue import Catalogue, Table, at_snapshot
from .commits import Commits
from .handles import Handle, Handles
from .reader import Reader
from .scans import Deadline
from .sqlite import own_error

_FEW = 1_000  # rows that may be looked through on the event loop's thread
_BUDGET = 0.005  # seconds that this may take; rows can be large
_STEPS = 200  # of SQLite's virtual machine between two looks at the clock

_Result = TypeVar("_Result")
_Row = tuple[str, bool, bytes]
_Look = Callable[[sqlite3.Connection, Table, Deadline], _Result]


class DurableStore:
    """One SQLite file, opened by this process alone; None keeps everything in memory.

    Its folder must be there. `max_document`: bytes of a document as JSON. `deadline`: seconds that
    a query may take. A write that was answered survives the end of the process; with `synchronous`
    "full" also that of the machine. Stores that share `handles` share a bound on open files.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        max_document: int = 1_048_576,
        deadline: float = 5.0,
        synchronous: str = "normal",
        handles: Handles | None = None,
    ) -> None:
        self._max_document = max_document
        self._deadline = deadline
        self._handle = Handle(path, handles or Handles(), synchronous)
        self._reader = Reader(path, deadline) if path else None

    # Each asks for the open file anew: another store may have needed its place since.

    @property
    def _connection(self) -> sqlite3.Connection:
        return self._handle.use().connection

    @property
    def _catalogue(self) -> Catalogue:
        return self._handle.use().catalogue

    @property
    def _commits(self) -> Commits:
        return self._handle.use().commits

    async def open(self) -> None:
        """Raises Unavailable when there is no such folder, or the file cannot be used."""
        self._handle.use()

    async def close(self) -> None:
        """Finish running scans and queued writes, and leave the file alone, without a log."""
        if self._reader is not None:
            await self._reader.close()
        await self._handle.close()

    async def collections(self) -> list[str]:
        return self._catalogue.listed()

    async def has_collection(self, name: str) -> bool:
        return not name.startswith(INTERNAL) and self._catalogue.get(name) is not None

    async def create_collection(self, name: str) -> bool:
        def write() -> bool:
            if self._catalogue.get(name) is not None:
                return False
            self._catalogue.create(name)
            return True

        return await self._commits.submit(write)

    async def drop_collection(self, name: str) -> bool:
        return await self._commits.submit(lambda: self._catalogue.drop(name))

    async def insert(self, collection: str, documents: Sequence[Document]) -> list[bytes]:
        rows = [self._row(document) for document in documents]
        if not rows:
            return []
        if len({record_id for record_id, _, _ in rows}) < len(rows):
            raise _taken()
        await self._commits.submit(lambda: self._insert(collection, rows))
        return [encoded for _, _, encoded in rows]

    def _insert(self, collection: str, rows: list[_Row]) -> None:
        table = self._catalogue.get(collection) or self._catalogue.create(collection)
        greatest = "" if table.by_id else self._catalogue.greatest(table)
        statement = f"INSERT INTO {table.name}(id, odd, doc) VALUES(?, ?, CAST(? AS TEXT))"
        try:
            if len(rows) == 1:
                self._connection.execute(statement, rows[0])
            else:
                self._insert_all(statement, rows)
        except sqlite3.IntegrityError as exc:
            raise _taken() from exc
        if not table.by_id:
            self._catalogue.inserted(collection, table, (row[0] for row in rows), greatest)

    def _insert_all(self, statement: str, rows: list[_Row]) -> None:
        self._connection.execute("SAVEPOINT batch")
        try:
            self._connection.executemany(statement, rows)
        except sqlite3.IntegrityError:
            self._connection.execute("ROLLBACK TO batch")
            self._connection.execute("RELEASE batch")
            raise
        self._connection.execute("RELEASE batch")

    async def get(self, collection: str, record_id: str) -> bytes | None:
        table = self._catalogue.get(collection)
        if table is None:
            return None
        try:
            self._commits.share_read()
            row = self._connection.execute(
                f"SELECT doc FROM {table.name} WHERE id=?", (record_id,)
            ).fetchone()
        except sqlite3.Error as exc:
            raise own_error(exc) from exc
        return row[0] if row else None

    async def find(self, collection: str, query: Query) -> list[bytes]:
        table = self._catalogue.get(collection)
        if table is None:
            return []
        if query.limit and query.skip + query.limit <= _FEW and _is_plain(query):
            try:
                self._commits.share_read()
                return scans.page(query, self._connection, table)
            except sqlite3.Error as exc:
                raise own_error(exc) from exc
        return await self._scan(table, [], partial(scans.find, query))

    async def count(self, collection: str, filter: Filter) -> int:
        table = self._catalogue.get(collection)
        if table is None:
            return 0
        return await self._scan(table, 0, partial(scans.count, filter))

    async def _scan(self, table: Table, nothing: _Result, look: _Look[_Result]) -> _Result:
        """What `look` sees, on this thread while that is quick; `nothing` if the table goes."""
        if self._reader is None:
            return self._scan_here(table, self._deadline, look)
        if self._is_small(table):
            try:
                return self._scan_here(table, _BUDGET, look)
            except TooSlow:
                pass

        def look_there(connection: sqlite3.Connection, deadline: Deadline) -> _Result:
            found = at_snapshot(connection, table)
            return look(connection, found, deadline) if found else nothing

        with self._handle.held():
            return await self._reader.run(look_there)

    def _is_small(self, table: Table) -> bool:
        try:
            (last,) = self._connection.execute(f"SELECT max(seq) FROM {table.name}").fetchone()
        except sqlite3.Error as exc:
            raise own_error(exc) from exc
        return last is None or last <= _FEW

    def _scan_here(self, table: Table, seconds: float, look: _Look[_Result]) -> _Result:
        deadline = Deadline(seconds)
        self._connection.set_progress_handler(deadline.passed, _STEPS)
        try:
            return look(self._connection, table, deadline)
        except sqlite3.Error as exc:
            raise (deadline.too_slow() if deadline.passed() else own_error(exc)) from exc
        finally:
            self._connection.set_progress_handler(None, 0)

    async def change(
        self, collection: str, record_id: str, edit: Callable[[Document], Document | None]
    ) -> Changed | None:
        return await self._commits.submit(lambda: self._change(collection, record_id, edit))

    def _change(
        self, collection: str, record_id: str, edit: Callable[[Document], Document | None]
    ) -> Changed | None:
        table = self._catalogue.get(collection)
        if table is None:
            return None
        run = self._connection.execute
        found = run(f"SELECT seq, doc FROM {table.name} WHERE id=?", (record_id,)).fetchone()
        if found is None:
            return None
        seq, before = found
        new = edit(orjson.loads(before))
        if new is None:
            run(f"DELETE FROM {table.name} WHERE seq=?", (seq,))
            return Changed(before, None)
        _, odd, after = self._row(new)
        run(f"UPDATE {table.name} SET odd=?, doc=CAST(? AS TEXT) WHERE seq=?", (odd, after, seq))
        return Changed(before, after)

    def _row(self, document: Document) -> _Row:
        if next(iter(document)) != "_id":
            document = {"_id": document["_id"], **document}
        encoded = documents.encode(document, self._max_document)
        # A backslash before it makes this a false alarm, which costs time only.
        return document["_id"], b"\\u0000" in encoded, encoded


def _is_plain(query: Query) -> bool:
    return not query.sort and query.filter.tree == EVERYTHING.tree


def _taken() -> Conflict:
    return Conflict("A document with this _id exists already")
