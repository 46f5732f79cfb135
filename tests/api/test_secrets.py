"""What must not leak: keys, tokens and passwords into the log, internals and others' data into
answers."""

from __future__ import annotations

import json
import logging

import pytest

from tests.deployments import App, in_process

PASSWORD = "a password of its own"


def login(app: App, email: str, password: str = PASSWORD) -> tuple[int, str]:
    body = {"email": email, "password": password, "token": True}
    answer = app.ask("POST /login", body, actor="guest")
    return answer.status_code, answer.json().get("token", "")


def test_log_holds_no_secrets(app: App, caplog: pytest.LogCaptureFixture) -> None:
    # PyMongo's own log of commands, at DEBUG, holds whatever is stored.
    caplog.set_level(logging.INFO)
    for logger in ("backpack", "sanic", "asyncio"):
        caplog.set_level(logging.DEBUG, logger=logger)
    app.ask("POST /register", {"email": "ada@example.com", "password": PASSWORD}, actor="guest")
    _, token = login(app, "ada@example.com")
    wrong = "another password, a wrong one"
    login(app, "ada@example.com", wrong)
    session = {"x-backpack-session": token}
    cookie = {"cookie": f"{app.cookie}={token}"}
    app.ask("GET /me", actor="guest", headers=session)
    app.ask("GET /no/such/route", actor="guest", headers=cookie)
    app.ask(
        "POST /login", actor="guest", content=f'{{"password": "{wrong}'.encode(), headers=cookie
    )
    change = {"current": PASSWORD, "new": wrong}
    app.ask("PUT /me/password", change, actor="guest", headers=session)
    app.ask("POST /logout", actor="guest", headers=session)

    logged = "\n".join([*caplog.messages, caplog.text])
    secrets = (app.backpack.api_key, token, PASSWORD, wrong, "argon2id")
    assert [secret for secret in secrets if secret in logged] == []


@in_process
def test_failure_tells_client_nothing(
    app: App, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.make("cars")
    token = app.token("user")

    def fail(*_: object) -> None:
        raise RuntimeError("disk /dev/sda1 of host db-7")

    monkeypatch.setattr(app.backpack._backpack.store, "find", fail)

    answer = app.ask("GET /cars?limit=1", headers={"origin": app.backpack.frontend})

    assert (answer.status_code, answer.json()) == (
        500,
        {"message": "Something went wrong on the server", "code": "internal_error"},
    )
    assert answer.headers["access-control-allow-origin"] == app.backpack.frontend
    assert "disk /dev/sda1 of host db-7" in caplog.text
    assert [secret for secret in (app.backpack.api_key, token) if secret in caplog.text] == []


@pytest.mark.parametrize(
    "call",
    [
        "GET /<script>alert(1)</script>",
        "GET /cars?<script>=1",
        "GET /cars?filter=" + '{"$<script>":1}',
        "GET /cars?sort=$<script>",
        "GET /a/b/<script>",
        "FOO /<script>",
    ],
)
def test_markup_comes_back_as_json_only(app: App, call: str) -> None:
    app.make("cars")

    answer = app.ask(call.replace("<", "%3C").replace(">", "%3E"))

    assert answer.status_code in (404, 405, 422)
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) <= {"message", "code", "fields"}


@pytest.mark.parametrize("actor", ["guest", "user"])
@pytest.mark.parametrize(
    "call",
    [
        "GET /users",
        "GET /_users",
        "GET /_sessions",
        "GET /_backpack",
        "GET /me/password",
        "GET /metrics",
    ],
)
def test_no_route_lists_accounts(app: App, call: str, actor: str) -> None:
    email = app.backpack.register().email

    answer = app.ask(call, actor=actor)

    assert answer.status_code in (403, 404, 405)
    assert email not in answer.text


def test_errors_have_one_shape(app: App) -> None:
    calls = ["GET /", "GET /me", "GET /nope", "DELETE /", "POST /login", "GET /cars?x=1"]
    answers = [
        app.ask(call, actor=actor, content=json.dumps({"email": 1}).encode())
        for call in calls
        for actor in ("nokey", "guest", "user")
    ]

    refused = [answer for answer in answers if answer.status_code >= 400]
    assert len(refused) > 10
    for answer in refused:
        assert {"message", "code"} <= set(answer.json()) <= {"message", "code", "fields"}
        assert answer.headers["content-type"] == "application/json"
