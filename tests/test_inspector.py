"""The inspector: requests, messages and broadcasts as consoles see them, on every deployment."""

from __future__ import annotations

from typing import Any

import pytest

from backpack import masking
from backpack.errors import Invalid
from tests.deployments import App
from tests.desks import Desk, desk

__all__ = ["desk"]


class Followed:
    """What a console is told of from now on."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._entries: list[dict[str, Any]] = []
        desk.ask("get", "requests", {"follow": True})

    def next(self, **members: Any) -> dict[str, Any]:
        """The next entry with these members; of several processes' entries the order is unknown."""
        while True:
            for place, told in enumerate(self._entries):
                if members.items() <= told.items():
                    return self._entries.pop(place)
            self._entries += self._desk.hear("requests")["data"]["entries"]


def test_requests_are_followed(app: App, desk: Desk) -> None:
    followed = Followed(desk)

    app.make("cars", {"n": 1}, actor="ada")

    told = followed.next(kind="request", method="POST", path="/cars")
    assert (told["status"], told["user"], told["address"]) == (200, app.user_id("ada"), "127.0.0.1")
    assert told["body"] == '{"n":1}'
    assert told["received"] == len(b'{"n": 1}')
    assert told["sent"] > len('{"n":1}')
    assert '"n":1' in told["answer"]
    assert told["ms"] > 0


def test_failures_are_followed(app: App, desk: Desk) -> None:
    followed = Followed(desk)

    app.ask("GET /cars?filter={}", actor="guest")
    app.ask("GET /cars", actor="nokey")

    assert followed.next(kind="request", path="/cars?filter={}")["status"] == 403
    refused = followed.next(kind="request", path="/cars")
    assert (refused["status"], refused["user"]) == (401, None)
    assert '"code":"bad_key"' in refused["answer"]


def test_rule_that_refused_is_told(app: App, desk: Desk) -> None:
    (car,) = app.make("cars", {"n": 1}, actor="ada")
    (room,) = app.make("rooms", {"n": 1}, actor="ada")
    app.backpack.set_rules(
        {"cars": {"list": "none", "update": "owner"}, "rooms": {"post": "member"}}
    )
    socket = app.socket("bob")
    followed = Followed(desk)

    answers = [
        app.ask("GET /cars", actor="bob"),
        app.ask(f"PATCH /cars/{car['_id']}", {"n": 2}, actor="bob"),
        app.ask("GET /collections", actor="guest"),
        app.ask("GET /me", actor="guest"),
    ]
    socket.ask({"action": "getAll", "collection": "cars"})
    place = {"channelType": "rooms", "channelId": room["_id"]}
    socket.ask({"action": "broadcast", **place, "requestId": 1})

    assert [answer.status_code for answer in answers] == [403] * 4
    assert {answer.text for answer in answers} == {answers[3].text}
    assert [
        followed.next(kind="request", path=path, status=403)["rule"]
        for path in ("/cars", f"/cars/{car['_id']}", "/collections", "/me")
    ] == ["cars.list: none", "cars.update: owner", "collections.list: user", None]
    assert followed.next(kind="message", action="getAll")["rule"] == "cars.list: none"
    assert followed.next(kind="message", action="broadcast")["rule"] == "rooms.post: member"


def test_messages_are_followed(app: App, desk: Desk) -> None:
    app.make("cars")
    socket = app.socket("ada")
    followed = Followed(desk)

    socket.ask({"action": "create", "collection": "cars", "data": {"n": 1}})
    socket.ask({"action": "getAll", "collection": "bikes"})

    made = followed.next(kind="message", action="create")
    assert (made["code"], made["user"]) == (None, app.user_id("ada"))
    assert '"data":{"n":1}' in made["body"]
    assert followed.next(kind="message", action="getAll")["code"] == "unknown_collection"


def test_upgrades_are_followed(app: App, desk: Desk) -> None:
    followed = Followed(desk)

    app.socket("ada")

    assert followed.next(kind="request", status=101)["method"] == "GET"


def test_latest_requests_are_kept(app: App, desk: Desk) -> None:
    app.make("cars", {"n": 1})

    kept = desk.ask("get", "requests")
    made = next((one for one in kept if one.get("path") == "/cars"), None)
    made = made or Followed(desk).next(path="/cars")

    assert (made["method"], made["status"], "body" in made) == ("POST", 200, False)


def test_secrets_are_masked(app: App, desk: Desk) -> None:
    followed = Followed(desk)
    account = {"email": "eve@example.com", "password": "s3cret s3cret"}
    app.ask("POST /register", account, actor="guest")
    token = app.ask("POST /login", {**account, "token": True}, actor="guest").json()["token"]
    app.ask(
        "PUT /me/password",
        {"current": "s3cret s3cret", "new": "n3wer n3wer"},
        actor="guest",
        headers={"x-backpack-session": token},
    )
    app.ask("GET /me?apiKey=s3cret&n=1&to%6ben=s3cret", actor="guest")

    paths = ("/register", "/login", "/me/password", "/me?apiKey=***&n=1&token=***")
    text = str([followed.next(kind="request", path=path) for path in paths])
    assert [secret for secret in ("s3cret", "n3wer", token) if secret in text] == []
    assert app.backpack.api_key not in text
    assert "eve@example.com" in text


