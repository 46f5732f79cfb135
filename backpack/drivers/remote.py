"""The private port of a backpack that another process serves: its console, files, backups."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlencode

import orjson

from ..connection import SLOW
from ..documents import Document
from ..errors import BackpackError, Unavailable, from_body
from ..steps import Result, Steps
from .base import NOBODY
from .mailbox import Mailbox

if TYPE_CHECKING:
    import httpx
    from websockets.asyncio.client import ClientConnection

_CONNECT = 5.0  # seconds until the other side has accepted
# To find one that has just begun, of which other nodes hear a moment after it is well: with pauses
# that double, 15 seconds in all.
_RETRIES = 5
_PATIENCE = 60.0  # seconds until an answer, and between two pieces of one
_MOST_LINE = 1_048_576  # bytes of a step's line

_EVENT = b'{"type":"event"'
_AWAY = "The private port of the backpack does not answer"


class PrivatePort:
    """The private port at `url`, such as http://10.0.1.7:4000, for who has its token."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        self._headers = {"authorization": f"Bearer {token}"}

    @asynccontextmanager
    async def console(self) -> AsyncIterator[RemoteConsole]:
        """The console, as `drivers.base` has it; raises Unavailable."""
        from websockets.asyncio.client import connect
        from websockets.exceptions import WebSocketException

        try:
            connection = await connect(
                self._url.replace("http", "ws", 1) + "/",
                additional_headers=self._headers,
                compression=None,
                max_size=None,
                open_timeout=_CONNECT,
                proxy=None,
            )
        except (OSError, TimeoutError, WebSocketException) as exc:
            raise Unavailable(_AWAY) from exc
        console = RemoteConsole(self, connection)
        try:
            yield console
        finally:
            await console.close()

    async def export_backup(
        self, with_key: bool = False, only: Collection[str] | None = None
    ) -> Steps:
        """Everything of the backpack, as `Driver.export_backup` has it."""
        asked = {"key": "1"} if with_key else {}
        if only is not None:
            asked["only"] = ",".join(only)
        async with self.request("GET", f"/backup?{urlencode(asked)}") as answer:
            async for step in _steps(answer):
                yield step

    async def import_backup(self, content: AsyncIterator[bytes]) -> Steps:
        """Fill the backpack, which must be empty, as `Driver.import_backup` has it. It may have
        begun just now."""
        async with self.request("PUT", "/backup", content, retries=_RETRIES) as answer:
            async for step in _steps(answer):
                yield step

    async def metrics(self) -> str:
        """The metrics of the process, for Prometheus."""
        async with self.request("GET", "/metrics") as answer:
            await answer.aread()
            return answer.text

    @asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        content: AsyncIterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        retries: int = 0,
    ) -> AsyncIterator[httpx.Response]:
        """The answer to a request, whose body is not read yet; one that is refused is raised as the
        BackpackError that it is, Unavailable when there is no answer. `retries`: how often it tries
        again to connect."""
        import httpx

        timeout = httpx.Timeout(_PATIENCE, connect=_CONNECT)
        # Without TLS: to load the certificates would take 45 ms.
        transport = httpx.AsyncHTTPTransport(verify=False, retries=retries)
        try:
            async with (
                httpx.AsyncClient(timeout=timeout, transport=transport, trust_env=False) as client,
                client.stream(
                    method,
                    self._url + path,
                    content=content,
                    headers={**self._headers, **(headers or {})},
                ) as answer,
            ):
                if answer.is_error:
                    raise await _refusal(answer)
                yield answer
        except httpx.HTTPError as exc:
            raise Unavailable(_AWAY) from exc


