"""Reading a backup: a backpack is made of an archive's entries.

What is read is checked as if a client had sent it, whoever wrote it.
"""

from __future__ import annotations

import re
from asyncio import sleep
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import asdict
from functools import partial
from typing import Any

from . import backup, documents, names, rules, users
from .backpacks import Backpack
from .backup import PARTS, Counts, Place, told_of
from .documents import Document
from .files import Files
from .metadata import check_metadata
from .sites import Site
from .steps import finish
from .stores.base import Indexed
from .tarball import Entry, Reader, damaged

_AT_ONCE, _BYTES_AT_ONCE = 100, 65_536  # lines that are checked before others get a turn
_SETTINGS = 8_388_608  # bytes of rules, or of indexes
_SHORT = 65_536  # bytes of every other entry that is read as a whole
_ALLOWANCE = 65_536  # bytes that a line may have more than a document


class Import:
    """Fills an empty backpack from an archive.

    `run` raises Invalid for an archive that is none, is damaged, or holds what this deployment does
    not take; its message names the entry and the line. What was stored until then is the caller's
    to remove.
    """

    def __init__(
        self,
        backpack: Backpack,
        site: Site | None,
        blocks: AsyncIterator[bytes],
        counts: Counts,
    ) -> None:
        self._backpack = backpack
        self._site = site
        self._counts = counts
        self._archive = Reader(blocks)
        self._parts: tuple[str, ...] = ()
        self._rules: Any = None
        self._key: Any = None
        self._indexes: list[Document] = []
        self._last = Place("", 0)  # the chunk that was read last
        self._last_id = ""
        self._line_limit = backpack.settings.max_document + _ALLOWANCE

    async def run(self) -> None:
        ended = False
        while entry := await self._archive.next():
            if ended:
                raise damaged(entry.name, "comes after the end")
            ended = await self._take(entry)
        if not ended:
            raise damaged("", "end.json is missing")
        await self._finish()

    async def _take(self, entry: Entry) -> bool:
        """Store what is in an entry; whether it is the last one."""
        found = backup.ENTRY_NAMES.fullmatch(entry.name)
        if found is None:
            raise damaged(repr(entry.name), "is no part of a backup that this Backpack knows")
        single = found["single"]
        if (single == "manifest") == bool(self._parts):
            raise damaged(entry.name, "manifest.json must come first, and once")
        if single == "manifest":
            self._parts = ("manifest", *backup.check_manifest(await self._value(entry)))
        elif single == "end":
            await self._check_end(entry)
            return True
        else:
            self._check_order(entry)
            if single:
                self._set(entry, single, await self._value(entry))
            elif found["site"]:
                await self._take_site(entry)
            elif found["file"]:
                await self._take_file(entry, int(found["file"]), found["piece"])
            else:
                await self._take_lines(entry, found)
        return False

    async def _value(self, entry: Entry) -> Any:
        """The JSON value that an entry is."""
        most = _SETTINGS if entry.name in ("rules.json", "indexes.json") else _SHORT
        content = await self._archive.content(most)
        with told_of(entry.name):
            return documents.decode(content)

    def _check_order(self, entry: Entry) -> None:
        part = re.split("[/.]", entry.name, maxsplit=1)[0]
        if part not in self._parts:
            raise damaged(entry.name, "is not among the parts in manifest.json")
        before = re.split("[/.]", self._last.folder, maxsplit=1)[0]
        if before and PARTS.index(part) < PARTS.index(before):
            raise damaged(entry.name, f"must come before {before}")

    def _set(self, entry: Entry, part: str, value: Any) -> None:
        if self._last.folder == part:
            raise damaged(entry.name, "is there twice")
        self._last = Place(part, 1)
        with told_of(entry.name):
            if part == "rules":
                self._rules = rules.parse(value).raw
            elif part == "key":
                self._key = names.check_key(_text(value, "apiKey"))
            else:
                self._indexes = [_index(one) for one in _list(value)]

    async def _take_lines(self, entry: Entry, found: re.Match[str]) -> None:
        collection = found["collection"]
        place = Place(
            f"collections/{collection}" if collection else "users",
            int(found["of_records"] or found["of_users"]),
        )
        if not place.follows(self._last):
            raise damaged(entry.name, f"does not follow on {self._last}")
        if place.number == 1:
            self._last_id = ""
        self._last = place
        if not collection:
            await self._store_lines(entry, users.check_stored, self._store_users)
            return
        if place.number == 1:
            with told_of(entry.name):
                await self._backpack.records.create_collection(collection)
            self._counts.collections += 1
        store = partial(self._store_records, collection)
        await self._store_lines(entry, documents.check_stored, store)

    async def _store_users(self, accounts: list[Document]) -> None:
        await self._backpack.users.restore(accounts)
        self._counts.users += len(accounts)

    async def _store_records(self, collection: str, records: list[Document]) -> None:
        await self._backpack.records.restore(collection, records)
        self._counts.documents += len(records)

    async def _store_lines(
        self,
        entry: Entry,
        check: Callable[[object], Document],
        store: Callable[[list[Document]], Awaitable[object]],
    ) -> None:
        number = 0
        async with aclosing(self._lines(entry)) as every:
            async for lines in every:
                checked = [
                    self._checked(check, f"{entry.name}, line {at}", line)
                    for at, line in enumerate(lines, number + 1)
                ]
                where = f"{entry.name}, lines {number + 1} to {number + len(lines)}"
                with told_of(where):
                    await store(checked)
                number += len(lines)
                await sleep(0)  # stores do not always wait

    def _checked(self, check: Callable[[object], Document], where: str, line: bytes) -> Document:
        with told_of(where):
            return self._in_order(check(documents.decode(line)))

    def _in_order(self, document: Document) -> Document:
        """`document`, whose `_id` must be greater than the one before: so none comes twice."""
        if document["_id"] <= self._last_id:
            raise damaged("", f"its _id {document['_id']!r} is not greater than the one before")
        self._last_id = document["_id"]
        return document

    async def _lines(self, entry: Entry) -> AsyncGenerator[list[bytes], None]:
        """The lines of an entry, as many at once as may be handled in one turn."""
        lines: list[bytes] = []
        number, size, rest = 0, 0, b""
        while piece := await self._archive.read():
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                number += 1
                lines.append(self._bounded(entry, number, line))
                size += len(line)
                if len(lines) == _AT_ONCE or size >= _BYTES_AT_ONCE:
                    yield lines
                    size, lines = 0, []
            self._bounded(entry, number + 1, rest)
        if rest:
            lines.append(rest)
        if lines:
            yield lines

    def _bounded(self, entry: Entry, number: int, line: bytes) -> bytes:
        if len(line) > self._line_limit:
            most = self._backpack.settings.max_document
            why = f"a document may have at most {most} bytes here (BACKPACK_MAX_DOCUMENT)"
            raise damaged(f"{entry.name}, line {number}", why)
        return line

    async def _take_file(self, entry: Entry, number: int, piece: str) -> None:
        """Read the three entries of a file: this one, which must be the first, and two more."""
        expected = self._counts.files + 1
        if piece != "file.json" or number != expected:
            raise damaged(entry.name, f"files/{expected:06}/file.json must come here")
        self._last = Place("files", number)
        folder = f"files/{number:06}"
        metadata = await self._value(entry)
        with told_of(entry.name):
            restored = check_metadata(metadata)
        content = await self._following(f"{folder}/content")
        if content.size != restored["size"]:
            raise damaged(content.name, f"has {content.size} bytes, not {restored['size']}")
        await self._store_file(content, folder, restored)
        self._counts.files += 1

    async def _store_file(self, entry: Entry, folder: str, metadata: Document) -> None:
        stored: Files = self._backpack.files
        async with stored.arriving(metadata["userId"]) as arrival:
            arrival.begin(metadata["type"])
            while piece := await self._archive.read():
                with told_of(entry.name):
                    await arrival.write([piece])
                self._counts.bytes += len(piece)
            expected = f"{self._archive.sha256}  content\n".encode()
            await self._following(f"{folder}/sha256")
            if await self._archive.content(_SHORT) != expected:
                raise damaged(entry.name, "is damaged: it has another SHA-256 than was noted")
            with told_of(f"{folder}/file.json"):
                await stored.restore(metadata, arrival)

    async def _take_site(self, entry: Entry) -> None:
        """Deploy what is checked as every zip is; without a place for sites it is left out."""
        if self._last.folder == "site":
            raise damaged(entry.name, "is there twice")
        self._last = Place("site", 1)
        if self._site is not None:
            with told_of(entry.name):
                await finish(self._site.deploy(self._rest(), "import"))
        async for _ in self._rest():
            pass

    async def _rest(self) -> AsyncIterator[bytes]:
        while not self._archive.ended and (piece := await self._archive.read()):
            yield piece

    async def _following(self, name: str) -> Entry:
        entry = await self._archive.next()
        if entry is None or entry.name != name:
            raise damaged(entry.name if entry else "", f"{name} must come here")
        return entry

    async def _check_end(self, entry: Entry) -> None:
        seal = self._archive.seal.digest
        noted = await self._value(entry)
        if not isinstance(noted, dict) or noted.get("seal") != seal:
            raise damaged("", "The backup is damaged: it is not as it was written")
        if {**asdict(self._counts), "seal": seal} != noted:
            raise damaged(entry.name, f"counts {noted}, but there are {asdict(self._counts)}")

    async def _finish(self) -> None:
        """Put in force what the backpack is ruled by, now that all is there."""
        store = self._backpack.store
        if isinstance(store, Indexed):
            for index in self._indexes:
                change = store.pin_index if index["state"] == "pinned" else store.forbid_index
                with told_of("indexes.json"):
                    await change(index["collection"], index["fields"])
        if self._rules is not None:
            await self._backpack.set_rules(self._rules)
        if self._key is not None:
            await self._backpack.set_key(self._key)


def _text(value: Any, name: str) -> str:
    found = value.get(name) if isinstance(value, dict) else None
    if not isinstance(found, str):
        raise damaged("", f"must be an object with {name}")
    return found


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise damaged("", "must be a list")
    return value


def _index(value: Any) -> Document:
    found = {name: _text(value, name) for name in ("collection", "fields", "state")}
    if found["state"] not in ("pinned", "forbidden"):
        raise damaged("", "state must be pinned or forbidden")
    return found
