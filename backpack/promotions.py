"""Rules, files and site of a backup that go into a backpack in use. Its users and records stay as
they are, and so do other files and the versions of its site."""

from __future__ import annotations

import asyncio
import re
import tempfile
import time
from array import array
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, BinaryIO

from . import backup, documents, rules
from .backup import told_of
from .documents import Document
from .drivers.base import Console, Driver, SiteVersion
from .errors import BadRequest, Invalid
from .metadata import check_metadata
from .steps import Result, Steps, counted
from .tarball import Entry, Reader, damaged, writing_to

PARTS = ("rules", "files", "site")

_PIECE = 1_048_576  # bytes that are read at once
_SETTINGS = 8_388_608  # bytes of rules
_SHORT = 65_536  # bytes of every other entry that is read as a whole
_TELL = 1.0  # seconds between two lines about how far it is


async def promote(driver: Driver, name: str, who: str, content: AsyncIterator[bytes]) -> Steps:
    """Put the backup that comes as `content` into the backpack `name`, in the name of `who`.

    All of it is put aside and checked before anything is changed. The result is `{"name", "rules",
    "files", "site"}`: whether there were rules, how many files, and the SiteVersion that is live
    now, or None. Raises NotFound, Invalid, TooLarge, NoSpace.
    """
    await driver.describe(name)
    with tempfile.TemporaryFile() as file:
        aside = _Aside(file)
        yield f"Received and checked {await aside.take(content) / 1e6:,.1f} MB"
        async with driver.console(name) as console:
            if aside.rules is not None:
                await console.ask("put", "rules", aside.rules)
                yield "The access rules are in force"
            told, count = time.monotonic(), 0
            async for metadata, entry in aside.files():
                await _store(console, metadata, aside, entry)
                count += 1
                if count == aside.count or time.monotonic() > told + _TELL:
                    told = time.monotonic()
                    yield f"Stored {count:,} of {counted(aside.count, 'file')}"
        version: SiteVersion | None = None
        if aside.site is not None:
            async with aclosing(driver.deploy(name, who, aside.blocks(aside.site))) as steps:
                async for step in steps:
                    if isinstance(step, Result):
                        version = step.value
                    else:
                        yield step
        facts = {"rules": aside.rules is not None, "files": aside.count, "site": version}
        yield Result({"name": name, **facts})


async def _store(console: Console, metadata: Document, aside: _Aside, entry: Entry) -> None:
    """Make a file as it was, or give the one of its name that content."""
    user, filename, kind = metadata["userId"], metadata["filename"], metadata["type"]
    try:
        await console.save_file(aside.blocks(entry), filename, kind, user)
    except BadRequest as exc:
        if exc.code != "file_exists":
            raise
        await console.save_file(aside.blocks(entry), filename, kind, user, replace=True)
    changes = {"bucket": metadata["bucket"]}
    asked = {"userId": user, "filename": filename, "changes": changes}
    await console.ask("patch", "uploads", asked)


class _Aside:
    """A backup that is put aside in `file`, and what is in it once it has come. Of each file no
    more than its place is held in memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._names: set[str] = set()  # of what there is one of
        self._places = array("Q")  # of each file: where its metadata are, their size, its content's
        self._last = ("", 0, "")  # the entry of a file that came last: its name, number, piece
        self._size = 0  # that its content has to have
        self.rules: Any = None
        self.site: Entry | None = None

    async def take(self, content: AsyncIterator[bytes]) -> int:
        """Put a backup aside and check it; how many bytes it has."""
        archive = Reader(self._put_aside(content))
        while entry := await archive.next():
            await self._take_entry(archive, entry)
            while not archive.ended and await archive.read():
                await asyncio.sleep(0)
        self._check_content()
        for name in ("end.json", "manifest.json"):
            if name not in self._names:
                raise damaged("", f"{name} is missing")
        return self._file.tell()

    async def _take_entry(self, archive: Reader, entry: Entry) -> None:
        found = backup.ENTRY_NAMES.fullmatch(entry.name)
        if found is None or not _is_promoted(found):
            why = f"only {', '.join(PARTS)} go into a backpack that is in use"
            raise damaged(repr(entry.name), why)
        if "end.json" in self._names or entry.name in self._names:
            raise damaged(entry.name, "comes twice, or after the end")
        if found["file"]:
            await self._take_file(archive, entry, int(found["file"]), found["piece"])
            return
        self._names.add(entry.name)
        if found["site"]:
            self.site = entry
        elif found["single"] == "rules":
            value = await _value(archive, entry, _SETTINGS)
            with told_of(entry.name):
                self.rules = rules.parse(value).raw
        elif found["single"] == "manifest":
            backup.check_manifest(await _value(archive, entry, _SHORT))
        else:
            seal = archive.seal.digest
            noted = await _value(archive, entry, _SHORT)
            if not isinstance(noted, dict) or noted.get("seal") != seal:
                raise damaged("", "The backup is damaged: it is not as it was written")

    async def _take_file(self, archive: Reader, entry: Entry, number: int, piece: str) -> None:
        _, last, before = self._last
        is_due = {
            "file.json": number > last,
            "content": number == last and before == "file.json",
            "sha256": number == last and before == "content",
        }
        if not is_due[piece]:
            raise damaged(entry.name, "comes twice, or not in its place")
        if piece == "file.json":
            self._check_content()
            value = await _value(archive, entry, _SHORT)
            with told_of(entry.name):
                self._size = check_metadata(value)["size"]
            self._places.extend((entry.at, entry.size))
        elif piece == "content":
            if entry.size != self._size:
                raise _no_content(self._last[0])
            self._places.append(entry.at)
        self._last = (entry.name, number, piece)

    def _check_content(self) -> None:
        """Raises Invalid when metadata came, and no content."""
        name, _, piece = self._last
        if piece == "file.json":
            raise _no_content(name)

    @property
    def count(self) -> int:
        """How many files there are."""
        return len(self._places) // 3

    async def files(self) -> AsyncIterator[tuple[Document, Entry]]:
        """The metadata of each file, and its content."""
        for number in range(self.count):
            at, size, content = self._places[3 * number : 3 * number + 3]
            metadata = check_metadata(
                documents.decode(await asyncio.to_thread(self._read, at, size))
            )
            yield metadata, Entry("", metadata["size"], content)

    async def _put_aside(self, content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        take = writing_to(self._file, "the backup")
        async for block in content:
            await asyncio.to_thread(take, block)
            yield block

    async def blocks(self, entry: Entry) -> AsyncIterator[bytes]:
        for start in range(0, entry.size, _PIECE):
            at, size = entry.at + start, min(_PIECE, entry.size - start)
            yield await asyncio.to_thread(self._read, at, size)

    def _read(self, at: int, size: int) -> bytes:
        self._file.seek(at)
        return self._file.read(size)


def _is_promoted(found: re.Match[str]) -> bool:
    return bool(found["site"] or found["file"]) or found["single"] in ("manifest", "rules", "end")


def _no_content(name: str) -> Invalid:
    return damaged(name, "has no content, or one of another size")


async def _value(archive: Reader, entry: Entry, most: int) -> Any:
    """The JSON of an entry that has no more than `most` bytes."""
    content = await archive.content(most)
    with told_of(entry.name):
        return documents.decode(content)
