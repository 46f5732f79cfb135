"""Requests and rates as they happen, for one console."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import Context
from typing import Any

import orjson

from ..backpacks import Backpack
from ..errors import Unavailable
from ..following import BEAT, FOLLOW, REQUESTS, STATS, TOLD

_LIFE = 5.0  # seconds for which the rates of a process count that tells no others

Tell = Callable[[str, str, bytes], None]


class Live:
    """What one console follows; `tell` sends it an event."""

    def __init__(self, backpack: Backpack, tell: Tell) -> None:
        self._bus = backpack.bus
        self._process = backpack.hub.process
        self._tell = tell
        self._name = secrets.token_hex(8)
        self._followed: set[str] = set()
        self._rates: dict[str, tuple[float, Mapping[str, float]]] = {}  # by process
        self._task: asyncio.Task[None] | None = None
        self._deaf = self._bus.listen(TOLD, self._told)

    def close(self) -> None:
        """Follow nothing more."""
        self._deaf()
        self._followed.clear()
        if self._task is not None:
            self._task.cancel()

    async def follow(self, what: str) -> None:
        """Tell of each of these from now on."""
        self._followed.add(what)
        await self._say(what)
        if self._task is None or self._task.done():
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._keep_saying(), context=Context())

    async def leave(self, what: str) -> None:
        """Tell of them no longer."""
        self._followed.discard(what)
        await self._say(what)

    async def _say(self, what: str) -> None:
        follows = what in self._followed
        message = {"console": self._name, "process": self._process, "what": what}
        await self._bus.send(FOLLOW, {**message, "follows": follows})

    async def _keep_saying(self) -> None:
        while self._followed:
            await asyncio.sleep(BEAT)
            for what in tuple(self._followed):
                with suppress(Unavailable):
                    await self._say(what)

    def _told(self, _seq: str, message: Mapping[str, Any]) -> None:
        if "entries" in message:
            if REQUESTS in self._followed and message.get("to", self._name) == self._name:
                told = {name: message[name] for name in ("entries", "left_out")}
                self._tell("post", REQUESTS, orjson.dumps(told))
        elif STATS in self._followed:
            self._rates[message["process"]] = (time.monotonic(), message["rates"])
            self._tell("put", STATS, orjson.dumps(self._sum()))

    def _sum(self) -> dict[str, float]:
        """The rates of all processes together."""
        now = time.monotonic()
        self._rates = {
            process: (heard, rates)
            for process, (heard, rates) in self._rates.items()
            if heard + _LIFE > now
        }
        total: Counter[str] = Counter()
        for _, rates in self._rates.values():
            total.update(rates)
        return {name: round(value, 1) for name, value in total.items()}
