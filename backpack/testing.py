"""Backpacks in memory for test suites: a pytest plugin with two fixtures.

`backpack` is a fresh backend for one test, `backpack_server` the server that it lives on.

pytest finds the plugin wherever this package is installed with its `test` extra. It is the real
server on a free port of 127.0.0.1, in a thread, with fake MongoDB and Redis below it and cheap
password hashes; nothing touches the disk.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    import httpx

    from .app import App
    from .backpacks import Backpack
    from .server import Server
    from .settings import Settings
    from .tenants import Home, Tenants

T = TypeVar("T")

Seed = Mapping[str, Any] | str | Path
PASSWORD = "correct horse battery"

_PATIENCE = 60.0  # seconds; a machine that runs test suites may be a busy one


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "backpack(seed=None, rules=None): what the fixture `backpack` starts with",
    )


@dataclass
class TestUser:
    """A registered user of a test backpack; `client` is an httpx.Client that is logged in as this
    user."""

    __test__ = False

    id: str
    email: str
    password: str
    client: httpx.Client


class TestBackpack:
    """A fresh, isolated backend: what an app under test needs, and what a test does with it.

    `url` and `api_key` are what `createSdk` takes (from Node or Python); `backend` and `frontend`
    are its
    hosts for browsers. `client` is an httpx.Client with the key and without a session: a guest.
    """

    __test__ = False

    def __init__(self, server: BackpackServer, backpack: Backpack) -> None:
        self.name = backpack.name
        self.api_key = backpack.config.api_key
        self.url = f"http://127.0.0.1:{server.port}/~{self.name}"
        self.backend = server.host_url(f"{self.name}-be")
        self.frontend = server.host_url(self.name)
        self._server = server
        self._backpack = backpack
        self._numbers = itertools.count(1)
        self._clients: list[httpx.Client] = []
        self.client = self._client()

    def _client(self, **headers: str) -> httpx.Client:
        import httpx

        headers = {"authorization": f"key {self.api_key}", **headers}
        # Without TLS: to load the certificates of a client that speaks http only takes 45 ms.
        client = httpx.Client(base_url=self.url, headers=headers, verify=False, timeout=_PATIENCE)
        self._clients.append(client)
        return client

    def register(self, email: str | None = None, password: str = PASSWORD) -> TestUser:
        """A new user, logged in; without an `email` it gets one of its own."""
        email = email or f"user{next(self._numbers)}@example.com"
        answer = self.client.post("/register", json={"email": email, "password": password})
        answer.raise_for_status()
        return self.login(email, password)

    def login(self, email: str, password: str = PASSWORD) -> TestUser:
        """A new session of a user."""
        body = {"email": email, "password": password, "token": True}
        answer = self.client.post("/login", json=body)
        answer.raise_for_status()
        session = answer.json()
        client = self._client(**{"x-backpack-session": session["token"]})
        return TestUser(session["id"], email, password, client)

    def set_rules(self, rules: Mapping[str, Any]) -> None:
        """Put access rules in force; raises backpack.errors.Invalid."""
        self._server.call(self._backpack.set_rules(dict(rules)))

    def seed(self, seed: Seed) -> dict[str, Any]:
        """Fill the backpack from a dict, or from a JSON file that holds one.

        `{"users": [{"email", "password"}], "collections": {"cars": [{...}]}, "rules": {...}}`, each
        part
        as needed. Rules do not hold back a seed. Returns what was made: `{"users": [id],
        "collections":
        {"cars": [record]}}`.
        """
        if isinstance(seed, (str, Path)):
            return self.seed(json.loads(Path(seed).read_text("utf-8")))
        return self._server.call(_seed(self._backpack, seed))

    def close(self) -> None:
        """Delete the backpack and close its clients."""
        for client in self._clients:
            client.close()
        self._server.delete(self.name)


async def _seed(backpack: Backpack, seed: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"users": [], "collections": {}}
    unknown = sorted(set(seed) - {"users", "collections", "rules"})
    if unknown:
        raise ValueError(f"a seed has users, collections and rules, but not {', '.join(unknown)}")
    if "rules" in seed:
        await backpack.set_rules(seed["rules"])
    for user in seed.get("users", ()):
        registered = await backpack.users.register(user["email"], user.get("password", PASSWORD))
        made["users"].append(registered.id)
    for name, entries in seed.get("collections", {}).items():
        await backpack.records.create_collection(name)
        stored = await backpack.records.fill(name, entries)
        made["collections"][name] = [json.loads(record) for record in stored]
    return made


class BackpackServer:
    """One process-wide server with many backpacks, on a free port, in a thread of its own.

    `home` and `settings` default to memory and to what suits tests.
    """

    def __init__(
        self, home: Callable[[Settings], Home] | None = None, settings: Settings | None = None
    ) -> None:
        self.port = 0
        self._home = home
        self._settings = settings
        self._names = itertools.count(1)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: Server | None = None
        self._tenants: Tenants | None = None
        self._thread = threading.Thread(target=self._run, name="backpack-server", daemon=True)

    def start(self) -> BackpackServer:
        """Begin to serve; returns when connections are accepted."""
        started: Future[None] = Future()
        self._started = started
        self._thread.start()
        started.result(timeout=_PATIENCE)
        return self

    def stop(self) -> None:
        """End open requests, then the thread."""
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(timeout=_PATIENCE)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as exc:
            if self._started.done():
                raise
            self._started.set_exception(exc)

    async def _serve(self) -> None:
        from . import ports
        from .homes import Memory
        from .server import Server
        from .settings import Settings
        from .tenants import Tenants

        settings = self._settings or Settings(
            dev=True, cheap_passwords=True, registrations_per_hour=0
        )
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._tenants = Tenants(settings, (self._home or Memory)(settings))
        listener = ports.listen("127.0.0.1", 0)
        self.port = listener.getsockname()[1]
        async with self._app(self._tenants) as app:
            server = Server(app)
            await server.start_on(listener)
            self._started.set_result(None)
            await self._stopping.wait()
            await server.stop()
        await self._tenants.close()

    @asynccontextmanager
    async def _app(self, tenants: Tenants) -> AsyncIterator[App]:
        """What is served; it is left when that has stopped."""
        from .app import create_app

        yield create_app(tenants)

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` on the server's event loop and return what it does."""
        assert self._loop is not None, "the server is not started"
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=_PATIENCE)

    def host_url(self, label: str) -> str:
        """The URL of `label`'s host, such as `admin` or `my-app-be`."""
        assert self._tenants is not None, "the server is not started"
        return f"http://{label}.{self._tenants.settings.domain}:{self.port}"

    def create(self, name: str | None = None, *, seed: Seed | None = None) -> TestBackpack:
        """A new, empty backpack, filled from `seed` where that is given."""
        assert self._tenants is not None, "the server is not started"
        backpack = self.call(self._tenants.create(name or f"test-{next(self._names)}"))
        made = TestBackpack(self, backpack)
        if seed is not None:
            made.seed(seed)
        return made

    def delete(self, name: str) -> None:
        """Delete a backpack with everything in it."""
        assert self._tenants is not None, "the server is not started"
        self.call(self._tenants.delete(name))


@pytest.fixture(scope="session")
def backpack_server() -> Iterator[BackpackServer]:
    """A server in memory for the whole test session; `create()` makes backpacks on it."""
    server = BackpackServer().start()
    yield server
    server.stop()


@pytest.fixture
def backpack(
    backpack_server: BackpackServer, request: pytest.FixtureRequest
) -> Iterator[TestBackpack]:
    """A fresh, isolated backpack, as `@pytest.mark.backpack(seed=..., rules=...)` has it."""
    marker = request.node.get_closest_marker("backpack")
    wanted = dict(marker.kwargs) if marker else {}
    made = backpack_server.create(seed=wanted.get("seed"))
    if "rules" in wanted:
        made.set_rules(wanted["rules"])
    yield made
    made.close()
