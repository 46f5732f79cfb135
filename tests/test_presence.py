"""Presence by itself: what processes tell each other, and those that die."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from backpack.bus import LocalBus
from backpack.errors import Unavailable
from backpack.events import Channel
from backpack.presence import TOPIC, Place, Presence

PATIENCE = 10.0
ROOM = Channel("rooms", "1")


class Process:
    """One process's presence, what it told, and its clock."""

    def __init__(self, bus: LocalBus, name: str) -> None:
        self.told: list[tuple[Place, str, bool]] = []
        self.now = 0.0
        self._news = asyncio.Event()
        self.presence = Presence(bus, name, self._tell, clock=lambda: self.now)

    def _tell(self, place: Place, user: str, has_come: bool) -> None:
        self.told.append((place, user, has_come))
        self._news.set()

    async def until(self, place: Place, user: str, has_come: bool) -> None:
        async with asyncio.timeout(PATIENCE):
            while (place, user, has_come) not in self.told:
                self._news.clear()
                await self._news.wait()


@pytest.fixture
async def bus() -> LocalBus:
    return LocalBus()


@pytest.fixture
async def one(bus: LocalBus) -> AsyncIterator[Process]:
    process = Process(bus, "one")
    yield process
    await process.presence.close()


@pytest.fixture
async def two(bus: LocalBus) -> AsyncIterator[Process]:
    process = Process(bus, "two")
    yield process
    await process.presence.close()


async def test_users_of_all_processes_are_counted_once(one: Process, two: Process) -> None:
    for process in (one, two):
        process.presence.come("ada", None)
        process.presence.come("ada", None)
    two.presence.come("bob", None)

    assert await two.presence.users(None) == ["ada", "bob"]
    assert await one.presence.users(None) == ["ada", "bob"]
    assert sorted(one.told, key=str) == [(None, "ada", True), (None, "bob", True)]


async def test_last_connection_of_all_counts(one: Process, two: Process) -> None:
    one.presence.come("ada", ROOM)
    two.presence.come("ada", ROOM)
    await one.presence.users(ROOM)
    await two.presence.users(ROOM)

    two.presence.go("ada", ROOM)
    assert await two.presence.users(ROOM) == ["ada"]
    one.presence.go("ada", ROOM)
    assert await one.presence.users(ROOM) == []

    assert one.told == [(ROOM, "ada", True), (ROOM, "ada", False)]


async def test_places_are_kept_apart(one: Process) -> None:
    one.presence.come("ada", None)
    one.presence.come("bob", ROOM)

    found = [await one.presence.users(place) for place in (None, ROOM, Channel("rooms", "2"))]

    assert found == [["ada"], ["bob"], []]


async def test_late_process_learns_of_the_others(one: Process, bus: LocalBus) -> None:
    one.presence.come("ada", None)
    await one.presence.users(None)
    late = Process(bus, "late")

    late.presence.come("bob", None)

    await late.until(None, "ada", True)
    await late.presence.close()


async def test_dead_process_is_forgotten(one: Process, bus: LocalBus) -> None:
    await bus.send(TOPIC, {"process": "dead", "n": 1, "all": [["eve"], ["eve", "rooms", "1"]]})
    assert set(one.told) == {(None, "eve", True), (ROOM, "eve", True)}

    one.now = 36.0
    one.presence.come("ada", None)

    await one.until(None, "eve", False)
    await one.until(ROOM, "eve", False)


async def test_living_process_is_not_forgotten(one: Process, bus: LocalBus) -> None:
    await bus.send(TOPIC, {"process": "quiet", "n": 1, "all": [["eve"]]})
    one.now = 30.0
    await bus.send(TOPIC, {"process": "quiet", "n": 2, "joined": [], "left": []})

    one.now = 60.0
    one.presence.come("ada", None)
    await one.until(None, "ada", True)

    assert (None, "eve", False) not in one.told


async def test_process_that_closes_says_so(one: Process, two: Process) -> None:
    two.presence.come("ada", None)
    await two.presence.users(None)
    two.presence.go("ada", None)

    await two.presence.close()

    assert one.told == [(None, "ada", True), (None, "ada", False)]


class BrokenBus(LocalBus):
    """A bus that is away while `away` is set."""

    away = True

    async def send(self, topic: str, message: object) -> str:
        if self.away:
            raise Unavailable
        return await super().send(topic, message)  # type: ignore[arg-type]


async def test_everything_is_told_when_the_bus_is_back() -> None:
    bus = BrokenBus()
    here, there = Process(bus, "here"), Process(bus, "there")
    here.presence.come("ada", None)
    with pytest.raises(Unavailable):
        await here.presence.users(None)

    bus.away = False

    assert await here.presence.users(None) == ["ada"]
    assert there.told == [(None, "ada", True)]
    here.presence.go("ada", None)
    await here.presence.close()
    await there.presence.close()
