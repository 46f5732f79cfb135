"""Backpacks in a folder on the disk, and those that were deleted beside them."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import secrets
import shutil
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

from ..backpacks import Parts
from ..bus import LocalBus
from ..errors import Invalid, NoSpace, ReadOnly, Unavailable
from ..names import check_name
from ..settings import Settings
from ..shelf import Shelf
from ..sites import Site
from ..tenants import Draft
from ..trash import Discarded

# How the names of folders begin that are no backpacks. Behind the last one is a name: that of the
# backpack that another takes the place of.
_DELETED, _DRAFTED, _REPLACED = ".deleted-", ".draft-", ".replaced-"


class Folder:
    """Each backpack is a folder `backpacks/NAME` with one SQLite file in it, one folder for files
    and one for its site."""

    def __init__(self, path: Path, settings: Settings) -> None:
        from ..stores.handles import Handles

        self._path = path / "backpacks"
        self.trash = FolderTrash(path / "trash", self._path, self._remove)
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
        from ..stores.durable import DurableStore
        from ..stores.file_folder import FileFolder
        from ..stores.sessions import DocumentSessions

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


class FolderTrash:
    """Deleted backpacks as folders `trash/NAME.TIME`, of the backpacks in the folder `home`."""

    def __init__(
        self, path: Path, home: Path, remove: Callable[[Path, str], Awaitable[None]]
    ) -> None:
        self._path = path
        self._home = home
        self._remove = remove

    async def all(self) -> list[Discarded]:
        if not self._path.is_dir():
            return []
        found = map(_discarded, await asyncio.to_thread(os.listdir, self._path))
        return sorted((one for one in found if one), key=lambda one: (one.at, one.name))

    async def put(self, name: str) -> Discarded:
        with _disk():
            self._path.mkdir(mode=0o700, exist_ok=True)
            one = Discarded(name, time.time_ns() // 1_000_000)
            while self._folder(one).exists():  # the clock may have been set back
                one = Discarded(name, one.at + 1)
            with contextlib.suppress(FileNotFoundError):
                (self._home / name).rename(self._folder(one))
        return one

    async def take(self, one: Discarded) -> None:
        with _disk():
            self._home.mkdir(exist_ok=True)
            self._folder(one).rename(self._home / one.name)

    async def remove(self, one: Discarded) -> None:
        await self._remove(self._folder(one), one.name)

    def _folder(self, one: Discarded) -> Path:
        return self._path / f"{one.name}.{one.at}"


def _discarded(entry: str) -> Discarded | None:
    """What a folder of the trash holds; None for what is not ours."""
    name, _, at = entry.partition(".")
    return Discarded(name, int(at)) if _is_name(name) and re.fullmatch("[0-9]{1,15}", at) else None


def _settle(old: Path, current: Path) -> None:
    """Bring to its end that `current` takes the place of `old`: what there is of both decides."""
    if not current.is_dir():
        old.rename(current)
    elif (old / "site").is_dir() and not (current / "site").is_dir():
        (old / "site").rename(current / "site")  # the backup had none


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
