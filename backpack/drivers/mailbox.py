"""What a console has been told and nobody has taken yet."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from ..connection import SLOW
from ..console.handler import MAX_BACKLOG
from ..errors import Unavailable


class Mailbox:
    """Messages in the order in which they came. It can stand for a line of the hub.

    `closed` is called once, when nothing more comes in.
    """

    def __init__(self, closed: Callable[[Mailbox], None]) -> None:
        self._closed = closed
        self._messages: deque[bytes] = deque()
        self._size = 0  # bytes of these
        self._code = 0  # that it was closed with
        self._arrival = asyncio.Event()
        self.is_open = True

    def send(self, message: bytes) -> None:
        """Keep what was asked for."""
        if self.is_open:
            self._messages.append(message)
            self._size += len(message)
            self._arrival.set()

    def push(self, message: bytes) -> None:
        """Keep what was not asked for; too much of it closes the mailbox."""
        if self._messages and self._size + len(message) > MAX_BACKLOG:
            self.close(SLOW)
        else:
            self.send(message)

    def close(self, code: int, reason: str = "") -> None:
        if self.is_open:
            self.is_open = False
            self._code = code
            self._arrival.set()
            self._closed(self)

    @property
    def is_behind(self) -> bool:
        return bool(self._messages)

    def abort(self) -> None:
        self.close(0)

    def beat(self) -> None:
        """It is alive as long as this process is."""

    async def next(self) -> bytes | None:
        """The oldest message, None when there will be no more; raises Unavailable for a reader
        that has been too slow."""
        while not self._messages and self.is_open:
            self._arrival.clear()
            await self._arrival.wait()
        if self._code == SLOW:
            raise Unavailable("This console was too slow for what happens in the backpack")
        if not self._messages:
            return None
        message = self._messages.popleft()
        self._size -= len(message)
        return message
