"""Long reads: in a few threads that all stores of a process share, each on a connection of its own.

What is read is not known here.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, TypeVar

from ..errors import Unavailable
from .scans import Deadline
from .sqlite import MOMENT, connect, own_error

_THREADS = 3  # with more, those that match in Python keep the interpreter from the event loop
_PAUSE = 0.0005  # seconds; without it the loop waits up to 10 ms for the interpreter
_AGAIN = 0.05  # seconds between interrupts of a scan that does not end

_Result = TypeVar("_Result")
_Read = Callable[[sqlite3.Connection, Deadline], _Result]


class Threads:
    """Turns in a few threads, for the stores of one event loop.

    No store gets all of them, and the next turn goes to the store that has the fewest.
    """

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="backpack-scan")
        self._running: Counter[object] = Counter()
        self._waiting: dict[object, deque[asyncio.Future[None]]] = {}

    async def turn(self, store: object, seconds: float) -> None:
        """Wait for a thread that is free for `store`, which then says `end`; raises Unavailable
        when that takes longer."""
        if self._is_free(store) and store not in self._waiting:
            self._running[store] += 1
        else:
            await self._wait(store, seconds)

    def end(self, store: object) -> None:
        self._running[store] -= 1
        if not self._running[store]:
            del self._running[store]
        self._pass_on()

    def _pass_on(self) -> None:
        """Give what is free to those that wait."""
        # Those that have waited longest come first among equals, as dicts keep their order.
        while free := [one for one in self._waiting if self._is_free(one)]:
            following = min(free, key=self._running.__getitem__)
            turn = self._waiting[following][0]
            self._leave(following, turn)
            if not turn.done():  # or its wait has ended, and does not know it yet
                self._running[following] += 1
                turn.set_result(None)

    def _is_free(self, store: object) -> bool:
        return self._running.total() < _THREADS and self._running[store] < _THREADS - 1

    async def _wait(self, store: object, seconds: float) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(store, deque()).append(turn)
        try:
            async with asyncio.timeout(seconds):
                await turn
        except BaseException as exc:
            if turn.done() and not turn.cancelled():
                self.end(store)  # it came together with what ended the wait
            self._leave(store, turn)
            if isinstance(exc, TimeoutError):
                raise Unavailable("Other long queries are running, try again") from exc
            raise

    def _leave(self, store: object, turn: asyncio.Future[None]) -> None:
        waiting = self._waiting.get(store, deque())
        with suppress(ValueError):
            waiting.remove(turn)
        if not waiting:
            self._waiting.pop(store, None)


class Reader:
    """Runs scans of one file, each on one snapshot and with a deadline.

    `seconds`: what a scan may take, the wait for a thread included.
    """

    def __init__(self, path: Path, seconds: float, threads: Threads) -> None:
        self._path = path
        self._seconds = seconds
        self._threads = threads
        self._scans: set[asyncio.Future[Any]] = set()

    async def run(self, read: _Read[_Result]) -> _Result:
        """What `read` returns; raises TooSlow, or Unavailable when its turn came too late."""
        deadline = Deadline(self._seconds, _PAUSE)
        await self._threads.turn(self, self._seconds)
        scan = _Scan(self._path, deadline)
        loop = asyncio.get_running_loop()
        ended = loop.run_in_executor(self._threads.pool, scan.run, read)
        self._scans.add(ended)
        ended.add_done_callback(self._ended)
        timer = loop.call_later(deadline.left, self._stop, scan, ended)
        try:
            return await asyncio.shield(ended)
        finally:
            timer.cancel()
            self._stop(scan, ended)

    async def close(self) -> None:
        """Let scans end, each by its deadline."""
        if self._scans:
            await asyncio.wait(self._scans)

    def _ended(self, scan: asyncio.Future[Any]) -> None:
        self._scans.discard(scan)
        self._threads.end(self)
        scan.exception()  # is known, where nobody waits for it any more

    def _stop(self, scan: _Scan, ended: asyncio.Future[Any]) -> None:
        """Interrupt a scan until it ends: an interrupt between two statements is lost."""
        if not ended.done():
            scan.stop()
            asyncio.get_running_loop().call_later(_AGAIN, self._stop, scan, ended)


class _Scan:
    """One scan in a thread; the connection ends with it, so that idle stores hold no files."""

    def __init__(self, path: Path, deadline: Deadline) -> None:
        self._path = path
        self._deadline = deadline
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.Lock()

    def run(self, read: _Read[_Result]) -> _Result:
        try:
            with closing(connect(self._path, wait=MOMENT)) as connection:
                connection.execute("PRAGMA query_only=1")
                self._use(connection)
                try:
                    connection.execute("BEGIN")
                    return read(connection, self._deadline)
                finally:
                    self._use(None)
        except sqlite3.Error as exc:
            passed = self._deadline.passed()
            raise self._deadline.too_slow() if passed else own_error(exc) from exc

    def _use(self, connection: sqlite3.Connection | None) -> None:
        with self._lock:
            self._connection = connection

    def stop(self) -> None:
        self._deadline.end()
        with self._lock:
            if self._connection is not None:
                self._connection.interrupt()
