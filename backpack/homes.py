"""Where the backpacks of one process are kept: a folder, memory, or servers that others share.

Engines are imported when they are needed.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .backpacks import Parts
from .bus import LocalBus
from .errors import Conflict, Invalid, NoSpace, ReadOnly, Unavailable
from .metadata import COLLECTION as FILES
from .names import check_name
from .queries import Query
from .redis_bus import RedisBus, delete_keys, redis_client
from .settings import Settings
from .shelf import Shelf
from .sites import Site
from .stores.base import FileStore, Store
from .tenants import Draft
from .users import COLLECTION as USERS

if TYPE_CHECKING:
    from .stores.mongo import MongoStore


# How the names of folders begin that are no backpacks. Behind the last one is a name: that of the
# backpack that another takes the place of.
_DELETED, _DRAFTED, _REPLACED = ".deleted-", ".draft-", ".replaced-"
_DRAFT = "_draft"  # the collection that a backpack on servers has while it is filled


class Folder:
    """Each backpack is a folder `backpacks/NAME` with one SQLite file in it, one folder for files
    and one for its site."""

    def __init__(self, path: Path, settings: Settings) -> None:
        from .stores.handles import Handles

        self._path = path / "backpacks"
        self._settings = settings
        self._handles = Handles(settings.open_databases)
        self._shelf = Shelf(settings.site_memory)
        for old in self._path.glob(f"{_REPLACED}*"):
            _settle(old, self._path / old.name.removeprefix(_REPLACED))
        for kind in (_REPLACED, _DRAFTED, _DELETED):
            for gone in self._path.glob(f"{kind}*"):
                shutil.rmtree(gone)

    def names(self) -> list[str]:
        if not self._path.is_dir():
            return []
        return sorted(
            entry.name for entry in self._path.iterdir() if entry.is_dir() and _is_name(entry.name)
        )

    async def open(self, name: str) -> Parts:
        from .stores.durable import DurableStore
        from .stores.file_folder import FileFolder
        from .stores.sessions import DocumentSessions

        folder = self._path / name
        with _disk():
            folder.mkdir(parents=True, exist_ok=True)
        store = DurableStore(
            folder / "documents.sqlite3",
            max_document=self._settings.max_document,
            deadline=self._settings.query_deadline,
            synchronous=self._settings.synchronous,
            handles=self._handles,
        )
        await store.open()
        return Parts(store, DocumentSessions(store), LocalBus(), FileFolder(folder / "files"))

    def site(self, name: str) -> Site | None:
        return Site(self._path / name / "site", self._settings, self._shelf)

    async def draft(self, name: str) -> Draft:
        draft = f"{_DRAFTED}{name}-{secrets.token_hex(4)}"
        return Draft(
            await self.open(draft),
            self.site(draft),
            partial(self._keep, draft, name),
            partial(asyncio.to_thread, shutil.rmtree, self._path / draft, ignore_errors=True),
        )

    async def _keep(self, draft: str, name: str) -> None:
        current, old = self._path / name, self._path / f"{_REPLACED}{name}"
        with _disk():
            if current.is_dir():
                current.rename(old)
            try:
                (self._path / draft).rename(current)
            finally:
                if old.is_dir():
                    _settle(old, current)
        await self._remove(old, name)

    async def delete(self, name: str) -> None:
        await self._remove(self._path / name, name)

    async def _remove(self, folder: Path, name: str) -> None:
        # Out of sight by one rename first: a crash in the middle leaves no half of a backpack.
        gone = self._path / f"{_DELETED}{name}-{secrets.token_hex(4)}"
        with _disk(), contextlib.suppress(FileNotFoundError):
            folder.rename(gone)
        # What cannot be removed now, the next start removes.
        await asyncio.to_thread(shutil.rmtree, gone, ignore_errors=True)


def _settle(old: Path, current: Path) -> None:
    """Bring to its end that `current` takes the place of `old`: what there is of both decides."""
    if not current.is_dir():
        old.rename(current)
    elif (old / "site").is_dir() and not (current / "site").is_dir():
        (old / "site").rename(current / "site")  # the backup had none


class Memory:
    """Each backpack is a fake MongoDB and a fake Redis of its own, its files are bytes; nothing
    survives the process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._kept: dict[str, tuple[Store, FileStore]] = {}  # which were drafts

    def names(self) -> list[str]:
        return []

    async def open(self, name: str) -> Parts:
        from .stores.file_memory import FileMemory
        from .stores.mongo import FakeMongoStore

        if name in self._kept:
            return await self._parts(name, *self._kept[name])
        store = FakeMongoStore.fresh(
            max_document=self._settings.max_document, deadline=self._settings.query_deadline
        )
        return await self._parts(name, store, FileMemory())

    @staticmethod
    async def _parts(name: str, store: Store, files: FileStore) -> Parts:
        from fakeredis import FakeAsyncRedis, FakeServer

        from .stores.sessions import RedisSessions

        await store.open()
        # Beyond its bound (100 by default) the pool does not wait, it fails.
        redis = FakeAsyncRedis(server=FakeServer(), max_connections=10_000)
        return Parts(store, RedisSessions(redis, name), LocalBus(), files, redis.aclose)

    async def draft(self, name: str) -> Draft:
        parts = await self.open("")

        async def keep() -> None:
            self._kept[name] = (parts.store, parts.files)

        async def drop() -> None:
            return None

        return Draft(parts, None, keep, drop)

    def site(self, name: str) -> Site | None:
        return None

    async def delete(self, name: str) -> None:
        self._kept.pop(name, None)


