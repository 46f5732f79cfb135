"""The last lines of the log that concern one backpack, for whom the others' are none of business.

A log record concerns the backpack that its attribute `backpack` names (`extra={"backpack": name}`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from typing import Self

from . import documents
from .steps import Steps

_LINES = 500  # that are kept of each backpack, and that wait for a slow reader
_LENGTH = 2_000  # characters of a line that are kept


class Logs(logging.Handler):
    """The lines of each backpack of a process."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: dict[str, deque[str]] = {}
        self._readers: dict[str, list[_Reader]] = {}
        formatter = logging.Formatter("%(asctime)s %(levelname)s %(message)s")
        formatter.converter = time.gmtime
        formatter.default_time_format = "%Y-%m-%dT%H:%M:%S"
        formatter.default_msec_format = "%s.%03dZ"
        self.setFormatter(formatter)

    @contextmanager
    def collecting(self) -> Iterator[Self]:
        """While inside, what this package logs comes here too."""
        logger = logging.getLogger("backpack")
        logger.addHandler(self)
        try:
            yield self
        finally:
            logger.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        name = getattr(record, "backpack", None)
        if name is not None:
            for line in self.format(record).splitlines():
                self._add(name, line)

    def note(self, name: str, line: str) -> None:
        """Add a line that only this backpack's log is to have."""
        with self._locked():
            self._add(name, f"{documents.now()} {line}")

    async def noting(self, name: str, steps: Steps) -> Steps:
        """The steps of an action, whose lines go into the log too."""
        async with aclosing(steps):
            async for step in steps:
                if isinstance(step, str):
                    self.note(name, step)
                yield step

    def _add(self, name: str, line: str) -> None:
        line = line[:_LENGTH]
        self._lines.setdefault(name, deque(maxlen=_LINES)).append(line)
        for reader in self._readers.get(name, ()):
            reader.tell(line)

    def forget(self, name: str) -> None:
        """Drop what was kept of a backpack that is gone for good."""
        with self._locked():
            self._lines.pop(name, None)

    async def read(self, name: str, tail: int, follow: bool) -> AsyncGenerator[str, None]:
        """The last `tail` lines, the oldest first; with `follow` without end, less what a slow
        reader misses."""
        reader = _Reader()
        with self._locked():
            lines = list(self._lines.get(name, ()))
            self._readers.setdefault(name, []).append(reader)
        try:
            for line in lines[max(0, len(lines) - tail) :]:
                yield line
            while follow:
                yield await reader.next()
        finally:
            with self._locked():
                self._readers[name].remove(reader)
                if not self._readers[name]:
                    del self._readers[name]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # The lock that `emit` is called under, by any thread.
        self.acquire()
        try:
            yield
        finally:
            self.release()


class _Reader:
    """Lines on their way from any thread to one task."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lines: deque[str] = deque(maxlen=_LINES)
        self._come = asyncio.Event()

    def tell(self, line: str) -> None:
        self._lines.append(line)
        self._loop.call_soon_threadsafe(self._come.set)

    async def next(self) -> str:
        while not self._lines:
            self._come.clear()
            await self._come.wait()
        return self._lines.popleft()
