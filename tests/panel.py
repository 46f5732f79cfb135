"""A server with a panel for tests, and developers who are signed in to it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from backpack.admin import Panel
from backpack.app import App, create_app
from backpack.drivers.local import Endpoint, LocalDriver
from backpack.homes import Folder, Memory
from backpack.registry import FILE, Registry
from backpack.registry.developers import DEVELOPER, OPERATOR, Developer, insert
from backpack.registry.sessions import csrf_token
from backpack.settings import Settings
from backpack.tenants import Tenants
from backpack.testing import BackpackServer

SETTINGS = Settings(dev=True, cheap_passwords=True, registrations_per_hour=0)
PASSWORD = "correct horse battery"
COOKIE = "__Host-backpack"


class PanelServer(BackpackServer):
    """A server with the local driver; backpacks and registry are in `data`, or in memory without
    it."""

    registry: Registry
    driver: LocalDriver

    def __init__(self, data: Path | None = None, settings: Settings = SETTINGS) -> None:
        super().__init__(
            Memory if data is None else lambda settings: Folder(data, settings), settings
        )
        self.clients: list[PanelClient] = []
        self.path: Path | None = None
        if data is not None:
            data.mkdir(exist_ok=True)
            self.path = data / FILE

    def stop(self) -> None:
        for client in self.clients:
            client.http.close()
        super().stop()

    @asynccontextmanager
    async def _app(self, tenants: Tenants) -> AsyncIterator[App]:
        endpoint = Endpoint(tenants.settings.domain, "127.0.0.1", self.port)
        self.driver = LocalDriver(tenants, endpoint)
        self.registry = await Registry.open(self.path, tenants.settings)
        self.panel = Panel(self.registry, self.driver)
        self.app = create_app(tenants, panel=self.panel)
        yield self.app
        await self.panel.close()

    def developer(self, name: str, role: str = DEVELOPER) -> PanelClient:
        """A developer who is signed in; made when there is none of that name."""
        return PanelClient(self, self.call(self._developer(f"{name}@example.com", role)))

    def operator(self, name: str = "operator") -> PanelClient:
        return self.developer(name, OPERATOR)

    def stranger(self) -> PanelClient:
        """Somebody who is not signed in."""
        return PanelClient(self, None)

    def share(self, backpack: str, *clients: PanelClient, role: str = "owner") -> None:
        """Have developers as owners, or members, of a backpack."""
        for client in clients:
            assert client.developer is not None
            self.call(self.registry.backpacks.set_member(backpack, client.developer, role))

    async def _developer(self, email: str, role: str) -> Developer:
        found = await self.registry.developers.find(email)
        if found is not None:
            return found
        hashed = await self.registry.developers.check_login(email, PASSWORD)
        async with self.registry._database.transaction() as inside:
            return await insert(inside, *hashed, role)


class PanelClient:
    """A browser's view of the panel: the cookie of a session of its own, and its CSRF token."""

    def __init__(self, server: PanelServer, developer: Developer | None) -> None:
        self.developer = developer
        self.origin = server.host_url("admin")
        self.host = self.origin.removeprefix("http://")
        self.address = f"http://127.0.0.1:{server.port}"
        self.token = ""
        if developer is not None:
            self.token = server.call(server.registry.sessions.create(developer))
        server.clients.append(self)
        self.http = httpx.Client(base_url=self.address, verify=False, timeout=60.0)

    @property
    def csrf(self) -> str:
        return csrf_token(self.token)

    @property
    def cookie(self) -> str:
        return f"{COOKIE}={self.token}" if self.token else ""

    def headers(self, method: str = "GET") -> dict[str, str]:
        """What the panel's pages send with a request."""
        headers = {"host": self.host}
        if self.token:
            headers["cookie"] = self.cookie
        if method != "GET":
            headers |= {"origin": self.origin, "x-csrf-token": self.csrf}
        return headers

    def ask(
        self,
        call: str,
        body: Any = None,
        *,
        content: bytes | None = None,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> httpx.Response:
        """Send `call`, such as `POST /api/backpacks`, with `body` as JSON, or `content`, or `form`.

        `headers` go beside or in place of those of a page, None for none.
        """
        method, _, path = call.partition(" ")
        if body is not None:
            content = json.dumps(body).encode()
        sent = {**self.headers(method), **(headers or {})}
        return self.http.request(
            method,
            path,
            content=content,
            data=form,
            headers=[
                (name.encode(), value.encode(errors="surrogateescape"))
                for name, value in sent.items()
                if value is not None
            ],
        )

    def enter(self, path: str, **fields: str) -> httpx.Response:
        """Send the form of a page for strangers, and keep the session that comes back."""
        answer = self.ask(f"POST {path}", form=fields, headers={"x-csrf-token": None})
        for cookie in answer.headers.get_list("set-cookie"):
            name, _, rest = cookie.partition("=")
            assert name == COOKIE
            self.token = rest.partition(";")[0]
        return answer

    def steps(self, call: str, body: Any = None, **more: Any) -> tuple[list[str], Any]:
        """The lines and the last message of a long action."""
        answer = self.ask(call, body, **more)
        assert answer.status_code == 200, answer.text
        messages = [json.loads(line) for line in answer.text.splitlines()]
        return [message["line"] for message in messages[:-1] if "line" in message], messages[-1]


@pytest.fixture
def panel() -> Iterator[PanelServer]:
    """A server of its own, with everything in memory."""
    server = PanelServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def kept_panel(tmp_path: Path) -> Iterator[PanelServer]:
    """The same with its backpacks in a folder: there can be sites, and a trash."""
    server = PanelServer(tmp_path / "data")
    server.start()
    yield server
    server.stop()
