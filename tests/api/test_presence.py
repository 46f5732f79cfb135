"""Presence: who is there, and who comes and goes; for those who ask."""

from __future__ import annotations

import pytest

from tests.deployments import App
from tests.talk import Frame, Socket

INFO = {"usersInformationCollection": "infos"}


def presence(frames: list[Frame]) -> list[Frame]:
    return [frame for frame in frames if frame["action"] == "presence"]


def create_room(socket: Socket) -> Frame:
    message = {"action": "createChannel", **INFO, "channelType": "rooms", "name": "a"}
    return {"channelType": "rooms", "channelId": socket.ask(message)["response"]["_id"]}


def test_presence_lists_users_once(app: App) -> None:
    ada, _, bob = app.socket("ada"), app.socket("ada"), app.socket("bob")

    everybody = sorted([app.user_id("ada"), app.user_id("bob")])
    bob.ask({"action": "presence"})  # on whichever process: both have been told of by then
    while (answer := ada.ask({"action": "presence"}))["users"] != everybody:
        pass
    assert answer == {"action": "presence", "users": everybody}


def test_presence_has_asker(app: App) -> None:
    answer = app.socket("ada").ask({"action": "presence"})

    assert app.user_id("ada") in answer["users"]


def test_presence_tells_who_comes_and_goes(app: App) -> None:
    ada = app.socket("ada")
    ada.ask({"action": "presence"})

    bob, again = app.socket("bob"), app.socket("bob")
    assert ada.receive() == {"action": "presence", "joined": app.user_id("bob")}
    bob.close()
    gone = {"action": "close", "userId": app.user_id("bob")}
    assert ada.receive() == gone
    again.close()
    last = [ada.receive(), ada.receive()]
    assert {"action": "presence", "left": app.user_id("bob")} in last
    assert gone in last


def test_presence_is_for_those_who_ask(app: App) -> None:
    ada, quiet = app.socket("ada"), app.socket("quiet")
    ada.ask({"action": "presence"})

    app.socket("bob")

    ada.until({"action": "presence", "joined": app.user_id("bob")})
    assert presence(app.heard(quiet)[0]) == []


def test_presence_of_channel(app: App) -> None:
    ada, bob, eve = app.socket("ada"), app.socket("bob"), app.socket("eve")
    room = create_room(ada)

    answer = ada.ask({"action": "presence", **room})
    bob.ask({"action": "joinChannel", **INFO, **room})
    joined = {"action": "presence", **room, "joined": app.user_id("bob")}
    told = ada.until(joined)
    bob.ask({"action": "leaveChannel", **INFO, **room})
    ada.until({"action": "presence", **room, "left": app.user_id("bob")})

    assert answer == {"action": "presence", **room, "users": [app.user_id("ada")]}
    assert presence(told) == []
    assert presence(app.heard(eve)[0]) == []


def test_presence_of_channel_is_for_members(app: App) -> None:
    ada, bob = app.socket("ada"), app.socket("bob")
    room = create_room(ada)

    assert bob.ask({"action": "presence", **room})["code"] == "forbidden"


def test_member_without_subscription_may_ask(app: App) -> None:
    ada = app.socket("ada")
    room = create_room(ada)
    ada.close()

    assert app.socket("ada").ask({"action": "presence", **room})["action"] == "presence"


def test_who_leaves_channel_is_told_no_more(app: App) -> None:
    ada, bob = app.socket("ada"), app.socket("bob")
    room = create_room(ada)
    bob.ask({"action": "joinChannel", **INFO, **room})
    bob.ask({"action": "presence", **room})
    ada.ask({"action": "presence", **room})

    bob.ask({"action": "leaveChannel", **INFO, **room})
    eve = app.socket("eve")
    eve.ask({"action": "joinChannel", **INFO, **room})

    ada.until({"action": "presence", **room, "joined": app.user_id("eve")})
    left = {"action": "presence", **room, "left": app.user_id("bob")}
    assert [frame for frame in presence(app.heard(bob)[0]) if frame != left] == []


@pytest.mark.parametrize(
    "name",
    [
        {"channelType": "rooms"},
        {"channelId": "0" * 24},
        {"channelType": None, "channelId": None},
        {"channelType": 7, "channelId": []},
    ],
    ids=str,
)
def test_presence_needs_whole_name(app: App, name: Frame) -> None:
    assert app.socket().ask({"action": "presence", **name})["code"] == "bad_message"


def test_watcher_who_is_not_subscribed_hears_nothing_after_leaving(app: App) -> None:
    ada, watching, bob = app.socket("ada"), app.socket("ada"), app.socket("bob")
    room = create_room(ada)
    watching.ask({"action": "presence", **room})

    ada.ask({"action": "leaveChannel", **INFO, **room})
    bob.ask({"action": "joinChannel", **INFO, **room})
    while app.user_id("bob") not in bob.ask({"action": "presence", **room})["users"]:
        pass

    told = presence(app.heard(watching)[0])
    assert not [frame for frame in told if frame.get("joined") == app.user_id("bob")]
