"""A read connection in a thread of its own, for scans that would hold up the event loop."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from ..errors import Unavailable
from .scans import Deadline
from .sqlite import connect, own_error

_PAUSE = 0.0005  # seconds; without it the loop waits up to 10 ms for the interpreter
_AGAIN = 0.05  # seconds between interrupts of a scan that does not end

_Result = TypeVar("_Result")


class Reader:
    """Runs scans one after the other, each on one snapshot and with a deadline.

    `seconds`: what a scan may take, the wait for those before it included.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self._path = path
        self._seconds = seconds
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="backpack-scan")
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.Lock()
        self._running: Deadline | None = None
        self._used = False

    async def run(self, scan: Callable[[sqlite3.Connection, Deadline], _Result]) -> _Result:
        """What `scan` returns; raises TooSlow, or Unavailable when its turn came too late."""
        self._used = True
        deadline = Deadline(self._seconds, _PAUSE)
        loop = asyncio.get_running_loop()
        scanned = self._thread.submit(self._scan, scan, deadline)
        timer = loop.call_later(self._seconds, self._stop, deadline, scanned, loop)
        try:
            return await asyncio.wrap_future(scanned)
        finally:
            timer.cancel()
            self._stop(deadline, scanned, loop)

    async def close(self) -> None:
        """Let scans end, each by its deadline, and let go of the file."""
        if not self._used:  # a thread would be started to do nothing
            return
        await asyncio.wrap_future(self._thread.submit(self._disconnect))
        self._thread.shutdown(wait=False)

    def _stop(
        self, deadline: Deadline, scanned: Future[_Result], loop: asyncio.AbstractEventLoop
    ) -> None:
        """Interrupt a scan until it ends: an interrupt between two statements is lost."""
        if scanned.done():
            return
        deadline.end()
        with self._lock:
            if self._running is deadline and self._connection is not None:
                self._connection.interrupt()
        loop.call_later(_AGAIN, self._stop, deadline, scanned, loop)

    def _scan(
        self, scan: Callable[[sqlite3.Connection, Deadline], _Result], deadline: Deadline
    ) -> _Result:
        if deadline.passed():
            raise Unavailable("Other long queries are running, try again")
        with self._lock:
            self._running = deadline
        try:
            return self._on_snapshot(scan, deadline)
        except sqlite3.Error as exc:
            raise deadline.too_slow() if deadline.passed() else own_error(exc) from exc
        finally:
            with self._lock:
                self._running = None

    def _on_snapshot(
        self, scan: Callable[[sqlite3.Connection, Deadline], _Result], deadline: Deadline
    ) -> _Result:
        connection = self._connected()
        connection.execute("BEGIN")
        try:
            return scan(connection, deadline)
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = connect(self._path)
            self._connection.execute("PRAGMA query_only=1")
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
