"""One file with many entries: a tar archive, written and read in one pass and piece by piece.

What the entries are is not known here. An archive is not compressed, so it cannot hold more than
its own size; entries are plain files, and their names are never paths of this machine.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import tarfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from .errors import Invalid, NoSpace
from .steps import Take

_BLOCK = 512  # bytes; headers have one, contents are filled up to the next
_PIECE = 262_144  # bytes that are read at once


def damaged(where: str, why: str) -> Invalid:
    """The error for an archive that cannot be what it should be."""
    return Invalid(f"{where}: {why}" if where else why, code="bad_backup")


class Seal:
    """A SHA-256 over the names, sizes and SHA-256s of entries, in their order.

    It is that of a text with a line `SHA256 SIZE NAME` for each.
    """

    def __init__(self) -> None:
        self._lines = hashlib.sha256()
        self._content = hashlib.sha256()

    def update(self, content: bytes) -> None:
        """Some of the content of the entry that is under way."""
        self._content.update(content)

    def end(self, name: str, size: int) -> str:
        """End an entry; its SHA-256, as hex digits."""
        digest = self._content.hexdigest()
        self._lines.update(f"{digest} {size} {name}\n".encode())
        self._content = hashlib.sha256()
        return digest

    @property
    def digest(self) -> str:
        """The seal on all entries that have ended, as hex digits."""
        return self._lines.hexdigest()


class Writer:
    """Turns entries into the bytes of an archive. `at`: when it is made, in seconds since 1970."""

    def __init__(self, at: int) -> None:
        self._at = at
        self.seal = Seal()

    def entry(self, name: str, content: bytes) -> bytes:
        """A whole entry."""
        self.seal.update(content)
        self.seal.end(name, len(content))
        return self.header(name, len(content)) + content + _padding(len(content))

    def header(self, name: str, size: int) -> bytes:
        """The header of an entry whose content the caller adds, and then `end` of the same."""
        header = tarfile.TarInfo(name)
        header.size, header.mtime, header.mode = size, self._at, 0o600
        return header.tobuf(tarfile.GNU_FORMAT)  # sizes from 8 GiB on go by no other

    def end(self, name: str, size: int) -> tuple[str, bytes]:
        """The content's SHA-256, after it was given to `seal`, and what comes behind it."""
        return self.seal.end(name, size), _padding(size)

    def close(self) -> bytes:
        """The end of the archive."""
        return bytes(2 * _BLOCK)


@dataclass(frozen=True)
class Entry:
    name: str
    size: int  # bytes
    at: int = 0  # where its content begins in the archive


class Reader:
    """The entries of an archive that comes in blocks; raises Invalid for one that is damaged."""

    def __init__(self, blocks: AsyncIterator[bytes]) -> None:
        self._blocks = blocks
        self._buffer = memoryview(b"")
        self._entry = Entry("", 0)
        self._left = 0  # bytes of its content
        self._at = 0  # bytes of the archive that have been read
        self.seal = Seal()
        self.sha256 = ""  # of the entry that was read last
        self.ended = True  # the entry has been read

    async def next(self) -> Entry | None:
        """The next entry, None at the end; the one before must have been read."""
        header = await self._exactly(_BLOCK)
        if not header.strip(b"\0"):
            return None
        self._entry = replace(_parse(header), at=self._at)
        self._left = self._entry.size
        self.ended = False
        return self._entry

    async def read(self) -> bytes:
        """The next piece of the entry's content, which goes into the seal; empty at its end."""
        if self._left:
            piece = await self._some(self._left)
            self._left -= len(piece)
            self.seal.update(piece)
            return piece
        self.sha256 = self.seal.end(self._entry.name, self._entry.size)
        await self._exactly(len(_padding(self._entry.size)))
        self.ended = True
        return b""

    async def content(self, most: int) -> bytes:
        """The whole content of the entry, of `most` bytes."""
        if self._entry.size > most:
            raise damaged(self._entry.name, f"is longer than {most} bytes")
        pieces = []
        while piece := await self.read():
            pieces.append(piece)
        return b"".join(pieces)

    async def _exactly(self, size: int) -> bytes:
        parts = []
        while size:
            parts.append(await self._some(size))
            size -= len(parts[-1])
        return b"".join(parts)

    async def _some(self, most: int) -> bytes:
        while not self._buffer:
            block = await anext(self._blocks, None)
            if block is None:
                raise damaged("", "The backup ends in the middle: it was not written to its end")
            self._buffer = memoryview(block)
        taken = bytes(self._buffer[: min(most, _PIECE)])
        self._buffer = self._buffer[len(taken) :]
        self._at += len(taken)
        return taken


def _parse(header: bytes) -> Entry:
    try:
        found = tarfile.TarInfo.frombuf(header, "ascii", "backslashreplace")
    except tarfile.HeaderError as exc:
        raise damaged("", f"This is no backup, or it is damaged: {exc}") from exc
    if found.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or found.size < 0:
        raise damaged(repr(found.name), "is no plain file")
    return Entry(found.name, found.size)


def _padding(size: int) -> bytes:
    return bytes(-size % _BLOCK)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Take]:
    """Takes the bytes of a file that only its owner can read, which is put in the place of `path`
    when all is written: what was there stays until then, and after a failure.

    Raises Invalid, NoSpace.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        # What is no file must not be replaced: /dev/null would be one from then on.
        if path.exists() and not path.is_file():
            raise Invalid(f"Cannot write {path}: it is no file")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with _explained(path), open(os.open(beside, flags, 0o600), "wb") as file:
            yield writing_to(file, path)
            file.flush()
            os.fsync(file.fileno())
            beside.replace(path)
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


def writing_to(file: BinaryIO, name: object) -> Take:
    """Takes bytes that go to an open file; raises Invalid, NoSpace that speak of `name`."""

    def take(block: bytes) -> None:
        with _explained(name):
            file.write(block)

    return take


@contextlib.contextmanager
def _explained(name: object) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace(f"Cannot write {name}: the disk is full") from exc
        raise Invalid(f"Cannot write {name}: {exc.strerror}") from exc
