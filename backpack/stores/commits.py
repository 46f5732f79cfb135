"""Group commit: the writes of one turn of the event loop share one transaction, as do the reads up
to the next write.

What they write is not known here.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ..errors import BackpackError, Unavailable
from .sqlite import MOMENT, connect, disk_error

_LOG = logging.getLogger(__name__)

_SLICE = 0.005  # seconds of writing before other tasks get a turn
_WAL = 4 * 1024 * 1024  # bytes of write-ahead log that call for a checkpoint
_PAUSE = 0.5  # seconds until a checkpoint that failed is tried again

_Result = TypeVar("_Result")
Write = tuple[Callable[[], Any], asyncio.Future[Any]]


class Commits:
    """The queue of writes on one connection, which nothing else writes on.

    A write is a function that is called inside a transaction, perhaps again in another one. Its
    result is handed out after the COMMIT. What it raises must have changed nothing; that reaches
    its own caller only. `undone` is called after a transaction was rolled back, and after `alone`.

    The write-ahead log of the file `path` is moved into it by one of `threads` while writes wait:
    beside steady writers it would grow without end.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path | None,
        undone: Callable[[], None],
        threads: Executor,
    ) -> None:
        self._connection = connection
        self._path = path
        self._undone = undone
        self._waiting: list[Write] = []
        self._reading = False
        self._refusal: BackpackError | None = None
        self._threads = threads
        self._checkpoint: asyncio.Future[bool] | None = None
        self._alone: asyncio.Future[Any] | None = None
        self._checkpoint_at = _WAL
        self._again_at = 0.0
        self._stuck = False

    def submit(self, write: Callable[[], _Result]) -> asyncio.Future[_Result]:
        """The future result of `write`; raises what `refuse` was given."""
        if self._refusal is not None:
            raise self._refusal.with_traceback(None)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_Result] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._flush)
        self._waiting.append((write, future))
        return future

    def share_read(self) -> None:
        """Begin a transaction for the reads up to the next write.

        Each by itself would lock the file and unlock it: 15 us of the 20 that a read by `_id` takes
        under load. What is read is up to date, as nobody else writes but by `alone`, which ends it.
        A checkpoint cannot end while one reads, so none is begun beside it.
        """
        if self._reading or self._checkpoint or self._path is None or self._refusal:
            return
        self._connection.execute("BEGIN")
        self._reading = True

    def _end_read(self) -> None:
        if self._reading:
            self._reading = False
            if self._connection.in_transaction:  # an error of the disk may have ended it
                self._connection.execute("COMMIT")

    @property
    def busy(self) -> bool:
        """Whether writes wait, or something that they wait for is under way."""
        return bool(self._waiting or self._held_up)

    @property
    def _held_up(self) -> asyncio.Future[Any] | None:
        """What writes have to wait for."""
        return self._checkpoint or self._alone

    async def alone(self, work: Callable[[Path], _Result]) -> _Result:
        """What `work` returns, which writes to the file by a connection of its own in a thread.

        Other writes wait for it; as a second writer they would be refused. Raises what `refuse` was
        given.
        """
        assert self._path is not None
        while self._held_up:
            await asyncio.wait([self._held_up])
        if self._refusal is not None:
            raise self._refusal.with_traceback(None)
        loop = asyncio.get_running_loop()
        self._alone = ended = loop.run_in_executor(self._threads, work, self._path)
        ended.add_done_callback(self._end_alone)
        return await asyncio.shield(ended)

    def _end_alone(self, ended: asyncio.Future[Any]) -> None:
        ended.exception()  # is known, where nobody waits for it any more
        self._alone = None
        self._end_read()  # it would see the file as it was before
        try:
            self._undone()
        finally:
            self._flush()

    async def copied(self, path: Path) -> None:
        """Copy the file, as it is after the writes that were answered, to a new file `path`.

        Writes go on; their log is not moved meanwhile. Raises NoSpace, Unavailable.
        """
        assert self._path is not None
        while self._held_up:
            await asyncio.wait([self._held_up])
        work = asyncio.get_running_loop().run_in_executor(None, _copy, self._path, path)
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait([work])
            raise
        except sqlite3.Error as exc:
            raise disk_error(exc, path) from exc

    @property
    def has_log(self) -> bool:
        """Whether there is a write-ahead log that can be moved, as far as the last try tells."""
        return self._path is not None and not self._stuck and wal_size(self._path) > 0

    def empty_log(self) -> asyncio.Future[bool]:
        """Begin to move the log into the file, which must not be busy; writes wait for the end."""
        assert self._path is not None
        self._end_read()
        return self._start_checkpoint(self._path, wal_size(self._path))

    def refuse(self, failure: BackpackError) -> None:
        """Take no writes from now on, and raise `failure` for them."""
        self._refusal = failure

    def stop(self) -> None:
        """Begin nothing from now on."""
        self.refuse(Unavailable("The database is closed"))
        self._end_read()

    async def close(self) -> None:
        """Commit what is waiting; no write may come after it."""
        self.stop()
        while self._waiting or self._held_up:
            if self._held_up:
                await asyncio.wait([self._held_up])
            else:
                self._flush()

    def _flush(self) -> None:
        if self._held_up or not self._waiting:
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
            self._keep_log_small(self._path)
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
                return [(None, self._caused(exc))]
            return self._commit_each(batch)
        return outcomes

    def _commit_each(self, batch: Sequence[Write]) -> list[tuple[Any, Exception | None]]:
        """As `_commit`, each by itself: one may be too much for the disk where others are not."""
        until = time.monotonic() + _SLICE
        outcomes: list[tuple[Any, Exception | None]] = []
        for write in batch:
            outcomes += self._commit([write])
            if time.monotonic() > until:
                break
        return outcomes

    def _caused(self, exc: sqlite3.Error) -> Exception:
        failure = disk_error(exc, self._path)
        failure.__cause__ = exc
        return failure

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            self._undone()
        except sqlite3.Error:
            _LOG.exception("A transaction could not be undone")

    def _keep_log_small(self, path: Path) -> None:
        size = wal_size(path)
        if size >= self._checkpoint_at or (size >= _WAL and time.monotonic() > self._again_at):
            self._start_checkpoint(path, size)

    def _start_checkpoint(self, path: Path, size: int) -> asyncio.Future[bool]:
        loop = asyncio.get_running_loop()
        work = partial(_checkpoint, path, tell=not self._stuck)
        self._checkpoint = loop.run_in_executor(self._threads, work)
        self._checkpoint.add_done_callback(lambda done: self._end_checkpoint(size, done))
        return self._checkpoint

    def _end_checkpoint(self, size: int, done: asyncio.Future[bool]) -> None:
        # A reader's snapshot, or a full disk, holds it up: try again later, or when it has grown.
        self._stuck = done.cancelled() or not done.result()
        self._checkpoint_at = size + _WAL if self._stuck else _WAL
        self._again_at = time.monotonic() + _PAUSE
        self._checkpoint = None
        self._flush()


def _attempt(write: Callable[[], Any]) -> tuple[Any, Exception | None]:
    try:
        return write(), None
    except sqlite3.Error:
        raise
    except Exception as exc:  # it is raised again in the task that waits for this write
        return None, exc


def wal_size(path: Path) -> int:
    """Bytes of a file's write-ahead log, 0 when there is none."""
    try:
        return os.stat(f"{path}-wal").st_size
    except FileNotFoundError:
        return 0


def _copy(path: Path, to: Path) -> None:
    with closing(connect(path, wait=MOMENT)) as source, closing(connect(to)) as target:
        target.execute("PRAGMA synchronous=OFF")  # it does not outlive the process
        source.backup(target)


def _checkpoint(path: Path, *, tell: bool) -> bool:
    """Move the whole write-ahead log into the file and empty it; False where that failed, and
    with `tell` the log says why."""
    try:
        with closing(connect(path)) as connection:
            (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            return not busy
    except sqlite3.Error as exc:
        if tell:
            _LOG.warning("The write-ahead log could not be moved into %s: %s", path, exc)
        return False
