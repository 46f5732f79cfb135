"""Backpacks as wholes: listing, making, deleting, the trash, states, scale and logs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest

from backpack.admin import progress
from backpack.drivers.base import Status
from backpack.errors import BackpackError
from backpack.steps import finish
from tests.panel import PanelClient, PanelServer


def actions(client: PanelClient, **asked: str) -> list[tuple[str, str | None, dict[str, Any]]]:
    """What the log has, the first first."""
    query = "&".join(f"{key}={value}" for key, value in asked.items())
    entries = client.ask(f"GET /api/log?{query}").json()["entries"]
    return [(one["action"], one["backpack"], one["detail"]) for one in reversed(entries)]


def names(client: PanelClient) -> list[str]:
    return [one["name"] for one in client.ask("GET /api/backpacks").json()]


def test_backpack_is_made_by_name(panel: PanelServer) -> None:
    ann = panel.developer("ann")

    lines, last = ann.steps("POST /api/backpacks", {"name": "shop"})

    made = last["result"]
    assert lines[-1].startswith("Its frontend is served at ")
    assert (made["name"], made["backend"]) == ("shop", panel.host_url("shop-be"))
    assert ann.ask("GET /api/backpacks/shop").json() == made
    assert ann.ask("GET /api/backpacks").json() == [
        {"name": "shop", "frontend": panel.host_url("shop"), "role": "owner"}
    ]
    assert actions(ann) == [("backpack.create", "shop", {})]


def test_developers_see_their_own_backpacks(panel: PanelServer) -> None:
    ann, bob, operator = panel.developer("ann"), panel.developer("bob"), panel.operator()
    ann.steps("POST /api/backpacks", {"name": "ann-s"})
    bob.steps("POST /api/backpacks", {"name": "bob-s"})
    panel.create("made-elsewhere")

    assert (names(ann), names(bob)) == (["ann-s"], ["bob-s"])
    assert names(operator) == ["ann-s", "bob-s", "made-elsewhere"]
    assert [one["name"] for one in ann.ask("GET /api/status?names=ann-s,bob-s").json()] == ["ann-s"]
    assert actions(ann) == [("backpack.create", "ann-s", {})]


# Each but the last two of a backpack that its owner has deleted.
MISSING = [
    "GET /api/backpacks/shop",
    "DELETE /api/backpacks/shop",
    "GET /api/backpacks/shop/logs",
    "GET /api/backpacks/shop/sites",
    "GET /api/backpacks/shop/backup",
    "POST /api/backpacks/shop/backup",
    "POST /api/backpacks/shop/rollback",
    "GET /backpacks/shop",
    "GET /backpacks/shop/data",
    "POST /api/backpacks/live/restore",
    "POST /api/backpacks/live/purge",
]


@pytest.mark.parametrize("call", MISSING)
def test_refusal_names_no_backpacks_of_others(kept_panel: PanelServer, call: str) -> None:
    ann, bob = kept_panel.developer("ann"), kept_panel.developer("bob")
    for client, name in [(bob, "secret"), (bob, "gone-secret"), (ann, "shop"), (ann, "live")]:
        client.steps("POST /api/backpacks", {"name": name})
    bob.steps("DELETE /api/backpacks/gone-secret")
    if "/live/" not in call:
        ann.steps("DELETE /api/backpacks/shop")

    answer = ann.ask(call)

    assert answer.status_code == 404
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("call", "body"),
    [
        ("GET /backpacks/typo/data", None),
        ("GET /api/backpacks/typo/backup", None),
        ("GET /api/backpacks/typo/members", None),
        ("POST /api/backpacks/typo/members", {"email": "ann@example.com"}),
        ("POST /api/backpacks/typo/tokens", {"name": "ci", "scope": "deploy", "days": 1}),
    ],
)
def test_operator_does_nothing_to_what_is_not_there(
    panel: PanelServer, call: str, body: Any
) -> None:
    operator, ann = panel.operator(), panel.developer("ann")

    answer = operator.ask(call, body)

    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_backpack")
    assert actions(operator) == []
    assert "result" in ann.steps("POST /api/backpacks", {"name": "typo"})[1]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"name": "Shop"}, 422, "bad_name"),
        ({"name": "admin"}, 422, "bad_name"),
        ({"name": "<img src=x>"}, 422, "bad_name"),
        ({"name": 7}, 422, "invalid"),
        ({}, 422, "invalid"),
        ([], 400, "bad_body"),
        ({"name": "taken"}, 422, "backpack_exists"),
    ],
)
def test_bad_backpack_is_not_made(panel: PanelServer, body: Any, status: int, code: str) -> None:
    panel.create("taken")
    ann = panel.developer("ann")

    answer = ann.ask("POST /api/backpacks", body)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert names(ann) == []
    assert panel.driver.names() == ["taken"]


def test_name_of_refused_backpack_is_free(panel: PanelServer) -> None:
    ann, bob = panel.developer("ann"), panel.developer("bob")
    taken = panel.create("shop")
    ann.ask("POST /api/backpacks", {"name": "shop"})
    taken.close()

    assert "result" in bob.steps("POST /api/backpacks", {"name": "shop"})[1]
    assert (names(ann), names(bob)) == ([], ["shop"])


def test_deleted_backpack_is_had_back(kept_panel: PanelServer) -> None:
    ann, bob = kept_panel.developer("ann"), kept_panel.developer("bob")
    key = ann.steps("POST /api/backpacks", {"name": "shop"})[1]["result"]["api_key"]
    kept_panel.share("shop", bob, role="member")

    assert bob.ask("DELETE /api/backpacks/shop").status_code == 403
    deleted = ann.steps("DELETE /api/backpacks/shop")[1]["result"]
    assert (names(ann), names(bob)) == ([], [])
    assert ann.ask("GET /api/trash").json() == [{**deleted, "role": "owner"}]
    assert bob.ask("GET /api/trash").json() == [{**deleted, "role": "member"}]
    assert bob.ask("POST /api/backpacks/shop/purge", {}).status_code == 403
    assert bob.ask("POST /api/backpacks/shop/restore", {}).status_code == 403
    assert ann.steps("POST /api/backpacks/shop/restore", {})[1]["result"]["api_key"] == key
    assert (names(ann), names(bob)) == (["shop"], ["shop"])
    assert [action for action, _, _ in actions(ann)] == [
        "backpack.create",
        "backpack.delete",
        "backpack.restore",
    ]


def test_purged_backpack_leaves_its_name(kept_panel: PanelServer) -> None:
    ann, bob = kept_panel.developer("ann"), kept_panel.developer("bob")
    ann.steps("POST /api/backpacks", {"name": "shop"})
    kept_panel.share("shop", bob)
    ann.ask("POST /api/backpacks/shop/tokens", {"name": "ci", "scope": "deploy", "days": 1})
    ann.steps("DELETE /api/backpacks/shop")
    ann.steps("POST /api/backpacks/shop/purge", {})

    assert ann.ask("GET /api/trash").json() == []
    assert ann.steps("POST /api/backpacks", {"name": "shop"})[1]["result"]["name"] == "shop"
    assert names(bob) == []
    assert ann.ask("GET /api/backpacks/shop/tokens").json() == []


def test_name_in_trash_is_its_owners(kept_panel: PanelServer) -> None:
    ann, eve, operator = (
        kept_panel.developer("ann"),
        kept_panel.developer("eve"),
        kept_panel.operator(),
    )
    ann.steps("POST /api/backpacks", {"name": "shop"})
    ann.steps("DELETE /api/backpacks/shop")

    refused = [client.ask("POST /api/backpacks", {"name": "shop"}) for client in (eve, operator)]
    assert [(one.status_code, one.json()["code"]) for one in refused] == [
        (422, "backpack_exists"),
        (422, "backpack_in_trash"),
    ]
    assert "result" in ann.steps("POST /api/backpacks", {"name": "shop"})[1]
    assert ann.ask("POST /api/backpacks/shop/restore", {}).status_code == 422


def test_name_is_free_when_the_trash_was_emptied_elsewhere(kept_panel: PanelServer) -> None:
    ann, bob, eve = map(kept_panel.developer, ("ann", "bob", "eve"))
    ann.steps("POST /api/backpacks", {"name": "shop"})
    kept_panel.share("shop", bob)
    ann.steps("DELETE /api/backpacks/shop")
    kept_panel.call(finish(kept_panel.driver.purge("shop")))  # by the command line, or by time

    assert "result" in eve.steps("POST /api/backpacks", {"name": "shop"})[1]
    assert [client.ask("GET /api/backpacks/shop").status_code for client in (ann, bob, eve)] == [
        404,
        404,
        200,
    ]


def test_each_in_the_trash_is_one_of_its_own(kept_panel: PanelServer) -> None:
    ann, bob = kept_panel.developer("ann"), kept_panel.developer("bob")
    keys = []
    for _ in range(2):
        keys.append(ann.steps("POST /api/backpacks", {"name": "shop"})[1]["result"]["api_key"])
        kept_panel.share("shop", bob)
        ann.steps("DELETE /api/backpacks/shop")
    first, second = [one["deleted_at"] for one in ann.ask("GET /api/trash").json()]

    ann.steps(f"POST /api/backpacks/shop/purge?deleted_at={quote(second)}")
    restored = ann.steps(f"POST /api/backpacks/shop/restore?deleted_at={quote(first)}")[1]
    again = ann.ask(f"POST /api/backpacks/shop/restore?deleted_at={quote(second)}")

    assert restored["result"]["api_key"] == keys[0]
    assert (names(ann), names(bob)) == (["shop"], ["shop"])
    assert again.status_code == 404
    assert actions(ann)[-2:] == [
        ("backpack.purge", "shop", {"deleted_at": second}),
        ("backpack.restore", "shop", {"deleted_at": first}),
    ]


def test_running_backpack_is_no_trash(kept_panel: PanelServer) -> None:
    ann = kept_panel.developer("ann")
    ann.steps("POST /api/backpacks", {"name": "shop"})

    answer = ann.ask("POST /api/backpacks/shop/purge", {})

    assert answer.status_code == 404
    assert names(ann) == ["shop"]


def test_memory_has_no_trash(panel: PanelServer) -> None:
    assert panel.operator().ask("GET /api/trash").json() == []


def test_states_open_nothing(kept_panel: PanelServer) -> None:
    ann = kept_panel.operator("ann")
    for name in ("a", "b"):
        ann.steps("POST /api/backpacks", {"name": name})

    found = ann.ask("GET /api/status?names=a,b,nothing,").json()

    assert [(one["name"], one["state"], one["reason"]) for one in found] == [
        ("a", "up", ""),
        ("b", "up", ""),
    ]


@pytest.mark.parametrize("body", [{"replicas": 2}, {"replicas": True}, {"replicas": "2"}, {}])
def test_one_process_cannot_scale(panel: PanelServer, body: Any) -> None:
    panel.create("shop")

    answer = panel.operator().ask("POST /api/backpacks/shop/scale", body)

    assert answer.status_code == 422


def test_others_have_turns_between_states(panel: PanelServer) -> None:
    names = [panel.create(f"shop-{number}").name for number in range(5)]
    ask = panel.driver.status
    turn, asked = 0, list[int]()

    async def status(name: str) -> Status:
        asked.append(turn)
        return await ask(name)

    async def count_turns() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    async def start() -> asyncio.Task[None]:
        return asyncio.create_task(count_turns())

    async def stop(counting: asyncio.Task[None]) -> None:
        counting.cancel()
        await asyncio.wait([counting])

    panel.driver.status = status  # type: ignore[method-assign]
    counting = panel.call(start())
    answer = panel.operator().ask(f"GET /api/status?names={','.join(names)}")
    panel.call(stop(counting))

    assert [one["state"] for one in answer.json()] == ["up"] * 5
    assert len(set(asked)) == 5


def test_logs_are_streamed(panel: PanelServer) -> None:
    ann = panel.developer("ann")
    ann.steps("POST /api/backpacks", {"name": "shop"})

    lines, last = ann.steps("GET /api/backpacks/shop/logs")

    assert any("shop" in line for line in lines)
    assert last == {"result": None}
    refused = ann.ask("GET /api/backpacks/shop/logs?service=nothing")
    assert refused.status_code == 404


def test_logs_are_followed(panel: PanelServer) -> None:
    ann = panel.developer("ann")
    ann.steps("POST /api/backpacks", {"name": "shop"})
    call = ("GET", "/api/backpacks/shop/logs?follow=1")

    with ann.http.stream(*call, headers=ann.headers()) as answer:
        for line in answer.iter_lines():
            if "frontend is served" in json.loads(line).get("line", ""):
                break
        else:
            raise AssertionError("the log ended")


@pytest.mark.parametrize("end", ["membership", "session", "backpack"])
def test_followed_log_ends_with_the_right_to_it(kept_panel: PanelServer, end: str) -> None:
    ann, bob = kept_panel.developer("ann"), kept_panel.developer("bob")
    ann.steps("POST /api/backpacks", {"name": "shop"})
    kept_panel.share("shop", bob, role="member")
    call = ("GET", "/api/backpacks/shop/logs?follow=1")

    with bob.http.stream(*call, headers=bob.headers()) as answer:
        lines = answer.iter_lines()
        next(lines)
        if end == "membership":
            assert bob.developer is not None
            ann.ask(f"DELETE /api/backpacks/shop/members/{bob.developer.id}")
        elif end == "session":
            kept_panel.call(kept_panel.registry.sessions.end(bob.token))
        else:
            ann.steps("DELETE /api/backpacks/shop")
            ann.steps("POST /api/backpacks/shop/purge")
        kept_panel.driver._logs.note("shop", "what bob may not see")
        seen = list(lines)

    assert "may not see" not in "".join(seen)
    assert json.loads(seen[-1])["error"]["code"] == "unknown_backpack"


def test_answer_begins_before_there_is_anything_to_say(
    panel: PanelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_BEAT", 0.01)
    ann = panel.developer("ann")
    panel.create("quiet")
    panel.share("quiet", ann)
    call = ("GET", "/api/backpacks/quiet/logs?follow=1")

    with ann.http.stream(*call, headers=ann.headers()) as answer:
        beats = answer.iter_raw(1)

        assert answer.status_code == 200
        assert [next(beats), next(beats)] == [b"\n", b"\n"]


@pytest.mark.parametrize("what", ["console", "action"])
def test_what_fails_is_in_the_log_of_its_backpack(
    panel: PanelServer, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    backpack = panel.create("shop")._backpack
    operator = panel.operator()

    async def fail(*_: Any) -> AsyncIterator[str]:
        yield "Begun"
        raise RuntimeError

    async def count() -> None:
        async with panel.driver.console("shop") as console:
            await console.ask("get", "stats")

    if what == "action":
        panel.driver.scale = fail  # type: ignore[method-assign,assignment]
        lines, last = operator.steps("POST /api/backpacks/shop/scale", {"replicas": 1})
        assert (lines, last["error"]["code"]) == (["Begun"], "internal_error")
    else:
        backpack.users.count = fail  # type: ignore[method-assign,assignment]
        with pytest.raises(BackpackError):
            panel.call(count())

    assert [getattr(record, "backpack", None) for record in caplog.records] == ["shop"]


def test_action_goes_on_without_its_client(panel: PanelServer) -> None:
    ann = panel.developer("ann")
    body = json.dumps({"name": "shop"})
    call = ("POST", "/api/backpacks")

    with ann.http.stream(*call, content=body, headers=ann.headers("POST")) as answer:
        assert answer.status_code == 200  # the rest is not waited for

    panel.call(panel.panel.holdings.close())
    assert names(ann) == ["shop"]
    assert actions(ann) == [("backpack.create", "shop", {})]
