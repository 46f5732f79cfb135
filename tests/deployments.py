"""What the HTTP contract is checked on: one running server per kind of store, and an app on a fresh
backpack of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
from pymongo import MongoClient
from redis.asyncio import Redis

from backpack.bus import RedisBus, redis_client
from backpack.homes import Folder, Memory
from backpack.settings import Settings
from backpack.stores.mongo import MongoStore
from backpack.stores.sessions import RedisSessions
from backpack.tenants import Parts
from backpack.testing import BackpackServer, TestBackpack

SETTINGS = Settings(dev=True, cheap_passwords=True, registrations_per_hour=0)


class Services:
    """A home on a real MongoDB-wire server and a real Redis: a database and a key prefix per
    backpack."""

    def __init__(self, settings: Settings, mongo_url: str, redis_url: str) -> None:
        self._settings = settings
        self._mongo_url = mongo_url
        self._redis_url = redis_url
        self._clients: dict[str, Redis] = {}

    def names(self) -> list[str]:
        return []

    async def open(self, name: str) -> Parts:
        redis = self._clients[name] = redis_client(self._redis_url)
        store = MongoStore.from_url(
            self._mongo_url,
            _database(name),
            max_document=self._settings.max_document,
            deadline=self._settings.query_deadline,
        )
        bus = RedisBus(redis, f"{name}:bus")
        await store.open()
        await bus.open()
        return Parts(store, RedisSessions(redis, name), bus, redis.aclose)

    async def delete(self, name: str) -> None:
        async with self._clients.pop(name) as redis:
            async for key in redis.scan_iter(f"{name}:*"):
                await redis.delete(key)
        with MongoClient[dict[str, Any]](self._mongo_url) as mongo:
            mongo.drop_database(_database(name))


def _database(name: str) -> str:
    return f"backpack_{name.replace('-', '_')}"


@pytest.fixture(scope="session", params=["memory", "sqlite", "mongo"])
def deployment(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BackpackServer]:
    """A server on a free port, once on each kind of store."""
    if request.param == "memory":
        server = BackpackServer(Memory, SETTINGS)
    elif request.param == "sqlite":
        folder = tmp_path_factory.mktemp("backpacks")
        server = BackpackServer(lambda settings: Folder(folder, settings), SETTINGS)
    else:
        mongo_url = request.getfixturevalue("mongo_url")
        redis_url = request.getfixturevalue("redis_url")
        server = BackpackServer(lambda settings: Services(settings, mongo_url, redis_url), SETTINGS)
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
        self._address = f"http://127.0.0.1:{port}"
        self._users: dict[str, tuple[str, str]] = {}

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
        """Send `call`, such as `GET /cars`, with `body` as JSON or `content` as it is."""
        method, _, path = call.partition(" ")
        if body is not None:
            content = json.dumps(body).encode()
        sent = {**self.headers(actor), **(headers or {})}
        return self._http.request(
            method,
            self._address + path,
            content=content,
            headers=[
                (name.encode(), value.encode() if isinstance(value, str) else value)
                for name, value in sent.items()
            ],
        )

    def make(self, collection: str, *records: dict[str, Any], actor: str = "user") -> list[Any]:
        """Make a collection with records; returns them as they were answered."""
        self.backpack.seed({"collections": {collection: []}})
        return [self.ask(f"POST /{collection}", record, actor=actor).json() for record in records]

    def rotate_key(self, *, now: bool = False) -> None:
        """Change the API key, and use the new one."""
        backpack = self.backpack
        backpack.api_key = backpack._server.call(backpack._backpack.rotate_key(now=now))

    def hang_up(self) -> None:
        """Close the connections, and leave the backpack."""
        self._http.close()

    def close(self) -> None:
        self.hang_up()
        self.backpack.close()


@pytest.fixture
def app(deployment: BackpackServer, request: pytest.FixtureRequest) -> Iterator[App]:
    """An app on a backpack of its own."""
    on_wire = request.node.callspec.params["deployment"] == "mongo" and not os.environ.get(
        "MONGO_URL"
    )
    made = App(deployment.create(), deployment.port, wire_faults=on_wire)
    yield made
    made.close()
