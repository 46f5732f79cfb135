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
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar
from weakref import WeakValueDictionary

from ..errors import BackpackError, NoSpace, ReadOnly, Unavailable

BLOCK = 524_288  # bytes that are read at once: each reader that waits for its client holds so many
_LOOKS = 10  # into both folders; each that finds nothing takes 5 us
_AT_ONCE = 1_000  # pieces that are written at once; the kernel takes 1,024

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
        self._arriving: WeakValueDictionary[str, FolderIncoming] = WeakValueDictionary()
        self._held: dict[str, io.FileIO] = {}  # what is in doubt here, by its content

    def create(self, content_id: str) -> FolderIncoming:
        incoming = self._arriving[content_id] = FolderIncoming(self._doubtful / content_id)
        return incoming

    async def open(self, content_id: str, start: int, length: int) -> FolderContent | None:
        # It may be moved between two looks, and back before the next.
        places = [place / content_id for place in (self._kept, self._doubtful)]
        return await open_content(places * _LOOKS, start, length)

    async def doubt(self, content_id: str) -> None:
        await in_thread(self._doubt, content_id)

    def _doubt(self, content_id: str) -> None:
        with suppress(FileNotFoundError):
            file = io.FileIO(self._kept / content_id)
            # So that no other process decides on it meanwhile.
            fcntl.flock(file, fcntl.LOCK_SH)
            self._let_go(content_id)
            self._held[content_id] = file
        _move(self._kept / content_id, self._doubtful / content_id)

    def leave(self, content_ids: Sequence[str]) -> None:
        for content_id in content_ids:
            self._let_go(content_id)

    def _let_go(self, content_id: str) -> None:
        if file := self._held.pop(content_id, None):
            file.close()

    async def settle(self, kept: Sequence[str] = (), gone: Sequence[str] = ()) -> None:
        arriving = [self._arriving.get(content_id) for content_id in (*kept, *gone)]
        await in_thread(self._settle, kept, gone, [one for one in arriving if one is not None])

    def _settle(
        self, kept: Sequence[str], gone: Sequence[str], arriving: Sequence[FolderIncoming]
    ) -> None:
        for content_id in kept:
            _move(self._doubtful / content_id, self._kept / content_id)
        for content_id in gone:
            # What is deleted is in doubt before, mostly.
            if not _remove(self._doubtful / content_id):
                _remove(self._kept / content_id)
        self.leave((*kept, *gone))
        for incoming in arriving:
            incoming.let_go()  # here, as a hop to a thread for this alone costs more

    async def doubtful(self) -> list[str]:
        return sorted({*self._held, *await in_thread(_left_over, self._doubtful)})


class FolderIncoming:
    """A file that is being written, locked so that no process sweeps it away."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: io.FileIO | None = None

    async def write(self, data: Sequence[bytes | memoryview]) -> None:
        await in_thread(self._write, data)

    def _write(self, data: Sequence[bytes | memoryview]) -> None:
        if self._file is None:
            self._file = _in_folder(self._path.parent, self._begin)
        for start in range(0, len(data), _AT_ONCE):
            _write_all(self._file, data[start : start + _AT_ONCE])

    def _begin(self) -> io.FileIO:
        # Who looks for what is left over sees it with its lock, or not yet.
        with _locked(self._path.parent, fcntl.LOCK_SH):
            file = io.FileIO(self._path, "x")
            fcntl.flock(file, fcntl.LOCK_SH)
        return file

    async def finish(self) -> None:
        if self._file is None:
            await self.write(())

    async def close(self) -> None:
        if self._file is not None and not self._file.closed:
            await in_thread(self._file.close)

    def let_go(self) -> None:
        """Close it; blocks."""
        if self._file is not None:
            self._file.close()


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


def _in_folder(place: Path, work: Callable[[], _Result]) -> _Result:
    """What `work` returns in the folder `place`, which is made if that is what is missing."""
    try:
        return work()
    except FileNotFoundError:
        _make_folder(place)
        return work()


def _write_all(file: io.FileIO, data: Sequence[bytes | memoryview]) -> None:
    # By one call: each gives up the interpreter, and waits until it is free again.
    done = os.writev(file.fileno(), data)
    for part in data:
        rest = memoryview(part)[done:]
        done -= min(done, len(part))
        while rest:
            rest = rest[file.write(rest) :]


def _make_folder(place: Path) -> None:
    place.parent.mkdir(exist_ok=True)
    place.mkdir(exist_ok=True)


def _move(path: Path, to: Path) -> None:
    # What cannot be moved is found where it is.
    try:
        _in_folder(to.parent, lambda: path.rename(to))
    except FileNotFoundError:
        return
    except OSError as exc:
        logger.warning("A file was not moved: %s", exc)


def _remove(path: Path) -> bool:
    """False when there is none."""
    # What cannot be removed is swept at the next start.
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as exc:
        logger.warning("A file was not removed: %s", exc)
    return True


def _left_over(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    with _locked(folder, fcntl.LOCK_EX):
        return sorted(path.name for path in folder.iterdir() if not _is_locked(path))


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def _is_locked(path: Path) -> bool:
    try:
        with io.FileIO(path) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, FileNotFoundError):
        return True
    return False
