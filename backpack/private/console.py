"""The console of the backpack by websocket."""

from __future__ import annotations

import asyncio
from contextvars import Context
from functools import partial
from typing import Any

from sanic import Blueprint

from .. import frames
from ..api.handshake import handshake_key, switching
from ..api.request import Request
from ..backpacks import Backpack
from ..connection import Connection, Limits, take_over
from ..console.handler import MAX_BACKLOG, Handler, max_message
from .guard import backpack_of

console = Blueprint("console")

_RATE = 10_000  # messages a second: those who have the token are trusted with the process


@console.get("/", ignore_body=True)
async def upgrade(request: Request) -> None:
    """Make a websocket of a request."""
    key = handshake_key(request)
    backpack = await backpack_of(request)
    stream: Any = request.stream
    take_over(stream.protocol, partial(_connect, backpack), switching(request, key))


upgrade.is_websocket = True  # type: ignore[attr-defined]  # else Sanic misses an answer


def _connect(backpack: Backpack, transport: asyncio.Transport) -> Connection:
    """A connection that the hub closes with the backpack."""
    line = _Line()
    handler = Handler(backpack, line)
    settings = backpack.settings
    line.connection = Connection(
        transport,
        Limits(max_message(settings), _RATE, MAX_BACKLOG),
        handler.receive,
        handler.close,
        backpack.hub.lines.gone,
    )
    backpack.hub.lines.come(line.connection)
    if line.connection.is_open:
        handler.listen()
        _beat(line.connection, settings.ping_interval)
    return line.connection


class _Line:
    """A console's line over a websocket."""

    connection: Connection

    def send(self, message: bytes) -> None:
        self.connection.send(frames.text(message))

    def push(self, message: bytes) -> None:
        self.connection.push(frames.text(message))


def _beat(connection: Connection, interval: float) -> None:
    """Ask again and again whether the other side is alive, as long as it is."""

    def beat() -> None:
        if connection.is_open:
            connection.beat()
            _beat(connection, interval)

    asyncio.get_running_loop().call_later(interval, beat, context=Context())
