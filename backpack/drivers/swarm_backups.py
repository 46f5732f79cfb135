"""Backups in a swarm: a backpack's private port has all of it but the site, which the admin keeps.
So the site is put into what is exported, and taken out of what is imported, on its way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import aclosing
from os import SEEK_END
from typing import BinaryIO

import orjson

from ..steps import Result, Steps
from ..tarball import Entry, Reader, Writer
from .remote import PrivatePort

SITE, END = "site.zip", "end.json"

_SHORT = 65_536  # bytes of end.json at most
_BLOCK = 1_048_576  # bytes of the site that are read at once

Blocks = AsyncGenerator[bytes, None]


async def export_backup(
    port: PrivatePort, site: BinaryIO | None, with_key: bool, only: Collection[str] | None
) -> Steps:
    """What `Driver.export_backup` says, of the backpack at a private port and its site."""
    said: list[str | Result] = []

    async def pieces() -> Blocks:
        async with aclosing(port.export_backup(with_key, only)) as steps:
            async for step in steps:
                if isinstance(step, bytes):
                    yield step
                else:
                    said.append(step)

    async with aclosing(pieces()) as exported, aclosing(with_site(exported, site)) as blocks:
        async for block in blocks:
            while said and isinstance(said[0], str):
                yield said.pop(0)
            yield block
        async for _ in exported:  # what fills the archive up, and what is said after it
            pass
    for step in said:
        yield step


async def with_site(blocks: AsyncIterator[bytes], site: BinaryIO | None) -> Blocks:
    """A backup that has none, with a site: a zip, read from its start. Raises Invalid for a damaged
    one."""
    reader, writer = Reader(blocks), Writer(int(time.time()))
    while entry := await reader.next():
        if entry.name != END:
            async for block in _copied(reader, writer, entry):
                yield block
            continue
        if site is not None:
            async for block in _written(writer, SITE, site):
                yield block
        yield writer.entry(END, await _end(reader, writer))
    yield writer.close()


async def with_site_aside(blocks: AsyncIterator[bytes], site: BinaryIO) -> Blocks:
    """A backup as it is; what it has as site goes into the file `site` too. Raises Invalid for a
    damaged one."""
    reader, writer = Reader(blocks), Writer(int(time.time()))
    while entry := await reader.next():
        if entry.name == END:
            yield writer.entry(END, await _end(reader, writer))
        else:
            async for block in _copied(reader, writer, entry, site if entry.name == SITE else None):
                yield block
    yield writer.close()


async def _end(reader: Reader, writer: Writer) -> bytes:
    """The end that a backup has now; one with a wrong seal keeps that, and will be refused."""
    seal = reader.seal.digest
    end = await reader.content(_SHORT)
    try:
        counts = orjson.loads(end)
        if counts["seal"] != seal:
            return end
    except (ValueError, TypeError, LookupError):
        return end
    return orjson.dumps({**counts, "seal": writer.seal.digest}, option=orjson.OPT_INDENT_2) + b"\n"


async def _copied(
    reader: Reader, writer: Writer, entry: Entry, also: BinaryIO | None = None
) -> Blocks:
    yield writer.header(entry.name, entry.size)
    while piece := await reader.read():
        writer.seal.update(piece)
        if also is not None:
            await asyncio.to_thread(also.write, piece)
        yield piece
    if padding := writer.end(entry.name, entry.size)[1]:
        yield padding


async def _written(writer: Writer, name: str, content: BinaryIO) -> Blocks:
    size = content.seek(0, SEEK_END)
    content.seek(0)
    yield writer.header(name, size)
    while block := await asyncio.to_thread(content.read, _BLOCK):
        writer.seal.update(block)
        yield block
    yield writer.end(name, size)[1]
