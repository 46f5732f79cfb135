from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from redis.asyncio import Connection, ConnectionPool, Redis

from backpack.bus import LocalBus
from backpack.documents import Document
from backpack.errors import TooSlow, Unavailable
from backpack.homes import Memory
from backpack.redis_bus import RedisBus, redis_client
from backpack.sessions import Session, Sessions, SessionStore
from backpack.settings import Settings
from backpack.stores.base import Store
from backpack.stores.durable import DurableStore
from backpack.stores.mongo import FakeMongoStore
from backpack.stores.sessions import DocumentSessions, RedisSessions
from backpack.users import User

DAY = 86_400
TTL = 30 * DAY

AT = "2026-01-31T08:09:10.123Z"
ANN = User(id="a" * 24, email="ann@example.org", created_at=AT, password_hash="")
BOB = User(id="b" * 24, email="bob@example.org", created_at=AT, password_hash="")


class Clock:
    """The time of day, and what a test adds to it; stands still between the additions."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def record(digest: str, user: str = ANN.id, lifetime: int = 1_000) -> Document:
    return {
        "_id": digest,
        "userId": user,
        "email": "ann@example.org",
        "createdAt": "2026-01-31T08:09:10.123Z",
        "expires": int(time.time()) + lifetime,
    }


async def until_gone(store: SessionStore, digests: list[str]) -> None:
    """Redis lets a key of the past live for a millisecond more."""
    async with asyncio.timeout(10):
        while any([await store.get(digest) for digest in digests]):
            await asyncio.sleep(0.001)


class SessionsContract:
    """What every store of sessions promises, and the service on it; a subclass has the fixture
    `store`."""

    @pytest.fixture
    async def bus(self) -> LocalBus:
        return LocalBus()

    @pytest.fixture
    async def sessions(
        self, store: SessionStore, bus: LocalBus, clock: Clock
    ) -> AsyncIterator[Sessions]:
        sessions = Sessions(store, bus, TTL, clock=clock)
        yield sessions
        await sessions.close()

    @pytest.fixture
    async def replica(
        self, store: SessionStore, bus: LocalBus, clock: Clock
    ) -> AsyncIterator[Sessions]:
        """The sessions as another process has them."""
        replica = Sessions(store, bus, TTL, clock=clock)
        yield replica
        await replica.close()

    async def test_store_keeps_a_session(self, store: SessionStore) -> None:
        assert await store.get("d1") is None
        kept = record("d1")
        await store.add(kept)
        assert await store.get("d1") == kept
        assert await store.get("d2") is None

    async def test_store_replaces_a_session(self, store: SessionStore) -> None:
        await store.add(record("d1"))
        longer = record("d1", lifetime=2_000)
        assert await store.replace(longer)
        assert await store.get("d1") == longer

    async def test_store_replaces_nothing_that_is_gone(self, store: SessionStore) -> None:
        await store.add(record("d1"))
        await store.remove(["d1", "d2"])
        assert not await store.replace(record("d1"))
        assert await store.get("d1") is None
        assert await store.of_user(ANN.id) == []

    async def test_store_removes_sessions(self, store: SessionStore) -> None:
        for digest in ("d1", "d2", "d3"):
            await store.add(record(digest))
        await store.remove(["d1", "d3"])
        assert [await store.get(digest) for digest in ("d1", "d3")] == [None, None]
        assert await store.of_user(ANN.id) == ["d2"]

    async def test_store_finds_sessions_of_a_user(self, store: SessionStore) -> None:
        for digest, user in (("d1", ANN.id), ("d2", BOB.id), ("d3", ANN.id)):
            await store.add(record(digest, user))
        assert sorted(await store.of_user(ANN.id)) == ["d1", "d3"]
        assert await store.of_user("c" * 24) == []

    async def test_store_sweeps_what_expired(self, store: SessionStore) -> None:
        for n in range(5):
            await store.add(record(f"old{n}", lifetime=-100))
        await store.add(record("new"))
        while await store.sweep(int(time.time()), 2) == 2:
            pass
        await until_gone(store, [f"old{n}" for n in range(5)])
        assert await store.get("new")

    async def test_session_is_created_and_found(self, sessions: Sessions, clock: Clock) -> None:
        token, session = await sessions.create(ANN)
        assert session == Session(
            digest=hashlib.sha256(token.encode()).hexdigest(),
            user_id=ANN.id,
            email=ANN.email,
            created_at=ANN.created_at,
            expires=int(clock.now) + TTL,
        )
        assert await sessions.find(token) == session

    async def test_token_is_random_and_not_stored(
        self, sessions: Sessions, store: SessionStore
    ) -> None:
        tokens = [(await sessions.create(ANN))[0] for _ in range(20)]
        assert len(set(tokens)) == 20
        assert {len(base64.urlsafe_b64decode(token + "=")) for token in tokens} == {32}
        for digest in await store.of_user(ANN.id):
            assert str(await store.get(digest)).find(tokens[0]) == -1

    @pytest.mark.parametrize(
        "token",
        ["", "x", "x" * 43, "é" * 43, "\ud800" * 43, "\0" * 43, "x" * 100_000, "$" * 43],
        ids=["empty", "short", "unknown", "umlauts", "surrogates", "NUL", "huge", "dollars"],
    )
    async def test_no_session_of_any_text(self, sessions: Sessions, token: str) -> None:
        await sessions.create(ANN)
        assert sessions.cached(token) is None
        assert await sessions.find(token) is None
        await sessions.end(token)

    async def test_digest_is_no_token(self, sessions: Sessions) -> None:
        _, session = await sessions.create(ANN)
        assert await sessions.find(session.digest) is None
        assert await sessions.find(session.digest[:43]) is None

    async def test_found_session_is_cached_for_seconds(
        self, sessions: Sessions, clock: Clock
    ) -> None:
        token, session = await sessions.create(ANN)
        assert sessions.cached(token) is None
        await sessions.find(token)
        assert sessions.cached(token) == session
        clock.now += 4.9
        assert sessions.cached(token) == session
        clock.now += 0.2
        assert sessions.cached(token) is None

    async def test_clock_set_back_empties_the_cache(self, sessions: Sessions, clock: Clock) -> None:
        token, _ = await sessions.create(ANN)
        await sessions.find(token)
        clock.now -= 3_600
        assert sessions.cached(token) is None

    async def test_unknown_session_is_not_cached(
        self, sessions: Sessions, store: SessionStore
    ) -> None:
        token, session = await sessions.create(ANN)
        kept = await store.get(session.digest)
        await store.remove([session.digest])
        assert await sessions.find(token) is None
        assert kept
        await store.add(kept)
        assert await sessions.find(token) == session

    async def test_ended_session_is_gone_everywhere(
        self, sessions: Sessions, replica: Sessions, bus: LocalBus
    ) -> None:
        token, session = await sessions.create(ANN)
        other_token, other = await sessions.create(ANN)
        for one in (sessions, replica):
            await one.find(token)
            await one.find(other_token)
        heard: list[Any] = []
        bus.listen("sessions", lambda _seq, message: heard.append(message))
        await sessions.end(token)
        assert heard == [{"ended": [session.digest]}]
        for one in (sessions, replica):
            assert one.cached(token) is None
            assert await one.find(token) is None
            assert one.cached(other_token) == other
        await sessions.end(token)

    async def test_other_sessions_of_a_user_end(
        self, sessions: Sessions, replica: Sessions
    ) -> None:
        tokens = [(await sessions.create(ANN))[0] for _ in range(4)]
        bobs, _ = await sessions.create(BOB)
        kept = await sessions.find(tokens[2])
        for token in tokens:
            await replica.find(token)
        assert kept
        await sessions.end_user(ANN.id, keep=kept.digest)
        assert [bool(replica.cached(token)) for token in tokens] == [False, False, True, False]
        assert [bool(await replica.find(token)) for token in tokens] == [False, False, True, False]
        assert await replica.find(bobs)

    async def test_all_sessions_of_a_user_end(self, sessions: Sessions) -> None:
        tokens = [(await sessions.create(ANN))[0] for _ in range(3)]
        await sessions.end_user(ANN.id)
        assert [await sessions.find(token) for token in tokens] == [None] * 3
        await sessions.end_user(ANN.id)

    async def test_session_expires(self, sessions: Sessions, clock: Clock) -> None:
        token, session = await sessions.create(ANN)
        clock.now = session.expires - 1.0
        assert await sessions.find(token) == session
        clock.now += 1.0
        assert sessions.cached(token) is None
        assert await sessions.find(token) is None

    async def test_session_is_extended_once_a_day(self, sessions: Sessions, clock: Clock) -> None:
        token, session = await sessions.create(ANN)
        assert not await sessions.renew(session)
        clock.now += DAY - 2
        assert not await sessions.renew(session)
        clock.now += 3
        assert await sessions.renew(session)
        renewed = replace(session, expires=int(clock.now) + TTL)
        assert sessions.cached(token) == renewed
        assert not await sessions.renew(renewed)
        clock.now += 6
        assert await sessions.find(token) == renewed

    async def test_session_in_use_lives_on(self, sessions: Sessions, clock: Clock) -> None:
        token, _ = await sessions.create(ANN)
        for _ in range(10):
            clock.now += TTL - DAY
            session = await sessions.find(token)
            assert session
            assert await sessions.renew(session)

    async def test_ended_session_is_not_extended(self, sessions: Sessions, clock: Clock) -> None:
        token, session = await sessions.create(ANN)
        await sessions.end(token)
        clock.now += 2 * DAY
        assert not await sessions.renew(session)
        assert await sessions.find(token) is None

    async def test_short_sessions_are_extended_too(
        self, store: SessionStore, bus: LocalBus, clock: Clock
    ) -> None:
        sessions = Sessions(store, bus, 60, clock=clock)
        token, session = await sessions.create(ANN)
        clock.now += 29
        assert not await sessions.renew(session)
        clock.now += 2
        assert await sessions.renew(session)
        assert sessions.cached(token) == replace(session, expires=int(clock.now) + 60)

    async def test_logins_sweep_the_store(
        self, sessions: Sessions, store: SessionStore, clock: Clock
    ) -> None:
        for n in range(150):
            await store.add(record(f"old{n}", lifetime=-100))
        await sessions.create(ANN)
        clock.now += 3_601
        for _ in range(2):
            await sessions.create(ANN)
        await until_gone(store, [f"old{n}" for n in range(150)])


class TestDocumentSessionsOnSqlite(SessionsContract):
    @pytest.fixture
    async def store(self) -> AsyncIterator[SessionStore]:
        documents: Store = DurableStore(None)
        await documents.open()
        yield DocumentSessions(documents)
        await documents.close()


class TestDocumentSessionsOnMongomock(SessionsContract):
    @pytest.fixture
    async def store(self) -> AsyncIterator[SessionStore]:
        documents: Store = FakeMongoStore.fresh()
        await documents.open()
        yield DocumentSessions(documents)
        await documents.close()


class RedisSessionsContract(SessionsContract):
    """What sessions in Redis promise besides; a subclass has the fixture `redis`."""

    @pytest.fixture
    async def store(self, redis: Redis) -> SessionStore:
        await redis.flushdb()
        return RedisSessions(redis, "app")

    async def test_nothing_is_left_in_redis(self, sessions: Sessions, redis: Redis) -> None:
        token, _ = await sessions.create(ANN)
        await sessions.create(ANN)
        await sessions.end(token)
        await sessions.end_user(ANN.id)
        assert await redis.keys("*") == []

    async def test_redis_lets_sessions_expire(self, store: SessionStore, redis: Redis) -> None:
        await store.add(record("d1", lifetime=-1))
        async with asyncio.timeout(10):
            # The index of the user's sessions goes a moment after the session.
            while await redis.keys("*"):
                await asyncio.sleep(0.001)
        assert await store.get("d1") is None

    async def test_index_lives_as_long_as_the_longest(
        self, store: SessionStore, redis: Redis
    ) -> None:
        await store.add(record("d1", lifetime=1_000))
        await store.add(record("d2", lifetime=10))
        assert 900_000 < await redis.pttl(f"app:sessions:{ANN.id}") <= 1_000_000
        await store.replace(record("d2", lifetime=2_000))
        assert 1_900_000 < await redis.pttl(f"app:sessions:{ANN.id}") <= 2_000_000

    async def test_expired_sessions_leave_the_index(
        self, store: SessionStore, redis: Redis
    ) -> None:
        await store.add(record("d1"))
        await redis.zadd(f"app:sessions:{ANN.id}", {"old": time.time() - 1})
        await store.add(record("d2"))
        assert await store.of_user(ANN.id) == ["d1", "d2"]

    async def test_prefixes_are_kept_apart(self, store: SessionStore, redis: Redis) -> None:
        await store.add(record("d1"))
        other = RedisSessions(redis, "other")
        await other.remove(["d1"])
        assert await other.get("d1") is None
        assert await other.of_user(ANN.id) == []
        assert await store.get("d1")


class TestRedisSessionsOnFake(RedisSessionsContract):
    @pytest.fixture
    def server(self) -> FakeServer:
        return FakeServer()

    @pytest.fixture
    async def redis(self, server: FakeServer) -> AsyncIterator[Redis]:
        redis = FakeAsyncRedis(server=server)
        yield redis
        await redis.aclose()

    async def test_sessions_are_unavailable_without_redis(
        self, sessions: Sessions, server: FakeServer
    ) -> None:
        token, session = await sessions.create(ANN)
        server.connected = False
        calls: list[Callable[[], Any]] = [
            lambda: sessions.create(ANN),
            lambda: sessions.find(token),
            lambda: sessions.renew(replace(session, expires=session.expires - 2 * DAY)),
            lambda: sessions.end(token),
            lambda: sessions.end_user(ANN.id),
        ]
        for call in calls:
            with pytest.raises(Unavailable):
                await call()
        server.connected = True
        assert await sessions.find(token) == session


class TestRedisSessions(RedisSessionsContract):
    @pytest.fixture
    async def redis(self, redis_url: str) -> AsyncIterator[Redis]:
        redis = redis_client(redis_url.removesuffix("/0") + "/1")
        yield redis
        await redis.aclose()


class SlowStore(RedisSessions):
    """A store whose answers to `get` and `replace` can be held back; sweeping it takes too long."""

    def __init__(self) -> None:
        super().__init__(FakeAsyncRedis(server=FakeServer()), "app")
        self.asked, self.go_on = asyncio.Event(), asyncio.Event()
        self.go_on.set()

    async def get(self, digest: str) -> Document | None:
        found = await super().get(digest)
        await self._hold()
        return found

    async def replace(self, record: Document) -> bool:
        done = await super().replace(record)
        await self._hold()
        return done

    async def _hold(self) -> None:
        self.asked.set()
        await self.go_on.wait()

    async def sweep(self, now: int, limit: int) -> int:
        raise TooSlow


class BreakingBus(LocalBus):
    """A bus whose connection can break, and that cannot send then."""

    broken = False

    def break_(self) -> None:
        self.broken = True
        self._listeners.announce_break()

    async def send(self, topic: str, message: Any) -> str:
        if self.broken:
            raise Unavailable
        return await super().send(topic, message)


@pytest.fixture
def slow() -> SlowStore:
    return SlowStore()


@pytest.mark.parametrize("call", ["find", "renew"])
@pytest.mark.parametrize("event", ["ended", "break"])
async def test_answer_from_before_is_not_cached(slow: SlowStore, call: str, event: str) -> None:
    bus = BreakingBus()
    sessions = Sessions(slow, bus, TTL)
    token, session = await sessions.create(ANN)
    old = replace(session, expires=session.expires - 2 * DAY)
    slow.go_on.clear()
    running: asyncio.Task[Any] = asyncio.create_task(
        sessions.find(token) if call == "find" else sessions.renew(old)
    )
    await slow.asked.wait()
    if event == "ended":
        await sessions.end(token)
    else:
        bus.break_()
    slow.go_on.set()
    await running
    assert sessions.cached(token) is None


async def test_broken_bus_empties_the_cache(slow: SlowStore) -> None:
    bus = BreakingBus()
    sessions = Sessions(slow, bus, TTL)
    tokens = [(await sessions.create(ANN))[0] for _ in range(3)]
    for token in tokens:
        await sessions.find(token)
    bus.break_()
    assert [sessions.cached(token) for token in tokens] == [None] * 3


async def test_end_that_is_not_sent_can_be_repeated(slow: SlowStore) -> None:
    bus = BreakingBus()
    sessions = Sessions(slow, bus, TTL)
    token, session = await sessions.create(ANN)
    await sessions.find(token)
    bus.broken = True
    with pytest.raises(Unavailable):
        await sessions.end(token)
    assert await sessions.find(token) is None
    bus.broken = False
    heard: list[Any] = []
    bus.listen("sessions", lambda _seq, message: heard.append(message))
    await sessions.end(token)
    assert heard == [{"ended": [session.digest]}]


async def test_closed_sessions_do_not_listen(slow: SlowStore) -> None:
    bus = LocalBus()
    sessions = Sessions(slow, bus, TTL)
    token, session = await sessions.create(ANN)
    await sessions.find(token)
    await sessions.close()
    await bus.send("sessions", {"ended": [session.digest]})
    assert sessions.cached(token) == session


async def test_cache_is_bounded(slow: SlowStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backpack.sessions._CACHE_SIZE", 3)
    sessions = Sessions(slow, LocalBus(), TTL)
    tokens = [(await sessions.create(ANN))[0] for _ in range(5)]
    for token in tokens:
        await sessions.find(token)
    assert [bool(sessions.cached(token)) for token in tokens] == [False, False, True, True, True]


async def test_sweep_that_fails_does_not_stop_a_login(
    slow: SlowStore, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    sessions = Sessions(slow, LocalBus(), TTL, clock=clock)
    clock.now += 3_601
    token, session = await sessions.create(ANN)
    assert await sessions.find(token) == session
    assert [entry.message for entry in caplog.records] == [
        "Expired sessions were not swept: The query took too long"
    ]


async def test_cached_session_takes_microseconds(slow: SlowStore) -> None:
    sessions = Sessions(slow, LocalBus(), TTL)
    token, _ = await sessions.create(ANN)
    await sessions.find(token)
    rounds = []
    for _ in range(20):
        began = time.process_time()
        for _ in range(1_000):
            sessions.cached(token)
        rounds.append((time.process_time() - began) / 1_000)
    assert min(rounds) < 10e-6


async def test_many_logins_at_once_in_memory() -> None:
    parts = await Memory(Settings()).open("app")
    sessions = Sessions(parts.sessions, parts.bus, TTL)
    created = await asyncio.gather(*(sessions.create(ANN) for _ in range(300)))
    assert len({token for token, _ in created}) == 300
    await parts.store.close()


async def test_connection_that_closes_as_it_opens_is_unavailable() -> None:
    class Closing(Connection):
        async def connect(self) -> None:
            raise RuntimeError("the handler is closed")  # as uvloop has it

    redis = Redis.from_pool(ConnectionPool(connection_class=Closing))
    for ask in (RedisSessions(redis, "app").get("digest"), RedisBus(redis, "app:bus").ping()):
        with pytest.raises(Unavailable):
            await ask
    await redis.aclose()
