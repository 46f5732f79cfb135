"""Accounts and sessions: register, login, logout, me, password."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.deployments import App, in_process
from tests.test_sessions import Clock

GOOD = "correct horse battery"


def register(app: App, email: Any, password: Any = GOOD) -> Any:
    return app.ask("POST /register", {"email": email, "password": password}, actor="guest")


def test_register_answers_id_only(app: App) -> None:
    answer = register(app, "ada@example.com")

    assert answer.status_code == 200
    assert set(answer.json()) == {"id"}
    assert re.fullmatch("[0-9a-f]{24}", answer.json()["id"])
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("email", "password", "message", "field"),
    [
        ("ada@example.com", "short", "Weak password", "password"),
        ("ada@example.com", "x" * 1025, "Weak password", "password"),
        ("ada@example.com", "é" * 600, "Weak password", "password"),
        ("ada@example.com", None, "Weak password", "password"),
        ("ada@example.com", 12345678, "Weak password", "password"),
        ("ada@example.com", ["longenough"], "Weak password", "password"),
        ("", GOOD, "Invalid email address", "email"),
        ("ada", GOOD, "Invalid email address", "email"),
        ("ada@", GOOD, "Invalid email address", "email"),
        ("@example.com", GOOD, "Invalid email address", "email"),
        ("a da@example.com", GOOD, "Invalid email address", "email"),
        ("ada@example..com", GOOD, "Invalid email address", "email"),
        ("ada@example.com\n", GOOD + "\0", None, None),
        ("a" * 300 + "@example.com", GOOD, "Invalid email address", "email"),
        (None, GOOD, "Invalid email address", "email"),
        ({"$gt": ""}, GOOD, "Invalid email address", "email"),
        ("<script>@example.com", GOOD, "Invalid email address", "email"),
    ],
)
def test_register_checks_entries(
    app: App, email: Any, password: Any, message: str | None, field: str | None
) -> None:
    answer = register(app, email, password)

    if message is None:
        assert answer.status_code == 200
    else:
        assert (answer.status_code, answer.json()["message"]) == (422, message)
        assert set(answer.json()["fields"]) == {field}


@pytest.mark.parametrize("again", ["ada@example.com", " Ada@Example.COM ", "ADA@EXAMPLE.COM"])
def test_email_is_taken_once(app: App, again: str) -> None:
    register(app, "ada@example.com")

    answer = register(app, again)

    assert (answer.status_code, answer.json()["message"]) == (422, "Existing user")


@pytest.mark.parametrize("body", [b"", b"[]", b'"x"', b"null", b"{", b"\xff"], ids=repr)
@pytest.mark.parametrize("call", ["POST /register", "POST /login"])
def test_body_must_be_object(app: App, call: str, body: bytes) -> None:
    assert app.ask(call, actor="guest", content=body).status_code == 400


def test_login_by_cookie(app: App) -> None:
    user_id = register(app, "ada@example.com").json()["id"]

    answer = app.ask("POST /login", {"email": " ADA@example.com", "password": GOOD}, actor="guest")

    assert (answer.status_code, answer.json()) == (200, {"id": user_id})
    cookie = answer.headers["set-cookie"]
    name, _, rest = cookie.partition("=")
    assert (name, len(rest.partition(";")[0])) == (app.cookie, 43)
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    secure = {"secure"} if app.secure else set()
    assert attributes == {"path=/", "max-age=2592000", "httponly", "samesite=lax", *secure}
    me = app.ask(
        "GET /me", actor="guest", headers={"cookie": f"theme=dark; {cookie.partition(';')[0]}; x=y"}
    )
    assert (me.status_code, me.json()["id"]) == (200, user_id)


def test_login_by_token_sets_no_cookie(app: App) -> None:
    user_id = register(app, "ada@example.com").json()["id"]

    answer = app.ask(
        "POST /login", {"email": "ada@example.com", "password": GOOD, "token": True}, actor="guest"
    )

    assert answer.json() == {"id": user_id, "token": answer.json()["token"]}
    assert "set-cookie" not in answer.headers


def test_token_is_refused_to_pages(app: App) -> None:
    register(app, "ada@example.com")
    body = {"email": "ada@example.com", "password": GOOD, "token": True}
    page = {"origin": app.backpack.frontend}

    refused = app.ask("POST /login", body, actor="guest", headers=page)
    app.backpack.set_rules({"tokens.browser": True})
    allowed = app.ask("POST /login", body, actor="guest", headers=page)

    assert (refused.status_code, refused.json()["code"]) == (422, "token_refused")
    assert (allowed.status_code, "token" in allowed.json()) == (200, True)


@pytest.mark.parametrize(
    "body",
    [
        {"email": "nobody@example.com", "password": GOOD},
        {"email": "ada@example.com", "password": "wrong horse battery"},
        {"email": "ada@example.com"},
        {"email": "ada@example.com", "password": None},
        {"email": "ada@example.com", "password": 5},
        {"email": "ada@example.com", "password": "x" * 5000},
        {"email": {"$ne": None}, "password": {"$ne": None}},
        {"password": GOOD},
        {},
    ],
    ids=repr,
)
def test_failed_login_tells_nothing(app: App, body: dict[str, Any]) -> None:
    register(app, "ada@example.com")

    answer = app.ask("POST /login", body, actor="guest")

    assert (answer.status_code, answer.json()) == (
        401,
        {"message": "Wrong email or password", "code": "bad_login"},
    )


@in_process
def test_eleventh_failed_login_waits(app: App) -> None:
    register(app, "ada@example.com")
    wrong = {"email": "ada@example.com", "password": "wrong horse battery"}

    answers = [app.ask("POST /login", wrong, actor="guest") for _ in range(11)]
    right = app.ask("POST /login", {"email": "ada@example.com", "password": GOOD}, actor="guest")
    other = register(app, "bob@example.com")

    assert [answer.status_code for answer in answers] == [401] * 10 + [429]
    assert 0 < int(answers[-1].headers["retry-after"]) <= 300
    assert (right.status_code, other.status_code) == (429, 200)


def test_good_login_clears_failures(app: App) -> None:
    register(app, "eve@example.com")
    wrong = {"email": "eve@example.com", "password": "wrong horse battery"}

    def tries() -> list[int]:
        return [app.ask("POST /login", wrong, actor="guest").status_code for _ in range(9)]

    first = tries()
    good = app.ask("POST /login", {"email": "eve@example.com", "password": GOOD}, actor="guest")
    second = tries()

    assert (first, good.status_code, second) == ([401] * 9, 200, [401] * 9)


def test_every_login_is_a_session(app: App) -> None:
    tokens = {
        app.backpack.login(app.backpack.register().email).client.headers["x-backpack-session"]
        for _ in "ab"
    }

    assert len(tokens) == 2


def test_logout_ends_this_session(app: App) -> None:
    user = app.backpack.register()
    other = app.backpack.login(user.email)

    answer = user.client.post("/logout")

    assert (answer.status_code, answer.json()) == (200, {"message": "OK"})
    assert user.client.get("/me").status_code == 403
    assert other.client.get("/me").status_code == 200


def test_logout_without_session_is_fine(app: App) -> None:
    answer = app.ask("POST /logout", actor="guest")

    assert (answer.status_code, answer.json()) == (200, {"message": "OK"})
    assert "max-age=0" in answer.headers["set-cookie"].lower()


def test_me_tells_account(app: App) -> None:
    answer = app.ask("GET /me", actor="ada")

    assert set(answer.json()) == {"id", "email", "createdAt"}
    assert (answer.json()["id"], answer.json()["email"]) == (app.user_id("ada"), "ada@example.com")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", answer.json()["createdAt"])


@pytest.mark.parametrize(
    "token", ["", "x", "0" * 43, "é", "../..", "a" * 5000], ids=lambda t: t[:6]
)
def test_made_up_token_is_a_guest(app: App, token: str) -> None:
    headers = {"x-backpack-session": token.encode()}

    assert app.ask("GET /me", actor="guest", headers=headers).status_code == 403


def test_password_change_ends_other_sessions(app: App) -> None:
    user = app.backpack.register()
    other = app.backpack.login(user.email)
    new = "another long password"

    answer = user.client.put("/me/password", json={"current": user.password, "new": new})

    assert (answer.status_code, answer.json()) == (200, {"message": "OK"})
    assert user.client.get("/me").status_code == 200
    assert other.client.get("/me").status_code == 403
    assert app.backpack.login(user.email, new).id == user.id
    assert (
        app.backpack.client.post(
            "/login", json={"email": user.email, "password": user.password}
        ).status_code
        == 401
    )


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"current": "wrong", "new": "another long password"}, 401, "Wrong password"),
        ({"new": "another long password"}, 401, "Wrong password"),
        ({"current": GOOD, "new": "short"}, 422, "Weak password"),
        ({"current": GOOD}, 422, "Weak password"),
        ({"current": GOOD, "new": 5}, 422, "Weak password"),
    ],
    ids=repr,
)
def test_password_change_checks_entries(
    app: App, body: dict[str, Any], status: int, message: str
) -> None:
    answer = app.ask("PUT /me/password", body, actor="ada")

    assert (answer.status_code, answer.json()["message"]) == (status, message)
    assert app.ask("GET /me", actor="ada").status_code == 200


def test_session_header_wins_over_cookie(app: App) -> None:
    headers = {"cookie": f"{app.cookie}={app.token('bob')}"}

    by_cookie = app.ask("GET /me", actor="guest", headers=headers)
    by_header = app.ask("GET /me", actor="ada", headers=headers)

    assert by_cookie.json()["id"] == app.user_id("bob")
    assert by_header.json()["id"] == app.user_id("ada")


@in_process
def test_session_in_use_lives_on(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    token = app.token("ada")
    monkeypatch.setattr(app.backpack._backpack.sessions, "_clock", clock)
    by_cookie = {"cookie": f"{app.cookie}={token}"}
    renewed = []

    for days in (0.5, 0.6, 20, 20):
        clock.now += days * 86_400
        answer = app.ask("GET /me", actor="guest", headers=by_cookie)
        renewed.append((answer.status_code, "set-cookie" in answer.headers))

    assert renewed == [(200, False), (200, True), (200, True), (200, True)]
    assert answer.headers["set-cookie"].startswith(f"{app.cookie}={token}; Path=/; Max-Age=")
    clock.now += 31 * 86_400
    assert app.ask("GET /me", actor="guest", headers=by_cookie).status_code == 403


def test_logout_ends_cookie(app: App) -> None:
    headers = {"cookie": f"{app.cookie}={app.token('ada')}"}

    answer = app.ask("POST /logout", actor="guest", headers=headers)

    assert answer.headers["set-cookie"] == (
        f"{app.cookie}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax{app.secure}"
    )
    assert app.ask("GET /me", actor="guest", headers=headers).status_code == 403
    assert app.ask("GET /me", actor="ada").status_code == 403


def test_logout_from_other_site_ends_its_cookie(app: App) -> None:
    headers = {
        "cookie": f"{app.cookie}={app.token('ada')}",
        "origin": "http://localhost:5173",
    }

    answer = app.ask("POST /logout", actor="guest", headers=headers)

    assert answer.headers["set-cookie"] == (
        f"{app.cookie}=; Path=/; Max-Age=0; HttpOnly; SameSite=None; Secure; Partitioned"
    )


def test_logout_ends_header_session_only(app: App) -> None:
    headers = {"cookie": f"{app.cookie}={app.token('bob')}"}

    app.ask("POST /logout", actor="ada", headers=headers)

    assert app.ask("GET /me", actor="ada").status_code == 403
    assert app.ask("GET /me", actor="bob").status_code == 200


@pytest.mark.parametrize("token", ["", "x", "0" * 43])
def test_bad_header_hides_good_cookie(app: App, token: str) -> None:
    headers = {"cookie": f"{app.cookie}={app.token('ada')}", "x-backpack-session": token}

    assert app.ask("GET /me", actor="guest", headers=headers).status_code == 403


@pytest.mark.parametrize(
    "cookie",
    [
        "Backpack_Session={token}",
        "{other}={token}",
        "{name}={token}x",
        "{name}=",
        "{name}",
        "x{name}={token}",
        "theme={name}={token}",
        "{token}",
        ";;;=;{token}",
    ],
)
def test_other_cookie_is_a_guest(app: App, cookie: str) -> None:
    other = "backpack_session" if app.secure else "__Host-backpack_session"
    headers = {"cookie": cookie.format(token=app.token("ada"), name=app.cookie, other=other)}

    assert app.ask("GET /me", actor="guest", headers=headers).status_code == 403


def test_password_change_keeps_own_cookie(app: App) -> None:
    own = {"cookie": f"{app.cookie}={app.token('ada')}"}
    other = app.backpack.login("ada@example.com")
    body = {"current": GOOD, "new": "another long password"}

    answer = app.ask("PUT /me/password", body, actor="guest", headers=own)

    assert answer.status_code == 200
    assert app.ask("GET /me", actor="guest", headers=own).status_code == 200
    assert other.client.get("/me").status_code == 403


@in_process
def test_spelling_of_address_does_not_help_guessing(app: App) -> None:
    register(app, "ada@example.com")
    spellings = ["ada@example.com", "ADA@example.com", " ada@example.com", "ada@EXAMPLE.com\t"]

    def guess(n: int) -> int:
        body = {"email": spellings[n % 4], "password": f"wrong password {n}"}
        headers = {"x-forwarded-for": f"198.51.100.{n}", "forwarded": f"for=198.51.100.{n}"}
        return app.ask("POST /login", body, actor="guest", headers=headers).status_code

    assert [guess(n) for n in range(12)] == [401] * 10 + [429] * 2


@in_process
def test_password_change_is_no_way_to_guess(app: App) -> None:
    body = {"new": "another long password"}

    def guess(n: int) -> int:
        return app.ask(
            "PUT /me/password", {**body, "current": f"wrong {n}"}, actor="ada"
        ).status_code

    assert [guess(n) for n in range(12)] == [401] * 10 + [429] * 2


def test_guesses_do_not_lock_others_out(app: App) -> None:
    for name in ("ada", "bob"):
        register(app, f"{name}@example.com")
    for n in range(11):
        body = {"email": "ada@example.com", "password": f"wrong password {n}"}
        app.ask("POST /login", body, actor="guest")

    assert app.backpack.login("bob@example.com").id
