"""Resuming: what was missed comes once, in order, and by the rules of today."""

from __future__ import annotations

from typing import Any

import pytest

from backpack.errors import Unanswered, Unavailable
from tests.deployments import App, in_process
from tests.talk import Frame, Socket

INFO = {"usersInformationCollection": "infos"}


@pytest.fixture(autouse=True)
def cars(app: App) -> None:
    app.backpack.seed({"collections": {"cars": []}})


def write(app: App, n: int, **data: Any) -> Any:
    return app.ask("POST /cars", {"n": n, **data}, actor="writer").json()


def last_seq(app: App, socket: Socket) -> str:
    """The last `seq` that a socket was told of."""
    frames = [socket.greeting, *app.heard(socket)[0]]
    return str([frame["seq"] for frame in frames if "seq" in frame][-1])


def numbers(frames: list[Frame]) -> list[int]:
    return [frame["response"]["n"] for frame in frames if frame["action"] == "create"]


def test_plain_socket_has_no_seq(app: App) -> None:
    socket = app.socket()

    write(app, 1)
    (told,) = app.heard(socket)

    assert not any("seq" in frame for frame in [socket.greeting, *told])


def test_frames_have_seq(app: App) -> None:
    socket = app.socket(resume="")

    write(app, 1)
    write(app, 2)
    (told,) = app.heard(socket)

    seqs = [frame["seq"] for frame in [socket.greeting, *told]]
    assert len(set(seqs)) == 3
    assert all(isinstance(seq, str) for seq in seqs)


def test_answers_have_no_seq(app: App) -> None:
    socket = app.socket(resume="")

    hidden = {"action": "create", "collection": "cars", "data": {"broadcast": False}}
    answers = [
        socket.ask(message)
        for message in (
            {"action": "getAll", "collection": "cars"},
            {"action": "unknown"},
            {"action": "presence"},
            hidden,
        )
    ]
    seen = socket.ask({"action": "create", "collection": "cars", "data": {}})

    assert [("seq" in answer) for answer in (*answers, seen)] == [False, False, False, False, True]


def test_missed_is_replayed(app: App) -> None:
    first = app.socket(resume="")
    write(app, 1)
    seq = last_seq(app, first)
    first.close()
    missed = [write(app, n) for n in (2, 3)]

    again = app.socket(resume=seq)
    write(app, 4)

    told = [frame for frame in app.heard(again)[0] if frame["action"] == "create"]
    assert again.greeting["action"] == "connection"
    assert numbers(told) == [2, 3, 4]
    assert told[0] == {
        "action": "create",
        "collection": "cars",
        "httpRequest": True,
        "response": missed[0],
        "seq": told[0]["seq"],
    }


def test_replayed_can_be_resumed_from(app: App) -> None:
    seq = app.socket(resume="").greeting["seq"]
    for n in range(5):
        write(app, n)

    for expected in ([0, 1, 2, 3, 4], [1, 2, 3, 4], [2, 3, 4]):
        socket = app.socket(resume=seq)
        created = [frame for frame in app.heard(socket)[0] if frame["action"] == "create"]
        assert numbers(created) == expected
        seq = created[0]["seq"]
        socket.close()


def test_nothing_missed_is_nothing_replayed(app: App) -> None:
    first = app.socket(resume="")
    write(app, 1)
    seq = last_seq(app, first)

    again = app.socket(resume=seq)

    # The mark of the last look, which `first` has taken out already, is all there is.
    assert numbers(app.heard(again)[0]) == []


@pytest.mark.parametrize("seq", ["1-1", "x", "99999999999999999999-0", "0-0", "%00", "a" * 5000])
def test_unknown_seq_means_reload(app: App, seq: str) -> None:
    socket = app.socket(resume=seq)
    write(app, 1)

    (told,) = app.heard(socket)
    assert told[0].keys() == {"action", "seq"}
    assert told[0]["action"] == "reload"
    assert numbers(told) == [1]
    again = app.socket(resume=told[0]["seq"])
    assert numbers(app.heard(again)[0]) == [1]


def test_replay_is_by_todays_rules(app: App) -> None:
    app.backpack.seed({"collections": {"notes": []}})
    seq = app.socket("bob", resume="").greeting["seq"]
    write(app, 1)
    app.ask("POST /notes", {"n": 2}, actor="writer")
    app.backpack.set_rules({"cars": {"read": "none"}})

    again = app.socket("bob", resume=seq)

    assert numbers(app.heard(again)[0]) == [2]


