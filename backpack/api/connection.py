"""HTTP on one connection: Sanic's own, but headers that were just read are not read again.

Anything out of the ordinary is left to Sanic.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any

from sanic.http import Http
from sanic.server.protocols.websocket_protocol import WebSocketProtocol

from .request import Heading

_LONGEST = 4_096  # bytes of headers that a connection remembers
_FULL = 65_536  # bytes received beyond which a client has to wait
_VERSION = b"HTTP/1.1"


class Exchange(Http):
    """The requests and answers of one connection, one after the other.

    A client sends the same headers with each request, a browser or a proxy mostly: to compare them
    with the last ones takes 1 us, to read them 15. They are remembered with the connection and no
    longer, since they hold the client's secrets.
    """

    __slots__ = ("_known",)

    def __init__(self, protocol: Any) -> None:
        super().__init__(protocol)  # type: ignore[no-untyped-call]
        self._known: Heading | None = None

    async def http1_request_header(self) -> None:
        """Receive the head of a request into `self.request`."""
        if not self._is_known():
            await super().http1_request_header()  # type: ignore[no-untyped-call]
            self._remember()

    def _is_known(self) -> bool:
        """Whether the buffer begins with a plain request line and the headers that are known; if
        so, the request is made, otherwise nothing is changed."""
        known, buffer = self._known, self.recv_buffer
        if known is None:
            return False
        end = buffer.find(b"\r\n")
        if end < 0 or not buffer.startswith(known.block, end):
            return False
        line = bytes(buffer[:end])
        parts = line.split(b" ")
        if len(parts) != 3 or parts[2] != _VERSION or parts[1][:1] != b"/" or not line.isascii():
            return False
        protocol: Any = self.protocol
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
        self.request_body = None if known.length is None else True  # type: ignore[assignment]
        del buffer[: end + len(known.block)]
        self.request, request.stream = request, self
        protocol.state["requests_count"] += 1
        return True

    def _remember(self) -> None:
        request: Any = self.request
        body: Any = self.request_body
        block = request.head[request.head.find(b"\r\n") :] + b"\r\n\r\n"
        plain = (
            self.keep_alive
            and request.version == "1.1"
            and request.raw_url[:1] == b"/"
            and body != "chunked"
            and len(block) <= _LONGEST
            and not self.expecting_continue
            and not self.upgrade_websocket
        )
        if plain:
            heading = request.heading
            heading.block = block
            heading.length = self.request_bytes_left if body else None
        self._known = request.heading if plain else None


class Connection(WebSocketProtocol):
    """Sanic's protocol, which waits for data by a bare future."""

    HTTP_CLASS = Exchange

    __slots__ = ("_arrival",)

    transport: Any

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._arrival: asyncio.Future[None] | None = None

    async def receive_more(self) -> None:
        # An asyncio.Event costs 3 us more: it asks for the running loop, which is a system call.
        self.transport.resume_reading()
        self._arrival = self.loop.create_future()
        await self._arrival

    def data_received(self, data: bytes) -> None:
        if self.websocket is not None:
            super().data_received(data)  # type: ignore[no-untyped-call]
            return
        self._time = monotonic()
        self.recv_buffer += data
        if len(self.recv_buffer) >= _FULL:
            self.transport.pause_reading()
        arrival, self._arrival = self._arrival, None
        if arrival is not None and not arrival.done():
            arrival.set_result(None)
