"""The connections of one backpack to this process, as long as they last, whoever speaks on them."""

from __future__ import annotations

import asyncio

from .fanout import Line

_FAREWELL = 2.0  # seconds that clients have to answer a close


class Lines:
    """All that is connected: websockets of users, consoles, and what is being refused."""

    def __init__(self) -> None:
        self._open: set[Line] = set()
        self._code = 0  # that all are closed with
        self._emptied: asyncio.Future[None] | None = None

    @property
    def are_closing(self) -> bool:
        return bool(self._code)

    def come(self, line: Line) -> None:
        """Know of a new connection; once all are closed, it is too."""
        self._open.add(line)
        if self._code:
            line.close(self._code, "")

    def gone(self, line: Line) -> None:
        """Forget a connection that has ended."""
        self._open.discard(line)
        if not self._open and self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)

    async def close(self, code: int) -> None:
        """Close all connections, now and for good, and wait until they have ended."""
        self._code = code
        for line in tuple(self._open):
            line.close(code, "")
        await self._wait_until_empty()
        for line in tuple(self._open):
            line.abort()
        await self._wait_until_empty()

    async def _wait_until_empty(self) -> None:
        if self._open:
            self._emptied = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._emptied], timeout=_FAREWELL)
