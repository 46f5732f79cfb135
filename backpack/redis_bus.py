"""The bus over Redis: what the processes of one backpack share, and how to reach it.

What a bus promises stands in `bus`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from .bus import CAPACITY, ROOM, Listener, Listeners, Message
from .errors import Refused, Unavailable

if TYPE_CHECKING:
    from redis.asyncio import Redis

logger = logging.getLogger(__name__)


class RedisBus:
    """A bus over the processes that share a Redis: a stream holds the messages, one task reads it.

    `redis` is a client like `redis_client` makes it; it stays the caller's, who closes it.
    """

    _BLOCK = 1.0  # seconds that Redis may hold a read back; the client's socket waits longer
    _BATCH = 100  # messages a read, so that a backlog does not hold up the event loop
    _FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0  # seconds between attempts to connect again

    def __init__(
        self,
        redis: Redis,
        stream: str,
        *,
        capacity: int = CAPACITY,
        room: int = ROOM,
        timeout: float = 3.0,
    ) -> None:
        # A process without Redis must not pay for its import (140 ms).
        from redis.exceptions import AuthenticationError, NoPermissionError

        self._refusals = (AuthenticationError, NoPermissionError)
        self._failures = failures()
        self._redis = redis
        self._stream = stream
        self._capacity, self._room = capacity, room
        self._usual = 0.0  # bytes of a message, as of late
        self._timeout = timeout  # seconds
        self._position = "0-0"
        self._moved = asyncio.Event()  # wakes who waits for the position to change
        self._broken = False
        self._listeners = Listeners()
        self._reader: asyncio.Task[None] | None = None

    async def open(self) -> None:
        # In an empty stream there is nothing to go on from; an entry without a topic is a start.
        self._position = await self._newest() or await self.send("", {})
        self._reader = asyncio.create_task(self._read(), name=f"bus {self._stream}")

    async def close(self) -> None:
        while self._reader and not self._reader.done():
            # Again if need be: asyncio.wait_for, which redis calls, swallows a cancellation at
            # times before Python 3.12 (python/cpython#86296).
            self._reader.cancel()
            await asyncio.wait([self._reader], timeout=0.1)

    @property
    def position(self) -> str:
        return self._position

    def is_later(self, seq: str, other: str) -> bool:
        return _order(seq) > _order(other)

    async def reach(self, seq: str) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                while self.is_later(seq, self._position):
                    await self._moved.wait()
        except TimeoutError as exc:
            raise Unavailable from exc

    def check(self) -> None:
        if self._broken:
            raise Unavailable

    async def send(self, topic: str, message: Mapping[str, Any]) -> str:
        return _text(await self._answer(self._add(self._redis, topic, message)))

    async def send_all(self, topic: str, messages: Sequence[Mapping[str, Any]]) -> None:
        if len(messages) == 1:
            await self.send(topic, messages[0])
            return
        pipe = self._redis.pipeline(transaction=False)
        for message in messages:
            self._add(pipe, topic, message)
        await self._answer(pipe.execute())

    def _add(self, redis: Redis, topic: str, message: Mapping[str, Any]) -> Any:
        encoded = orjson.dumps(dict(message))
        # A stream is bounded by its entries alone: where these are large, it must have fewer.
        self._usual += (len(encoded) - self._usual) / 100
        most = min(self._capacity, int(self._room / max(self._usual, 1)))
        fields: dict[Any, Any] = {"topic": topic, "message": encoded}
        return redis.xadd(self._stream, fields, maxlen=most, approximate=True)

    def listen(self, topic: str, listener: Listener) -> Callable[[], None]:
        return self._listeners.add(topic, listener)

    def listen_break(self, listener: Callable[[], None]) -> Callable[[], None]:
        return self._listeners.add_break(listener)

    async def ping(self) -> None:
        await self._answer(self._redis.ping())

    def listen_loss(self, listener: Callable[[], None]) -> Callable[[], None]:
        return self._listeners.add_loss(listener)

    async def replay(self, after: str) -> list[tuple[str, str, Message]] | None:
        if not _is_entry_id(after):
            return None
        entries = await self._answer(self._redis.xrange(self._stream, min=after))
        if not entries or _text(entries[0][0]) != after:
            return None
        return _messages(entries[1:])

    async def latest(self, count: int) -> list[tuple[str, str, Message]]:
        entries = await self._answer(self._redis.xrevrange(self._stream, count=count))
        return _messages(entries[::-1])

    async def _read(self) -> None:
        pause = self._FIRST_PAUSE
        while True:
            try:
                if self._broken:
                    await self._resume()
                await self._read_batch()
            except Unavailable as exc:
                self._break(str(exc.__cause__))
            except Exception:  # without its reader this process would be deaf for good
                logger.exception("Bus %s: reading failed", self._stream)
                self._break("see above")
            else:
                pause = self._FIRST_PAUSE
                continue
            await asyncio.sleep(pause * random.uniform(0.5, 1))
            pause = min(2 * pause, self._LONGEST_PAUSE)

    async def _read_batch(self) -> None:
        command = self._redis.xread(
            {self._stream: self._position}, count=self._BATCH, block=int(self._BLOCK * 1000)
        )
        answer = await self._answer(command, self._BLOCK + self._timeout)
        entries = dict(answer).get(self._stream.encode(), ())
        # Only who is far behind gets a full batch; the stream may have been trimmed past the place.
        if len(entries) == self._BATCH and not await self._holds(self._position):
            self._listeners.announce_break()
            self._listeners.announce_loss()
        for entry_id, fields in entries:
            self._position = _text(entry_id)
            if message := _message(entry_id, fields):
                seq, topic, content = message
                self._listeners.deliver(topic, seq, content)
        self._moved.set()
        self._moved.clear()

    async def _resume(self) -> None:
        """Find the place to go on from; those who rely on the messages learn when some are gone."""
        if not await self._holds(self._position):
            newest = await self._newest() or "0-0"
            # A Redis that lost its data may count on from an earlier id than the last one seen.
            self._position = min(self._position, newest, key=_order)
            self._listeners.announce_break()
            self._listeners.announce_loss()
        self._broken = False
        logger.info("Bus %s: connected again", self._stream)

    def _break(self, why: str) -> None:
        if not self._broken:
            self._broken = True
            logger.warning("Bus %s: connection lost (%s)", self._stream, why)
            self._listeners.announce_break()

    async def _holds(self, entry_id: str) -> bool:
        command = self._redis.xrange(self._stream, min=entry_id, max=entry_id)
        return bool(await self._answer(command))

    async def _newest(self) -> str | None:
        entries = await self._answer(self._redis.xrevrange(self._stream, count=1))
        return _text(entries[0][0]) if entries else None

    async def _answer(self, command: Awaitable[Any], timeout: float | None = None) -> Any:
        try:
            async with asyncio.timeout(timeout or self._timeout):
                return await command
        except self._refusals as exc:
            raise Refused from exc
        except self._failures as exc:
            raise Unavailable from exc


def redis_client(url: str) -> Redis:
    """A Redis client as RedisBus and RedisSessions take it; the caller closes it by `aclose()`.

    It never repeats a command by itself: an XADD whose answer got lost would be a message twice.
    When all its connections are in use, commands wait for one instead of failing.
    """
    from redis.asyncio import BlockingConnectionPool, Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=64,
        timeout=3,
        socket_timeout=3,
        socket_connect_timeout=2,
        # With version 3 redis 8 hands out connections that the server closed while they were idle.
        protocol=2,
        retry=Retry(NoBackoff(), 0),
    )
    return Redis.from_pool(pool)


def failures() -> tuple[type[Exception], ...]:
    """What a command raises when Redis does not do it."""
    from redis.exceptions import RedisError

    # uvloop's word for a connection that was closed just now is a RuntimeError.
    return RedisError, OSError, RuntimeError


async def delete_keys(redis: Redis, prefix: str) -> None:
    """Delete every key that begins with `prefix`, a text without `*`, `?`, `[` and `\\`; raises
    Unavailable."""
    try:
        async for key in redis.scan_iter(f"{prefix}*", count=1_000):
            await redis.unlink(key)
    except failures() as exc:
        raise Unavailable from exc


def _messages(
    entries: Sequence[tuple[bytes, Mapping[bytes, bytes]]],
) -> list[tuple[str, str, Message]]:
    found = [_message(entry_id, fields) for entry_id, fields in entries]
    return [message for message in found if message]


def _message(entry_id: bytes, fields: Mapping[bytes, bytes]) -> tuple[str, str, Message] | None:
    """What a stream's entry says; None for a mere start, and for what no bus has written."""
    try:
        topic, message = fields[b"topic"].decode(), orjson.loads(fields[b"message"])
    except (KeyError, ValueError):
        logger.warning("An entry of the stream is no message: %r", entry_id)
        return None
    return (_text(entry_id), topic, message) if topic else None


def _text(entry_id: bytes) -> str:
    return entry_id.decode()


def _order(entry_id: str) -> tuple[int, int]:
    milliseconds, _, count = entry_id.partition("-")
    return int(milliseconds), int(count)


def _is_entry_id(text: str) -> bool:
    """Whether `text` is written as Redis writes the id of an entry: two 64-bit numbers."""
    return bool(re.fullmatch("[0-9]{1,20}-[0-9]{1,20}", text)) and max(_order(text)) < 2**64
