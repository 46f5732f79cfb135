"""Backpacks on MongoDB and Redis, and a folder for the files of their users."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..backpacks import DROPPED, Parts
from ..errors import Conflict, Invalid, Refused, Unavailable
from ..metadata import COLLECTION as FILES
from ..queries import Query
from ..redis_bus import RedisBus, delete_keys, redis_client
from ..settings import Settings
from ..sites import Site
from ..stores.base import Store
from ..tenants import Draft
from ..users import COLLECTION as USERS

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ..stores.mongo import MongoStore

_DRAFT = "_draft"  # the collection that a backpack has while it is filled


class Servers:
    """Each backpack is a database of a MongoDB server, keys of a Redis server, and a folder in
    `files` for the files of users; any number of processes may have it open.

    `names`: the backpacks that are there. Raises Invalid when a URL cannot be read; the message
    does not tell what it is, as there may be a password in it.
    """

    def __init__(
        self,
        settings: Settings,
        mongo_url: str,
        redis_url: str,
        files: Path,
        names: Sequence[str] = (),
    ) -> None:
        self.trash = None  # the servers' own backups bring back what was deleted
        self._settings = settings
        self._mongo_url = mongo_url
        self._redis_url = redis_url
        self._files = files
        self._names = names
        self._check_urls()

    def _check_urls(self) -> None:
        self._store("any")
        _redis(self._redis_url)

    def names(self) -> list[str]:
        return sorted(self._names)

    async def open(self, name: str) -> Parts:
        from ..stores.file_folder import FileFolder
        from ..stores.sessions import RedisSessions

        # Where that fails uploads say so; the other half of the backpack needs no disk.
        with contextlib.suppress(OSError):
            self._files.mkdir(parents=True, exist_ok=True)
        store = self._store(name)
        redis = _redis(self._redis_url)
        bus = RedisBus(redis, f"{name}:bus")
        bus.listen(DROPPED, lambda _seq, message: store.forget(message["name"]))
        files = FileFolder(self._files / name)
        away = "MongoDB"
        try:
            await store.open()
            away = "Redis"
            await bus.open()
        except BaseException as exc:
            await redis.aclose()
            await store.close()
            if isinstance(exc, Refused):
                raise Refused(f"{away} refuses the user or the password") from exc
            if isinstance(exc, Unavailable):
                raise Unavailable(f"{away} is away") from exc
            raise
        return Parts(store, RedisSessions(redis, name), bus, files, redis.aclose)

    def site(self, name: str) -> Site | None:
        return None  # `serve` serves the backend alone

    async def draft(self, name: str) -> Draft:
        """The backpack itself, if there is nothing in it: others see how it is filled."""
        parts = await self.open(name)
        try:
            if await parts.store.get(_DRAFT, name) is not None:
                await self._empty(name)
            if await self._has_any(parts.store):
                raise Conflict(
                    f"The backpack {name!r} is not empty: give another BACKPACK_NAME",
                    code="backpack_exists",
                )
            await parts.store.insert(_DRAFT, [{"_id": name}])
        except BaseException:
            await parts.close()
            raise
        return Draft(parts, None, partial(self._keep, name), partial(self._empty, name))

    @staticmethod
    async def _has_any(store: Store) -> bool:
        one = Query(limit=1)
        return bool(
            await store.collections()
            or await store.find(USERS, one)
            or await store.find(FILES, one)
        )

    async def _keep(self, name: str) -> None:
        async with self._opened_store(name) as store:
            await store.drop_collection(_DRAFT)

    async def _empty(self, name: str) -> None:
        """Remove what a draft was filled with; its mark goes last."""
        async with self._opened_store(name) as store:
            for collection in [*await store.collections(), USERS, FILES, _DRAFT]:
                await store.drop_collection(collection)
        await asyncio.to_thread(shutil.rmtree, self._files / name, ignore_errors=True)

    @contextlib.asynccontextmanager
    async def _opened_store(self, name: str) -> AsyncIterator[MongoStore]:
        store = self._store(name)
        try:
            yield store
        finally:
            await store.close()

    async def delete(self, name: str) -> None:
        async with self._opened_store(name) as store:
            await store.drop()
        redis = _redis(self._redis_url)
        try:
            await delete_keys(redis, f"{name}:")
        finally:
            await redis.aclose()
        await asyncio.to_thread(shutil.rmtree, self._files / name, ignore_errors=True)

    def _store(self, name: str) -> MongoStore:
        return _store(
            self._mongo_url,
            name,
            max_document=self._settings.max_document,
            deadline=self._settings.query_deadline,
        )


async def ask_mongo(url: str, name: str) -> None:
    """Ask a MongoDB server for a backpack's database. Raises Invalid for a URL that cannot be read,
    with why in `fields` and without the URL, Refused, Unavailable."""
    store = _store(url, name)
    try:
        await store.collections()
    finally:
        await store.close()


async def ask_redis(url: str) -> None:
    """Ask a Redis server whether it is there; raises what `ask_mongo` does."""
    redis = _redis(url)
    try:
        await RedisBus(redis, "").ping()
    finally:
        await redis.aclose()


def _store(url: str, name: str, **limits: Any) -> MongoStore:
    from ..stores.mongo import MongoStore

    try:
        return MongoStore.from_url(url, f"backpack_{name.replace('-', '_')}", **limits)
    except Invalid:
        raise _unreadable("MongoDB", "mongo_url", "mongodb://user:password@host:27017/") from None


def _redis(url: str) -> Redis:
    try:
        return redis_client(url)
    except ValueError:
        raise _unreadable("Redis", "redis_url", "redis://:password@host:6379/0") from None


def _unreadable(server: str, field: str, example: str) -> Invalid:
    why = f"is none such as {example}"
    return Invalid(f"The URL of the {server} server {why}", fields={field: why})