class RemoteConsole:
    """A console over a websocket; its opener closes it."""

    def __init__(self, port: PrivatePort, connection: ClientConnection) -> None:
        self._port = port
        self._connection = connection
        self._mailbox = Mailbox(lambda _: None)
        self._is_read = False
        self._numbers = itertools.count(1)
        self._prefix = f"ask-{secrets.token_hex(4)}-"
        self._asked: dict[str, asyncio.Future[bytes]] = {}
        self._task = asyncio.create_task(self._receive(), name="remote console")

    async def close(self) -> None:
        await self._connection.close()
        self._task.cancel()
        await asyncio.wait([self._task])

    async def send(self, message: bytes) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            await self._connection.send(message.decode(errors="replace"))
        except ConnectionClosed as exc:
            raise Unavailable(_AWAY) from exc

    def __aiter__(self) -> AsyncGenerator[bytes, None]:
        self._is_read = True
        return self._messages()

    async def _messages(self) -> AsyncGenerator[bytes, None]:
        while (message := await self._mailbox.next()) is not None:
            yield message

    async def ask(self, action: str, model: str, data: Any = None, **more: Any) -> Any:
        request = f"{self._prefix}{next(self._numbers)}"
        message = {**more, "action": action, "model": model, "requestId": request}
        if data is not None:
            message["data"] = data
        answered = self._asked[request] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(_PATIENCE):
                await self.send(orjson.dumps(message))
                answer = orjson.loads(await answered)
        except TimeoutError as exc:
            raise Unavailable(_AWAY) from exc
        finally:
            del self._asked[request]
        if answer["type"] == "failure":
            raise from_body(answer["status"], answer["data"])
        return answer["data"]

    async def _receive(self) -> None:
        """Take what comes to who waits for it, until the connection ends."""
        from websockets.exceptions import ConnectionClosed

        code = 0
        try:
            while True:
                self._take(await self._connection.recv(decode=False))
        except ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd else 0
        finally:
            self._mailbox.close(code if code == SLOW else 0)
            for waiting in self._asked.values():
                if not waiting.done():
                    waiting.set_exception(Unavailable(_AWAY))

    def _take(self, message: bytes) -> None:
        if message.startswith(_EVENT):
            if self._is_read:
                self._mailbox.push(message)
            return
        waiting = self._asked.get(_request(message))
        if waiting is None:
            self._mailbox.send(message)
        elif not waiting.done():
            waiting.set_result(message)

    async def read_file(self, user: str, filename: str) -> tuple[Document, AsyncGenerator[bytes]]:
        opened = self._port.request("GET", _path(user, filename))
        answer = await opened.__aenter__()

        async def blocks() -> AsyncGenerator[bytes, None]:
            try:
                async for block in answer.aiter_raw():
                    yield block
            finally:
                await opened.__aexit__(None, None, None)

        return orjson.loads(unquote(answer.headers["x-backpack-file"])), blocks()

    async def save_file(
        self,
        content: AsyncIterator[bytes],
        filename: str,
        type: str,
        user: str = NOBODY,
        *,
        replace: bool = False,
    ) -> Document:
        method, path = "PUT" if replace else "POST", _path(user, filename)
        async with self._port.request(method, path, content, {"content-type": type}) as answer:
            saved: Document = orjson.loads(await answer.aread())
            return saved


def _path(user: str, filename: str) -> str:
    return f"/uploads/{quote(user, safe='')}/{quote(filename, safe='')}"


def _request(answer: bytes) -> str:
    """The `requestId` of an answer, which stands before its data."""
    head = orjson.loads(answer.partition(b',"data":')[0] + b"}")
    request = head.get("requestId")
    return request if isinstance(request, str) else ""


async def _refusal(answer: httpx.Response) -> BackpackError:
    try:
        told = orjson.loads(await answer.aread())
    except orjson.JSONDecodeError:
        told = None
    return from_body(answer.status_code, told)


async def _steps(answer: httpx.Response) -> Steps:
    """The steps of an action, as `private.backups` writes them; raises what it ended with."""
    buffer = bytearray()
    pieces = answer.aiter_raw()

    async def fill() -> None:
        try:
            buffer.extend(await anext(pieces))
        except StopAsyncIteration as exc:
            raise Unavailable("The answer of the backpack broke off") from exc

    while True:
        while (end := buffer.find(b"\n")) < 0:
            if len(buffer) > _MOST_LINE:
                raise Unavailable("The backpack's answer cannot be understood")
            await fill()
        step = orjson.loads(bytes(buffer[:end]))
        del buffer[: end + 1]
        if "line" in step:
            yield step["line"]
        elif "bytes" in step:
            left = step["bytes"]
            while left:
                while not buffer:
                    await fill()
                block = bytes(buffer[:left])
                del buffer[: len(block)]
                left -= len(block)
                yield block
        elif "error" in step:
            raise from_body(step["status"], step["error"])
        else:
            yield Result(step["result"])
            return
