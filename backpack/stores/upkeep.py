"""Indexes that make themselves: what queries ask for is made and dropped beside them.

Which ones pay is decided in `indexes`, how one is made stands in `builds`.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

from ..errors import BackpackError, Invalid, NotFound
from ..queries import Query
from . import builds
from .base import INTERNAL, IndexInfo
from .catalogue import Table, at_snapshot
from .handles import Handle
from .indexes import (
    AUTOMATIC,
    FORBIDDEN,
    PINNED,
    Index,
    Usage,
    Wanted,
    parse_fields,
    written,
)
from .sqlite import MOMENT, connect, disk_error

_LOG = logging.getLogger(__name__)

_WORTH = 100  # rows of a table that is worth an index
_REST = 10  # times as long as a build took, until the next one begins

_Change = Callable[[sqlite3.Connection, Table], None]


class Upkeep:
    """The indexes of one store. Counts of what is asked for are kept in memory only."""

    def __init__(self, handle: Handle, path: Path | None) -> None:
        self._handle = handle
        self._path = path
        self._usage: dict[int, Usage] = {}
        self._growth: asyncio.Task[None] | None = None
        self._rest_until = 0.0
        self._work: _Work | None = None
        self._closed = False

    def used(self, table: Table, indexes: tuple[Index, ...]) -> None:
        for index in indexes:
            self._of(table).used(index)

    def scanned(self, table: Table, query: Query, rows: int) -> None:
        """Take note of a query that no index has made quick, and make what is asked for by now."""
        if rows < _WORTH:
            return
        usage = self._of(table)
        usage.scanned(query, table.indexes)
        is_idle = self._growth is None and not self._closed
        if is_idle and time.monotonic() > self._rest_until:
            following = usage.next(table.indexes)
            if following is not None:
                self._growth = asyncio.create_task(self._grow(table, usage, *following))

    def why_slow(self, table: Table, query: Query) -> str:
        return self._of(table).why_slow(query, table.indexes)

    def forget(self, table: Table) -> None:
        """The table has been dropped."""
        self._usage.pop(table.number, None)

    async def close(self) -> None:
        """Break off what is being made, and begin nothing more."""
        self._closed = True
        if self._work is not None:
            self._work.stop()
        if self._growth is not None:
            await asyncio.wait([self._growth])

    def indexes(self, collection: str | None) -> list[IndexInfo]:
        catalogue = self._handle.use().catalogue
        names = catalogue.listed() if collection is None else [collection]
        return [
            IndexInfo(name, written(one.fields), one.state, one.elements, self._of(table).uses(one))
            for name in names
            for table in [self._table(name)]
            for one in table.indexes
        ]

    async def pin(self, collection: str, fields: str) -> None:
        table, wanted = self._table(collection), Wanted(parse_fields(fields))
        if any(path in _forbidden(table) for path, _ in wanted.fields):
            raise Invalid(f"{fields!r} is forbidden: release it first", code="bad_index")
        goes = None
        if all(one.wanted != wanted for one in table.made):
            goes = self._of(table).made_room(table.indexes)
        await self._change(table, partial(_pin, wanted, goes))

    async def forbid(self, collection: str, path: str) -> None:
        table, fields = self._table(collection), parse_fields(path)
        if len(fields) > 1:
            raise Invalid("Paths are forbidden one by one", code="bad_index")
        await self._change(table, lambda there, now: builds.forbid(there, now, fields[0][0]))

    async def release(self, collection: str, fields: str) -> None:
        table, wanted = self._table(collection), Wanted(parse_fields(fields))
        held = [one for one in table.indexes if one.fields == wanted.fields]
        if all(one.state == AUTOMATIC for one in held):
            raise NotFound(
                f"{fields!r} is neither pinned nor forbidden in {collection!r}",
                code="unknown_index",
            )
        await self._change(table, partial(_release, wanted))

    def _of(self, table: Table) -> Usage:
        usage = self._usage.get(table.number)
        if usage is None:
            usage = self._usage[table.number] = Usage()
        return usage

    def _table(self, collection: str) -> Table:
        table = self._handle.use().catalogue.get(collection)
        if table is None or collection.startswith(INTERNAL):
            raise NotFound(f"There is no collection {collection!r}", code="unknown_collection")
        return table

    async def _grow(self, table: Table, usage: Usage, wanted: Wanted, goes: Index | None) -> None:
        began = time.monotonic()
        try:
            await self._change(table, partial(_make, wanted, goes))
            usage.made(wanted)
        except Invalid as exc:
            usage.refused[wanted] = exc.message
        except BackpackError as exc:
            if not self._closed:
                _LOG.warning("An index on %s could not be made: %s", written(wanted.fields), exc)
            usage.refused[wanted] = "it could not be made"
        finally:
            now = time.monotonic()
            self._rest_until = now + _REST * (now - began)
            self._growth = None

    async def _change(self, table: Table, change: _Change) -> None:
        """Change the indexes of a table in a transaction, which sees it as it is then."""
        with self._handle.held() as opened:
            if self._path is not None:
                self._work = work = _Work(table, change)
                await opened.commits.alone(work.run)
                return
            await opened.commits.submit(lambda: _changed(opened.connection, table, change))
            opened.catalogue.load()


class _Work:
    """A change of indexes in a thread, on a connection of its own."""

    def __init__(self, table: Table, change: _Change) -> None:
        self._table = table
        self._change = change
        self._connection: sqlite3.Connection | None = None
        self._stopped = False
        self._lock = threading.Lock()

    def run(self, path: Path) -> None:
        if self._stopped:
            return
        try:
            with closing(connect(path, wait=MOMENT)) as connection:
                for pragma in ("synchronous=NORMAL", "wal_autocheckpoint=0", "secure_delete=FAST"):
                    connection.execute(f"PRAGMA {pragma}")
                self._use(connection)
                try:
                    connection.execute("BEGIN IMMEDIATE")
                    _changed(connection, self._table, self._change)
                    connection.execute("COMMIT")
                finally:
                    self._use(None)  # what is not committed is undone by closing
        except sqlite3.Error as exc:
            raise disk_error(exc, path) from exc

    def _use(self, connection: sqlite3.Connection | None) -> None:
        with self._lock:
            self._connection = connection

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            if self._connection is not None:
                self._connection.interrupt()


def _changed(connection: sqlite3.Connection, table: Table, change: _Change) -> None:
    now = at_snapshot(connection, table)
    if now is not None:
        change(connection, now)


def _make(wanted: Wanted, goes: Index | None, connection: sqlite3.Connection, table: Table) -> None:
    if any(index.wanted == wanted for index in table.made):
        return
    builds.make(connection, table, wanted, AUTOMATIC)
    _make_room(goes, connection, table)


def _pin(wanted: Wanted, goes: Index | None, connection: sqlite3.Connection, table: Table) -> None:
    for index in table.made:
        if index.wanted == wanted:
            builds.mark(connection, index, PINNED)
            return
    builds.make(connection, table, wanted, PINNED)
    _make_room(goes, connection, table)


def _make_room(goes: Index | None, connection: sqlite3.Connection, table: Table) -> None:
    """Drop `goes`, unless somebody has decided on it meanwhile."""
    if goes is not None and goes in table.indexes:
        builds.drop(connection, goes)


def _release(wanted: Wanted, connection: sqlite3.Connection, table: Table) -> None:
    for index in table.indexes:
        if index.fields == wanted.fields:
            if index.state == FORBIDDEN:
                builds.drop(connection, index)
            elif index.state == PINNED:
                builds.mark(connection, index, AUTOMATIC)


def _forbidden(table: Table) -> set[str]:
    return {index.paths[0] for index in table.indexes if index.state == FORBIDDEN}
