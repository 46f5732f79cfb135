"""Work that goes on to its end when the client that it is for goes away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any, TypeVar

from .errors import BackpackError

_Result = TypeVar("_Result")

logger = logging.getLogger("backpack")


class Unbroken:
    """Changes under way. What they raise when nobody waits for them any more is logged, unless it
    is one of `expected`."""

    def __init__(self, expected: type[BackpackError]) -> None:
        self._expected = expected
        self._tasks: set[asyncio.Future[Any]] = set()

    async def do(self, work: Awaitable[_Result]) -> _Result:
        """What `work` returns; it is done to its end also when this is cancelled."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(self._log_failure)
            raise

    async def close(self) -> None:
        """Wait for what is under way."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _log_failure(self, task: asyncio.Future[Any]) -> None:
        exc = None if task.cancelled() else task.exception()
        if exc is not None and not isinstance(exc, self._expected):
            logger.error("A change failed after its client was gone", exc_info=exc)
