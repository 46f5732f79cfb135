"""Where the backpacks of one process are kept: a folder, or memory.

Engines are imported when they are needed.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from .bus import LocalBus
from .errors import Invalid, NoSpace, ReadOnly, Unavailable
from .settings import Settings
from .tenants import Parts, check_name


class Folder:
    """Each backpack is a folder `backpacks/NAME` with one SQLite file in it."""

    def __init__(self, path: Path, settings: Settings) -> None:
        from .stores.handles import Handles

        self._path = path / "backpacks"
        self._settings = settings
        self._handles = Handles(settings.open_databases)
        for gone in self._path.glob(".deleted-*"):
            shutil.rmtree(gone)

    def names(self) -> list[str]:
        if not self._path.is_dir():
            return []
        return sorted(
            entry.name for entry in self._path.iterdir() if entry.is_dir() and _is_name(entry.name)
        )

    async def open(self, name: str) -> Parts:
        from .stores.durable import DurableStore
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
        return Parts(store, DocumentSessions(store), LocalBus())

    async def delete(self, name: str) -> None:
        # Out of sight by one rename first: a crash in the middle leaves no half of a backpack.
        gone = self._path / f".deleted-{name}-{secrets.token_hex(4)}"
        with _disk(), contextlib.suppress(FileNotFoundError):
            (self._path / name).rename(gone)
        # What cannot be removed now, the next start removes.
        await asyncio.to_thread(shutil.rmtree, gone, ignore_errors=True)


class Memory:
    """Each backpack is a fake MongoDB and a fake Redis of its own; nothing survives the process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def names(self) -> list[str]:
        return []

    async def open(self, name: str) -> Parts:
        from fakeredis import FakeAsyncRedis, FakeServer

        from .stores.mongo import FakeMongoStore
        from .stores.sessions import RedisSessions

        store = FakeMongoStore.fresh(
            max_document=self._settings.max_document, deadline=self._settings.query_deadline
        )
        await store.open()
        # Beyond its bound (100 by default) the pool does not wait, it fails.
        redis = FakeAsyncRedis(server=FakeServer(), max_connections=10_000)
        return Parts(store, RedisSessions(redis, name), LocalBus(), redis.aclose)

    async def delete(self, name: str) -> None:
        return None


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


def _is_name(text: str) -> bool:
    try:
        check_name(text)
    except Invalid:
        return False
    return True
