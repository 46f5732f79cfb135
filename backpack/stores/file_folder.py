"""Files in a folder: what is kept in one folder, what is in doubt in another.

All of it happens in threads; processes may share the folder.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import io
import logging
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from ..errors import BackpackError, NoSpace, ReadOnly, Unavailable

BLOCK = 524_288  # bytes that are read at once: each reader that waits for its client holds so many

_Result = TypeVar("_Result")

logger = logging.getLogger("backpack")


class FileFolder:
    """The files of one backpack in the folder `path`, which is made by the first of them.

    The folder that it is in must be there, and be there still: where a backpack was deleted, an
    upload that comes late makes nothing.
    """

    def __init__(self, path: Path) -> None:
        self._kept = path / "kept"
        self._doubtful = path / "doubtful"

    def create(self, content_id: str) -> FolderIncoming:
        return FolderIncoming(self._doubtful / content_id)

    async def open(self, content_id: str, start: int, length: int) -> FolderContent | None:
        # It may be moved between two looks, at most once each way.
        places = [place / content_id for place in (self._kept, self._doubtful, self._kept)]
        return await open_content(places, start, length)

    async def doubt(self, content_id: str) -> None:
        await in_thread(_move, self._kept / content_id, self._doubtful / content_id)

    async def settle(self, kept: Sequence[str] = (), gone: Sequence[str] = ()) -> None:
        await in_thread(self._settle, kept, gone)

    def _settle(self, kept: Sequence[str], gone: Sequence[str]) -> None:
        for content_id in kept:
            _move(self._doubtful / content_id, self._kept / content_id)
        for content_id in gone:
            _remove(self._doubtful / content_id)
            _remove(self._kept / content_id)

    async def doubtful(self) -> list[str]:
        return await in_thread(_left_over, self._doubtful)


class FolderIncoming:
    """A file that is being written, locked so that no process sweeps it away."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: io.FileIO | None = None

    async def write(self, data: Sequence[bytes]) -> None:
        await in_thread(self._write, data)

    def _write(self, data: Sequence[bytes]) -> None:
        if self._file is None:
            _make_folder(self._path.parent)
            self._file = io.FileIO(self._path, "x")
            fcntl.flock(self._file, fcntl.LOCK_EX)
        for part in data:
            rest = memoryview(part)
            while rest:
                rest = rest[self._file.write(rest) :]

    async def finish(self) -> None:
        if self._file is None:
            await self.write(())

    async def close(self) -> None:
        if self._file is not None:
            await in_thread(self._file.close)


class FolderContent:
    """A part of an open file. To open it is to read its first block too, as a hop to a thread costs
    more than that."""

    def __init__(self, start: int, length: int) -> None:
        self._at = start
        self._left = length
        self._file: io.FileIO | None = None
        self._first = b""

    def open(self, places: Sequence[Path]) -> bool:
        """Open the file where it is found first; blocks."""
        for place in places:
            with suppress(FileNotFoundError):
                self._file = io.FileIO(place)
                self._first = self._read()
                return True
        return False

    def _read(self) -> bytes:
        assert self._file is not None
        return os.pread(self._file.fileno(), min(BLOCK, self._left), self._at)

    async def blocks(self) -> AsyncIterator[bytes]:
        block, self._first = self._first, b""
        while self._left:
            if not block:
                raise Unavailable("The file is shorter than it was")
            self._at += len(block)
            self._left -= len(block)
            yield block
            if self._left:
                block = await in_thread(self._read)

    async def close(self) -> None:
        # What was only read is closed in 2 us.
        if self._file is not None:
            self._file.close()


async def open_content(places: Sequence[Path], start: int, length: int) -> FolderContent | None:
    """A part of the file that is found first, None when there is none; raises Unavailable."""
    content = FolderContent(start, length)
    try:
        return content if await in_thread(content.open, places) else None
    except BaseException:
        await content.close()
        raise


async def in_thread(work: Callable[..., _Result], *arguments: object) -> _Result:
    """What `work` returns; raises NoSpace, ReadOnly or Unavailable in place of an OSError.

    Also who is cancelled waits for its end, so that nothing is closed or removed under its hands.
    """
    future = asyncio.get_running_loop().run_in_executor(None, work, *arguments)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([future])
        future.exception()  # nobody else looks at it
        raise
    except OSError as exc:
        raise _own_error(exc) from exc


def _own_error(exc: OSError) -> BackpackError:
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace()
    if exc.errno == errno.EROFS:
        return ReadOnly()
    return Unavailable("The files are not available, try again")


def _make_folder(place: Path) -> None:
    place.parent.mkdir(exist_ok=True)
    place.mkdir(exist_ok=True)


def _move(path: Path, to: Path) -> None:
    # What cannot be moved is found where it is.
    try:
        _make_folder(to.parent)
        path.rename(to)
    except FileNotFoundError:
        return
    except OSError as exc:
        logger.warning("A file was not moved: %s", exc)


def _remove(path: Path) -> None:
    # What cannot be removed is swept at the next start.
    try:
        path.unlink(missing_ok=True)
    except OSError as exc:
        logger.warning("A file was not removed: %s", exc)


def _left_over(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if not _is_locked(path))


def _is_locked(path: Path) -> bool:
    try:
        with io.FileIO(path) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (BlockingIOError, FileNotFoundError):
        return True
    return False
