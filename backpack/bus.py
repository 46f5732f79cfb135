"""Messages between the processes of one backpack: sent, listened to, replayed.

What they mean is their senders' business; `redis_bus` carries them from one process to another.
"""

from __future__ import annotations

import logging
import re
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol

Message = dict[str, Any]
Listener = Callable[[str, Message], None]

CAPACITY = 10_000  # messages that are held for replay
ROOM = 67_108_864  # bytes that these may take

logger = logging.getLogger(__name__)


class Bus(Protocol):
    """One backpack's messages, in one order for every process that has opened the bus.

    A message is a JSON object sent on a topic (any text but the empty one). Each has a sequence
    `seq`: an opaque string, to be handed back to `replay` and compared by `is_later` only.
    """

    async def open(self) -> None:
        """Start to deliver what is sent from now on; raises Unavailable when Redis is away."""

    async def close(self) -> None:
        """Stop delivering; no task is left, nor a connection of the bus's own."""

    @property
    def position(self) -> str:
        """The `seq` of the message that was delivered here last."""

    def is_later(self, seq: str, other: str) -> bool:
        """Whether the message of `seq` was sent after that of `other`; both are held, or were."""

    async def reach(self, seq: str) -> None:
        """Return when all messages up to that one have been delivered here.

        Raises Unavailable when that takes too long.
        """

    def check(self) -> None:
        """Raise Unavailable when it is known that `send` would: before work that it ends."""

    async def send(self, topic: str, message: Mapping[str, Any]) -> str:
        """Store a message and return its `seq`; it is replayable when the call returns.

        In one process it is delivered by then as well. Raises Unavailable when Redis is away or
        does not answer in time; the message may have been stored all the same.
        """

    async def send_all(self, topic: str, messages: Sequence[Mapping[str, Any]]) -> None:
        """Send messages, in this order, by one call: all of it as `send` does it."""

    def listen(self, topic: str, listener: Listener) -> Callable[[], None]:
        """Call `listener(seq, message)` for every message on `topic`: each once, in order, also
        those sent here. Returns what ends it.

        Listeners share the message and must not change it. One that raises is logged; the others
        get the message none the less.
        """

    def listen_break(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener()` when messages may come late or be missing: what was kept on the
        strength of them is void. Returns what ends it.

        After a lost connection delivery goes on where it stopped. Should messages be gone by then,
        or whenever this process is so far behind that some are, the listener is called (again)
        just before delivery goes on.
        """

    async def ping(self) -> None:
        """Raises Unavailable when Redis is away or does not answer in time."""

    def listen_loss(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener()` when messages are missing for good, just before delivery goes on with
        later ones. Returns what ends it."""

    async def replay(self, after: str) -> list[tuple[str, str, Message]] | None:
        """`(seq, topic, message)` of every message after the one of `seq` `after`, oldest first.

        None when that one is no longer held, or never was: something may be missing. The last ones
        may be still on their way to the listeners. Raises Unavailable as `send` does.
        """

    async def latest(self, count: int) -> list[tuple[str, str, Message]]:
        """`(seq, topic, message)` of the last `count` messages that are held, oldest first; raises
        Unavailable as `send` does."""


class LocalBus:
    """A bus for a single process: it delivers before `send` returns, and holds in memory."""

    def __init__(self, capacity: int = CAPACITY, room: int = ROOM) -> None:
        # Another start of the process is another run: its messages are not those of this one.
        self._run = f"{time.time_ns():x}"
        self._count = 0
        self._capacity, self._room = capacity, room
        self._held: deque[tuple[str, str, Message]] = deque()
        self._size = 0  # bytes of what is held
        self._listeners = Listeners()

    async def open(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do."""

    @property
    def position(self) -> str:
        return f"{self._run}-{self._count}"

    def is_later(self, seq: str, other: str) -> bool:
        return int(seq.partition("-")[2]) > int(other.partition("-")[2])

    async def reach(self, seq: str) -> None:
        """Nothing is ever under way."""

    def check(self) -> None:
        """It is always there."""

    async def send(self, topic: str, message: Mapping[str, Any]) -> str:
        self._count += 1
        seq, own = self.position, dict(message)
        self._hold(seq, topic, own)
        self._listeners.deliver(topic, seq, own)
        return seq

    async def send_all(self, topic: str, messages: Sequence[Mapping[str, Any]]) -> None:
        for message in messages:
            await self.send(topic, message)

    def _hold(self, seq: str, topic: str, message: Message) -> None:
        self._held.append((seq, topic, message))
        self._size += _weight(message)
        while self._held and (len(self._held) > self._capacity or self._size > self._room):
            self._size -= _weight(self._held.popleft()[2])

    def listen(self, topic: str, listener: Listener) -> Callable[[], None]:
        return self._listeners.add(topic, listener)

    def listen_break(self, listener: Callable[[], None]) -> Callable[[], None]:
        return self._listeners.add_break(listener)

    async def ping(self) -> None:
        """Nothing to do."""

    def listen_loss(self, listener: Callable[[], None]) -> Callable[[], None]:
        return self._listeners.add_loss(listener)

    async def replay(self, after: str) -> list[tuple[str, str, Message]] | None:
        run, _, digits = after.partition("-")
        if run != self._run or not re.fullmatch("[0-9]{1,20}", digits):
            return None
        missed = self._count - int(digits)
        if not 0 <= missed <= len(self._held):
            return None
        return await self.latest(missed)

    async def latest(self, count: int) -> list[tuple[str, str, Message]]:
        return list(islice(self._held, max(0, len(self._held) - count), None))


def _weight(message: Message) -> int:
    """About how many bytes a message takes: what makes one large is text."""
    size = 500
    for value in message.values():
        if type(value) is str:
            size += len(value)
    return size


class Listeners:
    """Who listens to what, in the order of their coming."""

    def __init__(self) -> None:
        self._by_topic: dict[str, tuple[Listener, ...]] = {}
        self._on_break, self._on_loss = _Calls(), _Calls()

    def add(self, topic: str, listener: Listener) -> Callable[[], None]:
        # Wrapped, so that the same function may listen twice and each end takes away its own.
        def call(seq: str, message: Message) -> None:
            listener(seq, message)

        def end() -> None:
            self._by_topic[topic] = tuple(one for one in self._by_topic[topic] if one is not call)

        self._by_topic[topic] = (*self._by_topic.get(topic, ()), call)
        return end

    def add_break(self, listener: Callable[[], None]) -> Callable[[], None]:
        return self._on_break.add(listener)

    def add_loss(self, listener: Callable[[], None]) -> Callable[[], None]:
        return self._on_loss.add(listener)

    def deliver(self, topic: str, seq: str, message: Message) -> None:
        for listener in self._by_topic.get(topic, ()):
            try:
                listener(seq, message)
            except Exception:  # one listener's fault is not the others' nor the sender's
                logger.exception("A listener to %r failed", topic)

    def announce_break(self) -> None:
        self._on_break.call()

    def announce_loss(self) -> None:
        self._on_loss.call()


class _Calls:
    """What is to be called when something happens to the bus itself."""

    def __init__(self) -> None:
        self._calls: tuple[Callable[[], None], ...] = ()

    def add(self, listener: Callable[[], None]) -> Callable[[], None]:
        def call() -> None:
            listener()

        def end() -> None:
            self._calls = tuple(one for one in self._calls if one is not call)

        self._calls = (*self._calls, call)
        return end

    def call(self) -> None:
        for listener in self._calls:
            try:
                listener()
            except Exception:  # one listener's fault is not the others'
                logger.exception("A listener to breaks failed")
