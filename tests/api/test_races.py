"""Requests at the same time for the same thing: one of them gets it, and nobody sees a half."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from backpack.testing import BackpackServer
from tests.deployments import App, in_process, not_in_swarm

AT_ONCE = 12
PASSWORD = "correct horse battery"


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(AT_ONCE) as threads:
        yield threads


def at_once(pool: ThreadPoolExecutor, call: Callable[[int], Any]) -> list[Any]:
    return list(pool.map(call, range(AT_ONCE)))


def test_one_address_registers_once(app: App, pool: ThreadPoolExecutor) -> None:
    spellings = ("ada@example.com", "ADA@example.com", " ada@EXAMPLE.com")

    def register(n: int) -> tuple[int, str]:
        body = {"email": spellings[n % 3], "password": f"{PASSWORD} {n}"}
        answer = app.ask("POST /register", body, actor="guest")
        return answer.status_code, answer.json().get("code", "")

    outcomes = sorted(at_once(pool, register))

    assert outcomes == [(200, "")] + [(422, "existing_user")] * (AT_ONCE - 1)


def test_one_collection_is_made_once(app: App, pool: ThreadPoolExecutor) -> None:
    app.token("user")

    def create(n: int) -> tuple[int, Any]:
        answer = app.ask("POST /collections", {"collectionName": "cars"})
        made = app.ask("POST /cars", {"n": n})
        return answer.status_code, made.status_code

    assert at_once(pool, create) == [(200, 200)] * AT_ONCE
    assert app.ask("GET /collections").json() == ["cars"]
    assert sorted(car["n"] for car in app.ask("GET /cars").json()) == list(range(AT_ONCE))


def test_merges_of_one_record_all_count(app: App, pool: ThreadPoolExecutor) -> None:
    (record,) = app.make("cars", {"kept": True})

    def merge(n: int) -> int:
        return app.ask(f"PATCH /cars/{record['_id']}", {f"field{n}": n}).status_code

    assert at_once(pool, merge) == [200] * AT_ONCE
    after = app.ask(f"GET /cars/{record['_id']}").json()
    assert {name: after.get(name) for name in record} == {
        **record,
        "updatedAt": after["updatedAt"],
    }
    assert [after[f"field{n}"] for n in range(AT_ONCE)] == list(range(AT_ONCE))


def test_record_is_deleted_once(app: App, pool: ThreadPoolExecutor) -> None:
    (record,) = app.make("cars", {"n": 1})

    answers = at_once(pool, lambda _: app.ask(f"DELETE /cars/{record['_id']}"))

    assert sorted(answer.status_code for answer in answers) == [200] + [404] * (AT_ONCE - 1)
    assert [answer.json() for answer in answers if answer.status_code == 200] == [record]


def test_deleted_record_does_not_come_back(app: App, pool: ThreadPoolExecutor) -> None:
    (record,) = app.make("cars", {"n": 1})
    path = f"/cars/{record['_id']}"

    def change(n: int) -> int:
        if n == AT_ONCE // 2:
            return app.ask(f"DELETE {path}").status_code
        method = ("PUT", "PATCH")[n % 2]
        return app.ask(f"{method} {path}", {"n": n}).status_code

    assert set(at_once(pool, change)) <= {200, 404}
    assert app.ask(f"GET {path}").status_code == 404
    assert app.ask("GET /cars").json() == []


def test_password_changes_once(app: App, pool: ThreadPoolExecutor) -> None:
    user = app.backpack.register()

    def change(n: int) -> int:
        body = {"current": PASSWORD, "new": f"another password {n}"}
        return app.ask("PUT /me/password", body, actor="guest", headers=session).status_code

    session = {"x-backpack-session": user.client.headers["x-backpack-session"]}
    # Fewer than the failures that make everybody wait.
    outcomes = list(pool.map(change, range(6)))

    assert sorted(outcomes) == [200, 401, 401, 401, 401, 401]
    assert app.backpack.login(user.email, f"another password {outcomes.index(200)}").id == user.id


@in_process
def test_password_change_is_whole_beside_guesses(
    app: App, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = app.backpack.register()
    other = app.backpack.login(user.email)
    store = app.backpack._backpack.store
    change, changed, go_on = store.change, threading.Event(), threading.Event()

    async def hold(collection: str, record_id: str, edit: Any) -> Any:
        done = await change(collection, record_id, edit)
        if collection == "_users":
            changed.set()
            await asyncio.to_thread(go_on.wait)
        return done

    monkeypatch.setattr(store, "change", hold)
    body = {"current": PASSWORD, "new": "another password"}
    changing = pool.submit(user.client.put, "/me/password", json=body)
    assert changed.wait(30)
    for n in range(10):  # as many as make everybody wait
        guess = {"email": user.email, "password": f"wrong password {n}"}
        assert app.ask("POST /login", guess, actor="guest").status_code == 401
    go_on.set()

    assert changing.result().status_code == 200
    assert user.client.get("/me").status_code == 200
    assert other.client.get("/me").status_code == 403


def test_old_password_leaves_no_session(app: App, pool: ThreadPoolExecutor) -> None:
    user = app.backpack.register()
    tokens: list[str] = []

    def use(n: int) -> None:
        if n == AT_ONCE // 2:
            new = {"current": PASSWORD, "new": "another password"}
            user.client.put("/me/password", json=new).raise_for_status()
            return
        for _ in range(4):
            body = {"email": user.email, "password": PASSWORD, "token": True}
            answer = app.ask("POST /login", body, actor="guest")
            tokens.extend([answer.json()["token"]] if answer.status_code == 200 else [])

    at_once(pool, use)

    for token in tokens:
        headers = {"x-backpack-session": token}
        assert app.ask("GET /me", actor="guest", headers=headers).status_code == 403


def test_key_rotates_under_load(app: App, pool: ThreadPoolExecutor) -> None:
    app.token("user")
    old = app.backpack.api_key

    def use(n: int) -> list[int]:
        if n == 0:
            app.rotate_key()
        return [app.ask("GET /me").status_code for _ in range(10)]

    assert at_once(pool, use) == [[200] * 10] * AT_ONCE
    app.rotate_key(now=True)
    known = {"authorization": f"key {old}"}
    assert app.ask("GET /", actor="nokey", headers=known).status_code == 401
    assert app.ask("GET /", actor="guest").status_code == 200


@not_in_swarm  # where backpacks are used again
def test_backpack_is_deleted_under_load(
    deployment: BackpackServer, pool: ThreadPoolExecutor
) -> None:
    app = App(deployment.create("short-lived"), deployment.port)
    app.make("cars", {"n": 1})

    def use(n: int) -> set[tuple[int, str]]:
        if n == 0:
            app.backpack.close()
            return set()
        calls = [app.ask(call, {}) for call in ("POST /cars", "GET /cars", "GET /me") * 4]
        return {(answer.status_code, _code(answer)) for answer in calls}

    seen = set().union(*at_once(pool, use))
    app.hang_up()
    again = deployment.create("short-lived")
    collections = again.register().client.get("/collections").json()
    again.close()

    assert seen <= {(200, ""), (404, "unknown_host"), (503, "unavailable")}
    assert collections == []


def _code(answer: httpx.Response) -> str:
    body = answer.json()
    return body.get("code", "") if isinstance(body, dict) else ""
