"""The order of refusals, for every route and actor: key, route, login, rules, body."""

from __future__ import annotations

import pytest

from tests.deployments import App, in_process

# It is decided by one process alone.
pytestmark = in_process

RECORD = "0" * 24
KEY = {"message": "Check your auth tokens", "code": "bad_key"}
LOGIN = {"message": "Unauthorized", "code": "forbidden"}
OK = {"message": "OK"}

NEED_LOGIN = [
    "GET /me",
    "PUT /me/password",
    "GET /collections",
    "POST /collections",
    "GET /cars",
    "POST /cars",
    f"GET /cars/{RECORD}",
    f"PUT /cars/{RECORD}",
    f"PATCH /cars/{RECORD}",
    f"DELETE /cars/{RECORD}",
]
OPEN_TO_GUESTS = ["GET /", "POST /register", "POST /login", "POST /logout"]
UNKNOWN = ["GET /a/b/c", "POST /a/b/c", "GET /users/a/b", "DELETE /a/b/c"]


@pytest.mark.parametrize("actor", ["nokey", "wrongkey"])
@pytest.mark.parametrize("call", NEED_LOGIN + OPEN_TO_GUESTS + UNKNOWN)
def test_request_without_key_gets_401(app: App, call: str, actor: str) -> None:
    answer = app.ask(call, actor=actor, content=b"{broken")

    assert (answer.status_code, answer.json()) == (401, KEY)


@pytest.mark.parametrize("call", NEED_LOGIN)
def test_guest_gets_403_before_body(app: App, call: str) -> None:
    answer = app.ask(call, actor="guest", content=b"{broken")

    assert (answer.status_code, answer.json()) == (403, LOGIN)


@pytest.mark.parametrize("query", ["filter={broken", 'filter={"$where":1}', "nope=1", "limit=%ff"])
def test_bad_query_is_the_last_to_be_refused(app: App, query: str) -> None:
    call = f"GET /cars?{query}"
    early = [app.ask(call, actor=actor).status_code for actor in ("nokey", "guest", "user")]
    app.make("cars")

    assert early == [401, 403, 404]
    assert app.ask(call, actor="guest").status_code == 403
    assert app.ask(call).status_code in (400, 422)


@pytest.mark.parametrize("call", UNKNOWN)
@pytest.mark.parametrize("actor", ["guest", "user"])
def test_unknown_route_gets_404(app: App, call: str, actor: str) -> None:
    answer = app.ask(call, actor=actor)

    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_route")


@pytest.mark.parametrize(
    ("call", "allowed"),
    [
        ("DELETE /cars", "GET, POST"),
        ("PATCH /login", "POST"),
        ("POST /me", "GET"),
        ("DELETE //cars//?x=1", "GET, POST"),
        (f"POST /cars/{RECORD}", "DELETE, GET, PATCH, PUT"),
        ("PUT /", "GET"),
    ],
)
def test_wrong_method_gets_405(app: App, call: str, allowed: str) -> None:
    answer = app.ask(call)

    assert (answer.status_code, answer.json()["code"]) == (405, "wrong_method")
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize(
    "call", ["GET /cars", "POST /cars", f"GET /cars/{RECORD}", f"PATCH /cars/{RECORD}"]
)
def test_unknown_collection_gets_404(app: App, call: str) -> None:
    answer = app.ask(call, content=b"{broken")

    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_collection")


@pytest.mark.parametrize(
    "path", ["/cars", "//cars", "///cars", "/cars/", "//cars//", "/%63ars"], ids=str
)
def test_extra_slashes_mean_nothing(app: App, path: str) -> None:
    (car,) = app.make("cars", {"n": 1})

    assert app.ask(f"GET {path}").json() == [car]


@pytest.mark.parametrize("path", ["//", "///"])
def test_root_with_slashes_answers(app: App, path: str) -> None:
    assert app.ask(f"GET {path}", actor="guest").json() == {
        "name": app.backpack.name,
        "status": "ok",
    }


def test_root_tells_name(app: App) -> None:
    answer = app.ask("GET /", actor="guest")

    assert (answer.status_code, answer.json()) == (200, {"name": app.backpack.name, "status": "ok"})


def test_healthz_needs_no_key(app: App) -> None:
    answer = app.ask("GET /healthz", actor="nokey")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("scheme", ["key", "Key", "KEY"])
def test_key_scheme_ignores_case(app: App, scheme: str) -> None:
    headers = {"authorization": f"{scheme} {app.backpack.api_key}"}

    assert app.ask("GET /", actor="nokey", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "value", ["", "key", "bearer {}", "{}", "key {}x", "key x{}", "key \u00e9", "key\t{}"]
)
def test_other_authorization_is_refused(app: App, value: str) -> None:
    header = value.format(app.backpack.api_key).encode()

    answer = app.ask("GET /", actor="nokey", headers={"authorization": header})

    assert answer.status_code == 401


def test_head_answers_like_get(app: App) -> None:
    (car,) = app.make("cars", {"n": 1})

    answer = app.ask(f"HEAD /cars/{car['_id']}")

    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) > 50
