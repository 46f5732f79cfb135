"""Two backpacks in one process cannot see each other: data, users, sessions, keys, rules, CORS."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from backpack.testing import BackpackServer
from tests.deployments import App, in_process


@pytest.fixture
def neighbour(deployment: BackpackServer) -> Iterator[App]:
    made = App(deployment.create(), deployment.port)
    yield made
    made.close()


def test_data_is_apart(app: App, neighbour: App) -> None:
    (car,) = app.make("cars", {"n": 1})

    assert neighbour.ask("GET /collections").json() == []
    neighbour.make("cars")
    assert neighbour.ask("GET /cars").json() == []
    assert neighbour.ask(f"GET /cars/{car['_id']}").status_code == 404
    assert neighbour.ask(f"DELETE /cars/{car['_id']}").status_code == 404
    assert app.ask("GET /cars").json() == [car]


def test_users_are_apart(app: App, neighbour: App) -> None:
    body = {"email": "ada@example.com", "password": "correct horse battery"}
    app.ask("POST /register", body, actor="guest")

    login = neighbour.ask("POST /login", body, actor="guest")
    register = neighbour.ask("POST /register", body, actor="guest")

    assert (login.status_code, register.status_code) == (401, 200)


def test_sessions_are_apart(app: App, neighbour: App) -> None:
    token = app.token("user")
    by_header = {"x-backpack-session": token}
    by_cookie = {"cookie": f"{app.cookie}={token}"}

    assert neighbour.ask("GET /me", actor="guest", headers=by_header).status_code == 403
    assert neighbour.ask("GET /me", actor="guest", headers=by_cookie).status_code == 403
    neighbour.ask("POST /logout", actor="guest", headers=by_header)
    assert app.ask("GET /me").status_code == 200


def test_keys_are_apart(app: App, neighbour: App) -> None:
    key = {"authorization": f"key {app.backpack.api_key}"}

    assert neighbour.ask("GET /", actor="nokey", headers=key).status_code == 401
    assert app.ask("GET /", actor="nokey", headers=key).status_code == 200


def test_rules_are_apart(app: App, neighbour: App) -> None:
    app.make("cars")
    neighbour.make("cars")
    app.backpack.set_rules({"cars": {"list": "public", "read": "public"}})

    assert app.ask("GET /cars", actor="guest").status_code == 200
    assert neighbour.ask("GET /cars", actor="guest").status_code == 403


def test_origins_are_apart(app: App, neighbour: App) -> None:
    app.backpack.set_rules({"cors.origins": ["https://www.example.com"]})

    for origin in ("https://www.example.com", app.backpack.frontend):
        allowed = app.ask("GET /", headers={"origin": origin})
        refused = neighbour.ask("GET /", headers={"origin": origin})
        assert allowed.headers["access-control-allow-origin"] == origin
        assert "access-control-allow-origin" not in refused.headers


@in_process
def test_failed_logins_are_counted_apart(app: App, neighbour: App) -> None:
    wrong = {"email": "ada@example.com", "password": "wrong horse battery"}

    for _ in range(11):
        last = app.ask("POST /login", wrong, actor="guest")

    assert last.status_code == 429
    assert neighbour.ask("POST /login", wrong, actor="guest").status_code == 401