def test_replay_is_for_its_user(app: App) -> None:
    app.backpack.set_rules({"cars": {"read": "owner"}})
    seq = app.socket("bob", resume="").greeting["seq"]
    write(app, 1)
    app.ask("POST /cars", {"n": 2}, actor="bob")

    again = app.socket("bob", resume=seq)

    assert numbers(app.heard(again)[0]) == [2]


def test_replay_needs_session(app: App) -> None:
    socket = app.socket(resume="")
    app.ask("POST /logout")

    assert socket.code() == 4401
    again = app.socket(resume=socket.greeting["seq"], greeted=False)
    assert again.code() == 4401


def channel(app: App, socket: Socket) -> Frame:
    message = {"action": "createChannel", **INFO, "channelType": "rooms", "name": "a"}
    return {"channelType": "rooms", "channelId": socket.ask(message)["response"]["_id"]}


def test_replay_is_by_todays_memberships(app: App) -> None:
    owner, bob = app.socket("owner"), app.socket("bob", resume="")
    stays, left = channel(app, owner), channel(app, owner)
    for room in (stays, left):
        bob.ask({"action": "joinChannel", **INFO, **room})
    other = channel(app, owner)
    seq = last_seq(app, bob)
    bob.close()
    write(app, 1, **stays)
    write(app, 2, **left)
    write(app, 3, **other)
    app.socket("bob").ask({"action": "leaveChannel", **INFO, **left})

    again = app.socket("bob", resume=seq)

    assert numbers(app.heard(again)[0]) == [1]


def test_resumed_socket_goes_on_in_its_channels(app: App) -> None:
    bob = app.socket("bob", resume="")
    room = channel(app, bob)
    seq = last_seq(app, bob)
    bob.close()
    write(app, 1, **room)

    again = app.socket("bob", resume=seq)
    write(app, 2, **room)

    assert numbers(app.heard(again)[0]) == [1, 2]


def test_nothing_is_lost_or_doubled_under_load(app: App) -> None:
    """A client that comes and goes while others write without a pause."""
    writer = app.socket("writer")
    client = app.socket(resume="")
    seq, got = client.greeting["seq"], []
    for n in range(120):
        writer.send({"action": "create", "collection": "cars", "data": {"n": n}})
        if n % 20 == 19:
            frame = client.receive()
            while frame["action"] != "create":
                frame = client.receive()
            got.append(frame["response"]["n"])
            seq = frame["seq"]
            client.close()
            client = app.socket(resume=seq)
    while len(got) < 120 and (frame := client.receive()):
        if frame["action"] == "create":
            got.append(frame["response"]["n"])

    assert got == list(range(120))
    assert numbers(app.heard(client)[0]) == []


def test_break_before_the_replay_loses_nothing(app: App) -> None:
    seq = app.socket(resume="").greeting["seq"]
    write(app, 1)

    greeting = app.socket(resume=seq).greeting
    again = app.socket(resume=greeting["seq"])

    assert numbers(app.heard(again)[0]) == [1]


@pytest.mark.parametrize("sent", ["0", "%22", "%ff", "%E2%98%83"])
def test_greeting_repeats_any_seq(app: App, sent: str) -> None:
    socket = app.socket(resume=sent)

    assert socket.greeting.keys() == {"action", "response", "seq"}
    assert socket.receive()["action"] == "reload"


@in_process
@pytest.mark.parametrize("call", ["POST /cars", "PATCH /cars/{id}", "DELETE /cars/{id}"])
def test_write_without_an_answer_means_reload(
    app: App, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, socket = write(app, 1), app.socket(resume="")
    store, away = app.backpack._backpack.store, [Unavailable(), Unavailable()]

    def breaking(name: str) -> None:
        whole = getattr(store, name)

        async def break_off(*arguments: Any) -> Any:
            await whole(*arguments)
            raise Unanswered

        monkeypatch.setattr(store, name, break_off)

    async def get(collection: str, record_id: str) -> bytes | None:
        """Whether the store is back is asked without an _id."""
        if away and not record_id:
            raise away.pop()
        return await whole_get(collection, record_id)

    whole_get = store.get
    monkeypatch.setattr(store, "get", get)
    breaking("insert" if call.startswith("POST") else "change")
    answer = app.ask(call.format(id=record["_id"]), {"n": 2})

    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert socket.receive()["action"] == "reload"
    assert away == []
