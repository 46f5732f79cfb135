"""HTTP on a connection: Sanic's own, but headers that have been read are not read again.

Anything out of the ordinary is left to Sanic.
"""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic
from typing import Any

from sanic.exceptions import RequestCancelled
from sanic.http import Http
from sanic.server.protocols.websocket_protocol import WebSocketProtocol

_LONGEST = 2_048  # bytes of headers that are remembered
_MOST = 1_000  # headers that are remembered, of the latest clients
_FULL = 65_536  # bytes received beyond which a client has to wait
_MUCH = 524_288  # the same in the middle of a body: each turn of the loop costs 50 us
_VERSION = b"HTTP/1.1"


class Exchange(Http):
    """The requests and answers of one connection, one after the other.

    A client sends the same headers with each request, mostly. Looked up as they came they take
    2 us, read they take 15. Behind a proxy a client has no connection of its own, so all share what
    is remembered.
    """

    __slots__ = ()

    protocol: Any
    request: Any
    request_body: Any
    request_bytes: Any
    request_bytes_left: Any
    request_max_size: Any

    async def http1_request_header(self) -> None:
        """Receive the head of a request into `self.request`."""
        if not self._is_known():
            await super().http1_request_header()  # type: ignore[no-untyped-call]
            self._remember()

    def _is_known(self) -> bool:
        """Whether the buffer begins with a plain request line and headers that are known; if so,
        the request is made, otherwise nothing is changed."""
        buffer, protocol = self.recv_buffer, self.protocol
        first = buffer.find(b"\r\n")
        end = buffer.find(b"\r\n\r\n", first)
        if first < 0 or not 0 <= end - first <= _LONGEST:
            return False
        known = protocol.app.ctx.headings.get(bytes(buffer[first + 2 : end]))
        line = bytes(buffer[:first])
        parts = line.split(b" ")
        if known is None or len(parts) != 3 or parts[2] != _VERSION:
            return False
        if parts[1][:1] != b"/" or not line.isascii():
            return False
        request = protocol.request_class(
            url_bytes=parts[1],
            headers=known.headers,
            head=line,
            version="1.1",
            method=parts[0].decode(),
            transport=protocol.transport,
            app=protocol.app,
            heading=known,
        )
        protocol.request_class._current.set(request)
        self.keep_alive = True
        self.head_only = request.method.upper() == "HEAD"
        self.request_bytes = self.request_bytes_left = known.length or 0
        self.request_body = None if known.length is None else True
        del buffer[: end + 4]
        self.request, request.stream = request, self
        protocol.state["requests_count"] += 1
        return True

    def _remember(self) -> None:
        request = self.request
        block = request.head.partition(b"\r\n")[2]
        if (
            self.keep_alive
            and request.version == "1.1"
            and request.raw_url[:1] == b"/"
            and self.request_body != "chunked"
            and len(block) < _LONGEST
            and not self.expecting_continue
            and not self.upgrade_websocket
        ):
            headings = self.protocol.app.ctx.headings
            if len(headings) >= _MOST:
                del headings[next(iter(headings))]
            request.heading.length = self.request_bytes_left if self.request_body else None
            headings[block] = request.heading

    async def error_response(self, exception: Exception) -> None:
        """Answer what went wrong, unless it is that the client has gone."""
        if isinstance(exception, RequestCancelled):
            self.keep_alive = False
            return
        await super().error_response(exception)

    async def read(self) -> bytes | None:
        """Some bytes of the body, None behind its end.

        Of a body of known length all but the first is handed on as it is received: by way of the
        buffer it would be copied three times, 0.2 ms a MiB.
        """
        left = self.request_bytes_left
        if (
            self.recv_buffer
            or not left
            or self.request_body == "chunked"
            or self.expecting_continue
            or self.request_bytes > self.request_max_size
        ):
            return await super().read()
        block: bytes = await self.protocol.receive_block(left)
        self.request_bytes_left -= len(block)
        if not self.request_bytes_left:
            self.protocol.fill_buffer()
        return block


class Connection(WebSocketProtocol):
    """Sanic's protocol, which waits for data by a bare future."""

    HTTP_CLASS = Exchange

    __slots__ = ("_arrival", "_blocks", "_held")

    transport: Any

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._arrival: asyncio.Future[None] | None = None
        # What came past the buffer, in place of which it is there while it is no None.
        self._blocks: deque[bytes] | None = None
        self._held = 0  # bytes in there

    async def receive_more(self) -> None:
        # An asyncio.Event costs 3 us more: it asks for the running loop, which is a system call.
        self.transport.resume_reading()
        self._arrival = self.loop.create_future()
        await self._arrival

    async def receive_block(self, most: int) -> bytes:
        """The next bytes, past the buffer, which is empty; from now on until `fill_buffer`."""
        if self._blocks is None:
            self._blocks = deque()
        if not self._blocks:
            await self.receive_more()
        block = self._blocks.popleft()
        self._held -= len(block)
        if len(block) > most:
            self._blocks.appendleft(block[most:])
            self._held += len(block) - most
            block = block[:most]
        return block

    def fill_buffer(self) -> None:
        """Let what comes behind a body go through the buffer again."""
        if self._blocks is not None:
            self.recv_buffer += b"".join(self._blocks)
            self._blocks, self._held = None, 0

    def data_received(self, data: bytes) -> None:
        if self.websocket is not None:
            super().data_received(data)  # type: ignore[no-untyped-call]
            return
        self._time = monotonic()
        if self._blocks is None:
            self.recv_buffer += data
            is_full = len(self.recv_buffer) >= _FULL
        else:
            self._blocks.append(data)
            self._held += len(data)
            is_full = self._held >= _MUCH
        if is_full:
            self.transport.pause_reading()
        arrival, self._arrival = self._arrival, None
        if arrival is not None and not arrival.done():
            arrival.set_result(None)
