"""Delivery: frames to many connections, in order, without holding up everything else.

Who gets what has been decided before.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Protocol

from . import frames
from .connection import SLOW
from .events import Asker, Channel, State
from .sessions import Session

_SLICE = 0.005  # seconds of writing before other tasks get a turn
_LOOK = 64  # receivers between two looks at the clock
_BATCH = 65_536  # bytes of messages that one write carries; a larger message goes alone


@dataclass(frozen=True, slots=True)
class Message:
    """`text` is a JSON object in UTF-8, without members after which `seq` would be a repetition.

    `asker` gets `answer` in place of `text`; `with_seq`, unless it is no receiver besides.
    """

    text: bytes
    seq: str
    asker: Peer | None = None
    answer: bytes = b""
    with_seq: bool = True


logger = logging.getLogger(__name__)


class Line(Protocol):
    """What a peer is reached by."""

    @property
    def is_behind(self) -> bool:
        """Whether what is sent waits for the peer to read."""

    def send(self, frame: bytes) -> None:
        """Send what the peer asked for."""

    def push(self, frame: bytes) -> None:
        """Send what it did not ask for; one that is too slow for it is closed."""

    def beat(self) -> None:
        """Find out whether the peer is alive; one that is not is cut."""

    def close(self, code: int, reason: str) -> None:
        """Close; the hub is told so before this returns."""

    def abort(self) -> None:
        """End the connection at once, without a word."""


class Peer:
    """One connected client: who it is, what it subscribed to, and how to reach it.

    `channels`: what it is subscribed to, and by which state of its user's record. `resumes`: its
    frames carry `seq`. `answered`: the last request that an event has answered.
    `failed`: those that were answered with an error although their event may come yet.
    """

    __slots__ = (
        "answered",
        "channels",
        "failed",
        "held",
        "id",
        "line",
        "resumes",
        "room",
        "session",
        "watches",
    )

    def __init__(self, id: int, session: Session, *, resumes: bool = False) -> None:
        self.id = id
        self.session = session
        self.resumes = resumes
        self.line: Line
        self.channels: dict[Channel, State] | None = None
        self.watches: set[Channel | None] | None = None
        self.answered: Asker | None = None
        self.failed: set[Asker] | None = None
        self.held: list[Batch] | None = None
        self.room = 0  # bytes that may yet be held

    @property
    def user(self) -> str:
        return self.session.user_id

    def hold(self, room: int) -> None:
        """Keep what comes until `release`; one for whom more than `room` bytes come is closed."""
        self.held, self.room = [], room

    def deliver(self, batch: Batch) -> None:
        """Send a batch, or keep it while what was missed before is still on its way."""
        if self.held is None:
            self.line.push(batch.for_peer(self))
            return
        self.room -= batch.size
        if self.room < 0:
            self.held.clear()
            self.line.close(SLOW, "Too slow")
        else:
            self.held.append(batch)

    def release(self, is_news: Callable[[str], bool]) -> None:
        """Deliver what was kept, but for messages whose `seq` is no news."""
        held, self.held = self.held or [], None
        for batch in held:
            fresh = [one for one in batch.messages if not one.seq or is_news(one.seq)]
            if fresh:
                self.line.push(Batch(fresh).for_peer(self))


class Batch:
    """Messages that the same receivers get one after the other, as the bytes of one write."""

    __slots__ = ("_askers", "_plain", "_with_seq", "messages", "size")

    def __init__(self, messages: Sequence[Message]) -> None:
        self.messages = messages
        self.size = sum(len(message.text) for message in messages)  # bytes
        self._askers = {message.asker for message in messages if message.asker is not None}
        self._plain: bytes | None = None
        self._with_seq: bytes | None = None

    def for_peer(self, peer: Peer) -> bytes:
        """The frames that `peer` gets; the same bytes object for all that ask for nothing more."""
        if peer in self._askers:
            return b"".join(_frame(message, peer, peer.resumes) for message in self.messages)
        if peer.resumes:
            if self._with_seq is None:
                self._with_seq = self._join(peer, True)
            return self._with_seq
        if self._plain is None:
            self._plain = self._join(peer, False)
        return self._plain

    def _join(self, peer: Peer, with_seq: bool) -> bytes:
        return b"".join(_frame(message, peer, with_seq) for message in self.messages)


def _frame(message: Message, peer: Peer, with_seq: bool) -> bytes:
    text = message.answer if message.asker is peer else message.text
    if with_seq and message.with_seq:
        text = stamp(text, message.seq)
    return frames.text(text)


def stamp(text: bytes, seq: str) -> bytes:
    """A JSON object with the member `seq`."""
    return b'%b,"seq":"%b"}' % (text[:-1], seq.encode())


class Fanout:
    """The queue of what is to be delivered, in the order it was added.

    What comes faster than it can be written is joined: a write to the kernel costs the same for
    one frame as for ten.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[Sequence[Peer], Message | Callable[[], None]]] = deque()
        self._batch: Batch | None = None  # what is being written
        self._receivers: Sequence[Peer] = ()
        self._next = 0  # the receiver that it comes to next
        self._scheduled = False

    def add(self, receivers: Sequence[Peer], message: Message) -> None:
        """Deliver a message to each of `receivers`, a sequence that does not change any more.

        The same object again is what lets messages be joined.
        """
        if receivers:
            self._waiting.append((receivers, message))
            self._schedule()

    def then(self, call: Callable[[], None]) -> None:
        """Call when everything that was added before has been delivered."""
        self._waiting.append(((), call))
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._run, context=Context())

    def _run(self) -> None:
        self._scheduled = False
        ends = time.monotonic() + _SLICE
        while self._batch is not None or self._waiting:
            if self._batch is None:
                self._take()
            if self._batch is not None:
                self._write_some(self._batch)
            if time.monotonic() > ends:
                break
        if self._batch is not None or self._waiting:
            self._schedule()

    def _take(self) -> None:
        """Take the next messages that have the same receivers."""
        receivers, first = self._waiting.popleft()
        if not isinstance(first, Message):
            first()
            return
        messages, size = [first], len(first.text)
        while self._waiting and self._waiting[0][0] is receivers and size < _BATCH:
            message = self._waiting.popleft()[1]
            assert isinstance(message, Message)  # calls have no receivers
            messages.append(message)
            size += len(message.text)
        self._batch, self._receivers, self._next = Batch(messages), receivers, 0

    def _write_some(self, batch: Batch) -> None:
        start, end = self._next, self._next + _LOOK
        receivers = self._receivers[start:end]
        self._next = end
        if end >= len(self._receivers):
            self._batch, self._receivers = None, ()
        for peer in receivers:
            try:
                peer.deliver(batch)
            except Exception:  # the fault of one connection is not the others'
                logger.exception("A websocket could not be written to")
