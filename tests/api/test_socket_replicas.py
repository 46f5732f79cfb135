"""Websockets of one backpack on two servers over one MongoDB and Redis, as on two processes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from backpack.homes import Servers
from backpack.settings import Settings
from backpack.testing import BackpackServer
from tests.deployments import App
from tests.replicas import SETTINGS
from tests.talk import Frame, Socket

INFO = {"usersInformationCollection": "infos"}


class Pair:
    """An app on two servers; `there` is served by the second one."""

    def __init__(self, here: App, there: App) -> None:
        self.here = here
        self.there = there

    def socket(self, actor: str, *, there: bool = False, resume: str | None = None) -> Socket:
        """A socket of a user of the first app's, on one server or the other."""
        query = "" if resume is None else f"?resume={resume}"
        offers = ["backpack", f"backpack.session.{self.here.token(actor)}"]
        return (self.there if there else self.here).connect(f"/{query}", subprotocols=offers)


@pytest.fixture(scope="module")
def home(
    mongo_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Settings], Servers]:
    """Opens the home that all servers here share."""
    files = tmp_path_factory.mktemp("files")
    return lambda settings: Servers(settings, mongo_url, redis_url, files)


@pytest.fixture(scope="module")
def servers(home: Callable[[Settings], Servers]) -> Iterator[tuple[BackpackServer, BackpackServer]]:
    made = [BackpackServer(home, SETTINGS).start() for _ in range(2)]
    yield made[0], made[1]
    for server in made:
        server.stop()


@pytest.fixture
def pair(servers: tuple[BackpackServer, BackpackServer]) -> Iterator[Pair]:
    here, there = servers
    app = App(here.create(), here.port)
    other = App(there.create(app.backpack.name), there.port)
    app.backpack.seed({"collections": {"cars": []}})
    yield Pair(app, other)
    app.hang_up()
    other.close()
    here.delete(app.backpack.name)
    for client in app.backpack._clients:
        client.close()


def test_writes_reach_the_other_process(pair: Pair) -> None:
    near, far = pair.socket("ada"), pair.socket("bob", there=True)

    answer = near.ask({"action": "create", "collection": "cars", "data": {"n": 1}})
    record = pair.here.ask("POST /cars", {"n": 2}, actor="ada").json()

    by_http = {"action": "create", "collection": "cars", "httpRequest": True, "response": record}
    assert pair.here.heard(near, far) == [[by_http], [answer, by_http]]


def test_channel_spans_processes(pair: Pair) -> None:
    near, far = pair.socket("ada"), pair.socket("bob", there=True)
    made = near.ask({"action": "createChannel", **INFO, "channelType": "rooms", "name": "a"})
    room = {"channelType": "rooms", "channelId": made["response"]["_id"]}

    far.ask({"action": "joinChannel", **INFO, **room})
    near.ask({"action": "broadcast", **room, "n": 1})
    (told,) = pair.here.heard(far)
    near.ask({"action": "deleteChannel", "channelMessagesCollection": "messages", **INFO, **room})
    near.ask({"action": "broadcast", **room, "n": 2})

    assert [frame["n"] for frame in told if frame["action"] == "broadcast"] == [1]
    (after,) = pair.here.heard(far)
    assert [frame["action"] for frame in after] == ["deleteChannel"]
    assert after[0]["response"]["channels"] == []


def test_leave_ends_subscription_on_the_other_process(pair: Pair) -> None:
    near, far = pair.socket("ada"), pair.socket("ada", there=True)
    made = near.ask({"action": "createChannel", **INFO, "channelType": "rooms", "name": "a"})
    room = {"channelType": "rooms", "channelId": made["response"]["_id"]}
    far.ask({"action": "joinUsersChannels", **INFO})

    near.ask({"action": "leaveChannel", **INFO, **room})
    near.ask({"action": "broadcast", **room, "n": 1})

    told = pair.here.heard(far)[0]
    assert [frame["action"] for frame in told if frame["action"] != "createChannel"] == [
        "leaveChannel"
    ]


def test_logout_closes_on_the_other_process(pair: Pair) -> None:
    far = pair.socket("ada", there=True)

    pair.here.ask("POST /logout", actor="ada")

    assert far.code() == 4401


