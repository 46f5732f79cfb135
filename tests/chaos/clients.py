"""Clients that do at random what users do, and note what they did and were told."""

from __future__ import annotations

import asyncio
import json
import math
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

from tests.chaos.history import FAILED, OK, UNKNOWN, Channel, Document, History, Log, Request, Told

PATIENCE = 60.0  # seconds; what takes longer than this does not come
INFO = "infos"
_PAUSE = 0.05  # seconds between attempts to connect
_CODES = (1000, 1001, 1005, 1006, 1012)  # that a connection may end with


class Lost(Exception):
    """The connection has ended."""


@dataclass
class World:
    """What all clients share. `urls` are of the processes that are running now."""

    host: str
    key: str
    history: History
    urls: list[str] = field(default_factory=list)
    records: dict[str, list[tuple[str, str]]] = field(default_factory=dict)  # _id, user
    channels: list[tuple[Channel, str]] = field(default_factory=list)
    turns: int = 0
    numbers: int = 0
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    def number(self) -> int:
        self.numbers += 1
        return self.numbers

    async def turn(self) -> None:
        self.turns += 1
        async with self.news:
            self.news.notify_all()

    async def reach(self, turns: int) -> None:
        """Wait until the clients have taken so many turns altogether."""
        async with self.news:
            await self.news.wait_for(lambda: self.turns >= turns)

    def fault(self, what: str) -> None:
        self.history.faults.append(what)


