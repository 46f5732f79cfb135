"""Users of an app while something happens to its backpack: so many requests a second, and sockets
that resume where they were cut off."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

from tests.swarm.web import App

COLLECTION = "load"

_EVERY = 10  # of so many requests one writes, and one may read an upload
_UPLOAD = "load.txt"
_TIMEOUT = 20.0  # seconds for a request; one that takes longer has failed
_CATCHING_UP = 30.0  # seconds that sockets have at the end to hear of everything


@dataclass
class Report:
    """`failed`: what each request said that was not answered as it should be. `written` and
    `unsure`: numbers of documents whose writes were answered, and were not: these may be there all
    the same. `lost`: numbers that a socket was not told of as it should be, by socket."""

    requests: int = 0
    failed: list[str] = field(default_factory=list)
    written: list[int] = field(default_factory=list)
    unsure: list[int] = field(default_factory=list)
    lost: dict[int, list[int]] = field(default_factory=dict)
    reconnects: int = 0
    slowest: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.requests} requests, {len(self.failed)} failed, slowest {self.slowest:.2f} s; "
            f"{len(self.written)} events to each socket, {len(self.lost)} sockets missed some, "
            f"{self.reconnects} reconnects"
        )

    def wrong(self, heard: list[int]) -> list[int]:
        """What a socket that heard this was told of too seldom, too often, or for no reason."""
        times = Counter(heard)
        allowed = dict.fromkeys(self.unsure, (0, 1)) | dict.fromkeys(self.written, (1,))
        return sorted(one for one in {*times, *allowed} if times[one] not in allowed.get(one, ()))


class Load:
    """Runs on a thread of its own from `start` to `stop`."""

    def __init__(
        self, app: App, rate: int = 50, sockets: int = 50, *, uploads: bool = False
    ) -> None:
        self._app = app
        self._rate = rate
        self._count = sockets
        self._uploads = uploads
        self.report = Report()
        self._heard: list[list[int]] = [[] for _ in range(sockets)]
        self._connected = 0
        self._ending = asyncio.Event()
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        if self._uploads:
            self._find_upload()
        self._thread.start()
        assert self._ready.wait(60), "the sockets did not open"

    def _find_upload(self) -> None:
        self._user = self._app.client.get("/me").raise_for_status().json()["id"]
        if self._app.client.get(f"/uploads/{self._user}/{_UPLOAD}").status_code == 404:
            self._app.upload(_UPLOAD, b"some")

    def stop(self) -> Report:
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self.report

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as exc:
            self._error = exc
        finally:
            self._ready.set()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        sockets = [asyncio.create_task(self._listen(number)) for number in range(self._count)]
        while self._connected < self._count:
            await asyncio.sleep(0.05)
        self._ready.set()
        try:
            await self._ask_until_the_end()
            await self._until_heard()
        finally:
            for task in sockets:
                task.cancel()
            await asyncio.gather(*sockets, return_exceptions=True)
        for number, heard in enumerate(self._heard):
            if wrong := self.report.wrong(heard):
                self.report.lost[number] = wrong

    async def _ask_until_the_end(self) -> None:
        limits = httpx.Limits(max_connections=20, max_keepalive_connections=20)
        headers = {**dict(self._app.client.headers), "host": self._app.host}
        async with httpx.AsyncClient(
            base_url=f"https://{self._app.edge.address}",
            headers=headers,
            verify=self._app.edge.trust,
            limits=limits,
            timeout=_TIMEOUT,
        ) as client:
            asked: set[asyncio.Task[None]] = set()
            began = self._loop.time()
            number = 0
            while not self._ending.is_set():
                number += 1
                task = asyncio.create_task(self._ask(client, number))
                asked.add(task)
                task.add_done_callback(asked.discard)
                await asyncio.sleep(max(0.0, began + number / self._rate - self._loop.time()))
            await asyncio.gather(*asked)

    async def _ask(self, client: httpx.AsyncClient, number: int) -> None:
        named: dict[str, Any] = {"sni_hostname": self._app.host}
        is_write = number % _EVERY == 0
        began = time.monotonic()
        self.report.requests += 1
        problem = ""
        try:
            if self._uploads and number % _EVERY == 1:
                answer = await client.get(f"/uploads/{self._user}/{_UPLOAD}", extensions=named)
            elif is_write:
                answer = await client.post(f"/{COLLECTION}", json={"n": number}, extensions=named)
            else:
                answer = await client.get(f"/{COLLECTION}?limit=3", extensions=named)
        except httpx.HTTPError as exc:
            problem = repr(exc)
        else:
            self.report.slowest = max(self.report.slowest, time.monotonic() - began)
            if answer.status_code != 200:
                problem = f"{answer.status_code} {answer.text[:200]}"
        if problem:
            self.report.failed.append(f"{number}: {problem}")
        if is_write:
            (self.report.unsure if problem else self.report.written).append(number)

    async def _listen(self, number: int) -> None:
        last = ""
        while True:
            try:
                async with self._socket(f"?resume={last}") as socket:
                    self._connected += not last
                    async for raw in socket:
                        frame = json.loads(raw)
                        last = str(frame.get("seq", last))
                        if frame["action"] == "create" and frame["collection"] == COLLECTION:
                            self._heard[number].append(frame["response"]["n"])
                        assert frame["action"] != "reload", "what was missed is no longer held"
            except (ConnectionClosed, InvalidHandshake, OSError, TimeoutError):
                pass
            self.report.reconnects += 1
            await asyncio.sleep(0.2)

    def _socket(self, query: str) -> connect:
        app = self._app
        return connect(
            f"wss://{app.host}/{query}",
            host=app.edge.address,
            port=443,
            ssl=app.edge.trust,
            server_hostname=app.host,
            subprotocols=[Subprotocol("backpack"), Subprotocol(f"backpack.session.{app.token}")],
            compression=None,
            open_timeout=_TIMEOUT,
            ping_interval=None,
        )

    async def _until_heard(self) -> None:
        ends = self._loop.time() + _CATCHING_UP
        wanted = set(self.report.written)
        while self._loop.time() < ends and any(wanted.difference(heard) for heard in self._heard):
            await asyncio.sleep(0.1)


@contextmanager
def under_load(app: App, *, uploads: bool = False) -> Iterator[Report]:
    """While inside, users are at it, with `uploads` at files of theirs too; what came of that is
    there afterwards."""
    load = Load(app, uploads=uploads)
    load.start()
    try:
        yield load.report
    finally:
        load.stop()
