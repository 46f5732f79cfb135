"""Which pages may use a backend with credentials, and which cookie each gets."""

from __future__ import annotations

import pytest

from tests.deployments import App, in_process

# It is decided by one process alone.
pytestmark = in_process

EXPOSED = "x-total-count, etag, content-range, content-disposition, retry-after"


def allowed_headers(origin: str) -> dict[str, str]:
    return {
        "vary": "Origin",
        "access-control-allow-origin": origin,
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": EXPOSED,
    }


def cors_headers(app: App, call: str, origin: str, actor: str = "guest") -> dict[str, str]:
    answer = app.ask(call, actor=actor, headers={"origin": origin})
    return {
        name: value
        for name, value in answer.headers.items()
        if name == "vary" or name.startswith("access-control-")
    }


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:5173",
        "http://localhost",
        "https://localhost:3000",
        "http://app.localhost:8080",
        "http://127.0.0.1:3000",
        "http://127.9.9.9",
        "http://[::1]:3000",
        "http://a.b.c.localhost",
        "http://bkpk.localhost.localhost",
        "http://mybkpk.localhost",
    ],
)
def test_loopback_pages_are_allowed(app: App, origin: str) -> None:
    assert cors_headers(app, "GET /", origin) == allowed_headers(origin)


def test_own_frontend_is_allowed(app: App) -> None:
    origin = app.backpack.frontend

    assert cors_headers(app, "GET /", origin) == allowed_headers(origin)


@pytest.mark.parametrize(
    "call", ["GET /", "GET /me", "GET /no/such/route", "POST /login", "DELETE /cars"]
)
@pytest.mark.parametrize("actor", ["guest", "wrongkey"])
def test_errors_carry_cors_headers(app: App, call: str, actor: str) -> None:
    origin = app.backpack.frontend

    assert cors_headers(app, call, origin, actor) == allowed_headers(origin)


def test_other_pages_are_not_allowed(app: App) -> None:
    port = app.host.rpartition(":")[2]
    origins = [
        "http://evil.example",
        "https://evil.example",
        "null",
        "http://localhost.evil.example",
        "http://evil-localhost",
        "file://",
        "",
        "http://127.0.0.1.evil.example",
        "http://localhost:5173/x",
        f"http://admin.bkpk.localhost:{port}",
        f"http://other.bkpk.localhost:{port}",
        "http://bkpk.localhost",
        f"http://{app.backpack.name}-be.bkpk.localhost:{port}",
        "http://user@localhost",
        "http://localhost.",
        "http://localhost:",
        "http://localhost:5173:80",
        "http://localhost:555555",
        "http://[::2]:3000",
        "http://[fe80::1]",
        "http://[::ffff:8.8.8.8]",
        "http://[::1",
        "http://::1",
        "http://0.0.0.0:3000",
        "http://127.1",
        "http://2130706433",
        "http://0x7f000001",
        "http://192.168.0.1",
        "http://localhost%2eevil.example",
        "http://localhost\\@evil.example",
        "http://localhost#.evil.example",
        "http://localhost?.evil.example",
        "ws://localhost:3000",
        "chrome-extension://localhost",
        "http://localhost,http://evil.example",
        "http://localhost http://evil.example",
        f"http://admin.bkpk.localhost.:{port}",
        f"http://ADMIN.BKPK.LOCALHOST:{port}",
        f"https://other.bkpk.localhost:{port}",
        f"http://deep.other.bkpk.localhost:{port}",
        f"{app.backpack.frontend}.evil.example",
        f"{app.backpack.frontend}/",
        "http://LOCALHOST evil",
    ]

    assert {origin: cors_headers(app, "GET /", origin) for origin in origins} == {
        origin: {"vary": "Origin"} for origin in origins
    }


def test_listed_origin_is_allowed(app: App) -> None:
    app.backpack.set_rules({"cors.origins": ["https://www.example.com"]})

    assert cors_headers(app, "GET /", "https://www.example.com") == allowed_headers(
        "https://www.example.com"
    )
    assert cors_headers(app, "GET /", "http://www.example.com") == {"vary": "Origin"}
    assert cors_headers(app, "GET /", "https://example.com") == {"vary": "Origin"}


def test_answer_without_origin_varies(app: App) -> None:
    answer = app.ask("GET /")

    assert answer.headers["vary"] == "Origin"
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/cars", "/cars/1", "/login", "/no/such/route"])
def test_preflight_needs_no_key(app: App, path: str) -> None:
    asks = {"origin": app.backpack.frontend, "access-control-request-method": "PATCH"}

    answer = app.ask(f"OPTIONS {path}", actor="nokey", headers=asks)

    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == app.backpack.frontend
    assert answer.headers["access-control-allow-methods"] == "GET, HEAD, POST, PUT, PATCH, DELETE"
    assert (
        answer.headers["access-control-allow-headers"]
        == "authorization, content-type, x-backpack-session, range"
    )
    assert answer.headers["access-control-max-age"] == "600"


def test_preflight_of_other_page_allows_nothing(app: App) -> None:
    answer = app.ask("OPTIONS /cars", actor="nokey", headers={"origin": "https://evil.example"})

    assert answer.status_code == 204
    assert "access-control-allow-origin" not in answer.headers


def login_cookie(app: App, origin: str | None) -> set[str]:
    """The attributes of the cookie that a login from a page of `origin` gets."""
    email = app.backpack.register().email
    body = {"email": email, "password": "correct horse battery"}
    headers = {"origin": origin} if origin else {}
    answer = app.ask("POST /login", body, actor="guest", headers=headers)
    return {part.strip().lower() for part in answer.headers["set-cookie"].split(";")[1:]}


def test_page_of_other_site_gets_partitioned_cookie(app: App) -> None:
    assert login_cookie(app, "http://localhost:5173") == {
        "path=/",
        "max-age=2592000",
        "httponly",
        "secure",
        "samesite=none",
        "partitioned",
    }


def test_own_frontend_gets_lax_cookie(app: App) -> None:
    assert login_cookie(app, app.backpack.frontend) == {
        "path=/",
        "max-age=2592000",
        "httponly",
        "samesite=lax",
    }


def test_origins_change_with_rules(app: App) -> None:
    origin = "https://www.example.com"
    before = cors_headers(app, "GET /", origin)
    app.backpack.set_rules({"cors.origins": [origin]})
    during = cors_headers(app, "GET /", origin)
    app.backpack.set_rules({})
    after = cors_headers(app, "GET /", origin)

    assert (before, during, after) == (
        {"vary": "Origin"},
        allowed_headers(origin),
        {"vary": "Origin"},
    )


def test_page_of_listed_site_gets_partitioned_cookie(app: App) -> None:
    app.backpack.set_rules({"cors.origins": ["https://www.example.com"]})

    assert "partitioned" in login_cookie(app, "https://www.example.com")


def test_page_gets_cookie_and_not_token(app: App) -> None:
    email = app.backpack.register().email
    body = {"email": email, "password": "correct horse battery", "token": True}

    for origin in ("null", "", "http://evil.example", app.backpack.frontend):
        answer = app.ask("POST /login", body, actor="guest", headers={"origin": origin})
        assert (answer.status_code, answer.json()["code"]) == (422, "token_refused")
        assert "set-cookie" not in answer.headers


def test_connect_url_knows_no_cors(app: App) -> None:
    answer = app.backpack.client.get("/", headers={"origin": "http://localhost:5173"})

    assert answer.json() == {"name": app.backpack.name, "status": "ok"}
    assert "access-control-allow-origin" not in answer.headers
