"""Where sessions are kept: in a document store, or in Redis.

What a session is and when it ends, backpack.sessions knows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from ..documents import Document
from ..errors import Unavailable
from ..queries import Query, equals, parse_filter
from ..redis_bus import failures
from .base import Store

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.asyncio.client import Pipeline

_COLLECTION = "_sessions"


class DocumentSessions:
    """Sessions as documents beside the backpack's others: as durable as those."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def add(self, record: Document) -> None:
        await self._store.insert(_COLLECTION, [record])

    async def get(self, digest: str) -> Document | None:
        encoded = await self._store.get(_COLLECTION, digest)
        return orjson.loads(encoded) if encoded else None

    async def replace(self, record: Document) -> bool:
        return await self._store.change(_COLLECTION, record["_id"], lambda _: record) is not None

    async def remove(self, digests: Sequence[str]) -> None:
        for digest in digests:
            await self._store.change(_COLLECTION, digest, lambda _: None)

    async def of_user(self, user_id: str) -> list[str]:
        return await self._digests(Query(equals("userId", user_id)))

    async def sweep(self, now: int, limit: int) -> int:
        expired = parse_filter({"expires": {"$lt": now}})
        digests = await self._digests(Query(expired, limit=limit))
        await self.remove(digests)
        return len(digests)

    async def _digests(self, query: Query) -> list[str]:
        found = await self._store.find(_COLLECTION, query)
        return [orjson.loads(encoded)["_id"] for encoded in found]


class RedisSessions:
    """Sessions as keys that Redis lets expire, with an index per user; as durable as Redis is.

    `redis` is a client like `redis_bus.redis_client` makes it; it stays the caller's. All keys
    begin with `prefix`. Needs Redis 7.
    """

    _TIMEOUT = 3.0  # seconds

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._failures = failures()
        self._redis = redis
        self._prefix = prefix

    async def add(self, record: Document) -> None:
        digest, index, now = record["_id"], self._index(record["userId"]), time.time()
        pipe = self._redis.pipeline(transaction=True)
        pipe.set(self._key(digest), orjson.dumps(record), px=_lifetime(record, now))
        pipe.zremrangebyscore(index, "-inf", now)
        pipe.zadd(index, {digest: record["expires"]})
        self._keep_index(pipe, record, now)
        await self._answer(pipe.execute())

    async def get(self, digest: str) -> Document | None:
        encoded = await self._answer(self._redis.get(self._key(digest)))
        return orjson.loads(encoded) if encoded else None

    async def replace(self, record: Document) -> bool:
        digest, now = record["_id"], time.time()
        pipe = self._redis.pipeline(transaction=True)
        # `xx` everywhere: what has ended must not come back.
        pipe.set(self._key(digest), orjson.dumps(record), px=_lifetime(record, now), xx=True)
        pipe.zadd(self._index(record["userId"]), {digest: record["expires"]}, xx=True)
        self._keep_index(pipe, record, now)
        answers = await self._answer(pipe.execute())
        return bool(answers[0])

    async def remove(self, digests: Sequence[str]) -> None:
        pipe = self._redis.pipeline(transaction=False)
        for digest in digests:
            pipe.getdel(self._key(digest))
        removed = [
            orjson.loads(encoded) for encoded in await self._answer(pipe.execute()) if encoded
        ]
        for record in removed:
            pipe.zrem(self._index(record["userId"]), record["_id"])
        await self._answer(pipe.execute())

    async def of_user(self, user_id: str) -> list[str]:
        digests = await self._answer(self._redis.zrange(self._index(user_id), 0, -1))
        return [digest.decode() for digest in digests]

    async def sweep(self, now: int, limit: int) -> int:
        """Nothing to do: Redis lets keys expire."""
        return 0

    def _key(self, digest: str) -> str:
        return f"{self._prefix}:session:{digest}"

    def _index(self, user_id: str) -> str:
        return f"{self._prefix}:sessions:{user_id}"

    def _keep_index(self, pipe: Pipeline, record: Document, now: float) -> None:
        """Let the user's index live as long as the session that lives longest."""
        index, lifetime = self._index(record["userId"]), _lifetime(record, now)
        pipe.pexpire(index, lifetime, nx=True)
        pipe.pexpire(index, lifetime, gt=True)

    async def _answer(self, command: Awaitable[Any]) -> Any:
        try:
            async with asyncio.timeout(self._TIMEOUT):
                return await command
        except self._failures as exc:
            raise Unavailable from exc


def _lifetime(record: Document, now: float) -> int:
    """Milliseconds until a session expires, at least one."""
    expires: int = record["expires"]
    return max(1, round((expires - now) * 1_000))
