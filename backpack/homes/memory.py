"""Backpacks in memory, for test suites and `dev --memory`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..backpacks import Parts
from ..bus import LocalBus
from ..settings import Settings
from ..sites import Site
from ..stores.base import FileStore, Store
from ..tenants import Draft
from ..trash import Discarded

if TYPE_CHECKING:
    from fakeredis import FakeServer


@dataclass(frozen=True)
class _Kept:
    """What is left of a backpack whose parts are closed."""

    store: Store
    redis: FakeServer
    files: FileStore


class Memory:
    """Each backpack is a fake MongoDB and a fake Redis of its own, its files are bytes; nothing
    survives the process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._kept: dict[str, _Kept] = {}
        self.trash = MemoryTrash(self._kept)

    def names(self) -> list[str]:
        return []

    async def open(self, name: str) -> Parts:
        if name not in self._kept:
            self._kept[name] = self._new()
        return await self._opened(name, self._kept[name])

    def _new(self) -> _Kept:
        from fakeredis import FakeServer

        from ..stores.file_memory import FileMemory
        from ..stores.mongo import FakeMongoStore

        store = FakeMongoStore.fresh(
            max_document=self._settings.max_document, deadline=self._settings.query_deadline
        )
        return _Kept(store, FakeServer(), FileMemory())

    @staticmethod
    async def _opened(name: str, kept: _Kept) -> Parts:
        from fakeredis import FakeAsyncRedis

        from ..stores.sessions import RedisSessions

        await kept.store.open()
        # Beyond its bound (100 by default) the pool does not wait, it fails.
        redis = FakeAsyncRedis(server=kept.redis, max_connections=10_000)
        return Parts(kept.store, RedisSessions(redis, name), LocalBus(), kept.files, redis.aclose)

    async def draft(self, name: str) -> Draft:
        new = self._new()

        async def keep() -> None:
            self._kept[name] = new

        async def drop() -> None:
            return None

        return Draft(await self._opened(name, new), None, keep, drop)

    def site(self, name: str) -> Site | None:
        return None

    async def delete(self, name: str) -> None:
        self._kept.pop(name, None)


class MemoryTrash:
    """Backpacks that were taken out of `kept`."""

    def __init__(self, kept: dict[str, _Kept]) -> None:
        self._kept = kept
        self._gone: dict[Discarded, _Kept] = {}

    async def all(self) -> list[Discarded]:
        return sorted(self._gone, key=lambda one: (one.at, one.name))

    async def put(self, name: str) -> Discarded:
        one = Discarded(name, time.time_ns() // 1_000_000)
        while one in self._gone:
            one = Discarded(name, one.at + 1)
        if name in self._kept:
            self._gone[one] = self._kept.pop(name)
        return one

    async def take(self, one: Discarded) -> None:
        self._kept[one.name] = self._gone.pop(one)

    async def remove(self, one: Discarded) -> None:
        self._gone.pop(one, None)