@pytest.mark.parametrize("deployment", ["memory", "sqlite", "mongo"], indirect=True)
def test_broadcast_says_who_receives_it_and_why_others_do_not(app: App, desk: Desk) -> None:
    app.make("cars")
    app.backpack.set_rules({"cars": {"read": "owner"}})
    ada, _bob = app.socket("ada"), app.socket("bob")
    followed = Followed(desk)

    ada.ask({"action": "create", "collection": "cars", "data": {"n": 1}})

    told = followed.next(kind="broadcast")
    assert (told["receivers"], told["others"]) == (1, {"rule": 1})
    assert {(one["user"], one["why_not"]) for one in told["connections"]} == {
        (app.user_id("ada"), None),
        (app.user_id("bob"), "rule"),
    }
    assert '"n":1' in told["body"]


@pytest.mark.parametrize("deployment", ["replicas"], indirect=True)
def test_what_processes_tell_of_one_broadcast_belongs_together(app: App, desk: Desk) -> None:
    app.make("cars")
    followed = Followed(desk)

    app.ask("POST /cars", {"n": 1})
    app.ask("POST /cars", {"n": 2})

    told = [followed.next(kind="broadcast") for _ in range(4)]
    bodies = [{one["body"] for one in told if one["event"] == event} for event in events(told)]
    assert len({one["id"] for one in told}) == 4
    assert [len(some) for some in bodies] == [1, 1]


def events(told: list[dict[str, Any]]) -> set[str]:
    return {one["event"] for one in told}


@pytest.mark.parametrize("deployment", ["memory"], indirect=True)
def test_more_than_can_be_told_at_once_is_left_out(app: App, desk: Desk) -> None:
    app.make("cars")
    desk.ask("get", "requests", {"follow": True})

    desk.ask("post", "documents", [{"n": n} for n in range(300)], collection="cars")

    told = desk.hear("requests")["data"]
    assert (len(told["entries"]), told["left_out"]) == (200, 100)


@pytest.mark.parametrize("deployment", ["memory", "sqlite", "mongo"], indirect=True)
def test_broadcast_names_other_reasons(app: App, desk: Desk) -> None:
    info = {"usersInformationCollection": "people"}
    ada, _bob = app.socket("ada"), app.socket("bob")
    made = ada.ask({"action": "createChannel", **info, "channelType": "rooms", "name": "hall"})
    channel = {"channelType": "rooms", "channelId": made["response"]["_id"]}
    app.make("notes")
    followed = Followed(desk)

    ada.ask({"action": "create", "collection": "notes", "data": channel})
    ada.ask({"action": "create", "collection": "notes", "data": {"broadcast": False}})

    reasons = [followed.next(kind="broadcast")["others"] for _ in range(2)]
    assert reasons == [{"not subscribed": 1}, {"not for this user": 2}]


def test_nothing_is_told_after_following(app: App, desk: Desk) -> None:
    followed = Followed(desk)
    app.ask("GET /collections")
    followed.next(kind="request", path="/collections")

    desk.ask("get", "requests", {"follow": False})
    app.make("cars")
    app.ask("POST /cars", {"n": 1})

    heard = desk.next(
        lambda told: told.get("model") in ("documents", "requests") and told.get("action") == "post"
    )
    assert heard["model"] == "documents"


def test_rates_are_followed(app: App, desk: Desk) -> None:
    app.socket("ada")
    desk.ask("get", "stats", {"follow": True})
    app.ask("GET /collections")

    told = desk.hear("stats")["data"]
    while told["requests"] == 0 or told["sockets"] == 0:
        app.ask("GET /collections")
        told = desk.hear("stats")["data"]

    assert set(told) == {"sockets", "requests", "messages", "changes", "deliveries"}
    assert told["sockets"] == 1


def test_bad_wish_to_follow_is_refused(desk: Desk) -> None:
    with pytest.raises(Invalid) as failed:
        desk.ask("get", "requests", {"follow": "yes"})

    assert failed.value.fields == {"follow": "must be true or false"}


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (b'{"a":{"userPassword":"x","n":[{"Authorization":1}]}}', None),
        (b'{"p\\u0061ssword":"x"}', '{"password":"***"}'),
        (b'{"key":"x","monkey":"y"}', '{"key":"***","monkey":"y"}'),
        (b'{"password":"x', ""),
        (b"", ""),
        (b"[" + b"1," * 40_000 + b"1]", ""),
    ],
)
def test_bodies_are_masked(content: bytes, shown: str | None) -> None:
    expected = (
        '{"a":{"userPassword":"***","n":[{"Authorization":"***"}]}}' if shown is None else shown
    )

    assert (masking.body(content) or "") == expected


def test_excerpt_is_short() -> None:
    shown = masking.body(b'{"text":"' + b"x" * 10_000 + b'"}')

    assert shown is not None
    assert len(shown) == masking.EXCERPT + 3
