"""Connections to SQLite, and its errors as Backpack's. What is stored is not known here."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from ..errors import BackpackError, NoSpace, ReadOnly, TooSlow, Unavailable

_ROOM = 65_536  # bytes that SQLite needs to open a file: the index of its log and the first pages


MOMENT = 1.0  # seconds; another connection that closes locks the file for much less


def connect(path: Path | None, *, wait: float = 0.0) -> sqlite3.Connection:
    """A connection to a file, or with None to a new database in memory; texts come as bytes.

    Without `wait`, the seconds that it waits for a lock, it never does: on the event loop's thread
    that is a stall, and writers take turns by a queue. In other threads it should be a `MOMENT`.
    """
    connection = sqlite3.connect(
        ":memory:" if path is None else path,
        timeout=wait,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    connection.text_factory = bytes
    return connection


def connect_frozen(path: Path) -> sqlite3.Connection:
    """A connection that reads a file without a log as it is, and needs no place beside it.

    Only while nothing can write to the file: SQLite looks for no change then.
    """
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro&immutable=1",
        uri=True,
        timeout=0,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.text_factory = bytes
    return connection


def own_error(exc: sqlite3.Error) -> BackpackError:
    """The error that a caller may see in the place of SQLite's."""
    number = getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_MISUSE)
    if number == sqlite3.SQLITE_IOERR_SHMSIZE:  # no room for the index of the write-ahead log
        return NoSpace()
    match number & 0xFF:
        case sqlite3.SQLITE_FULL:
            return NoSpace()
        case sqlite3.SQLITE_INTERRUPT:
            return TooSlow()
        case sqlite3.SQLITE_READONLY:
            return ReadOnly()
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return Unavailable("The database is locked by another process")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return Unavailable("The database file is damaged", code="damaged")
    return Unavailable("The database is not available, try again")


def disk_error(exc: sqlite3.Error, path: Path | None) -> BackpackError:
    """As `own_error`, of a write to the file `path` or its opening: what SQLite does not know about
    the disk is looked up."""
    failure = own_error(exc)
    if path is None or failure.code != Unavailable.code:
        return failure
    try:
        disk = os.statvfs(path.parent)
    except OSError:
        return failure
    if disk.f_flag & os.ST_RDONLY:
        return ReadOnly()
    if disk.f_bavail * disk.f_frsize < _ROOM or (disk.f_files and not disk.f_favail):
        return NoSpace()
    return failure
