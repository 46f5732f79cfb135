"""What the HTTP contract is checked on: one running server per kind of store, and an app on a fresh
backpack of it."""

from __future__ import annotations

import functools
import itertools
import json
import os
from collections.abc import Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from backpack.homes import Folder, Memory, Servers
from backpack.testing import BackpackServer, Seed, T, TestBackpack
from tests.replicas import SETTINGS, Replica
from tests.talk import Frame, Socket, open_socket


class Replicated(BackpackServer):
    """Two processes that serve the same backpacks; a third, this one, looks after them."""

    def __init__(self, mongo_url: str, redis_url: str, files: Path) -> None:
        super().__init__(lambda settings: Servers(settings, mongo_url, redis_url, files), SETTINGS)
        self._replicas = [Replica(mongo_url, redis_url, files) for _ in range(2)]

    def start(self) -> BackpackServer:
        super().start()
        self.port = self.ports[0]
        return self

    def stop(self) -> None:
        for replica in self._replicas:
            replica.stop()
        super().stop()

    @property
    def ports(self) -> list[int]:
        return [replica.port for replica in self._replicas]

    def create(self, name: str | None = None, *, seed: Seed | None = None) -> TestBackpack:
        made = super().create(name, seed=seed)
        for replica in self._replicas:
            replica.open(made.name)
        return made

    def delete(self, name: str) -> None:
        for replica in self._replicas:
            replica.close(name)
        super().delete(name)

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        done = super().call(work)
        self.catch_up()
        return done

    def catch_up(self) -> None:
        """Return when both processes have heard all that was sent on a bus so far."""
        for replica in self._replicas:
            replica.catch_up()


# For tests that reach into the process that serves: on all deployments of one process.
in_process = pytest.mark.parametrize("deployment", ["memory", "sqlite", "mongo"], indirect=True)


@pytest.fixture(scope="session", params=["memory", "sqlite", "mongo", "replicas"])
def deployment(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BackpackServer]:
    """A server on a free port, once on each kind of store; of `replicas` there are two."""
    if request.param == "memory":
        server = BackpackServer(Memory, SETTINGS)
    elif request.param == "sqlite":
        folder = tmp_path_factory.mktemp("backpacks")
        server = BackpackServer(lambda settings: Folder(folder, settings), SETTINGS)
    else:
        mongo_url = request.getfixturevalue("mongo_url")
        redis_url = request.getfixturevalue("redis_url")
        files = tmp_path_factory.mktemp("files")
        if request.param == "mongo":
            home = functools.partial(Servers, mongo_url=mongo_url, redis_url=redis_url, files=files)
            server = BackpackServer(home, SETTINGS)
        else:
            server = Replicated(mongo_url, redis_url, files)
    server.start()
    yield server
    server.stop()


class App:
    """A web app's view of its backpack, by the backend's host name, for several actors.

    `wire_faults`: below it is the Mongo-wire server, which cannot keep all that MongoDB does.
    Actors: `nokey`, `wrongkey`, `guest` (the key alone), and users by any other name, who are
    registered when they first act.
    """

    def __init__(self, backpack: TestBackpack, port: int, *, wire_faults: bool = False) -> None:
        self.backpack = backpack
        self.wire_faults = wire_faults
        self.host = backpack.backend.removeprefix("http://")
        self._http = httpx.Client(headers={"host": self.host}, verify=False, timeout=30.0)
        server = backpack._server
        self._replicas = server if isinstance(server, Replicated) else None
        ports = self._replicas.ports if self._replicas else [port]
        self._addresses = itertools.cycle(f"http://127.0.0.1:{port}" for port in ports)
        self._users: dict[str, tuple[str, str]] = {}
        self._sockets: list[Socket] = []
        self._marker: Socket | None = None
        self._marks = itertools.count(1)

    def user_id(self, actor: str) -> str:
        return self._user(actor)[0]

    def token(self, actor: str) -> str:
        return self._user(actor)[1]

    def _user(self, actor: str) -> tuple[str, str]:
        if actor not in self._users:
            user = self.backpack.register(f"{actor}@example.com")
            self._users[actor] = (user.id, user.client.headers["x-backpack-session"])
        return self._users[actor]

    def headers(self, actor: str) -> dict[str, str]:
        if actor == "nokey":
            return {}
        if actor == "wrongkey":
            return {"authorization": "key not-the-key"}
        headers = {"authorization": f"key {self.backpack.api_key}"}
        if actor != "guest":
            headers["x-backpack-session"] = self.token(actor)
        return headers

    def ask(
        self,
        call: str,
        body: Any = None,
        *,
        actor: str = "user",
        content: bytes | None = None,
        headers: Mapping[str, str | bytes] | None = None,
    ) -> httpx.Response:
        """Send `call`, such as `GET /cars`, with `body` as JSON or `content` as it is.

        Of several processes that serve the backpack they are asked in turn.
        """
        method, _, path = call.partition(" ")
        if body is not None:
            content = json.dumps(body).encode()
        sent = {**self.headers(actor), **(headers or {})}
        answer = self._http.request(
            method,
            next(self._addresses) + path,
            content=content,
            headers=[
                (name.encode(), value.encode() if isinstance(value, str) else value)
                for name, value in sent.items()
            ],
        )
        if self._replicas and method != "GET":
            self._replicas.catch_up()
        return answer

    def make(self, collection: str, *records: dict[str, Any], actor: str = "user") -> list[Any]:
        """Make a collection with records; returns them as they were answered."""
        self.backpack.seed({"collections": {collection: []}})
        return [self.ask(f"POST /{collection}", record, actor=actor).json() for record in records]

    @property
    def address(self) -> str:
        """Where the backpack is served: on one process after the other, where it is several."""
        return next(self._addresses)

    def socket(
        self, actor: str = "user", *, resume: str | None = None, greeted: bool = True
    ) -> Socket:
        """A websocket of a user, by the session's token; it is closed with the app."""
        query = "" if resume is None else f"?resume={resume}"
        offers = ["backpack", f"backpack.session.{self.token(actor)}"]
        return self.connect(f"/{query}", subprotocols=offers, greeted=greeted)

    def connect(self, path: str = "/", **options: Any) -> Socket:
        """A websocket, as `talk.open_socket` takes the options; it is closed with the app."""
        made = open_socket(self.address + path, host=self.host, **options)
        self._sockets.append(made)
        return made

    def heard(self, *sockets: Socket) -> list[list[Frame]]:
        """What each of some sockets has been told until now, and not received yet.

        A message that goes to everybody marks the place: what was sent before comes before it.
        """
        if self._marker is None:
            self._marker = self.socket("marker")
        mark = {"action": "broadcast", "mark": next(self._marks)}
        self._marker.ask(mark)
        return [socket.until(mark) for socket in sockets]

    def rotate_key(self, *, now: bool = False) -> None:
        """Change the API key, and use the new one."""
        backpack = self.backpack
        backpack.api_key = backpack._server.call(backpack._backpack.rotate_key(now=now))

    def hang_up(self) -> None:
        """Close the connections, and leave the backpack."""
        self._http.close()
        for made in self._sockets:
            made.close()

    def close(self) -> None:
        self.hang_up()
        self.backpack.close()


@pytest.fixture
def app(deployment: BackpackServer, request: pytest.FixtureRequest) -> Iterator[App]:
    """An app on a backpack of its own."""
    on_mongo = request.node.callspec.params["deployment"] in ("mongo", "replicas")
    on_wire = on_mongo and not os.environ.get("MONGO_URL")
    made = App(deployment.create(), deployment.port, wire_faults=on_wire)
    yield made
    made.close()
