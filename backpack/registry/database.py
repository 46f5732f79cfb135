"""The registry's file: one connection in a thread of its own, statements in turn.

What is stored in it the other modules know.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiosqlite

from ..errors import Conflict
from ..stores.sqlite import disk_error
from .schema import migrate

Row = sqlite3.Row

_PATIENCE = 5.0  # seconds that a statement waits for another process


class Statements:
    """Where statements run: each for itself, or all of one transaction."""

    def __init__(self, connection: aiosqlite.Connection, path: Path | None) -> None:
        self._connection = connection
        self._path = path

    async def rows(self, statement: str, *values: Any) -> list[Row]:
        """What a statement returns; raises Conflict for what must be there once only, NoSpace,
        Unavailable."""
        try:
            return list(await self._connection.execute_fetchall(statement, values))
        except sqlite3.IntegrityError as exc:
            raise Conflict from exc
        except sqlite3.Error as exc:
            raise disk_error(exc, self._path) from exc

    async def row(self, statement: str, *values: Any) -> Row | None:
        """The first row of what a statement returns; None when there is none."""
        found = await self.rows(statement, *values)
        return found[0] if found else None


class Database(Statements):
    """The opened file; a statement outside a transaction is one of its own."""

    def __init__(self, connection: aiosqlite.Connection, path: Path | None) -> None:
        super().__init__(connection, path)
        self._turn = asyncio.Lock()
        self._inside = Statements(connection, path)

    @classmethod
    async def open(cls, path: Path | None, synchronous: str = "normal") -> Database:
        """The file at `path`, made or upgraded as needed; with None one in memory.

        Raises Invalid for the file of a newer Backpack, Unavailable, NoSpace.
        """
        try:
            opened = await asyncio.to_thread(_connect, path, synchronous)
        except sqlite3.Error as exc:
            raise disk_error(exc, path) from exc
        connection = aiosqlite.Connection(lambda: opened, iter_chunk_size=64)
        await connection
        return cls(connection, path)

    async def close(self) -> None:
        async with self._turn:
            await self._connection.close()

    async def rows(self, statement: str, *values: Any) -> list[Row]:
        async with self._turn:
            return await super().rows(statement, *values)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Statements]:
        """Statements that take effect together, or not at all where one of them raises."""
        async with self._turn:
            try:
                await self._inside.rows("BEGIN IMMEDIATE")
                yield self._inside
                await self._inside.rows("COMMIT")
            except BaseException:
                # Whoever is cancelled meanwhile must not leave it open for the next.
                await asyncio.shield(self._roll_back())
                raise

    async def _roll_back(self) -> None:
        with suppress(sqlite3.Error):  # none was begun
            await self._connection.execute_fetchall("ROLLBACK")


def _connect(path: Path | None, synchronous: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        ":memory:" if path is None else path,
        timeout=_PATIENCE,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        if path is not None:
            path.chmod(0o600)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        migrate(connection)
        # Only now: a step that makes a table anew must not take the rows of others with it.
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return connection
