"""The hub by itself: order, late events, joined writes and turns of other tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from backpack.bus import LocalBus
from backpack.events import Asker, Change, Channel, Event
from backpack.fanout import Fanout, Message, Peer
from backpack.realtime import TOPIC, Hub
from backpack.rules import NO_RULES
from backpack.sessions import Session, Sessions
from backpack.stores.durable import DurableStore
from backpack.stores.sessions import DocumentSessions
from tests.talk import unmasked

PATIENCE = 10.0


class Line:
    """What a peer was sent: one entry a write."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.news = asyncio.Event()

    def send(self, frame: bytes) -> None:
        self.writes.append(frame)
        self.news.set()

    push = send

    def beat(self) -> None:
        """It is alive."""

    def close(self, code: int, reason: str) -> None:
        raise AssertionError(f"closed with {code} {reason}")

    def abort(self) -> None:
        raise AssertionError("aborted")

    @property
    def frames(self) -> list[dict[str, Any]]:
        return [orjson.loads(text) for _, text in unmasked(b"".join(self.writes))]

    async def until(self, number: int) -> list[dict[str, Any]]:
        async with asyncio.timeout(PATIENCE):
            while len(self.frames) < number:
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
async def hub() -> AsyncIterator[Hub]:
    store = DurableStore(None)
    await store.open()
    bus = LocalBus()
    sessions = Sessions(DocumentSessions(store), bus)

    async def exists(channel: Channel) -> bool | None:
        return None

    hub = Hub(bus, NO_RULES, sessions, exists, 1_000.0)
    yield hub
    await hub.close()
    await store.close()


def state(revision: int, **more: Any) -> Event:
    return Event(f'{{"n":{revision}}}', key="cars/1", revision=revision, **more)


async def test_late_state_is_left_out(hub: Hub) -> None:
    _, line = peer_of(hub, 1)

    for revision in (5, 7, 6, 8, 7):
        await hub.send(state(revision))
    await hub.send(Event('{"n":"last"}'))

    assert [frame["n"] for frame in await line.until(4)] == [5, 7, 8, "last"]


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
        dropped=Channel("rooms", "2"),
        dropped_user="ada",
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


async def test_bus_messages_are_events(hub: Hub) -> None:
    _, line = peer_of(hub, 1)

    await hub._bus.send(TOPIC, {"text": '{"n":1}'})

    assert await line.until(1) == [{"n": 1}]
