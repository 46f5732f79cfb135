"""Who is there: users with a connection, and those subscribed to each channel, in all processes.

Each process tells the others by the bus of its own users, once per user, and repeats that it lives.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from contextvars import Context
from typing import Any

from .bus import Bus
from .errors import BackpackError
from .events import Channel

TOPIC = "presence"  # of the bus

_GATHER = 0.1  # seconds in which comings and goings are told of together
_BEAT = 10.0  # seconds after which a process says again that it is there
_LIFE = 35.0  # seconds after which one that says nothing is not
_ECHO = 2.0  # seconds to wait for what this process has said itself

Place = Channel | None  # None: the whole backpack
Entry = tuple[Place, str]  # a user in a place

logger = logging.getLogger(__name__)


class Presence:
    """The presence of one backpack, as one of its processes sees it.

    `tell` is called with a place, a user, and whether that user has come or gone.
    """

    def __init__(
        self,
        bus: Bus,
        process: str,
        tell: Callable[[Place, str, bool], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bus = bus
        self._process = process
        self._tell = tell
        self._clock = clock
        self._here: Counter[Entry] = Counter()  # connections of this process
        self._told: set[Entry] = set()  # what the others know of them
        self._entries: dict[str, set[Entry]] = {}  # by process, this one too
        self._heard: dict[str, float] = {}  # when a process was last heard of
        self._users: dict[Place, Counter[str]] = {}  # in how many processes each user is
        self._unsure = True  # whether the others may know something else, or this one of them
        self._asked = False  # whether another one knows nothing
        self._sent = 0
        self._echoes: dict[int, asyncio.Future[None]] = {}
        self._changed = asyncio.Event()
        self._lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._deaf = (bus.listen(TOPIC, self._hear), bus.listen_break(self._doubt))

    async def close(self) -> None:
        """Say good-bye and stop listening.

        Where that cannot be said, the others forget this process after a while.
        """
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._told:
            with suppress(BackpackError):
                self._bus.check()
                await self._publish()
        for stop in self._deaf:
            stop()

    def come(self, user: str, place: Place) -> None:
        """A connection of `user` is in a place from now on."""
        self._here[(place, user)] += 1
        if self._here[(place, user)] == 1:
            self._wake()

    def go(self, user: str, place: Place) -> None:
        """It is there no longer."""
        self._here[(place, user)] -= 1
        if self._here[(place, user)] == 0:
            del self._here[(place, user)]
            self._wake()

    async def users(self, place: Place) -> list[str]:
        """The ids of the users in a place, in code point order; raises Unavailable."""
        await self._publish()
        echo = self._echoes.get(self._sent)
        if echo is not None:
            # What comes later is told as it comes; what was said before must not be.
            with suppress(TimeoutError):
                async with asyncio.timeout(_ECHO):
                    await asyncio.shield(echo)
        return sorted(self._users.get(place, ()))

    def _wake(self) -> None:
        self._changed.set()
        if self._task is None or self._task.done():
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._run(), context=Context())

    async def _run(self) -> None:
        """Tell of what changes, and of being there, while anybody is."""
        while self._here or self._told:
            with suppress(TimeoutError):
                async with asyncio.timeout(_BEAT):
                    await self._changed.wait()
                    await asyncio.sleep(_GATHER)
            self._forget_silent()
            try:
                await self._publish(beat=True)
            except BackpackError as exc:
                logger.warning("Who is there could not be told: %s", exc)
                self._unsure = True
                await asyncio.sleep(1)

    async def _publish(self, *, beat: bool = False) -> None:
        """Send what the others do not know yet; with `beat`, send in any case."""
        async with self._lock:
            self._changed.clear()
            here = set(self._here)
            if self._unsure or self._asked:
                message = {"all": _written(here), "ask": self._unsure}
                self._unsure = self._asked = False
                await self._send(message)
            elif here != self._told or beat:
                joined, left = here - self._told, self._told - here
                await self._send({"joined": _written(joined), "left": _written(left)})
            self._told = here

    async def _send(self, message: Mapping[str, Any]) -> None:
        self._sent += 1
        number = self._sent
        self._echoes[number] = asyncio.get_running_loop().create_future()
        try:
            await self._bus.send(TOPIC, {"process": self._process, "n": number, **message})
        except BackpackError:
            self._echoes.pop(number, None)
            self._unsure = True
            raise

    def _doubt(self) -> None:
        self._unsure = True
        if self._here:
            self._wake()

    def _hear(self, _seq: str, message: Mapping[str, Any]) -> None:
        process = message["process"]
        self._heard[process] = self._clock()
        known = self._entries.get(process, set())
        if "all" in message:
            self._set(process, _read(message["all"]))
        else:
            gone = set(_read(message["left"]))
            self._set(process, (known - gone) | set(_read(message["joined"])))
        if process == self._process:
            echo = self._echoes.pop(message["n"], None)
            if echo is not None and not echo.done():
                echo.set_result(None)
        elif message.get("ask") and self._here:
            self._answer()

    def _answer(self) -> None:
        """Tell a process that knows nothing yet of everybody here."""
        self._asked = True
        self._wake()

    def _set(self, process: str, entries: Iterable[Entry]) -> None:
        old, new = self._entries.get(process, set()), set(entries)
        self._entries[process] = new
        if not new:
            del self._entries[process]
        for place, user in new - old:
            users = self._users.setdefault(place, Counter())
            users[user] += 1
            if users[user] == 1:
                self._tell(place, user, True)
        for place, user in old - new:
            self._remove(place, user)

    def _remove(self, place: Place, user: str) -> None:
        users = self._users[place]
        users[user] -= 1
        if users[user] == 0:
            del users[user]
            if not users:
                del self._users[place]
            self._tell(place, user, False)

    def _forget_silent(self) -> None:
        """Take those who were in a process that has died for gone."""
        now = self._clock()
        for process, heard in tuple(self._heard.items()):
            if heard + _LIFE < now and process != self._process:
                del self._heard[process]
                self._set(process, ())


def _written(entries: Iterable[Entry]) -> list[list[str]]:
    return [[user] if place is None else [user, place.kind, place.id] for place, user in entries]


def _read(written: Iterable[list[str]]) -> list[Entry]:
    return [(Channel(*place) if place else None, user) for user, *place in written]
