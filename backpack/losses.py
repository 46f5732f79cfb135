"""What was done, or may have been, and could not be told: once that is possible again, whoever can
is to read anew.

A process that dies takes its debt along.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import Context

from .bus import Bus
from .errors import BackpackError, Unavailable
from .events import Drop

TOPIC = "losses"  # of the bus; messages: {"drops": [...]}, subscriptions that should have ended

_PAUSE = 1.0  # seconds between attempts, and in which failures are told of together

logger = logging.getLogger(__name__)


class Losses:
    """The announcements of one process that failed, or were never made, of what was stored."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._failures = self._told = 0
        self._drops: list[Drop] = []
        self._until: Callable[[], Awaitable[object]] | None = None
        self._task: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Tell what is still owed, where that can be done at once."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._told < self._failures:
            with suppress(Unavailable):
                await self._tell()

    @contextmanager
    def unless_told(self) -> Iterator[list[Drop]]:
        """Around an announcement of what is stored: a failure is raised, and made good later, with
        the drops that were put into the list."""
        drops: list[Drop] = []
        try:
            yield drops
        except (BackpackError, asyncio.CancelledError):
            self._drops += drops
            self.owe()
            raise

    def owe(self, until: Callable[[], Awaitable[object]] | None = None) -> None:
        """Tell those who can to read anew, when `until` does not raise Unavailable any more."""
        self._until = until or self._until
        self._failures += 1
        if self._task is None or self._task.done():
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._run(), context=Context())

    async def _run(self) -> None:
        while self._told < self._failures:
            await asyncio.sleep(_PAUSE * random.uniform(0.5, 1))
            with suppress(Unavailable):
                await self._tell()

    async def _tell(self) -> None:
        self._bus.check()
        before, drops = self._failures, len(self._drops)
        if self._until is not None:
            await self._until()
        await self._bus.send(TOPIC, {"drops": [drop.written() for drop in self._drops[:drops]]})
        self._told = before  # what has failed meanwhile is told by the next one
        del self._drops[:drops]
        logger.warning("Writes were stored and not announced: clients are told to read anew")
