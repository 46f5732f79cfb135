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
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from ..errors import BackpackError, NoSpace, Unavailable

BLOCK = 262_144  # bytes that are read at once: each reader that waits for its client holds so many

_Result = TypeVar("_Result")

logger = logging.getLogger("backpack")


class FileFolder:
    """The files of one backpack in the folder `path`, which is made by the first of them."""

    def __init__(self, path: Path) -> None:
        self._kept = path / "kept"
        self._doubtful = path / "doubtful"

    def create(self, content_id: str) -> FolderIncoming:
        return FolderIncoming(self._doubtful / content_id)

    async def open(self, content_id: str, start: int, length: int) -> FolderContent | None:
        # It may be moved between two looks, at most once each way.
        places = (self._kept, self._doubtful, self._kept)
        content = FolderContent([place / content_id for place in places], start, length)
        if await content.open():
            return content
        await content.close()
        return None

    async def keep(self, content_id: str) -> None:
        await _in_thread(_move, self._doubtful / content_id, self._kept / content_id)

    async def doubt(self, content_id: str) -> None:
        await _in_thread(_move, self._kept / content_id, self._doubtful / content_id)

    async def discard(self, content_id: str) -> None:
        await _in_thread(_remove, self._doubtful / content_id, self._kept / content_id)

    async def doubtful(self) -> list[str]:
        return await _in_thread(_left_over, self._doubtful)


class FolderIncoming:
    """A file that is written by one thread at a time, and locked so that nobody sweeps it away."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = threading.Lock()
        self._file: io.FileIO | None = None
        self._closed = False

    async def write(self, data: Sequence[bytes]) -> None:
        await _in_thread(self._write, data)

    def _write(self, data: Sequence[bytes]) -> None:
        with self._turn:
            file = self._opened()
            for part in data:
                rest = memoryview(part)
                while rest:
                    rest = rest[file.write(rest) :]

    def _opened(self) -> io.FileIO:
        if self._closed:
            raise OSError(errno.EBADF, "The file is closed")
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = io.FileIO(self._path, "x")
            fcntl.flock(self._file, fcntl.LOCK_EX)
        return self._file

    async def finish(self) -> None:
        await self.write(())

    async def close(self) -> None:
        await _in_thread(self._close)

    def _close(self) -> None:
        with self._turn:
            self._closed = True
            if self._file is not None:
                self._file.close()


class FolderContent:
    """An open file; `open` also reads the first block, as a hop to a thread costs more than that.

    Cancelled or not, what its threads do they do one after the other, and nothing after `close`.
    """

    def __init__(self, places: Sequence[Path], start: int, length: int) -> None:
        self._places = places
        self._at = start
        self._left = length
        self._turn = threading.Lock()
        self._file: io.FileIO | None = None
        self._closed = False
        self._first = b""

    async def open(self) -> bool:
        return await _in_thread(self._open)

    def _open(self) -> bool:
        with self._turn:
            for place in self._places:
                with suppress(FileNotFoundError):
                    if not self._closed:
                        self._file = io.FileIO(place)
                        self._first = self._read()
                        return True
        return False

    def _read(self) -> bytes:
        if self._file is None or self._closed or not self._left:
            return b""
        return os.pread(self._file.fileno(), min(BLOCK, self._left), self._at)

    def _read_next(self) -> bytes:
        with self._turn:
            return self._read()

    async def blocks(self) -> AsyncIterator[bytes]:
        block, self._first = self._first, b""
        while self._left:
            if not block:
                raise Unavailable("The file is shorter than it was")
            self._at += len(block)
            self._left -= len(block)
            yield block
            if self._left:
                block = await _in_thread(self._read_next)

    async def close(self) -> None:
        await _in_thread(self._close)

    def _close(self) -> None:
        with self._turn:
            self._closed = True
            if self._file is not None:
                self._file.close()


async def _in_thread(work: Callable[..., _Result], *arguments: object) -> _Result:
    """What `work` returns; it is done to its end also when nobody waits for it any more."""
    loop = asyncio.get_running_loop()
    try:
        return await asyncio.shield(loop.run_in_executor(None, work, *arguments))
    except OSError as exc:
        raise _own_error(exc) from exc


def _own_error(exc: OSError) -> BackpackError:
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace()
    return Unavailable("The files are not available, try again")


def _move(path: Path, to: Path) -> None:
    # What cannot be moved is found where it is.
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        path.rename(to)
    except FileNotFoundError:
        return
    except OSError as exc:
        logger.warning("A file was not moved: %s", exc)


def _remove(*places: Path) -> None:
    # What cannot be removed is swept at the next start.
    try:
        for path in places:
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
