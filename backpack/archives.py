"""A zip as it comes from anywhere: what is in it, found without trusting it, and its content.

Not the standard library's reader: that takes as much memory as the zip wants, names that say one
thing in the directory and another before the content, and contents that overlap. What a plain zip
would not have is refused here.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from .errors import Invalid, TooLarge
from .filenames import compose, is_plain

BLOCK = 262_144  # bytes that are unpacked at once

_END = struct.Struct("<4s4H2LH")  # APPNOTE.TXT 4.3.16: the end of the central directory
_ENTRY = struct.Struct("<4s6H3L5H2L")  # 4.3.12: an entry of it
_LOCAL = struct.Struct("<4s5H3L2H")  # 4.3.7: what stands before a content
_MAX_COMMENT = 65_535
_ENTRY_BYTES = 1_536  # of the directory, for one entry on average at most

_STORED, _DEFLATED = 0, 8
_ENCRYPTED = 0x2041  # flags: encrypted, strongly, with the directory masked
_UTF8 = 0x0800

_MAX_PATH, _MAX_PART = 1_024, 255  # bytes
_ALWAYS_FINE = 1_048_576  # bytes that any zip may become, however small it is


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in a zip: its path, and where its content is and what it must be."""

    path: str
    size: int
    packed_size: int
    checksum: int
    method: int
    start: int


@dataclass(frozen=True)
class Limits:
    """`size`: bytes of the zip, and of all that is in it; `count`: files and folders in it;
    `ratio`: how many times its own size a zip may become."""

    size: int
    count: int
    ratio: int


class Archive:
    """A zip in the open file `file`, which has `size` bytes. Everything here blocks."""

    def __init__(self, file: int, limits: Limits) -> None:
        self._file = file
        self._limits = limits
        self._size = os.fstat(file).st_size

    def entries(self) -> list[Entry]:
        """The files in it, in the order of the directory; raises Invalid, TooLarge."""
        start, length, count = self._find_directory()
        if count > self._limits.count:
            raise TooLarge(
                f"The zip has {count:,} entries, more than {self._limits.count:,}", code="bad_site"
            )
        if length > count * _ENTRY_BYTES:
            raise _damaged("its directory is too long")
        found = list(self._entries(self._read(start, length), count))
        self._check_sizes(found)
        self._check_places(found, start)
        _check_paths([entry.path for entry in found])
        return [entry for entry in found if not entry.path.endswith("/")]

    def _read(self, start: int, length: int) -> bytes:
        data = os.pread(self._file, length, start)
        if len(data) < length:
            raise _damaged("it ends too soon")
        return data

    def _find_directory(self) -> tuple[int, int, int]:
        """Where the central directory starts, its length, and how many entries it has."""
        tail_start = max(0, self._size - _END.size - _MAX_COMMENT)
        tail = os.pread(self._file, self._size - tail_start, tail_start)
        at = tail.rfind(b"PK\5\6")
        if at < 0 or len(tail) - at < _END.size:
            raise Invalid("It is no zip, or its end is missing", code="bad_site")
        _, disk, first, here, count, length, start, comment = _END.unpack_from(tail, at)
        if at + _END.size + comment != len(tail):
            raise _damaged("something stands behind its end")
        if 0xFFFF in (disk, first, here, count) or 0xFFFFFFFF in (length, start):
            raise Invalid("The zip is in the format for large ones, zip64", code="bad_site")
        if (disk, first) != (0, 0) or here != count:
            raise Invalid("The zip is one part of several", code="bad_site")
        if start + length != tail_start + at:
            raise _damaged("its directory is not where its end says")
        return start, length, count

    def _entries(self, directory: bytes, count: int) -> Iterator[Entry]:
        at = 0
        for _ in range(count):
            if len(directory) - at < _ENTRY.size:
                raise _damaged("its directory is too short")
            (
                signature, _, _, flags, method, _, _, checksum, packed_size, size,
                name_length, extra_length, comment_length, disk, _, attributes, start,
            ) = _ENTRY.unpack_from(directory, at)  # fmt: skip
            at += _ENTRY.size
            name = directory[at : at + name_length]
            at += name_length + extra_length + comment_length
            if signature != b"PK\1\2" or at > len(directory):
                raise _damaged("its directory is none")
            path = _path(name, flags)
            if flags & _ENCRYPTED:
                raise _refused(path, "is encrypted")
            if method not in (_STORED, _DEFLATED):
                raise _refused(path, f"is packed by method {method}, not by deflate")
            if method == _STORED and packed_size != size:
                raise _refused(path, "has two sizes")
            if 0xFFFFFFFF in (packed_size, size, start) or disk:
                raise _refused(path, "is in the format for large zips, zip64")
            _check_kind(path, attributes >> 16)
            # The start of what stands before the content; of the content itself, when that is read.
            yield Entry(path, size, packed_size, checksum, method, start)
        if at != len(directory):
            raise _damaged("its directory has more entries than its end says")

    def _check_sizes(self, entries: list[Entry]) -> None:
        total = sum(entry.size for entry in entries)
        if total > self._limits.size:
            raise TooLarge(
                f"There are {total:,} bytes in the zip, more than {self._limits.size:,}",
                code="bad_site",
            )
        if total > max(_ALWAYS_FINE, self._size * self._limits.ratio):
            raise TooLarge(
                f"The zip would become {total // self._size:,} times as large, "
                f"more than {self._limits.ratio:,} times",
                code="bad_site",
            )

    def _check_places(self, entries: list[Entry], directory: int) -> None:
        """Every content has a place of its own."""
        free = 0
        for entry in sorted(entries, key=lambda entry: entry.start):
            if entry.start < free:
                raise _refused(entry.path, "shares its place with another entry")
            free = entry.start + _LOCAL.size + entry.packed_size
        if free > directory:
            raise _damaged("a content reaches into its directory")

    def content(self, entry: Entry) -> Iterator[bytes]:
        """The content, in blocks; raises Invalid where it is not what the directory says."""
        start = self._content_start(entry)
        inflate = zlib.decompressobj(-zlib.MAX_WBITS) if entry.method == _DEFLATED else None
        left, packed_left, checksum = entry.size, entry.packed_size, 0
        while packed_left:
            packed = self._read(start, min(packed_left, BLOCK))
            start += len(packed)
            packed_left -= len(packed)
            for block in _unpacked(packed, inflate, entry):
                left -= len(block)
                if left < 0:
                    raise _refused(entry.path, "is longer than the zip says")
                checksum = zlib.crc32(block, checksum)
                yield block
        if left or (inflate is not None and not inflate.eof):
            raise _refused(entry.path, "is shorter than the zip says")
        if inflate is not None and inflate.unused_data:
            raise _refused(entry.path, "has more behind it")
        if checksum != entry.checksum:
            raise _refused(entry.path, "is damaged")

    def _content_start(self, entry: Entry) -> int:
        """Behind the header that every content has besides the directory; it must say the same."""
        header = self._read(entry.start, _LOCAL.size)
        signature, _, flags, method, *_, name_length, extra_length = _LOCAL.unpack(header)
        start: int = entry.start + _LOCAL.size + name_length + extra_length
        name = self._read(entry.start + _LOCAL.size, name_length)
        if (
            signature != b"PK\3\4"
            or flags & _ENCRYPTED
            or method != entry.method
            or _path(name, flags) != entry.path
        ):
            raise _refused(entry.path, "is not what the directory of the zip says")
        return start


