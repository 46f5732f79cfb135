"""The hub by itself: order, late events, joined writes and turns of other tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import orjson
import pytest

from backpack.bus import LocalBus
from backpack.errors import Unavailable
from backpack.events import Asker, Change, Channel, Drop, Event, State, notice
from backpack.fanout import Fanout, Message, Peer
from backpack.losses import TOPIC as LOSSES
from backpack.realtime import TOPIC, Hub
from backpack.resume import Resume
from backpack.rules import NO_RULES
from backpack.sessions import Session, Sessions
from backpack.stores.durable import DurableStore
from backpack.stores.sessions import DocumentSessions
from tests.talk import unmasked

PATIENCE = 10.0


class Line:
    """What a peer was sent: one entry a write."""

    is_behind = False

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = 0
        self.news = asyncio.Event()

    def send(self, frame: bytes) -> None:
        self.writes.append(frame)
        self.news.set()

    push = send

    def beat(self) -> None:
        """It is alive."""

    def close(self, code: int, reason: str) -> None:
        self.closed = code
        self.news.set()

    def abort(self) -> None:
        raise AssertionError("aborted")

    @property
    def frames(self) -> list[dict[str, Any]]:
        return [orjson.loads(text) for _, text in unmasked(b"".join(self.writes))]

    async def until(self, number: int) -> list[dict[str, Any]]:
        async with asyncio.timeout(PATIENCE):
            while len(self.frames) < number:
                assert not self.closed
                self.news.clear()
                await self.news.wait()
        return self.frames


def peer_of(hub: Hub | None, number: int, user: str = "ada") -> tuple[Peer, Line]:
    session = Session(digest=f"d{number}", user_id=user, email="", created_at="", expires=2**40)
    peer, line = Peer(number, session), Line()
    peer.line = line
    if hub is not None:
        hub.add(peer)
    return peer, line


@pytest.fixture
def bus() -> LocalBus:
    return LocalBus()


@pytest.fixture
async def store() -> AsyncIterator[DurableStore]:
    store = DurableStore(None)
    await store.open()
    yield store
    await store.close()


def hub_on(bus: LocalBus, store: DurableStore) -> Hub:
    async def exists(channel: Channel) -> bool | None:
        return None

    return Hub(bus, NO_RULES, Sessions(DocumentSessions(store), bus), exists, 1_000.0)


@pytest.fixture
async def hub(bus: LocalBus, store: DurableStore) -> AsyncIterator[Hub]:
    hub = hub_on(bus, store)
    yield hub
    await hub.close()


def state(revision: int, **more: Any) -> Event:
    return Event(f'{{"n":{revision}}}', key="cars/1", revision=revision, **more)


async def test_late_state_is_left_out(hub: Hub) -> None:
    _, line = peer_of(hub, 1)

    for revision in (5, 7, 6, 8, 7):
        await hub.send(state(revision))
    await hub.send(Event('{"n":"last"}'))

    assert [frame["n"] for frame in await line.until(4)] == [5, 7, 8, "last"]


@pytest.mark.parametrize("late", [state(6), Event('{"n":0}', key="cars/1")])
async def test_state_that_was_late_before_there_was_a_process_is_left_out(
    hub: Hub, bus: LocalBus, store: DurableStore, late: Event
) -> None:
    await hub.send(state(5))
    await hub.send(state(7))
    there = hub_on(bus, store)
    await there.open()
    _, line = peer_of(there, 1)
    await hub.send(late)
    await hub.send(state(8))

    assert await line.until(1) == [{"n": 8}]
    await there.close()


async def test_late_creation_is_left_out(hub: Hub) -> None:
    _, line = peer_of(hub, 1)

    await hub.send(state(5))
    await hub.send(state(0))
    await hub.send(Event('{"n":0}', key="cars/2"))

    assert [frame["n"] for frame in await line.until(2)] == [5, 0]


async def test_asker_of_late_write_is_answered(hub: Hub) -> None:
    peer, line = peer_of(hub, 1)
    asker = Asker(hub.process, peer.id, '"r"')

    await hub.send(state(6))
    await hub.send(state(5, asker=asker))

    assert await line.until(2) == [{"n": 6}, {"n": 5, "requestId": "r"}]


async def test_asker_of_other_process_is_nobody_here(hub: Hub) -> None:
    peer, line = peer_of(hub, 1)

    await hub.send(Event('{"n":1}', asker=Asker("elsewhere", peer.id, "1")))

    assert await line.until(1) == [{"n": 1}]


async def test_event_survives_the_bus() -> None:
    event = Event(
        '{"a":1}',
        channel=Channel("rooms", "1"),
        users=("ada",),
        without=("bob",),
        collection="cars",
        owner=["ada"],
        asker=Asker("p", 1, "7"),
        answer="{}",
        dropped=Drop(Channel("rooms", "2"), "ada", State("infos/1", 7)),
        key="cars/1",
        revision=3,
    )

    sent = orjson.loads(orjson.dumps(event.message()))

    assert Event.from_message(sent) == event
    assert Event.from_message(Event("{}").message()) == Event("{}")
    assert Event.from_message(Event("{}", users=()).message()) == Event("{}", users=())


async def test_writes_of_one_turn_are_joined(hub: Hub) -> None:
    lines = [peer_of(hub, number)[1] for number in range(1, 4)]
    record = b'{"_id":"1","n":1}'

    await hub.announce([Change("create", "cars", record) for _ in range(10)])

    for line in lines:
        assert len(await line.until(10)) == 10
        assert len(line.writes) == 1
    assert lines[0].writes[0] is lines[1].writes[0]


async def test_order_holds_between_different_receivers(hub: Hub) -> None:
    _, ada = peer_of(hub, 1, "ada")
    _, bob = peer_of(hub, 2, "bob")

    for n in range(30):
        await hub.send(Event(f'{{"n":{n}}}', users=None if n % 3 else ("ada",)))

    assert [frame["n"] for frame in await ada.until(30)] == list(range(30))
    assert [frame["n"] for frame in await bob.until(20)] == [n for n in range(30) if n % 3]


async def test_other_tasks_get_turns() -> None:
    fanout, turns = Fanout(), 0
    peers = [peer_of(None, number) for number in range(20_000)]
    receivers = tuple(peer for peer, _ in peers)
    last = peers[-1][1]

    for number in range(20):
        # Different tuples, so that nothing is joined.
        fanout.add(tuple(receivers), Message(b'{"n":%d}' % number, "1"))
        fanout.add((), Message(b"{}", "1"))
        fanout.add(receivers[:1], Message(b"{}", "1"))
    while len(last.writes) < 20:
        await asyncio.sleep(0)
        turns += 1

    assert [frame["n"] for frame in last.frames] == list(range(20))
    assert turns > 5


async def test_peer_that_fails_does_not_stop_the_others(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    broken, _ = peer_of(hub, 1)
    broken.line = None  # type: ignore[assignment]
    others = [peer_of(hub, number)[1] for number in range(2, 300)]

    await hub.send(Event('{"n":1}'))
    await hub.send(Event('{"n":2}'))

    for line in others:
        assert [frame["n"] for frame in await line.until(2)] == [1, 2]
    assert "could not be written to" in caplog.text
    hub.remove(broken)


async def test_held_messages_have_a_limit(hub: Hub) -> None:
    (peer, line), (greedy, greedy_line) = peer_of(hub, 1), peer_of(hub, 2, "bob")
    peer.hold(1_000)
    greedy.hold(1_000)
    await hub.send(Event(notice(text="a" * 800)))
    await hub.send(Event(notice(text="b" * 800), users=("bob",)))
    async with asyncio.timeout(PATIENCE):
        await greedy_line.news.wait()
    peer.release(lambda seq: True)

    assert (greedy_line.closed, greedy_line.writes, greedy.held) == (1013, [], [])
    assert [frame["text"][0] for frame in await line.until(1)] == ["a"]


async def test_bus_messages_are_events(hub: Hub) -> None:
    _, line = peer_of(hub, 1)

    await hub._bus.send(TOPIC, {"text": '{"n":1}'})

    assert await line.until(1) == [{"n": 1}]


# Resuming on a process that is behind


class LateBus(LocalBus):
    """A bus that delivers what was sent when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.late: list[tuple[str, str, dict[str, Any]]] = []
        self.caught_up = asyncio.Event()

    async def send(self, topic: str, message: Mapping[str, Any]) -> str:
        self._count += 1
        self._hold(self.position, topic, dict(message))
        self.late.append((topic, self.position, dict(message)))
        return self.position

    async def reach(self, seq: str) -> None:
        await self.caught_up.wait()

    def catch_up(self) -> None:
        for late in self.late:
            self._listeners.deliver(*late)
        self.caught_up.set()