class Client:
    """One client of a user: an HTTP client and one websocket at a time."""

    def __init__(
        self, number: int, user: str, token: str, world: World, seed: object, *, resumes: bool
    ) -> None:
        self.user = user
        self.log = Log(number, user, resumes)
        self._offers = [Subprotocol("backpack"), Subprotocol(f"backpack.session.{token}")]
        self._world = world
        self._random = random.Random(f"{seed}/{number}")
        self._socket: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._answers: dict[str, asyncio.Future[Document]] = {}  # by requestId
        self._marks: dict[int, asyncio.Event] = {}
        self._seq: str | None = "" if resumes else None
        self._requests = 0
        self._refusal: Exception | None = None
        headers = {"host": world.host, "authorization": f"key {world.key}"}
        self._http = httpx.AsyncClient(
            headers={**headers, "x-backpack-session": token}, timeout=PATIENCE
        )
        world.history.logs.append(self.log)

    # The connection

    async def dial(self) -> None:
        """Connect, however long it takes, and be greeted."""
        ends = time.monotonic() + PATIENCE
        while not await self._dial_once():
            assert time.monotonic() < ends, (
                f"no connection to {self._world.urls}: {self._refusal!r}"
            )
            await asyncio.sleep(_PAUSE)

    async def _dial_once(self) -> bool:
        if not self._world.urls:
            return False
        dialled = time.monotonic()
        parts = urlsplit(self._random.choice(self._world.urls))
        query = "" if self._seq is None else f"?resume={self._seq}"
        try:
            self._socket = await connect(
                f"ws://{self._world.host}/{query}",
                host=parts.hostname,
                port=parts.port,
                proxy=None,
                subprotocols=self._offers,
                compression=None,
                open_timeout=PATIENCE,
                close_timeout=5,
                ping_interval=None,
                max_size=None,
                max_queue=None,
            )
            greeting = json.loads(await self._socket.recv())
        except (OSError, InvalidHandshake, ConnectionClosed, EOFError) as exc:
            self._refusal = exc
            return False
        self.log.dialled.append(dialled)
        self.log.greeted.append(time.monotonic())
        self._note(greeting)
        self._reader = asyncio.create_task(self._read(self._socket, len(self.log.greeted) - 1))
        return True

    async def _read(self, socket: ClientConnection, link: int) -> None:
        try:
            async for text in socket:
                self._note(json.loads(text), link)
        except ConnectionClosed:
            pass
        if socket.close_code not in _CODES:
            self._world.fault(f"client {self.log.client} was closed with {socket.close_code}")
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(Lost())

    def _note(self, frame: Document, link: int | None = None) -> None:
        self.log.told.append(
            Told(time.monotonic(), len(self.log.greeted) - 1 if link is None else link, frame)
        )
        if self._seq is not None and "seq" in frame:
            self._seq = frame["seq"]
        if "mark" in frame:
            self._marks.setdefault(frame["mark"], asyncio.Event()).set()
        answer = self._answers.get(frame.get("requestId", ""))
        if answer is not None and not answer.done():
            answer.set_result(frame)

    @property
    def is_connected(self) -> bool:
        return self._reader is not None and not self._reader.done()

    async def hang_up(self, *, politely: bool = True) -> None:
        """Close the connection, or cut it."""
        if self._socket is not None and self._reader is not None:
            if politely:
                await self._socket.close()
            else:
                self._socket.transport.abort()
            await self._reader

    async def close(self) -> None:
        await self.hang_up()
        await self._http.aclose()

    async def ask(self, message: Document) -> Document:
        """The answer to a message; raises Lost."""
        if not self.is_connected:
            await self.dial()
        self._requests += 1
        request = f"{self.log.client}-{self._requests}"
        self.log.asked.add(request)
        answer: asyncio.Future[Document] = asyncio.get_running_loop().create_future()
        self._answers[request] = answer
        assert self._socket is not None
        try:
            with suppress(ConnectionClosed):  # the reader says so too
                await self._socket.send(json.dumps({**message, "requestId": request}))
            if not self.is_connected and not answer.done():
                raise Lost
            async with asyncio.timeout(PATIENCE):
                return await answer
        except TimeoutError:
            self._world.fault(f"client {self.log.client} got no answer to {message}")
            raise Lost from None
        finally:
            del self._answers[request]

    async def heard(self, mark: int) -> None:
        """Return when that mark has come; whoever is not connected connects."""
        event = self._marks.setdefault(mark, asyncio.Event())
        async with asyncio.timeout(PATIENCE):
            await event.wait()

    # What it does

    async def run(self, turns: int) -> None:
        """Take so many turns."""
        for _ in range(turns):
            if not self.is_connected:
                await self.dial()
            act = self._random.choices(_ACTS, _WEIGHTS)[0]
            with suppress(Lost):
                await act(self)
            await self._world.turn()

    async def _do(self, request: Request, message: Document) -> None:
        """Ask by the websocket, and note how it went."""
        if not self.is_connected:
            await self.dial()
        request.link = len(self.log.greeted) - 1
        self._world.history.requests.append(request)
        request.started = time.monotonic()
        answer = await self.ask(message)
        if answer["action"] == "error":
            request.outcome = UNKNOWN if answer["code"] == "unavailable" else FAILED
            return
        request.ended, request.outcome = time.monotonic(), OK
        request.record = answer if request.action in _PASSED_ON else answer.get("response") or {}

    async def _do_by_http(self, request: Request, method: str, path: str, body: Any) -> None:
        self._world.history.requests.append(request)
        request.started = time.monotonic()
        try:
            urls = self._world.urls or ["http://127.0.0.1:9"]
            answer = await self._http.request(method, self._random.choice(urls) + path, json=body)
        except httpx.ConnectError:
            request.outcome = FAILED
            return
        except httpx.TransportError:
            return
        if answer.status_code == 200:
            request.ended, request.outcome = time.monotonic(), OK
            request.record = answer.json()
        elif answer.status_code >= 500:
            if answer.status_code != 503:
                self._world.fault(f"{method} {path}: {answer.status_code} {answer.text}")
        else:
            request.outcome = FAILED

    def _request(self, action: str, **members: Any) -> Request:
        link = len(self.log.greeted) - 1
        return Request(action, self.user, self.log.client, link, math.inf, **members)

    def _content(self, number: int) -> Document:
        """A record's or message's own members: whom it is for, in every way there is."""
        content: Document = {"w": number}
        way = self._random.random()
        if way < 0.1:
            content["broadcast"] = False
        elif way < 0.2:
            content["broadcast"] = "false"
        elif way < 0.5 and self._world.channels:
            (kind, channel_id), _ = self._random.choice(self._world.channels[-6:])
            content |= {"channelType": kind, "channelId": channel_id}
        return content

    async def write(self) -> None:
        """Create, replace, merge or delete a record, by HTTP or websocket."""
        collection = self._random.choice(["cars", "cars", "diaries"])
        known = self._world.records.setdefault(collection, [])
        own = [one for one, user in known[-12:] if user == self.user or collection == "cars"]
        action = self._random.choice(["create", "create", "update", "patch", "patch", "delete"])
        if not own or (action == "delete" and self._random.random() < 0.5):
            action = "create"
        number = self._world.number()
        content = self._content(number)
        if collection == "cars":
            content["userId"] = self.user
        record_id = "" if action == "create" else self._random.choice(own)
        request = self._request(
            action,
            collection=collection,
            record_id=record_id,
            number=0 if action == "delete" else number,
        )
        if self._random.random() < 0.4:
            method = {"create": "POST", "update": "PUT", "patch": "PATCH", "delete": "DELETE"}
            path = f"/{collection}/{record_id}" if record_id else f"/{collection}"
            body = None if action == "delete" else content
            await self._do_by_http(request, method[action], path, body)
        else:
            message = {"action": action, "collection": collection, "data": content}
            await self._do(request, {**message, "id": record_id} if record_id else message)
        if action == "create" and request.outcome == OK:
            known.append((request.record["_id"], self.user))
        if action == "delete" and request.outcome == OK and (record_id, self.user) in known:
            known.remove((record_id, self.user))

    async def pass_on(self) -> None:
        """Send a message to others."""
        action = self._random.choice(_PASSED_ON)
        number = self._world.number()
        await self._do(
            self._request(action, number=number), {"action": action, **self._content(number)}
        )

    async def create_channel(self) -> None:
        request = self._request("createChannel")
        named = {"usersInformationCollection": INFO, "channelType": "rooms", "name": "a"}
        await self._do(request, {"action": "createChannel", **named})
        if request.outcome == OK:
            request.channel = ("rooms", request.record["_id"])
            self._world.channels.append((request.channel, self.user))

    async def move(self) -> None:
        """Join, leave, choose or delete a channel."""
        if not self._world.channels:
            return
        channel, creator = self._random.choice(self._world.channels[-6:])
        action = self._random.choices(
            ["joinChannel", "leaveChannel", "changeChannel", "deleteChannel"], [6, 2, 1, 1]
        )[0]
        if action == "deleteChannel" and creator != self.user:
            action = "joinChannel"
        message = {"action": action, "usersInformationCollection": INFO}
        message |= {"channelType": channel[0], "channelId": channel[1]}
        if action == "deleteChannel":
            message["channelMessagesCollection"] = "messages"
        request = self._request(action, channel=channel)
        await self._do(request, message)
        if request.outcome == OK and action in ("joinChannel", "leaveChannel"):
            held = channels_of(request.record)
            is_in = held.count(channel)
            if is_in != (action == "joinChannel"):
                self._world.fault(f"{action} of {channel} was answered with {held}")

    async def join_all(self) -> None:
        message = {"action": "joinUsersChannels", "usersInformationCollection": INFO}
        await self._do(self._request("joinUsersChannels"), message)

    async def read(self) -> None:
        """Look at somebody's diaries, or what is there; nobody sees another's."""
        answer = await self.ask({"action": "getAll", "collection": "diaries"})
        for record in answer.get("response", ()):
            if record["userId"] != self.user:
                self._world.fault(f"client {self.log.client} ({self.user}) found {record}")

    async def presence(self) -> None:
        await self.ask({"action": "presence"})

    async def close_politely(self) -> None:
        await self.hang_up()

    async def cut(self) -> None:
        await self.hang_up(politely=False)

    async def cut_in_the_midst(self) -> None:
        """Ask for something and cut the connection before the answer."""
        writing = asyncio.create_task(self.write())
        await asyncio.sleep(0)
        await self.hang_up(politely=False)
        await writing

    async def members(self) -> list[Channel]:
        """The channels that the user is in, by the server's word."""
        message = {"action": "joinUsersChannels", "usersInformationCollection": INFO}
        answer = await self.ask(message)
        return [(one["channelType"], one["channelId"]) for one in answer["usersChannels"]]

    async def get(self, path: str) -> Any:
        answer = await self._http.get(self._world.urls[0] + path)
        return answer.raise_for_status().json()


_PASSED_ON = ("open", "close", "broadcast")


def channels_of(info: Document) -> list[Channel]:
    """The channels in a user's own record."""
    return [(one["channelType"], one["channelId"]) for one in info["channels"]]


_ACTS: list[Callable[[Client], Any]] = [
    Client.write,
    Client.pass_on,
    Client.create_channel,
    Client.move,
    Client.join_all,
    Client.read,
    Client.presence,
    Client.close_politely,
    Client.cut,
    Client.cut_in_the_midst,
]
_WEIGHTS = [40, 15, 3, 20, 3, 5, 2, 2, 3, 3]