def test_presence_is_counted_once(pair: Pair) -> None:
    near, far = pair.socket("ada"), pair.socket("ada", there=True)
    everybody = sorted(pair.here.user_id(user) for user in ("ada", "bob"))
    near.ask({"action": "presence"})

    bob = pair.socket("bob", there=True)
    near.until({"action": "presence", "joined": pair.here.user_id("bob")})
    assert near.ask({"action": "presence"})["users"] == everybody
    far.close()
    bob.close()

    before = near.until({"action": "presence", "left": pair.here.user_id("bob")})
    assert not [frame for frame in before if frame["action"] == "presence"]


def test_end_of_connection_is_told_on_the_other_process(pair: Pair) -> None:
    near, far = pair.socket("ada"), pair.socket("bob", there=True)

    far.close()

    assert near.until({"action": "close", "userId": pair.here.user_id("bob")}) == []


def test_resume_on_the_other_process(pair: Pair) -> None:
    near = pair.socket("ada", resume="")
    first = pair.here.ask("POST /cars", {"n": 1}, actor="bob").json()
    (told,) = pair.here.heard(near)
    near.close()
    second = pair.here.ask("POST /cars", {"n": 2}, actor="bob").json()

    far = pair.socket("ada", there=True, resume=told[0]["seq"])
    third = pair.there.ask("POST /cars", {"n": 3}, actor="eve").json()

    records = [frame["response"] for frame in pair.here.heard(far)[0] if "collection" in frame]
    assert (told[0]["response"], records) == (first, [second, third])


def test_changed_rules_hold_on_the_other_process(pair: Pair) -> None:
    far = pair.socket("ada", there=True)
    pair.here.backpack.set_rules({"cars": {"read": "none"}})

    pair.here.ask("POST /cars", {"n": 1}, actor="bob")

    assert pair.here.heard(far) == [[]]


def test_events_of_a_record_keep_their_order(pair: Pair) -> None:
    record = pair.here.ask("POST /cars", {"n": 0}, actor="ada").json()
    near, far = pair.socket("ada"), pair.socket("ada", there=True)
    message: Frame = {"action": "patch", "collection": "cars", "id": record["_id"]}
    start = threading.Barrier(2, timeout=20)
    writers = [pair.socket("bob"), pair.socket("bob", there=True)]

    def write(there: bool) -> None:
        writer = writers[there]
        start.wait()
        for n in range(40):
            answer = writer.ask({**message, "data": {str(there): n}})
            assert answer["response"][str(there)] == n

    threads = [threading.Thread(target=write, args=(there,)) for there in (False, True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    last = pair.here.ask(f"GET /cars/{record['_id']}", actor="ada").json()
    for frames in pair.here.heard(near, far):
        states = [
            (frame["response"].get("False", -1), frame["response"].get("True", -1))
            for frame in frames
            if frame["action"] == "patch"
        ]
        assert states == sorted(states)
        assert all(one[1] <= two[1] for one, two in pairwise(states))
        assert states[-1] == (last["False"], last["True"]) == (39, 39)


def test_stopped_process_is_gone_from_presence(
    pair: Pair, home: Callable[[Settings], Servers]
) -> None:
    near = pair.socket("ada")
    near.ask({"action": "presence"})
    third = BackpackServer(home, SETTINGS).start()
    app = App(third.create(pair.here.backpack.name), third.port)
    bob = app.connect(subprotocols=["backpack", f"backpack.session.{pair.here.token('bob')}"])
    near.until({"action": "presence", "joined": pair.here.user_id("bob")})

    third.stop()

    assert bob.code() == 1012
    near.until({"action": "presence", "left": pair.here.user_id("bob")})
    app.hang_up()
    for client in app.backpack._clients:
        client.close()


def test_resumes_on_a_process_that_came_later(
    pair: Pair, home: Callable[[Settings], Servers]
) -> None:
    first = pair.socket("ada", resume="")
    seq = first.greeting["seq"]
    pair.here.ask("POST /cars", {"n": 1}, actor="bob")
    later = BackpackServer(home, SETTINGS).start()
    app = App(later.create(pair.here.backpack.name), later.port)
    again = Pair(pair.here, app).socket("ada", there=True, resume=seq)

    pair.here.ask("POST /cars", {"n": 2}, actor="bob")
    told = [again.receive() for _ in range(2)]
    app.hang_up()
    later.stop()

    assert [frame["response"]["n"] for frame in told] == [1, 2]
