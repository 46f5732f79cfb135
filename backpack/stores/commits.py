"""Group commit: the writes of one turn of the event loop share one transaction, as do its reads.

What they write is not known here.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from ..errors import Unavailable
from .sqlite import connect, own_error

_LOG = logging.getLogger(__name__)

_SLICE = 0.005  # seconds of writing before other tasks get a turn
_WAL = 4 * 1024 * 1024  # bytes of write-ahead log that call for a checkpoint

_Result = TypeVar("_Result")
Write = tuple[Callable[[], Any], asyncio.Future[Any]]


class Commits:
    """The queue of writes on one connection, which nothing else writes on.

    A write is a function that is called inside a transaction, perhaps again in another one. Its
    result is handed out after the COMMIT. What it raises must have changed nothing; that reaches
    its own caller only. `undone` is called after a transaction was rolled back.

    The write-ahead log of the file `path` is moved into it by a thread while writes wait: beside
    steady writers it would grow without end.
    """

    def __init__(
        self, connection: sqlite3.Connection, path: Path | None, undone: Callable[[], None]
    ) -> None:
        self._connection = connection
        self._path = path
        self._undone = undone
        self._waiting: list[Write] = []
        self._reading = False
        self._closed = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="backpack-checkpoint")
        self._checkpoint: asyncio.Future[bool] | None = None
        self._checkpoint_at = _WAL

    def submit(self, write: Callable[[], _Result]) -> asyncio.Future[_Result]:
        """The future result of `write`; raises Unavailable after `close`."""
        if self._closed:
            raise Unavailable("The database is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_Result] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._flush)
        self._waiting.append((write, future))
        return future

    def share_read(self) -> None:
        """Begin a transaction for the reads of this turn of the loop.

        Each by itself would lock the file and unlock it: 15 us of the 20 that a read by `_id` takes
        under load. A checkpoint cannot end while one reads, so none is begun beside it.
        """
        if self._reading or self._checkpoint or self._path is None or self._closed:
            return
        self._connection.execute("BEGIN")
        self._reading = True
        asyncio.get_running_loop().call_soon(self._end_read)

    def _end_read(self) -> None:
        if self._reading:
            self._reading = False
            if self._connection.in_transaction:  # an error of the disk may have ended it
                self._connection.execute("COMMIT")

    async def close(self) -> None:
        """Commit what is waiting; no write may come after it."""
        self._closed = True
        self._end_read()
        while self._waiting or self._checkpoint:
            if self._checkpoint:
                await asyncio.wait([self._checkpoint])
            else:
                self._flush()
        self._thread.shutdown(wait=False)

    def _flush(self) -> None:
        if self._checkpoint or not self._waiting:
            return
        batch = [write for write in self._waiting if not write[1].cancelled()]
        outcomes = self._commit(batch)
        self._waiting = batch[len(outcomes) :]
        for (_, future), (result, failure) in zip(batch, outcomes, strict=False):
            if failure is None:
                future.set_result(result)
            else:
                future.set_exception(failure)
        if self._path is not None:
            self._start_checkpoint(self._path)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)

    def _commit(self, batch: Sequence[Write]) -> list[tuple[Any, Exception | None]]:
        """The outcomes of as many writes as fit into a slice of time, at least one."""
        until = time.monotonic() + _SLICE
        outcomes: list[tuple[Any, Exception | None]] = []
        try:
            self._end_read()
            self._connection.execute("BEGIN IMMEDIATE")
            for write, _ in batch:
                outcomes.append(_attempt(write))
                if time.monotonic() > until:
                    break
            self._connection.execute("COMMIT")
        except sqlite3.Error as exc:
            self._roll_back()
            if len(batch) == 1:
                return [(None, _caused(exc))]
            # One of them may be too much for the disk where the others are not.
            return [self._commit([write])[0] for write in batch]
        return outcomes

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            self._undone()
        except sqlite3.Error:
            _LOG.exception("A transaction could not be undone")

    def _start_checkpoint(self, path: Path) -> None:
        size = _wal_size(path)
        if size < self._checkpoint_at:
            return
        loop = asyncio.get_running_loop()
        self._checkpoint = loop.run_in_executor(self._thread, _checkpoint, path)
        self._checkpoint.add_done_callback(lambda done: self._end_checkpoint(size, done))

    def _end_checkpoint(self, size: int, done: asyncio.Future[bool]) -> None:
        # A reader's snapshot, or a full disk, holds it up: try again when the log has grown.
        self._checkpoint_at = _WAL if not done.cancelled() and done.result() else size + _WAL
        self._checkpoint = None
        self._flush()


def _attempt(write: Callable[[], Any]) -> tuple[Any, Exception | None]:
    try:
        return write(), None
    except sqlite3.Error:
        raise
    except Exception as exc:  # it is raised again in the task that waits for this write
        return None, exc


def _caused(exc: sqlite3.Error) -> Exception:
    failure = own_error(exc)
    failure.__cause__ = exc
    return failure


def _wal_size(path: Path) -> int:
    try:
        return os.stat(f"{path}-wal").st_size
    except FileNotFoundError:
        return 0


def _checkpoint(path: Path) -> bool:
    """Move the whole write-ahead log into the file and empty it; False where that failed."""
    try:
        with closing(connect(path)) as connection:
            (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            return not busy
    except sqlite3.Error:
        _LOG.warning("The write-ahead log could not be moved into %s", path, exc_info=True)
        return False
