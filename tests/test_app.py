"""The application's own answers: to what came too slowly, and what goes into the log with them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from backpack.app import App, create_app
from backpack.backpacks import Backpack
from backpack.homes import Memory
from backpack.server import Server
from backpack.settings import Settings
from backpack.tenants import Tenants

SETTINGS = Settings(dev=True, cheap_passwords=True)


@pytest.fixture
async def tenants() -> AsyncIterator[Tenants]:
    tenants = Tenants(SETTINGS, Memory(SETTINGS))
    yield tenants
    await tenants.close()


@pytest.fixture
async def backpack(tenants: Tenants) -> Backpack:
    return await tenants.create("shop")


@pytest.fixture
async def app(tenants: Tenants) -> App:
    return create_app(tenants)


@pytest.fixture
async def server(app: App) -> AsyncIterator[Server]:
    server = Server(app)
    await server.start("127.0.0.1", 0)
    yield server
    await server.stop()


@pytest.fixture
async def hasty(app: App, server: Server) -> Server:
    """A server that gives up after a fifth of a second."""
    app.config.update({"REQUEST_TIMEOUT": 0.2, "RESPONSE_TIMEOUT": 0.2})
    return server


async def converse(server: Server, sent: bytes) -> tuple[bytes, dict[str, str]]:
    """The status line and the JSON body that `sent` is answered by until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(sent)
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return head.partition(b"\r\n")[0], json.loads(body)


@pytest.mark.parametrize("missing", ["head", "body", "body of an upgrade"])
async def test_slow_request_gets_408(
    hasty: Server, backpack: Backpack, missing: str, caplog: pytest.LogCaptureFixture
) -> None:
    key = backpack.config.api_key
    head = (
        f"POST /register HTTP/1.1\r\nhost: shop-be.bkpk.localhost\r\nauthorization: key {key}\r\n"
    )
    if missing == "body of an upgrade":
        head += "upgrade: websocket\r\nconnection: upgrade\r\n"
    rest = "" if missing == "head" else "content-length: 100\r\n\r\n{"

    status, body = await converse(hasty, (head + rest).encode())

    assert (status, body["code"]) == (b"HTTP/1.1 408 Request Timeout", "timeout")
    assert caplog.messages == []


async def test_overload_is_logged_in_one_line(
    server: Server, tenants: Tenants, backpack: Backpack, caplog: pytest.LogCaptureFixture
) -> None:
    tenant = tenants.get(backpack.name)
    assert tenant is not None
    await tenant.close()

    status, body = await converse(
        server, b"GET /me HTTP/1.1\r\nhost: shop-be.bkpk.localhost\r\nconnection: close\r\n\r\n"
    )

    assert (status, body["code"]) == (b"HTTP/1.1 503 Service Unavailable", "unavailable")
    assert [record.exc_info for record in caplog.records] == [None]
    assert caplog.messages == ["GET /me failed: The backpack 'shop' is closed"]