@contextlib.contextmanager
def _disk() -> Iterator[None]:
    """Turns an OSError inside into what a caller may see."""
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace from exc
        if exc.errno == errno.EROFS:
            raise ReadOnly from exc
        raise Unavailable(f"The data folder cannot be written: {exc.strerror}") from exc


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
        self._settings = settings
        self._mongo_url = mongo_url
        self._redis_url = redis_url
        self._files = files
        self._names = names
        self._check_urls()

    def _check_urls(self) -> None:
        try:
            self._store("any")
        except Invalid:
            example = "mongodb://user:password@host:27017/"
            raise Invalid(f"The URL of the MongoDB server is none such as {example}") from None
        try:
            redis_client(self._redis_url)
        except ValueError:
            example = "redis://:password@host:6379/0"
            raise Invalid(f"The URL of the Redis server is none such as {example}") from None

    def names(self) -> list[str]:
        return sorted(self._names)

    async def open(self, name: str) -> Parts:
        from .stores.file_folder import FileFolder
        from .stores.sessions import RedisSessions

        # Where that fails uploads say so; the other half of the backpack needs no disk.
        with contextlib.suppress(OSError):
            self._files.mkdir(parents=True, exist_ok=True)
        store = self._store(name)
        redis = redis_client(self._redis_url)
        bus = RedisBus(redis, f"{name}:bus")
        files = FileFolder(self._files / name)
        away = "MongoDB"
        try:
            await store.open()
            away = "Redis"
            await bus.open()
        except BaseException as exc:
            await redis.aclose()
            await store.close()
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
        redis = redis_client(self._redis_url)
        try:
            await delete_keys(redis, f"{name}:")
        finally:
            await redis.aclose()
        await asyncio.to_thread(shutil.rmtree, self._files / name, ignore_errors=True)

    def _store(self, name: str) -> MongoStore:
        from .stores.mongo import MongoStore

        return MongoStore.from_url(
            self._mongo_url,
            f"backpack_{name.replace('-', '_')}",
            max_document=self._settings.max_document,
            deadline=self._settings.query_deadline,
        )


def _is_name(text: str) -> bool:
    try:
        check_name(text)
    except Invalid:
        return False
    return True
