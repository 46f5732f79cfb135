"""Channels: who is in which, what is told to whom, and that concurrent changes lose nothing."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backpack.backpacks import Parts
from backpack.bus import LocalBus
from backpack.errors import Unavailable
from backpack.homes import Memory
from backpack.settings import Settings
from backpack.testing import BackpackServer
from tests.deployments import App
from tests.replicas import SETTINGS
from tests.talk import Frame, Socket

INFO = {"usersInformationCollection": "infos"}
NONE = {"channelType": None, "channelId": None}


class Room:
    """A channel of the type `rooms`, and what is asked about it."""

    def __init__(self, record: Frame) -> None:
        self.record = record
        self.name = {"channelType": "rooms", "channelId": record["_id"]}

    def ask(self, socket: Socket, action: str, **more: Any) -> Frame:
        return socket.ask({"action": action, **INFO, **self.name, **more})

    def delete(self, socket: Socket) -> Frame:
        return self.ask(socket, "deleteChannel", channelMessagesCollection="messages")


def create(socket: Socket, name: str = "general", kind: str = "rooms") -> Room:
    message = {"action": "createChannel", **INFO, "channelType": kind, "name": name}
    return Room(socket.ask(message)["response"])


def info_of(app: App, actor: str) -> Any:
    records = app.ask("GET /infos", actor=actor).json()
    (record,) = [one for one in records if one["userId"] == app.user_id(actor)]
    return record


def say(app: App, room: Room, text: str = "hi", actor: str = "ada") -> None:
    data = {**room.name, "text": text}
    app.ask("POST /messages", data, actor=actor).raise_for_status()


def texts(frames: list[Frame]) -> list[str]:
    return [frame["response"]["text"] for frame in frames if frame["action"] == "create"]


@pytest.fixture(autouse=True)
def messages(app: App) -> None:
    app.backpack.seed({"collections": {"messages": []}})


@pytest.fixture
def ada(app: App) -> Socket:
    return app.socket("ada")


@pytest.fixture
def bob(app: App) -> Socket:
    return app.socket("bob")


def test_create_answers_and_is_told(app: App, ada: Socket, bob: Socket) -> None:
    again = app.socket("ada")
    message = {"action": "createChannel", **INFO, "channelType": "rooms", "name": "general"}

    ada.send(message)

    answer = ada.receive()
    (record,) = app.ask("GET /rooms", actor="ada").json()
    mine, same, others = app.heard(ada, again, bob)
    entry = {"channelType": "rooms", "channelId": record["_id"]}
    told = {"action": "createChannel", "response": record}
    assert answer == {**told, "usersChannels": [entry], "usersCurrentChannel": entry}
    assert mine == []
    assert (same, others) == ([told], [told])
    plain = {name: record[name] for name in ("channelType", "name", "userId")}
    assert plain == {"channelType": "rooms", "name": "general", "userId": app.user_id("ada")}


def test_create_answers_request(ada: Socket) -> None:
    answer = ada.ask({"action": "createChannel", **INFO, "channelType": "rooms", "name": "a"})

    assert set(answer) == {"action", "response", "usersChannels", "usersCurrentChannel"}


def test_info_record_is_made(app: App, ada: Socket) -> None:
    room = create(ada)

    record = info_of(app, "ada")
    assert record == {
        "_id": record["_id"],
        "userId": app.user_id("ada"),
        "channels": [room.name],
        "currentChannel": room.name,
        "createdAt": record["createdAt"],
        "updatedAt": record["updatedAt"],
    }


def test_own_info_record_is_used(app: App, ada: Socket) -> None:
    app.backpack.seed({"collections": {"infos": []}})
    data = {"userId": app.user_id("ada"), "nick": "ada", "channels": "nonsense"}
    made = app.ask("POST /infos", data, actor="ada").json()

    room = create(ada)

    record = info_of(app, "ada")
    assert (record["_id"], record["nick"]) == (made["_id"], "ada")
    assert (record["channels"], record["currentChannel"]) == ([room.name], room.name)


def test_join_answers_and_is_told(app: App, ada: Socket, bob: Socket) -> None:
    room = create(ada)
    app.heard(ada, bob)
    outsider = app.socket("eve")

    bob.send({"action": "joinChannel", **INFO, **room.name})

    told = {"action": "joinChannel", "userId": app.user_id("bob"), **room.name}
    assert bob.receive() == {**told, "response": info_of(app, "bob")}
    assert app.heard(ada, bob, outsider) == [[told], [], []]


def test_join_twice_is_one_entry(app: App, ada: Socket) -> None:
    room = create(ada)

    answer = room.ask(ada, "joinChannel")

    assert answer["response"]["channels"] == [room.name]


def test_join_makes_current(ada: Socket, bob: Socket) -> None:
    first, second = create(ada, "a"), create(ada, "b")

    currents = [
        room.ask(bob, "joinChannel")["response"]["currentChannel"] for room in (first, second)
    ]

    assert currents == [first.name, second.name]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ({"channelType": "rooms", "channelId": "0" * 24}, "unknown_channel"),
        ({"channelType": "rooms", "channelId": "general"}, "unknown_channel"),
        ({"channelType": "nowhere", "channelId": "0" * 24}, "unknown_channel"),
        ({"channelType": "_users", "channelId": "0" * 24}, "unknown_channel"),
        ({"channelType": "users", "channelId": "0" * 24}, "unknown_channel"),
        ({"channelType": "", "channelId": ""}, "unknown_channel"),
        ({"channelType": "rooms"}, "bad_message"),
        ({"channelType": 7, "channelId": "0" * 24}, "bad_message"),
        ({"channelType": "rooms", "channelId": None}, "bad_message"),
    ],
    ids=str,
)
def test_join_needs_channel(ada: Socket, name: Frame, code: str) -> None:
    create(ada)

    assert ada.ask({"action": "joinChannel", **INFO, **name})["code"] == code


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"usersInformationCollection": "users"}, "bad_collection_name"),
        ({"usersInformationCollection": "_users"}, "bad_collection_name"),
        ({"usersInformationCollection": "../x"}, "bad_collection_name"),
        ({"usersInformationCollection": None}, "bad_message"),
        ({"channelType": "_sessions"}, "bad_collection_name"),
        ({"channelType": "login"}, "bad_collection_name"),
        ({"channelType": ["rooms"]}, "bad_message"),
        ({"name": 7}, "bad_message"),
    ],
    ids=str,
)
def test_create_checks_names(ada: Socket, message: Frame, code: str) -> None:
    right = {"action": "createChannel", **INFO, "channelType": "rooms", "name": "a"}

    assert ada.ask({**right, **message})["code"] == code


def test_messages_reach_subscribers_only(app: App, ada: Socket, bob: Socket) -> None:
    room, other = create(ada, "a"), create(bob, "b")
    room.ask(bob, "joinChannel")
    outsider = app.socket("eve")
    app.heard(ada, bob, outsider)

    say(app, room, "one")
    say(app, other, "two", actor="eve")

    told = [texts(frames) for frames in app.heard(ada, bob, outsider)]
    assert told == [["one"], ["one", "two"], []]


def test_subscription_is_of_connection(app: App, ada: Socket) -> None:
    room, again = create(ada), app.socket("ada")
    app.heard(ada, again)

    say(app, room, "one")
    answer = again.ask({"action": "joinUsersChannels", **INFO})
    say(app, room, "two")

    assert answer == {"action": "joinUsersChannels", "usersChannels": [room.name]}
    assert [texts(frames) for frames in app.heard(ada, again)] == [["one", "two"], ["two"]]


def test_broadcast_into_channel(app: App, ada: Socket, bob: Socket) -> None:
    room = create(ada)
    app.heard(ada, bob)

    bob.send({"action": "broadcast", **room.name, "text": "hi"})
    answer = bob.ask({"action": "broadcast", **room.name, "text": "again"})

    told, nothing = app.heard(ada, bob)
    assert ([frame["text"] for frame in told], nothing) == (["hi", "again"], [])
    assert answer["text"] == "again"


def test_leave_ends_subscription_everywhere(app: App, ada: Socket, bob: Socket) -> None:
    room, again = create(ada), app.socket("ada")
    again.ask({"action": "joinUsersChannels", **INFO})
    room.ask(bob, "joinChannel")
    app.heard(ada, again, bob)

    ada.send({"action": "leaveChannel", **INFO, **room.name})
    answer = ada.receive()
    say(app, room, "hi", actor="bob")

    told = {"action": "leaveChannel", "userId": app.user_id("ada"), **room.name}
    assert answer == {**told, "response": info_of(app, "ada")}
    mine, same, bobs = app.heard(ada, again, bob)
    assert (mine, same, bobs[0], texts(bobs)) == ([], [told], told, ["hi"])
    assert answer["response"]["channels"] == []


def test_leave_takes_first_of_type_for_current(ada: Socket) -> None:
    first, second, third = create(ada, "a"), create(ada, "b"), create(ada, "c")
    create(ada, "elsewhere", kind="halls")

    currents = [
        room.ask(ada, "leaveChannel")["response"]["currentChannel"]
        for room in (first, third, second)
    ]

    assert currents == [second.name, second.name, NONE]


def test_leave_of_others_channel_tells_nobody(app: App, ada: Socket, bob: Socket) -> None:
    room = create(ada)
    app.heard(ada, bob)

    answer = room.ask(bob, "leaveChannel")

    assert (answer["action"], answer["response"]["channels"]) == ("leaveChannel", [])
    assert app.heard(ada, bob) == [[], []]


def test_change_chooses_current(app: App, ada: Socket) -> None:
    first, second = create(ada, "a"), create(ada, "b")

    answer = first.ask(ada, "changeChannel")

    assert answer == {
        "action": "changeChannel",
        "userId": app.user_id("ada"),
        **first.name,
        "response": info_of(app, "ada"),
    }
    assert answer["response"]["currentChannel"] == first.name
    assert answer["response"]["channels"] == [first.name, second.name]


def test_change_needs_membership(ada: Socket, bob: Socket) -> None:
    room = create(ada)

    assert room.ask(bob, "changeChannel")["code"] == "not_in_channel"


def test_delete_is_told_to_all(app: App, ada: Socket, bob: Socket) -> None:
    room = create(ada)
    again, outsider = app.socket("bob"), app.socket("eve")
    room.ask(bob, "joinChannel")
    app.heard(ada, bob, again, outsider)

    message = {"action": "deleteChannel", "channelMessagesCollection": "messages"}
    ada.send({**message, **INFO, **room.name})

    answer = ada.receive()
    of_ada, of_bob, same, rest = app.heard(ada, bob, again, outsider)
    plain = {"action": "deleteChannel", **room.name}
    told = {**plain, "userId": app.user_id("ada")}
    assert (answer, of_ada) == ({**told, "response": info_of(app, "ada")}, [])
    assert of_bob == same == [{**told, "response": info_of(app, "bob")}]
    assert rest == [plain]


def test_delete_removes_everything(app: App, ada: Socket, bob: Socket) -> None:
    room, other = create(ada, "a"), create(ada, "b")
    room.ask(bob, "joinChannel")
    for number in range(3):
        say(app, room, str(number))
    say(app, other, "stays")

    answer = room.delete(ada)

    assert answer["response"]["channels"] == [other.name]
    assert info_of(app, "bob")["channels"] == []
    assert app.ask("GET /rooms", actor="ada").json() == [other.record]
    left = app.ask("GET /messages", actor="ada").json()
    assert [record["text"] for record in left] == ["stays"]


def test_deleted_channel_reaches_nobody(app: App, ada: Socket, bob: Socket) -> None:
    room = create(ada)
    room.ask(bob, "joinChannel")
    room.delete(ada)
    app.heard(ada, bob)

    say(app, room, "hello?")
    ada.ask({"action": "broadcast", **room.name})

    assert app.heard(ada, bob) == [[], []]
    assert room.ask(bob, "joinChannel")["code"] == "unknown_channel"
    answer = bob.ask({"action": "joinUsersChannels", **INFO})
    assert answer["usersChannels"] == []


def test_channel_deleted_as_record_reaches_nobody(app: App, ada: Socket, bob: Socket) -> None:
    room = create(ada)
    room.ask(bob, "joinChannel")
    app.ask(f"DELETE /rooms/{room.record['_id']}", actor="ada")
    app.heard(ada, bob)

    say(app, room, "hello?")

    assert app.heard(ada, bob) == [[], []]
    answer = bob.ask({"action": "joinUsersChannels", **INFO})
    assert (answer["usersChannels"], info_of(app, "bob")["channels"]) == ([], [])


def test_delete_is_the_creators(app: App, ada: Socket, bob: Socket) -> None:
    app.backpack.set_rules({"rooms": {"delete": "none"}})
    room = create(ada)

    refused = room.delete(bob)
    answer = room.delete(ada)

    assert (refused["code"], answer["action"]) == ("forbidden", "deleteChannel")


def test_delete_by_rule(app: App, ada: Socket, bob: Socket) -> None:
    room = create(ada)

    answer = room.delete(bob)

    assert answer == {"action": "deleteChannel", **room.name}
    assert info_of(app, "ada")["channels"] == []


@pytest.mark.parametrize(
    ("rules", "action"),
    [
        ({"rooms": {"create": "none"}}, "createChannel"),
        ({"infos": {"update": "none"}}, "createChannel"),
        ({"infos": {"read": "none"}}, "joinUsersChannels"),
        ({"rooms": {"read": "none"}}, "joinChannel"),
        ({"infos": {"update": "none"}}, "joinChannel"),
        ({"infos": {"update": "none"}}, "leaveChannel"),
        ({"infos": {"update": "none"}}, "changeChannel"),
        ({"messages": {"delete": "none"}}, "deleteChannel"),
    ],
    ids=str,
)
def test_rules_hold(app: App, ada: Socket, rules: Any, action: str) -> None:
    room = create(ada)
    app.backpack.set_rules(rules)

    answer = room.ask(ada, action, name="x", channelMessagesCollection="messages")

    assert (answer["action"], answer["code"]) == ("error", "forbidden")
    assert len(app.ask("GET /messages", actor="ada").json()) == 0


def test_new_collections_are_under_rule(app: App, ada: Socket) -> None:
    app.backpack.set_rules({"collections.create": "none"})

    message = {"action": "createChannel", **INFO, "channelType": "rooms", "name": "a"}

    assert ada.ask(message)["code"] == "forbidden"


def test_channel_of_others_is_hidden(app: App, ada: Socket, bob: Socket) -> None:
    app.backpack.set_rules({"rooms": {"read": "owner"}})

    room = create(ada)

    assert app.heard(ada, bob) == [[], []]
    assert room.ask(bob, "joinChannel")["code"] == "unknown_channel"


def test_forged_membership_subscribes_to_nothing(app: App, ada: Socket, bob: Socket) -> None:
    app.backpack.set_rules({"rooms": {"read": "owner"}})
    room = create(ada)
    create(bob, "own")
    record = info_of(app, "bob")
    body = {"channels": [room.name, {"channelType": 7}, "x", None]}
    app.ask(f"PATCH /infos/{record['_id']}", body, actor="bob").raise_for_status()

    answer = bob.ask({"action": "joinUsersChannels", **INFO})
    say(app, room, "secret")

    assert answer["usersChannels"] == []
    assert texts(app.heard(bob)[0]) == []


def test_members_alone_write_by_rule(app: App, ada: Socket, bob: Socket) -> None:
    app.backpack.set_rules({"rooms": {"post": "member"}})
    room = create(ada)
    data = {**room.name, "text": "hi"}
    write: Frame = {"action": "create", "collection": "messages", "data": data}

    def tries(socket: Socket, actor: str) -> list[int]:
        answers = [socket.ask(write), socket.ask({"action": "broadcast", **room.name})]
        by_http = app.ask("POST /messages", data, actor=actor)
        codes = [answer.get("code") for answer in answers]
        return [*(403 if code == "forbidden" else 200 for code in codes), by_http.status_code]

    before = tries(bob, "bob")
    room.ask(bob, "joinChannel")
    during = tries(bob, "bob")
    room.ask(bob, "leaveChannel")
    after = tries(bob, "bob")

    assert tries(ada, "ada") == during == [200] * 3
    assert before == after == [403] * 3


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_members_alone_change_by_rule(app: App, ada: Socket, method: str) -> None:
    app.backpack.set_rules({"rooms": {"post": "member"}})
    room = create(ada)
    inside = app.ask("POST /messages", {**room.name, "text": "hi"}, actor="ada").json()
    outside = app.ask("POST /messages", {"text": "hi"}, actor="bob").json()

    changed = app.ask(f"{method} /messages/{inside['_id']}", {**room.name}, actor="bob")
    moved = app.ask(f"PATCH /messages/{outside['_id']}", {**room.name}, actor="bob")
    own = app.ask(f"{method} /messages/{inside['_id']}", {**room.name}, actor="ada")

    assert [one.status_code for one in (changed, moved, own)] == [403, 403, 200]


def test_concurrent_joins_and_leaves_lose_nothing(app: App, ada: Socket) -> None:
    rooms = [create(ada, str(number)) for number in range(8)]
    sockets = [app.socket("bob") for _ in rooms]
    ready = threading.Barrier(len(rooms))

    def work(socket: Socket, room: Room, keep: bool) -> None:
        ready.wait()
        for _ in range(3):
            room.ask(socket, "joinChannel")
            room.ask(socket, "leaveChannel")
        if keep:
            room.ask(socket, "joinChannel")

    with ThreadPoolExecutor(len(rooms)) as pool:
        keeps = [number % 2 == 0 for number in range(len(rooms))]
        list(pool.map(work, sockets, rooms, keeps))

    held = {entry["channelId"] for entry in info_of(app, "bob")["channels"]}
    assert held == {room.record["_id"] for room in rooms[::2]}


STEPS = st.lists(
    st.tuples(st.sampled_from(["joinChannel", "leaveChannel", "changeChannel"]), st.integers(0, 3)),
    max_size=6,
)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    plans=st.lists(STEPS, min_size=2, max_size=4),
    deleted=st.sets(st.integers(0, 3), max_size=2),
)
def test_memberships_are_what_answers_said(
    app: App, plans: list[list[tuple[str, int]]], deleted: set[int]
) -> None:
    """Users act at the same time, each on two connections with channels of their own to each, and
    channels are deleted in between."""
    owner = app.socket("owner")
    rooms = [create(owner, str(number)) for number in range(4)]
    start = threading.Barrier(len(plans) + 1)

    def act(user: str, steps: list[tuple[str, int]]) -> dict[int, bool]:
        socket = app.socket(user)
        start.wait()
        inside: dict[int, bool] = {}
        for action, number in steps:
            answer = rooms[number].ask(socket, action)
            if answer["action"] == "joinChannel":
                inside[number] = True
            elif answer["action"] == "leaveChannel":
                inside[number] = False
        socket.close()
        return inside

    def delete() -> None:
        start.wait()
        for number in deleted:
            assert rooms[number].delete(owner)["action"] == "deleteChannel"

    users = [f"user{number % 2}" for number in range(len(plans))]
    for user in set(users):
        app.user_id(user)
    with ThreadPoolExecutor(len(plans) + 1) as pool:
        deleting = pool.submit(delete)
        acted = list(pool.map(act, users, plans))
        deleting.result()

    for user in set(users):
        said = [inside for one, inside in zip(users, acted, strict=True) if one == user]
        check = app.socket(user)
        listed = check.ask({"action": "joinUsersChannels", **INFO})["usersChannels"]
        held = [entry["channelId"] for entry in listed]
        assert len(held) == len(set(held))
        for number, room in enumerate(rooms):
            states = {inside[number] for inside in said if number in inside}
            is_in = room.record["_id"] in held
            if number in deleted:
                assert not is_in
            elif len(states) == 1:  # all of the user's connections that touched it say the same
                assert is_in == states.pop()
        for inside in ([entry["channelId"] for entry in info_of(app, user)["channels"]],):
            assert not {rooms[number].record["_id"] for number in deleted} & set(inside)
        check.close()
    for number in set(range(4)) - deleted:
        rooms[number].delete(owner)
    for user in set(users):
        record = info_of(app, user)
        app.ask(f"DELETE /infos/{record['_id']}", actor=user).raise_for_status()
    owner.close()


MOVES = st.lists(st.sampled_from(["joinChannel", "leaveChannel"]), min_size=1, max_size=4)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(plans=st.tuples(MOVES, MOVES))
def test_subscriptions_are_what_memberships_say(app: App, plans: tuple[list[str], ...]) -> None:
    """One user joins and leaves one channel on two connections at the same time."""
    owner, *sockets = app.socket("owner"), app.socket("ada"), app.socket("ada")
    room, start = create(owner), threading.Barrier(len(plans))

    def act(socket: Socket, plan: list[str]) -> None:
        start.wait()
        for action in plan:
            assert room.ask(socket, action)["action"] == action

    for _ in range(4):
        with ThreadPoolExecutor(len(plans)) as pool:
            list(pool.map(act, sockets, plans))
        app.heard(owner, *sockets)
        owner.ask({"action": "broadcast", **room.name, "text": "hi"})
        heard = app.heard(*sockets)
        hears = [any(frame.get("text") == "hi" for frame in frames) for frames in heard]

        is_in = room.name in info_of(app, "ada")["channels"]
        assert any(hears) == is_in
        for plan, is_subscribed in zip(plans, hears, strict=True):
            assert plan[-1] == "joinChannel" or not is_subscribed

    for socket in (owner, *sockets):
        socket.close()


def test_end_of_another_channel_keeps_the_current_one(app: App, ada: Socket) -> None:
    first, second, third = create(ada), create(ada), create(ada)
    first.ask(ada, "changeChannel")
    second.ask(ada, "changeChannel")
    app.ask(f"DELETE /rooms/{third.name['channelId']}", actor="ada").raise_for_status()

    ada.ask({"action": "joinUsersChannels", **INFO})

    assert info_of(app, "ada")["channels"] == [first.name, second.name]
    assert info_of(app, "ada")["currentChannel"] == second.name


def test_forged_membership_of_a_hidden_channel_is_none(app: App, ada: Socket, bob: Socket) -> None:
    app.backpack.set_rules({"rooms": {"read": "owner", "post": "member"}})
    room, own = create(ada), create(bob)
    info = info_of(app, "bob")
    app.ask(f"PATCH /infos/{info['_id']}", {"channels": [room.name, own.name]}, actor="bob")

    answers = [
        bob.ask({"action": action, **room.name}) for action in ("broadcast", "open", "presence")
    ]
    posted = app.ask("POST /messages", room.name, actor="bob")

    assert [answer.get("code") for answer in answers] == ["forbidden"] * 3
    assert posted.status_code == 403


class AwayBus(LocalBus):
    """A bus that is known to be away for a while."""

    away = False

    def check(self) -> None:
        if self.away:
            raise Unavailable


class AwayHome(Memory):
    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.bus = AwayBus()

    async def open(self, name: str) -> Parts:
        return replace(await super().open(name), bus=self.bus)


@pytest.mark.parametrize("deployment", ["memory"], indirect=True)  # its own home is below it
def test_nothing_is_changed_while_nobody_can_be_told() -> None:
    homes: list[AwayHome] = []

    def home(settings: Settings) -> AwayHome:
        homes.append(AwayHome(settings))
        return homes[0]

    server = BackpackServer(home, SETTINGS).start()
    app = App(server.create(), server.port)
    app.backpack.seed({"collections": {"messages": []}})
    ada = app.socket("ada")
    room, other = create(ada, "room"), create(ada, "other")
    other.ask(ada, "leaveChannel")
    before = (info_of(app, "ada"), app.ask("GET /rooms", actor="ada").json())

    homes[0].bus.away = True
    answers = [
        ada.ask({"action": "createChannel", **INFO, "channelType": "rooms", "name": "third"}),
        other.ask(ada, "joinChannel"),
        room.ask(ada, "leaveChannel"),
        room.delete(ada),
    ]
    homes[0].bus.away = False

    assert [answer.get("code") for answer in answers] == ["unavailable"] * 4
    assert (info_of(app, "ada"), app.ask("GET /rooms", actor="ada").json()) == before
    assert other.ask(ada, "joinChannel")["action"] == "joinChannel"
    app.close()
    server.stop()