def _unpacked(packed: bytes, inflate: Any, entry: Entry) -> Iterator[bytes]:
    """What becomes of some packed bytes, in blocks of a bounded size."""
    while inflate is not None:
        try:
            block = inflate.decompress(packed, BLOCK)
        except zlib.error as exc:
            raise _refused(entry.path, "is damaged") from exc
        if block:
            yield block
        packed = inflate.unconsumed_tail
        if not packed and len(block) < BLOCK:
            return
    yield packed


def _path(name: bytes, flags: int) -> str:
    """The path that the bytes of a name stand for, in Unicode's composed form."""
    try:
        # macOS writes UTF-8 without saying so.
        text = name.decode("utf-8")
    except UnicodeDecodeError:
        if flags & _UTF8:
            raise Invalid("The zip has a name that is not UTF-8", code="bad_site") from None
        text = name.decode("cp437")  # 4.4.4, and appendix D
    path = compose(text)
    check_path(path[:-1] if path.endswith("/") else path)
    return path


def check_path(path: str) -> None:
    """Raise Invalid when a file of a site may not be called so."""
    parts = path.split("/")
    if not path or path.startswith("/") or re.match(r"[A-Za-z]:", path):
        why = "is no path inside of the site"
    elif "\\" in path:
        why = r"has a \ in it: folders are separated by /"
    elif not all(part not in ("", ".", "..") for part in parts):
        why = "has . or .. or nothing between two /"
    elif not is_plain(path):
        why = "has control characters in it"
    elif len(path.encode()) > _MAX_PATH or any(len(p.encode()) > _MAX_PART for p in parts):
        why = "is too long"
    else:
        return
    raise _refused(path, why)


def _check_kind(path: str, mode: int) -> None:
    kind = stat.S_IFMT(mode)
    if kind == stat.S_IFLNK:
        raise _refused(path, "is a link")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _refused(path, "is neither a file nor a folder")


def _check_paths(paths: list[str]) -> None:
    """No two paths are one on any disk, and no file is also a folder."""
    # With the smallest character in place of / what is in a folder comes right behind it.
    keys = sorted((compose(path.casefold()).rstrip("/").replace("/", "\0"), path) for path in paths)
    for (key, path), (following, other) in pairwise(keys):
        if path == other:
            raise _refused(path, "is in the zip twice")
        if key == following:
            raise _refused(other, f"and {path!r} are one file on some disks")
        if following.startswith(key + "\0") and not path.endswith("/"):
            raise _refused(path, "is a folder too")


def _refused(path: str, why: str) -> Invalid:
    shown = path if len(path) <= 100 else f"{path[:97]}..."
    return Invalid(f"The file {shown!r} {why}", code="bad_site")


def _damaged(why: str) -> Invalid:
    return Invalid(f"The zip is damaged: {why}", code="bad_site")
