"""Actions on one backpack, one after the other."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from ..steps import Steps


class Turns:
    """Which backpacks are being changed, and who waits for that."""

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}
        self._asked: dict[str, int] = {}

    async def take(self, name: str, steps: Steps) -> Steps:
        """The steps of an action on `name`, once those before it have ended; who has to wait is
        told so."""
        lock = self._locks.setdefault(name, asyncio.Lock())
        self._asked[name] = self._asked.get(name, 0) + 1
        try:
            if lock.locked():
                yield f"Another change of {name} is under way: waiting for its end"
            async with lock, aclosing(steps):
                async for step in steps:
                    yield step
        finally:
            self._asked[name] -= 1
            if not self._asked[name]:
                del self._asked[name], self._locks[name]
