"""Zips for tests, of which every part may lie."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Packed:
    """An entry; what is None is what it should be. `start`: where the directory says it is."""

    name: bytes
    content: bytes = b""
    method: int = 8
    flags: int = 0
    mode: int = 0
    size: int | None = None
    packed_size: int | None = None
    checksum: int | None = None
    packed: bytes | None = None
    local_name: bytes | None = None
    start: int | None = None


def deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


def zip_of(
    *entries: Packed, count: int | None = None, before: bytes = b"", behind: bytes = b""
) -> bytes:
    """The bytes of a zip; `before` and `behind` stand around it."""
    contents, directory = bytearray(before), bytearray()
    for entry in entries:
        packed = entry.packed
        if packed is None:
            packed = deflate(entry.content) if entry.method == 8 else entry.content
        checksum = zlib.crc32(entry.content) if entry.checksum is None else entry.checksum
        size = len(entry.content) if entry.size is None else entry.size
        packed_size = len(packed) if entry.packed_size is None else entry.packed_size
        start = len(contents) if entry.start is None else entry.start
        known = struct.pack(
            "<HHHHLLL", entry.flags, entry.method, 0, 33, checksum, packed_size, size
        )
        local = entry.name if entry.local_name is None else entry.local_name
        contents += struct.pack("<4sH", b"PK\3\4", 20) + known
        contents += struct.pack("<HH", len(local), 0) + local + packed
        directory += struct.pack("<4sHH", b"PK\1\2", 0x0314, 20) + known
        directory += struct.pack("<5HLL", len(entry.name), 0, 0, 0, 0, entry.mode << 16, start)
        directory += entry.name
    told = len(entries) if count is None else count
    end = struct.pack("<4s4HLLH", b"PK\5\6", 0, 0, told, told, len(directory), len(contents), 0)
    return bytes(contents + directory) + end + behind
