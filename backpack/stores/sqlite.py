"""Connections to SQLite, and its errors as Backpack's. What is stored is not known here."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from ..errors import BackpackError, NoSpace, TooSlow, Unavailable


def connect(path: Path | None) -> sqlite3.Connection:
    """A connection to a file, or with None to a new database in memory; texts come as bytes.

    It never waits for a lock: a wait on the event loop's thread is a stall, and writers take turns
    by a queue.
    """
    connection = sqlite3.connect(
        ":memory:" if path is None else path,
        timeout=0,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    connection.text_factory = bytes
    return connection


def own_error(exc: sqlite3.Error) -> BackpackError:
    """The error that a caller may see in the place of SQLite's."""
    match getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_MISUSE) & 0xFF:
        case sqlite3.SQLITE_FULL:
            return NoSpace()
        case sqlite3.SQLITE_INTERRUPT:
            return TooSlow()
        case sqlite3.SQLITE_READONLY:
            return Unavailable("The database is read-only", code="read_only")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return Unavailable("The database is locked by another process")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return Unavailable("The database file is damaged", code="damaged")
    return Unavailable("The database is not available, try again")