class NoChannels:
    async def subscribe_all(self, peer: Peer) -> frozenset[Channel]:
        return frozenset()


@pytest.mark.parametrize("has_losses", [False, True])
async def test_process_that_is_behind_repeats_nothing(has_losses: bool) -> None:
    store, bus = DurableStore(None), LateBus()
    await store.open()
    hub = hub_on(bus, store)
    resume = Resume(bus, hub, NoChannels())  # type: ignore[arg-type]
    peer, line = peer_of(None, 1)
    peer.resumes = True
    peer.hold(1_000)
    had = [await bus.send(TOPIC, Event(notice(n=n)).message()) for n in (1, 2)]
    hub.add(peer)
    catching_up = asyncio.create_task(resume.catch_up(peer, had[1], bus.position))
    if has_losses:
        await bus.send(LOSSES, {"drops": []})
    await bus.send(TOPIC, Event('{"n":3}').message())
    await asyncio.sleep(0)
    bus.catch_up()
    await catching_up
    await bus.send(TOPIC, Event('{"n":4}').message())
    bus.late = bus.late[-1:]
    bus.catch_up()

    expected = ["reload", "reload", 3, 4] if has_losses else [3, 4]
    frames = await line.until(len(expected))
    assert [frame.get("action", frame.get("n")) for frame in frames] == expected
    await hub.close()


