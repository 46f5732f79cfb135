"""The SQLite files that a process has open: not more than a bound, those that were used last.

What is read and written in them is not known here.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sqlite3
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import BackpackError, NoSpace, ReadOnly, Unavailable
from .catalogue import Catalogue
from .commits import Commits, wal_size
from .reader import Threads
from .sqlite import connect, connect_frozen, disk_error

_THREADS = 2  # that move write-ahead logs into their files; more would only wait for the disk
_DESCRIPTORS = 3  # of an open file: itself, its log, and the log's index

# Bytes that all of SQLite may take before its caches give back pages: each of 100 caches would
# else keep 2 MB once its file has been read.
_HEAP = 64 * 1024 * 1024

_LATER = 0.1  # seconds until busy files are looked at again
_FROZEN = 1.0  # seconds until a file that could not be written is tried again


@dataclass(frozen=True)
class Opened:
    """A file that is open: a connection and what belongs to it."""

    connection: sqlite3.Connection
    catalogue: Catalogue
    commits: Commits


class Handles:
    """The open files of a process, `limit` at most besides those that are busy.

    Every store of the process shares it, with the threads that move write-ahead logs and make
    indexes, and those that read. It takes no more than half of the file descriptors that the
    process may have.
    """

    def __init__(self, limit: int = 100) -> None:
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if descriptors != resource.RLIM_INFINITY:
            limit = min(limit, descriptors // (2 * _DESCRIPTORS))
        self._limit = max(1, limit)
        self._open: OrderedDict[Handle, None] = OrderedDict()  # the one used last at the end
        self._emptying: set[Handle] = set()
        self._again: asyncio.TimerHandle | None = None
        self.threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="backpack-checkpoint")
        self.readers = Threads()

    def add(self, handle: Handle) -> None:
        self._open[handle] = None

    def used(self, handle: Handle) -> None:
        self._open.move_to_end(handle)

    def discard(self, handle: Handle) -> None:
        self._open.pop(handle, None)

    def make_room(self, files: int = 0) -> None:
        """Close what was not used for longest, until `files` more may be opened.

        A log is moved into its file by a thread first, and the file closed then; unless more are
        opened than the threads can keep up with.
        """
        for handle in tuple(self._open):
            excess = len(self._open) + files - self._limit
            if excess <= len(self._emptying):
                return
            if handle.busy:
                continue
            if not handle.has_log or excess > _THREADS + self._limit // 4:
                handle.shut()
            elif len(self._emptying) < _THREADS:
                self._empty(handle)
            else:
                return
        if len(self._open) + files - self._limit > len(self._emptying):
            self._try_again()

    def _try_again(self) -> None:
        """Make room a little later, as all that may be closed is busy."""

        def again() -> None:
            self._again = None
            self.make_room()

        if self._again is None:
            self._again = asyncio.get_running_loop().call_later(_LATER, again)

    def _empty(self, handle: Handle) -> None:
        self._emptying.add(handle)

        def emptied(_: asyncio.Future[bool]) -> None:
            self._emptying.discard(handle)
            self.make_room()

        handle.empty_log().add_done_callback(emptied)


class Handle:
    """One SQLite file, or with None a database in memory, open while it is used.

    `synchronous`: "full" when a commit must survive a power cut as well.
    """

    def __init__(self, path: Path | None, handles: Handles, synchronous: str = "normal") -> None:
        self._path = path
        self._handles = handles
        self._synchronous = synchronous
        self._opened: Opened | None = None
        self._holders = 0
        self._closed = False

    def use(self) -> Opened:
        """The open file, opened if need be (0.2 ms).

        It may be closed again at the next `await`: who needs it for longer asks again, or holds it.
        Writes that wait in its queue hold it. Raises Unavailable or NoSpace when it cannot be
        opened.
        """
        if self._opened is None:
            return self._open()
        if self._path is not None:
            self._handles.used(self)
        return self._opened

    @contextmanager
    def held(self) -> Iterator[Opened]:
        """The open file, which stays open inside."""
        opened = self.use()
        self._holders += 1
        try:
            yield opened
        finally:
            self._holders -= 1

    @property
    def busy(self) -> bool:
        return bool(self._holders or (self._opened and self._opened.commits.busy))

    @property
    def has_log(self) -> bool:
        """Whether there is a log that a thread should move into the file before that is closed.

        One that could not be moved is left to the next who opens the file.
        """
        return self._opened is not None and self._opened.commits.has_log

    def empty_log(self) -> asyncio.Future[bool]:
        assert self._opened is not None
        return self._opened.commits.empty_log()

    def shut(self) -> None:
        """Close the file until it is used again; it must not be busy."""
        opened = self._take()
        if opened is not None:
            opened.commits.stop()
            opened.connection.close()

    async def close(self) -> None:
        """Finish queued writes and close the file for good, without a log."""
        self._closed = True
        if self._opened is not None:
            await self._opened.commits.close()
        opened = self._take()
        if opened is not None:
            # The last connection that closes moves the log: up to 20 ms of disk.
            await asyncio.to_thread(opened.connection.close)

    def _take(self) -> Opened | None:
        opened, self._opened = self._opened, None
        self._handles.discard(self)
        return opened

    def _open(self) -> Opened:
        if self._closed:
            raise Unavailable("The database is closed")
        # Before it is opened: on a full disk this takes the space of another's closed log.
        self._handles.make_room(1)
        try:
            self._opened = self._connect()
        except sqlite3.Error as exc:
            failure = disk_error(exc, self._path)
            self._opened = self._freeze(failure)
            if self._opened is None:
                raise self._cannot_open(failure, f" ({exc})") from exc
        except Unavailable as exc:
            raise self._cannot_open(exc) from exc
        if self._path is not None:
            self._handles.add(self)
        return self._opened

    def _connect(self) -> Opened:
        opened = self._prepared(connect(self._path), "journal_mode=WAL", *self._pragmas)
        if self._path is not None and not os.access(self._path, os.W_OK):
            # SQLite opens it all the same, and would not find out that it can be written again.
            self._refuse_writes(opened, ReadOnly())
        return opened

    def _freeze(self, failure: BackpackError) -> Opened | None:
        """The file for reading only, where the disk lets nothing be written; None when it cannot be
        read so. Soon it is tried again whether it can be written."""
        if self._path is None or not isinstance(failure, (NoSpace, ReadOnly)):
            return None
        if wal_size(self._path) or not self._path.exists():
            return None
        try:
            opened = self._prepared(connect_frozen(self._path))
        except sqlite3.Error:
            return None
        self._refuse_writes(opened, failure)
        return opened

    def _refuse_writes(self, opened: Opened, failure: BackpackError) -> None:
        opened.commits.refuse(failure)
        asyncio.get_running_loop().call_later(_FROZEN, self._thaw, opened)

    def _thaw(self, frozen: Opened) -> None:
        if self._opened is not frozen:
            return
        if self.busy:
            asyncio.get_running_loop().call_later(_FROZEN, self._thaw, frozen)
        else:
            self.shut()

    @property
    def _pragmas(self) -> tuple[str, ...]:
        return (
            f"synchronous={self._synchronous}",
            "wal_autocheckpoint=0",
            # Debian's default overwrites what is deleted: 87 ms to drop 100,000 documents, not 16.
            "secure_delete=FAST",
            f"soft_heap_limit={_HEAP}",
        )

    def _prepared(self, connection: sqlite3.Connection, *pragmas: str) -> Opened:
        try:
            for pragma in pragmas:
                connection.execute(f"PRAGMA {pragma}")
            catalogue = Catalogue(connection)
            catalogue.open()
        except BaseException:
            connection.close()
            raise
        commits = Commits(connection, self._path, catalogue.load, self._handles.threads)
        return Opened(connection, catalogue, commits)

    def _cannot_open(self, failure: BackpackError, detail: str = "") -> BackpackError:
        if isinstance(failure, (NoSpace, ReadOnly)):
            return failure
        return Unavailable(
            f"Cannot open {self._path}: {failure.message}{detail}", code=failure.code
        )
