"""One websocket connection on a transport: messages in turn, close handshake, slow and dead peers.

What messages mean is not known here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from . import frames
from .frames import BadFrame, Parser

FAILED, SLOW, TOO_MANY = 1011, 1013, 4429  # close codes

_INBOX = 32  # messages that may wait for those before them; then the client waits
_FRAGMENT_COST = 1 / 8  # of a message: at 500 a second, 1 MiB may come in pieces of 300 bytes
_CLOSE_SPAN = 5.0  # seconds that a peer has to answer a close, and to read what stands before it

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """`message`: bytes; `rate`: messages a second; `backlog`: bytes of broadcasts that may wait for
    a client that does not read."""

    message: int
    rate: int
    backlog: int


class Connection(asyncio.Protocol):
    """The server's side of a connection whose opening handshake is done.

    `handle` is called with each text message, one after the other; `ended` once, as soon as nothing
    more can be sent; `gone` when there is no connection and nothing being handled any more. There
    is no task while no message is handled.
    """

    __slots__ = (
        "_allowance",
        "_backlog",
        "_closing",
        "_drained",
        "_ended",
        "_gone",
        "_handle",
        "_heard",
        "_inbox",
        "_limits",
        "_loop",
        "_lost",
        "_measured",
        "_parser",
        "_task",
        "_timer",
        "_transport",
        "is_open",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        limits: Limits,
        handle: Callable[[bytes], Awaitable[None]],
        ended: Callable[[], None],
        gone: Callable[[Connection], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._limits = limits
        self._handle = handle
        self._ended = ended
        self._gone = gone
        self._parser = Parser(limits.message)
        self._inbox: deque[Callable[[], Awaitable[None]]] | None = None
        self._task: asyncio.Task[None] | None = None
        self._drained: asyncio.Future[None] | None = None  # set while the client does not read
        self._timer: asyncio.TimerHandle | None = None
        self._allowance = float(limits.rate)
        self._measured = time.monotonic()
        self._backlog = 0
        self._heard = True
        self._closing = False
        self._lost = False
        self.is_open = True

    @property
    def is_behind(self) -> bool:
        """Whether what is sent waits for the client to read."""
        return self._drained is not None

    def send(self, frame: bytes) -> None:
        """Send what the client asked for, however much it is; nothing once it is closed."""
        if self.is_open:
            self._transport.write(frame)

    def push(self, frame: bytes) -> None:
        """Send what the client did not ask for; one that is too far behind is closed instead."""
        if not self.is_open:
            return
        if self._drained is not None:
            self._backlog += len(frame)
            if self._backlog > self._limits.backlog:
                self.close(SLOW, "Too slow")
                return
        self._transport.write(frame)

    def do(self, job: Callable[[], Awaitable[None]]) -> None:
        """Do something in the client's name, before the messages that come after this."""
        if self._inbox is None:
            self._inbox = deque()
        self._inbox.append(job)
        if self._task is None:
            self._task = self._loop.create_task(self._work(self._inbox), context=Context())

    def beat(self) -> None:
        """Send a ping, or cut a peer that has said nothing since the last one."""
        # While messages wait nothing may be read; then it is not the client that is slow.
        if not self._heard and (self._task is None or self._drained is not None):
            self.abort()
            return
        self._heard = False
        self.send(_PING)

    def close(self, code: int, reason: str = "") -> None:
        """Begin to close; what the client has sent and is not handled yet is dropped."""
        if self._inbox:
            self._inbox.clear()
        self._say_goodbye(frames.close(code, reason))

    def abort(self) -> None:
        """End the connection at once, without a word."""
        self._transport.abort()
        self._end()

    def _say_goodbye(self, frame: bytes) -> None:
        if not self.is_open:
            return
        self._transport.write(frame)
        self._timer = self._loop.call_later(_CLOSE_SPAN, self._transport.abort, context=Context())
        self._end()

    def _end(self) -> None:
        if self.is_open:
            self.is_open = False
            self._ended()

    def data_received(self, data: bytes) -> None:
        self._heard = True
        if self._closing:
            return
        try:
            for opcode, payload in self._parser.feed(data):
                self._receive(opcode, payload)
                if self._closing:
                    return
        except BadFrame as exc:
            self.close(exc.code, exc.reason)
            self._closing = True
            # Not hung up: what is on its way here would be answered by a reset, for which a client,
            # or a proxy before it, may drop the reason unread.
            self._transport.write_eof()

    def _receive(self, opcode: int, payload: bytes) -> None:
        if opcode == frames.CLOSE:
            self._say_goodbye(frames.close(frames.closing_code(payload)))
            self._hang_up()
        elif not self.is_open:
            return
        elif not self._is_allowed(_FRAGMENT_COST if opcode == frames.CONTINUATION else 1):
            self.close(TOO_MANY, "Too many messages")
            self._closing = True  # even to understand the rest would take the time of others
        elif opcode in (frames.PONG, frames.CONTINUATION):
            return
        elif opcode == frames.PING:
            self.push(frames.encode(frames.PONG, payload))
        elif opcode == frames.BINARY:
            self.close(frames.UNSUPPORTED, "Messages are JSON text")
        else:
            self._enqueue(payload)

    def _hang_up(self) -> None:
        """End the TCP connection when what was written is sent."""
        self._closing = True
        self._transport.close()

    def _is_allowed(self, cost: float) -> bool:
        rate, now = self._limits.rate, time.monotonic()
        self._allowance = min(rate, self._allowance + (now - self._measured) * rate) - cost
        self._measured = now
        return self._allowance >= 0

    def _enqueue(self, payload: bytes) -> None:
        self.do(partial(self._handle, payload))
        if self._inbox is not None and len(self._inbox) == _INBOX:
            self._transport.pause_reading()

    async def _work(self, inbox: deque[Callable[[], Awaitable[None]]]) -> None:
        # Also what came before the client closed: it was sent.
        try:
            while inbox:
                if self._drained is not None:
                    await self._drained
                    continue
                job = inbox.popleft()
                if len(inbox) == _INBOX - 1 and self.is_open:
                    self._transport.resume_reading()
                await job()
        except Exception:  # the connection of one client is not the others' matter
            logger.exception("A websocket message failed")
            self.close(FAILED, "Something went wrong on the server")
        finally:
            self._task = self._inbox = None
            self._check_gone()

    def pause_writing(self) -> None:
        self._backlog = 0
        self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._drained is not None:
            self._drained.set_result(None)
            self._drained = None

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
        self._lost = True
        self.resume_writing()
        self._end()
        self._check_gone()

    def _check_gone(self) -> None:
        if self._lost and self._task is None:
            self._gone(self)


_PING = frames.encode(frames.PING, b"")


def take_over(http: Any, make: Callable[[asyncio.Transport], Connection], answer: bytes) -> None:
    """Answer an upgrade and put a Connection in the place of Sanic's HTTP protocol.

    Sanic's own websockets keep that protocol with its task, timers and events, and add a queue, a
    second protocol and more tasks: several times the memory and the time of what stands here.
    """
    transport = cast(asyncio.Transport, http.transport)
    early = bytes(http.recv_buffer)
    # Without a transport, it ends with its request and touches the connection no more.
    http.transport = None
    http.recv_buffer.clear()
    http.connections.discard(http)
    transport.write(answer)
    connection = make(transport)
    transport.set_protocol(connection)
    transport.resume_reading()
    if early:
        connection.data_received(early)
