"""The console of a backpack for the panel's pages: a websocket that relays its messages.

What they mean is known to `console`; here it is seen to that who is no longer let in hears nothing
more, and that changes are in the audit.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import AsyncExitStack, suppress
from typing import Any

import orjson
from sanic import Blueprint

from .. import frames
from ..api.handshake import handshake_key, switching
from ..api.request import Request
from ..connection import FAILED, SLOW, TOO_MANY, Connection, Limits, take_over
from ..console.handler import MAX_BACKLOG, max_message
from ..drivers.base import Console
from ..errors import BackpackError
from ..realtime import RESTART, SESSION_ENDED
from ..router import ADMIN, mount
from .guards import of_backpack, same_origin, still_may
from .traces import Detail, Trace, together, trace

relay = Blueprint("relay", url_prefix=mount(ADMIN))

_FAREWELL = 2.0  # seconds that pages have to answer a close
_PATIENCE = 30.0  # seconds that what was asked is waited for when the page has gone

_TURN = 65_536  # bytes that are passed on before others get a turn
_FRAME = 1_000  # bytes that a message counts for besides its own

_EVENT, _SUCCESS = b'{"type":"event"', b'{"type":"success"'

logger = logging.getLogger("backpack")


@same_origin
@of_backpack
async def console(request: Request, name: str) -> None:
    """Make a websocket of a request of the panel, and relay a console on it."""
    key = handshake_key(request)
    stack = AsyncExitStack()
    opened = await stack.enter_async_context(request.app.ctx.driver.console(name))
    made = Relay(request, name, opened, stack)
    stream: Any = request.stream
    take_over(stream.protocol, made.connect, switching(request, key))


console.is_websocket = True  # type: ignore[attr-defined]  # else Sanic misses an answer
relay.add_route(
    console,  # type: ignore[arg-type]
    "/backpacks/<name:str>/console",
    methods=["GET"],
    ignore_body=True,
)


class Relays:
    """The relays that are open on this process."""

    def __init__(self) -> None:
        self._open: set[Relay] = set()

    def come(self, relay: Relay) -> None:
        self._open.add(relay)

    def gone(self, relay: Relay) -> None:
        self._open.discard(relay)

    def of(self, developer: str) -> int:
        """How many a developer has open."""
        return sum(relay.developer.id == developer for relay in self._open)

    async def close(self, code: int) -> None:
        """Close all of them, and wait until they have ended."""
        await asyncio.gather(*(relay.close(code) for relay in tuple(self._open)))


class Relay:
    """One page's websocket and the console behind it; `stack` holds that open."""

    def __init__(self, request: Request, name: str, opened: Console, stack: AsyncExitStack) -> None:
        self.developer = request.ctx.developer
        self._request = request
        self._name = name
        self._console = opened
        self._stack = stack
        self._ctx = request.app.ctx
        self._connection: Connection
        # What was asked and is not answered; None for what changes nothing.
        self._asked: deque[Trace | None] = deque()
        # The latest entry of the audit, as long as it is one of a change that may go on.
        self._noted: tuple[Trace, int, Detail] | None = None
        self._answered = asyncio.Event()
        self._doubted = asyncio.Event()
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._ending: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()

    def connect(self, transport: asyncio.Transport) -> Connection:
        settings = self._ctx.tenants.settings
        limits = Limits(max_message(settings), settings.message_rate, MAX_BACKLOG)
        loop = asyncio.get_running_loop()
        self._connection = Connection(
            transport, limits, self._receive, self._doubted.set, self._gone
        )
        crowded = self._ctx.relays.of(self.developer.id) >= settings.max_sockets
        self._ctx.relays.come(self)
        self._tasks = (
            loop.create_task(self._pass_on(aiter(self._console)), name=f"relay {self._name}"),
            loop.create_task(self._watch(settings.ping_interval), name=f"watch {self._name}"),
        )
        if crowded:
            self._connection.close(TOO_MANY, "Too many connections")
        return self._connection

    async def close(self, code: int) -> None:
        """Close it, and wait until it has ended."""
        self._connection.close(code, "")
        with suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL):
                await self._ended.wait()
        self._connection.abort()
        await self._ended.wait()

    async def _receive(self, payload: bytes) -> None:
        if not await still_may(self._request, self._name):
            self._connection.close(SESSION_ENDED, "You may see this no longer")
            return
        try:
            asked = trace(orjson.loads(payload))
        except orjson.JSONDecodeError:
            asked = None  # the console will say so
        self._asked.append(asked)
        try:
            await self._console.send(payload)
        except BackpackError:  # the backpack has gone
            self._connection.close(RESTART, "")

    async def _pass_on(self, messages: Any) -> None:
        """Send the page what comes from the console, until one of them ends."""
        code, passed = RESTART, 0
        try:
            async for message in messages:
                if message.startswith(_EVENT):
                    self._connection.push(frames.text(message))
                else:
                    await self._answer(message)
                passed += len(message) + _FRAME
                if passed > _TURN:
                    passed = 0
                    await asyncio.sleep(0)
        except BackpackError:
            code = SLOW
        except Exception:  # one developer's connection is not the others' matter
            logger.exception("A console could not be relayed", extra={"backpack": self._name})
            code = FAILED
        finally:
            self._connection.close(code, "")
            self._asked.clear()
            self._answered.set()
            await self._stack.aclose()

    async def _answer(self, message: bytes) -> None:
        asked = self._asked[0]
        if asked is not None and message.startswith(_SUCCESS):
            await self._note(asked, message)
        self._asked.popleft()
        self._answered.set()
        self._connection.send(frames.text(message))

    async def _note(self, asked: Trace, answer: bytes) -> None:
        audit, detail = self._ctx.registry.audit, asked.detail(answer)
        if asked.goes_on and self._noted is not None and self._noted[0] == asked:
            _, entry, before = self._noted
            detail = together(before, detail)
            await audit.say_more(entry, detail)
        else:
            address = self._request.client_address
            entry = await audit.note(self.developer, asked.action, self._name, detail, address)
        self._noted = None if asked.filter is None else (asked, entry, detail)

    async def _watch(self, ping_interval: float) -> None:
        """Find out whether the page is still there, and may be, whenever that is in doubt."""
        stop = self._ctx.registry.rights.listen(self._doubted.set)
        try:
            while self._connection.is_open:
                with suppress(TimeoutError):
                    async with asyncio.timeout(ping_interval):
                        await self._doubted.wait()
                if not self._doubted.is_set():
                    self._connection.beat()
                self._doubted.clear()
                if self._connection.is_open and not await still_may(self._request, self._name):
                    self._connection.close(SESSION_ENDED, "You may see this no longer")
        finally:
            stop()

    def _gone(self, _connection: Connection) -> None:
        """The page has gone: what it asked for is done, and noted, all the same."""
        loop = asyncio.get_running_loop()
        self._ending = loop.create_task(self._end(), name=f"end of relay {self._name}")

    async def _end(self) -> None:
        passing, watching = self._tasks
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                while self._asked and not passing.done():
                    self._answered.clear()
                    await self._answered.wait()
        for task in (passing, watching):
            task.cancel()
        await asyncio.wait([passing, watching])
        self._ctx.relays.gone(self)
        self._ended.set()
