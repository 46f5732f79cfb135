"""The guards of the panel's routes, each by a route that has nothing else."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sanic import Blueprint, HTTPResponse, json

from backpack.admin.guards import changing, of_backpack, operator, same_origin, signed_in
from backpack.api.request import Request
from backpack.app import App
from backpack.router import ADMIN, mount
from backpack.tenants import Tenants
from tests.panel import COOKIE, PanelServer

probe = Blueprint("probe", url_prefix=mount(ADMIN))


@probe.get("/probe/who", ignore_body=True)
@signed_in
async def who(request: Request) -> HTTPResponse:
    return json(request.ctx.developer.name)


@probe.get("/api/probe/operator", ignore_body=True)
@operator
async def of_operators(request: Request) -> HTTPResponse:
    return json("OK")


@probe.get("/api/probe/<name:str>", ignore_body=True)
@of_backpack
async def of_members(request: Request, name: str) -> HTTPResponse:
    return json(name)


@probe.post("/api/probe/<name:str>/given", ignore_body=True)
@changing("probe.change")
@of_backpack(owner=True)
async def change(request: Request, name: str) -> HTTPResponse:
    request.ctx.detail["count"] = 3
    return json(name)


@probe.post("/api/probe/<name:str>/endless", ignore_body=True)
@changing("probe.endless")
@of_backpack
async def change_for_ever(request: Request, name: str) -> None:
    request.ctx.detail["begun"] = True
    request.app.ctx.began.set()
    await asyncio.Event().wait()


@probe.get("/probe/page", ignore_body=True)
@same_origin
async def own_pages(request: Request, **_: Any) -> HTTPResponse:
    return json("OK")


class ProbeServer(PanelServer):
    @asynccontextmanager
    async def _app(self, tenants: Tenants) -> AsyncIterator[App]:
        async with super()._app(tenants) as app:
            app.blueprint(probe)
            app.ctx.began = asyncio.Event()
            yield app


@pytest.fixture(scope="module")
def server() -> Iterator[ProbeServer]:
    server = ProbeServer()
    server.start()
    server.create("shop")
    server.share("shop", server.developer("ann"))
    server.share("shop", server.developer("bob"), role="member")
    yield server
    server.stop()


def test_page_sends_stranger_to_sign_in(server: ProbeServer) -> None:
    answer = server.stranger().ask("GET /probe/who?a=1&b=//x")

    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=/probe/who%3Fa%3D1%26b%3D//x"


@pytest.mark.parametrize(
    ("call", "headers"),
    [
        pytest.param("GET /api/probe/shop", {}, id="api"),
        pytest.param("POST /api/probe/shop/given", {}, id="change"),
        pytest.param("GET /probe/who", {"upgrade": "websocket"}, id="websocket"),
    ],
)
def test_stranger_is_refused(server: ProbeServer, call: str, headers: dict[str, str]) -> None:
    answer = server.stranger().ask(call, headers=headers)

    assert answer.status_code == 401
    assert answer.json() == {"message": "Sign in first", "code": "not_signed_in"}


def test_signed_in_developer_is_known(server: ProbeServer) -> None:
    assert server.developer("ann").ask("GET /probe/who").json() == "ann@example.com"


def test_operators_only(server: ProbeServer) -> None:
    assert server.operator().ask("GET /api/probe/operator").status_code == 200
    assert server.developer("ann").ask("GET /api/probe/operator").status_code == 403


def test_backpack_of_others_is_not_there(server: ProbeServer) -> None:
    seen = [
        client.ask("GET /api/probe/shop").status_code
        for client in map(server.developer, ("ann", "bob", "carol"))
    ]
    there = server.developer("carol").ask("GET /api/probe/shop")
    missing = server.developer("carol").ask("GET /api/probe/none")

    assert (seen, server.operator().ask("GET /api/probe/shop").status_code) == (
        [200, 200, 404],
        200,
    )
    assert there.text == missing.text.replace("none", "shop")
    assert there.json()["code"] == "unknown_backpack"


def test_change_by_owner_is_noted(server: ProbeServer) -> None:
    ann = server.developer("ann")
    answer = ann.ask("POST /api/probe/shop/given", headers={"content-length": "0"})
    noted = server.call(server.registry.audit.of_backpack("shop", limit=1))[0]

    assert answer.status_code == 200
    assert (noted.name, noted.action, noted.detail, noted.address) == (
        "ann@example.com",
        "probe.change",
        {"count": 3},
        "127.0.0.1",
    )


def test_change_that_is_broken_off_is_noted(server: ProbeServer) -> None:
    ann = server.developer("ann")
    head = "".join(f"{name}: {value}\r\n" for name, value in ann.headers("POST").items())

    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(f"POST /api/probe/shop/endless HTTP/1.1\r\n{head}\r\n".encode())
        server.call(server.app.ctx.began.wait())

    assert server.call(noted(server, "probe.endless")) == {"begun": True, "broken_off": True}


async def noted(server: ProbeServer, action: str) -> Any:
    """The detail of the first entry of that action, once it is there."""
    async with asyncio.timeout(10.0):
        while True:
            for entry in await server.registry.audit.of_backpack("shop"):
                if entry.action == action:
                    return entry.detail
            await asyncio.sleep(0.01)


def test_refused_change_is_not_noted(server: ProbeServer) -> None:
    before = server.call(server.registry.audit.of_backpack("shop"))

    assert server.developer("bob").ask("POST /api/probe/shop/given").status_code == 403
    assert server.developer("carol").ask("POST /api/probe/shop/given").status_code == 404
    assert server.call(server.registry.audit.of_backpack("shop")) == before


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        pytest.param({"origin": None}, "bad_origin", id="no origin"),
        pytest.param({"origin": "null"}, "bad_origin", id="null"),
        pytest.param({"origin": "http://shop.bkpk.localhost"}, "bad_origin", id="hosted site"),
        pytest.param({"origin": "https://{host}"}, "bad_origin", id="other scheme"),
        pytest.param({"x-csrf-token": None}, "bad_csrf", id="no token"),
        pytest.param({"x-csrf-token": "ä"}, "bad_csrf", id="token of other letters"),
        pytest.param({"x-csrf-token": "0" * 64}, "bad_csrf", id="wrong token"),
    ],
)
def test_forged_change_is_refused(
    server: ProbeServer, headers: dict[str, str | None], code: str
) -> None:
    ann = server.developer("ann")
    sent = {name: value and value.format(host=ann.host) for name, value in headers.items()}
    answer = ann.ask("POST /api/probe/shop/given", headers=sent)

    assert (answer.status_code, answer.json()["code"]) == (403, code)


def test_token_of_another_session_is_refused(server: ProbeServer) -> None:
    first, second = server.developer("ann"), server.developer("ann")
    answer = first.ask("POST /api/probe/shop/given", headers={"x-csrf-token": second.csrf})

    assert answer.json()["code"] == "bad_csrf"


def test_form_carries_its_token(server: ProbeServer) -> None:
    ann = server.developer("ann")
    headers = {"x-csrf-token": None}
    right = ann.ask("POST /api/probe/shop/given", form={"csrf_token": ann.csrf}, headers=headers)
    wrong = ann.ask("POST /api/probe/shop/given", form={"csrf_token": "x"}, headers=headers)

    assert (right.status_code, wrong.status_code) == (200, 403)


def test_page_of_another_origin_is_refused(server: ProbeServer) -> None:
    stranger = server.stranger()

    assert stranger.ask("GET /probe/page", headers={"origin": stranger.origin}).status_code == 200
    assert stranger.ask("GET /probe/page").status_code == 403


@pytest.mark.parametrize("tossed", ["x", "x" * 43, "", '"'])
def test_tossed_rubbish_changes_nothing(server: ProbeServer, tossed: str) -> None:
    ann = server.developer("ann")
    for cookies in (f"{COOKIE}={tossed}; {ann.cookie}", f"{ann.cookie}; {COOKIE}={tossed}"):
        answer = ann.ask("GET /probe/who", headers={"cookie": cookies})
        assert answer.json() == "ann@example.com"


def test_tossed_session_of_another_is_told(server: ProbeServer) -> None:
    ann, eve = server.developer("ann"), server.developer("eve")
    answer = ann.ask("GET /probe/who", headers={"cookie": f"{eve.cookie}; {ann.cookie}"})

    assert (answer.status_code, answer.json()["code"]) == (400, "two_sessions")
    assert "Delete the cookies" in answer.json()["message"]


def test_cookie_without_prefix_is_none_here(server: ProbeServer) -> None:
    ann = server.developer("ann")
    answer = ann.ask("GET /probe/who", headers={"cookie": f"backpack={ann.token}"})

    assert answer.status_code == 303


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/probe/shop", 200),
        ("/backpacks/nothing", 404),
        ("/backpacks/shop/tokens", 403),
        ("/settings", 403),
        ("/nothing/here", 404),
    ],
)
def test_refused_page_is_one_of_the_panel(server: ProbeServer, path: str, status: int) -> None:
    bob = server.developer("bob")

    page = bob.ask(f"GET {path}", headers={"accept": "text/html,*/*"})
    data = bob.ask(f"GET {path}", headers={"accept": "application/json"})

    assert (page.status_code, data.status_code) == (status, status)
    if status != 200:
        assert data.json()["message"].replace("'", "&#39;") in page.text
        assert "bob@example.com" in page.text
