"""Live word of what every process of a backpack does, for the consoles that follow it.

While nobody follows, in whichever process, nothing is told. What there is to tell is made by
`inspector`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import Context
from typing import Any

from .bus import Bus, Message
from .errors import Unavailable

# Topics of the bus. What consoles say, again and again: {"console", "process", "what", "follows"}.
# What processes tell: {"process", "entries", "left_out", "to"?}, with `to` for one console alone,
# and {"process", "rates"}.
FOLLOW, TOLD = "follow", "told"

REQUESTS, STATS = "requests", "stats"  # what can be followed

BEAT = 5.0  # seconds after which a console says again that it follows
_LIFE = 12.0  # seconds for which one that says nothing is taken to follow
_GATHER = 0.2  # seconds in which entries are told of together
_AT_ONCE = 200  # entries that are told of together; those beyond are left out
_RATES = 1.0  # seconds between two tellings of rates

Entry = dict[str, Any]
Counts = Mapping[str, int]


class Following:
    """Who follows, and what this process tells them.

    `turned` is called when what is wanted may have changed; `latest` gives the entries from before;
    `counts` how often each thing has happened so far, `levels` how many there are of others now.
    """

    def __init__(
        self,
        bus: Bus,
        process: str,
        turned: Callable[[], None],
        latest: Callable[[], Sequence[Entry]],
        counts: Callable[[], Counts],
        levels: Callable[[], Counts],
    ) -> None:
        self.wanted: frozenset[str] = frozenset()
        self._bus = bus
        self._process = process
        self._turned = turned
        self._latest = latest
        self._counts = counts
        self._levels = levels
        self._followers: dict[tuple[str, str], float] = {}  # console and what: until when
        # Consoles that know nothing from before, and what that is.
        self._newcomers: list[tuple[str, Sequence[Entry]]] = []
        self._waiting: list[Entry] = []
        self._left_out = 0
        self._task: asyncio.Task[None] | None = None
        self._deaf = bus.listen(FOLLOW, self._hear)

    async def close(self) -> None:
        self._deaf()
        self._followers.clear()
        self._turn()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def tell(self, make: Callable[[], Entry]) -> None:
        """Tell those who follow requests of one more, which is made now; of too many at once only
        of the first."""
        if len(self._waiting) < _AT_ONCE:
            self._waiting.append(make())
        else:
            self._left_out += 1

    def _hear(self, _seq: str, message: Message) -> None:
        console, what = message["console"], message["what"]
        if not message["follows"]:
            self._followers.pop((console, what), None)
        else:
            is_new = (console, what) not in self._followers
            self._followers[(console, what)] = time.monotonic() + _LIFE
            # Those of its own process it was given.
            if is_new and what == REQUESTS and message["process"] != self._process:
                self._newcomers.append((console, self._latest()))
        self._turn()

    def _turn(self) -> None:
        wanted = frozenset(what for _, what in self._followers)
        if wanted != self.wanted:
            self.wanted = wanted
            self._waiting.clear()
            self._turned()
        if wanted and (self._task is None or self._task.done()):
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._run(), context=Context())

    async def _run(self) -> None:
        before, since = self._counts(), time.monotonic()
        while self.wanted:
            await asyncio.sleep(_GATHER)
            with suppress(Unavailable):  # those who would hear it are cut off
                await self._tell_newcomers()
                await self._tell_waiting()
                if time.monotonic() - since >= _RATES:
                    now, counts = time.monotonic(), self._counts()
                    rates = {name: (counts[name] - before[name]) / (now - since) for name in counts}
                    before, since = counts, now
                    if STATS in self.wanted:
                        told = {**self._levels(), **rates}
                        await self._bus.send(TOLD, {"process": self._process, "rates": told})
            self._forget_silent()

    async def _tell_newcomers(self) -> None:
        newcomers, self._newcomers = self._newcomers, []
        for console, entries in newcomers:
            for start in range(0, len(entries), _AT_ONCE):
                await self._send(entries[start : start + _AT_ONCE], 0, {"to": console})

    async def _tell_waiting(self) -> None:
        if self._waiting:
            entries, self._waiting = self._waiting, []
            left_out, self._left_out = self._left_out, 0
            await self._send(entries, left_out, {})

    async def _send(self, entries: Sequence[Entry], left_out: int, to: Mapping[str, str]) -> None:
        message = {"process": self._process, "entries": entries, "left_out": left_out, **to}
        self._bus.check()
        await self._bus.send(TOLD, message)

    def _forget_silent(self) -> None:
        now = time.monotonic()
        for follower, until in tuple(self._followers.items()):
            if until < now:
                del self._followers[follower]
        self._turn()