class AwayBus(LocalBus):
    """A bus that stores nothing while it is `away`, which is not known before."""

    away = False

    async def send(self, topic: str, message: Mapping[str, Any]) -> str:
        if self.away:
            raise Unavailable
        return await super().send(topic, message)


async def test_write_that_was_not_announced_means_reload_everywhere() -> None:
    store, bus = DurableStore(None), AwayBus()
    await store.open()
    here, there = (hub_on(bus, store) for _ in range(2))
    peers = [peer_of(hub, number) for number, hub in enumerate((here, there, there), 1)]
    peers[0][0].resumes = peers[1][0].resumes = True
    seq = await bus.send(TOPIC, Event('{"n":1}').message())
    bus.away = True
    with pytest.raises(Unavailable):
        await here.announce([Change("create", "cars", b'{"_id":"1"}')])
    with pytest.raises(Unavailable):
        await here.pass_on({"action": "broadcast"}, Asker(here.process, 1))
    bus.away = False
    told = [await line.until(2) for _, line in peers[:2]]
    late, line = peer_of(None, 4)
    late.resumes = True
    late.hold(1_000)
    there.add(late)
    await Resume(bus, there, NoChannels()).catch_up(late, seq, bus.position)  # type: ignore[arg-type]
    await there.send(Event('{"n":2}'))

    assert [[frame.get("action", frame.get("n")) for frame in one] for one in told] == [
        [1, "reload"],
        [1, "reload"],
    ]
    assert [frame.get("action", frame.get("n")) for frame in await line.until(2)] == ["reload", 2]
    assert await peers[2][1].until(2) == [{"n": 1}, {"n": 2}]
    for hub in (here, there):
        await hub.close()
    await store.close()


async def test_hub_that_closes_tells_of_what_it_could_not_announce() -> None:
    store, bus = DurableStore(None), AwayBus()
    await store.open()
    here, there = (hub_on(bus, store) for _ in range(2))
    peer, line = peer_of(there, 1)
    peer.resumes = True
    bus.away = True
    with pytest.raises(Unavailable):
        await here.send(Event('{"n":1}'))
    bus.away = False
    await here.close()

    assert [frame["action"] for frame in await line.until(1)] == ["reload"]
    await there.close()
    await store.close()


async def test_leave_that_was_not_announced_ends_subscriptions_later() -> None:
    store, bus = DurableStore(None), AwayBus()
    await store.open()
    here, there = (hub_on(bus, store) for _ in range(2))
    room = Channel("rooms", "1")
    (before, line), (after, _), (other, _) = (
        peer_of(there, number, user) for number, user in enumerate(("ada", "ada", "bob"), 1)
    )
    before.resumes = True
    for peer, number in ((before, 1), (after, 3), (other, 1)):
        there.subscribe(peer, room, State("infos/1", number))
    bus.away = True
    with pytest.raises(Unavailable):
        await here.send(Event("{}", users=(), dropped=Drop(room, "ada", State("infos/1", 2))))
    bus.away = False

    assert [frame["action"] for frame in await line.until(1)] == ["reload"]
    assert set(there.roster.of_channel(room)) == {after, other}
    for hub in (here, there):
        await hub.close()
    await store.close()


class FailingBus(LateBus):
    """A bus that stores what it says that it could not; with `early`, it is delivered before."""

    early = False

    async def send_all(self, topic: str, messages: Sequence[Mapping[str, Any]]) -> None:
        await super().send_all(topic, messages)
        if self.early:
            self.catch_up()
        raise Unavailable


@pytest.mark.parametrize("early", [False, True], ids=["after", "before"])
async def test_event_of_a_failed_request_is_no_second_answer(early: bool) -> None:
    store, bus = DurableStore(None), FailingBus()
    await store.open()
    bus.early = early
    hub = hub_on(bus, store)
    _, line = peer_of(hub, 1)

    with nullcontext() if early else pytest.raises(Unavailable):
        await hub.send(Event(notice(n=1), asker=Asker(hub.process, 1, '"r"')))
    if not early:
        bus.catch_up()

    expected = {"n": 1, "requestId": "r"} if early else {"n": 1}
    assert await line.until(1) == [expected]
    await hub.close()


async def test_subscription_that_ends_during_a_look_up_stays_ended(hub: Hub) -> None:
    room = Channel("rooms", "1")
    peer_of(hub, 1)
    with hub.noting_drops() as dropped:
        await hub.send(Event(notice(n=1), dropped=Drop(room, "ada")))
    await hub.send(Event(notice(n=2), dropped=Drop(room)))

    assert dropped == [Drop(room, "ada")]
