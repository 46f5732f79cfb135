"""The store in one SQLite file, or in memory. How queries become SQL is in `sql`.

Reads of a few documents run on the event loop's thread, as a hop to another costs more than they
do; scans of large collections run in a `Reader`. All writes go through `Commits`.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import orjson

from .. import documents
from ..documents import Document
from ..errors import Conflict, TooSlow, Unavailable
from ..queries import EVERYTHING, Filter, Query
from . import lookups, scans
from .base import INTERNAL, Changed, IndexInfo, Store
from .catalogue import Catalogue, Table, at_snapshot
from .commits import Commits
from .handles import Handle, Handles
from .lookups import FEW, SMALL, Answer, Effort, Look, Pages
from .reader import Reader
from .scans import Deadline
from .sqlite import own_error
from .upkeep import Upkeep

_BUDGET = 0.005  # seconds that a look through a small collection may take here; rows can be large
_TRY = 0.002  # seconds that other looks get before they go to a thread, which costs 0.5 ms
_QUICK = 0.0003  # seconds; a query that takes longer asks for an index
_SNAPSHOT = ".snapshot-"  # how the names of copies begin, which are gone at the next start
_STEPS = 200  # of SQLite's virtual machine between two looks at the clock

_Result = TypeVar("_Result")
_Row = tuple[str, bool, bytes]


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
        self._path = path
        self._handles = handles = handles or Handles()
        self._handle = Handle(path, handles, synchronous)
        self._reader = Reader(path, deadline, handles.readers) if path else None
        self._pages = Pages()
        self._upkeep = Upkeep(self._handle, path)

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
        if self._path is not None:
            for left in self._path.parent.glob(f"{_SNAPSHOT}*"):
                _remove(left)
        self._handle.use()

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Store]:
        """Made by copying the file beside it, so that the log is held up by that only, and not for
        as long as somebody reads."""
        if self._path is None:
            raise Unavailable("A database in memory has no snapshots")
        path = self._path.with_name(f"{_SNAPSHOT}{secrets.token_hex(4)}")
        try:
            with self._handle.held() as opened:
                await opened.commits.copied(path)
            store = DurableStore(path, deadline=self._deadline, handles=self._handles)
            try:
                yield store
            finally:
                await store.close()
        finally:
            # To remove 45 MB takes 15 ms.
            await asyncio.to_thread(_remove, path)

    async def close(self) -> None:
        """Finish running scans and queued writes, and leave the file alone, without a log."""
        await self._upkeep.close()
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
        table = self._catalogue.get(name)
        if table is not None:
            self._upkeep.forget(table)
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
        if query.limit and query.skip + query.limit <= SMALL and _is_plain(query):
            try:
                self._commits.share_read()
                return scans.page(query, self._connection, table)
            except sqlite3.Error as exc:
                raise own_error(exc) from exc
        page = self._page(table, query)
        if page is None:
            return await self._look(table, query, [], partial(lookups.find, query))
        self._upkeep.used(table, page.indexes)
        return page.result

    def _page(self, table: Table, query: Query) -> Answer[list[bytes]] | None:
        opened = self._handle.use()
        try:
            opened.commits.share_read()
            return self._pages.find(query, opened.connection, table)
        except sqlite3.Error as exc:
            if _lacks_index(exc):
                return None
            raise own_error(exc) from exc

    async def count(self, collection: str, filter: Filter) -> int:
        table = self._catalogue.get(collection)
        if table is None:
            return 0
        query = Query(filter)
        return await self._look(table, query, 0, partial(lookups.count, query))

    async def _look(
        self, table: Table, query: Query, nothing: _Result, look: Look[_Result]
    ) -> _Result:
        """What `look` sees: on this thread where that is quick; `nothing` if the table goes."""
        rows = self._greatest(table)
        effort = Effort(max(FEW, rows // 5), scan=True)
        try:
            began = time.thread_time()
            if self._reader is None:
                answer = self._look_here(table, Deadline(self._deadline), effort, look)
            else:
                answer = self._try_here(table, rows, look)
            is_quick = answer is not None and time.thread_time() - began < _QUICK
            if answer is None:
                answer = await self._look_there(table, Answer(nothing), effort, look)
        except TooSlow as exc:
            self._upkeep.scanned(table, query, rows)
            why = self._upkeep.why_slow(table, query)
            raise TooSlow(f"{exc.message}{why and f' ({why})'}") from exc
        self._upkeep.used(table, answer.indexes)
        if not is_quick:
            self._upkeep.scanned(table, query, rows)
        return answer.result

    def _greatest(self, table: Table) -> int:
        """The greatest `seq` of a table: no fewer than its rows."""
        opened = self._handle.use()
        try:
            opened.commits.share_read()
            (last,) = opened.connection.execute(f"SELECT max(seq) FROM {table.name}").fetchone()
        except sqlite3.Error as exc:
            raise own_error(exc) from exc
        return last or 0

    def _try_here(self, table: Table, rows: int, look: Look[_Result]) -> Answer[_Result] | None:
        """None where it takes too long."""
        is_small = rows <= SMALL
        effort = Effort(FEW, scan=is_small)
        # Of this thread alone: what others do meanwhile says nothing about the query.
        deadline = Deadline(_BUDGET if is_small else _TRY, clock=time.thread_time)
        try:
            return self._look_here(table, deadline, effort, look)
        except TooSlow:
            return None

    def _look_here(
        self, table: Table, deadline: Deadline, effort: Effort, look: Look[_Result]
    ) -> Answer[_Result] | None:
        connection = self._connection
        connection.set_progress_handler(deadline.passed, _STEPS)
        try:
            return look(connection, table, deadline, effort)
        except sqlite3.Error as exc:
            if _lacks_index(exc):
                return None
            raise (deadline.too_slow() if deadline.passed() else own_error(exc)) from exc
        finally:
            connection.set_progress_handler(None, 0)

    async def _look_there(
        self, table: Table, nothing: Answer[_Result], effort: Effort, look: Look[_Result]
    ) -> Answer[_Result]:
        def look_there(connection: sqlite3.Connection, deadline: Deadline) -> Answer[_Result]:
            found = at_snapshot(connection, table)
            answer = look(connection, found, deadline, effort) if found else nothing
            assert answer is not None  # whatever the effort
            return answer

        assert self._reader is not None
        with self._handle.held():
            return await self._reader.run(look_there)

    async def indexes(self, collection: str | None = None) -> list[IndexInfo]:
        return self._upkeep.indexes(collection)

    async def pin_index(self, collection: str, fields: str) -> None:
        await self._upkeep.pin(collection, fields)

    async def forbid_index(self, collection: str, path: str) -> None:
        await self._upkeep.forbid(collection, path)

    async def release_index(self, collection: str, fields: str) -> None:
        await self._upkeep.release(collection, fields)

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
        if after == before:
            return Changed(before, after)
        run(f"UPDATE {table.name} SET odd=?, doc=CAST(? AS TEXT) WHERE seq=?", (odd, after, seq))
        return Changed(before, after)

    def _row(self, document: Document) -> _Row:
        if next(iter(document)) != "_id":
            document = {"_id": document["_id"], **document}
        encoded = documents.encode(document, self._max_document)
        # A backslash before it makes this a false alarm, which costs time only.
        return document["_id"], b"\\u0000" in encoded, encoded


def _remove(path: Path) -> None:
    """Remove a snapshot, with what SQLite keeps beside it."""
    for part in (path, Path(f"{path}-wal"), Path(f"{path}-shm"), Path(f"{path}-journal")):
        with suppress(OSError):
            part.unlink()


def _is_plain(query: Query) -> bool:
    return not query.sort and query.filter.tree == EVERYTHING.tree


def _lacks_index(exc: sqlite3.Error) -> bool:
    """Whether a statement names an index that a thread has dropped just now."""
    return "no such index" in str(exc) or "no such table" in str(exc)


def _taken() -> Conflict:
    return Conflict("A document with this _id exists already")
