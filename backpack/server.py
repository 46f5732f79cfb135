"""A Sanic application served on a socket of ours, inside any running event loop.

Who runs the loop, and when it ends, is the caller's business.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Collection
from types import SimpleNamespace
from typing import Any

from sanic import Sanic
from sanic.application.state import ApplicationServerInfo
from sanic.config import Config
from sanic.http.constants import HTTP
from sanic.server.async_server import AsyncioServer

from . import ports
from .api.connection import Connection

_GRACE = 10.0  # seconds that open requests have to end
_RESTART = 1012  # what websockets are closed with
_LOOK = 0.02  # seconds between two looks at the open requests


class Server:
    """Serves one application; a stopped server cannot be started again."""

    def __init__(self, app: Sanic[Config, SimpleNamespace], *, grace: float = _GRACE) -> None:
        self._app = app
        self._grace = grace
        self._socket: socket.socket | None = None
        self._server: AsyncioServer | None = None

    @property
    def port(self) -> int:
        assert self._socket is not None, "the server is not started"
        port: int = self._socket.getsockname()[1]
        return port

    async def start(self, host: str, port: int) -> None:
        """Listen on `host` and `port`, 0 for any free one; raises as `ports.listen` does."""
        await self.start_on(ports.listen(host, port))

    async def start_on(self, listener: socket.socket) -> None:
        """Accept connections on a socket that listens; it is closed with the server."""
        self._socket = listener
        self._app.config.MOTD = False
        # Sanic leaves its empty `alt-svc` header out when it knows that HTTP/1 is all there is.
        spoken = ApplicationServerInfo(settings={"version": HTTP.VERSION_1, "port": self.port})
        self._app.state.server_info.append(spoken)
        server = await self._app.create_server(
            sock=listener,
            protocol=Connection,
            backlog=ports.BACKLOG,
            access_log=False,
            # Those who connect early wait in the backlog until the routes are there.
            asyncio_server_kwargs={"start_serving": False},
        )
        assert server is not None
        await server.startup()  # type: ignore[no-untyped-call]
        await server.before_start()  # type: ignore[no-untyped-call]
        await server.start_serving()  # type: ignore[no-untyped-call]
        await server.after_start()  # type: ignore[no-untyped-call]
        self._server = server

    async def stop(self) -> None:
        """Close websockets, accept nothing more, answer the open requests, then cut what has not
        ended in time."""
        server = self._server
        if server is None:
            return
        self._server = None
        await asyncio.gather(*(close(_RESTART) for close in self._app.ctx.close_sockets))
        await server.before_stop()  # type: ignore[no-untyped-call]
        closed = server.close()  # type: ignore[no-untyped-call]
        connections: Collection[Any] = server.connections
        await self._drain(connections)
        await _cut(connections)
        await closed
        await server.after_stop()  # type: ignore[no-untyped-call]
        Sanic.unregister_app(self._app)

    async def _drain(self, connections: Collection[Any]) -> None:
        ends = time.monotonic() + self._grace
        while True:
            for connection in tuple(connections):
                _close_if_idle(connection)
            if not connections or time.monotonic() > ends:
                return
            await asyncio.sleep(_LOOK)


def _close_if_idle(connection: Any) -> None:
    """Close a connection that carries no request; let another end with the one that it carries."""
    if connection.recv_buffer:  # a request has come, but nobody has looked at it yet
        return
    connection.close_if_idle()


async def _cut(connections: Collection[Any]) -> None:
    """Abort what is still open, and wait until its handlers have noticed."""
    cut = tuple(connections)
    tasks = [connection._task for connection in cut if connection._task is not None]
    for connection in cut:
        connection.abort()
    if tasks:
        await asyncio.wait(tasks, timeout=1.0)
