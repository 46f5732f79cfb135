"""Everything of a backpack in one archive, and a backpack made of one again.

`manifest.json` comes first and names the format, its version and the parts; `end.json` last, with
counts and a seal on all that came before. Between them, in this order, as far as there is any:

    rules.json  key.json  indexes.json
    users/000001.ndjson             accounts, with the hashes of their passwords
    collections/cars/000001.ndjson  records, a line each; an empty collection has an empty entry
    files/000001/file.json          a file of a user, its content and that one's SHA-256
    files/000001/content
    files/000001/sha256
    site.zip                        the site's live version, as it would be deployed

Sessions are not in it. What is read is checked as if a client had sent it, whoever wrote it.
"""

from __future__ import annotations

import re
import time
from asyncio import sleep, to_thread
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from os import SEEK_END
from typing import Any, BinaryIO

import orjson

from . import __version__, backpacks, documents, files, names, rules, users
from .backpacks import Backpack, Config
from .documents import Document
from .errors import BadRequest
from .files import Files
from .queries import Query
from .sites import Site
from .steps import finish
from .stores.base import Indexed, Snapshots, Store
from .tarball import Entry, Reader, Writer, damaged

FORMAT, VERSION = "backpack", 1
PARTS = ("rules", "key", "indexes", "users", "collections", "files", "site")

_CHUNK = 1_048_576  # bytes of records in an entry, but at least one record
_PAGE = 262_144  # bytes that are to come with one look into the store
_MOST = 1_000  # records that may

_AT_ONCE, _BYTES_AT_ONCE = 100, 65_536  # lines that are checked before others get a turn
_SETTINGS = 8_388_608  # bytes of rules, or of indexes
_SHORT = 65_536  # bytes of every other entry that is read as a whole
_ALLOWANCE = 65_536  # bytes that a line may have more than a document

_NAMES = re.compile(
    r"(?P<single>manifest|rules|key|indexes|end)\.json"
    r"|(?P<site>site)\.zip"
    r"|(?P<users>users)/(?P<of_users>[0-9]{6,9})\.ndjson"
    r"|collections/(?P<collection>[A-Za-z0-9_-]{1,64})/(?P<of_records>[0-9]{6,9})\.ndjson"
    r"|files/(?P<file>[0-9]{6,9})/(?P<piece>file\.json|content|sha256)"
)


@dataclass
class Counts:
    """What went into a backup, or came out of it, so far. `bytes`: those of files."""

    users: int = 0
    collections: int = 0
    documents: int = 0
    files: int = 0
    bytes: int = 0

    def __str__(self) -> str:
        return (
            f"{_several(self.users, 'user')}, {_several(self.collections, 'collection')}, "
            f"{_several(self.documents, 'record')} and {_several(self.files, 'file')} "
            f"({self.bytes / 1e6:,.1f} MB)"
        )


def _several(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def export(
    backpack: Backpack, site: Site | None, counts: Counts, *, with_key: bool = False
) -> AsyncGenerator[bytes, None]:
    """The archive of a backpack, in pieces; it is as of one moment where its store can do that.

    Raises Unavailable, NoSpace.
    """
    return _Export(backpack, site, counts, with_key).pieces()


class _Export:
    def __init__(
        self, backpack: Backpack, site: Site | None, counts: Counts, with_key: bool
    ) -> None:
        self._backpack = backpack
        self._site = site
        self._counts = counts
        self._with_key = with_key
        self._archive = Writer(int(time.time()))

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        async with _snapshot(self._backpack.store) as store, aclosing(self._of(store)) as pieces:
            async for piece in pieces:
                yield piece

    async def _of(self, store: Store) -> AsyncGenerator[bytes, None]:
        yield self._json("manifest.json", self._manifest())
        config = await backpacks.stored_config(store, self._backpack.name)
        for piece in self._configuration(config):
            yield piece
        if isinstance(store, Indexed):
            yield self._json("indexes.json", await _kept_indexes(store))
        async for piece in self._lines(store, users.COLLECTION, "users"):
            yield piece
        for name in await store.collections():
            self._counts.collections += 1
            async for piece in self._lines(store, name, f"collections/{name}"):
                yield piece
        async with aclosing(self._files(store)) as pieces:
            async for piece in pieces:
                yield piece
        packed = await self._site.packed() if self._site else None
        if packed is not None:
            with packed:
                async for piece in self._packed_site(packed):
                    yield piece
        seal = self._archive.seal.digest
        yield self._json("end.json", {**asdict(self._counts), "seal": seal})
        yield self._archive.close()

    def _manifest(self) -> Document:
        return {
            "format": FORMAT,
            "version": VERSION,
            "backpack": self._backpack.name,
            "exportedAt": documents.now(),
            "by": __version__,
            "parts": [part for part in PARTS if part != "key" or self._with_key],
        }

    def _configuration(self, config: Config) -> list[bytes]:
        entries = [self._json("rules.json", dict(config.rules.raw))]
        if self._with_key:
            entries.append(self._json("key.json", {"apiKey": config.api_key}))
        return entries

    def _json(self, name: str, value: Any) -> bytes:
        return self._archive.entry(name, orjson.dumps(value, option=orjson.OPT_INDENT_2) + b"\n")

    async def _lines(self, store: Store, collection: str, folder: str) -> AsyncIterator[bytes]:
        """The documents of a collection, in entries of a bounded size; none is one empty entry."""
        number, size, lines = 1, 0, list[bytes]()
        async for document in _all(store, collection):
            self._count(collection)
            if lines and size + len(document) >= _CHUNK:
                yield self._chunk(folder, number, lines)
                number, size, lines = number + 1, 0, []
            lines.append(document)
            size += len(document) + 1
        yield self._chunk(folder, number, lines)

    def _count(self, collection: str) -> None:
        if collection == users.COLLECTION:
            self._counts.users += 1
        else:
            self._counts.documents += 1

    def _chunk(self, folder: str, number: int, lines: list[bytes]) -> bytes:
        return self._archive.entry(f"{folder}/{number:06}.ndjson", b"\n".join([*lines, b""]))

    async def _files(self, store: Store) -> AsyncGenerator[bytes, None]:
        every = self._backpack.files.every(_all(store, files.COLLECTION))
        async with aclosing(every) as found:
            async for metadata, content in found:
                self._counts.files += 1
                folder = f"files/{self._counts.files:06}"
                name, size = f"{folder}/content", metadata["size"]
                yield self._json(f"{folder}/file.json", metadata)
                yield self._archive.header(name, size)
                async for block in content.blocks():
                    self._archive.seal.update(block)
                    self._counts.bytes += len(block)
                    yield block
                digest, padding = self._archive.end(name, size)
                yield padding
                yield self._archive.entry(f"{folder}/sha256", f"{digest}  content\n".encode())

    async def _packed_site(self, packed: BinaryIO) -> AsyncIterator[bytes]:
        size = packed.seek(0, SEEK_END)
        packed.seek(0)
        yield self._archive.header("site.zip", size)
        while block := await to_thread(packed.read, _CHUNK):
            self._archive.seal.update(block)
            yield block
        yield self._archive.end("site.zip", size)[1]


@asynccontextmanager
async def _snapshot(store: Store) -> AsyncIterator[Store]:
    """The store as of now, or where it cannot do that as it is when it is read."""
    if isinstance(store, Snapshots):
        async with store.snapshot() as snapshot:
            yield snapshot
    else:
        yield store


async def _all(store: Store, collection: str) -> AsyncIterator[bytes]:
    """Every document of a collection, by `_id`; a page has about as many bytes as the last one."""
    after, limit = None, 8
    while True:
        page = await store.find(collection, Query(after=after, limit=limit))
        for document in page:
            yield document
        if len(page) < limit:
            return
        after = orjson.loads(page[-1])["_id"]
        limit = max(1, min(_MOST, 2 * limit, _PAGE * len(page) // sum(map(len, page))))
        await sleep(0)  # what is read on this thread gives others a turn


async def _kept_indexes(store: Indexed) -> list[Document]:
    """What was pinned or forbidden; the others make themselves again."""
    return [
        {"collection": one.collection, "fields": one.fields, "state": one.state}
        for one in await store.indexes()
        if one.state in ("pinned", "forbidden")
    ]


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
        found = _NAMES.fullmatch(entry.name)
        if found is None:
            raise damaged(repr(entry.name), "is no part of a backup that this Backpack knows")
        single = found["single"]
        if (single == "manifest") == bool(self._parts):
            raise damaged(entry.name, "manifest.json must come first, and once")
        if single == "manifest":
            self._open(await self._value(entry))
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
        with _told(entry.name):
            return documents.decode(content)

    def _open(self, manifest: Any) -> None:
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise damaged("manifest.json", "this is no backup of a backpack")
        version, parts = manifest.get("version"), manifest.get("parts")
        if type(version) is not int or not isinstance(parts, list):
            raise damaged("manifest.json", "has no version or no parts")
        if version > VERSION:
            why = f"has version {version}, this Backpack knows {VERSION}: update Backpack"
            raise damaged("manifest.json", why)
        unknown = [part for part in parts if part not in PARTS]
        if unknown:
            why = f"has parts that this Backpack does not know: {unknown!r}; update Backpack"
            raise damaged("manifest.json", why)
        self._parts = ("manifest", *parts)

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
        with _told(entry.name):
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
            with _told(entry.name):
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
                with _told(where):
                    await store(checked)
                number += len(lines)
                await sleep(0)  # stores do not always wait

    def _checked(self, check: Callable[[object], Document], where: str, line: bytes) -> Document:
        with _told(where):
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
        with _told(entry.name):
            restored = files.check_metadata(metadata)
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
                with _told(entry.name):
                    await arrival.write([piece])
                self._counts.bytes += len(piece)
            expected = f"{self._archive.sha256}  content\n".encode()
            await self._following(f"{folder}/sha256")
            if await self._archive.content(_SHORT) != expected:
                raise damaged(entry.name, "is damaged: it has another SHA-256 than was noted")
            with _told(f"{folder}/file.json"):
                await stored.restore(metadata, arrival)

    async def _take_site(self, entry: Entry) -> None:
        """Deploy what is checked as every zip is; without a place for sites it is left out."""
        if self._last.folder == "site":
            raise damaged(entry.name, "is there twice")
        self._last = Place("site", 1)
        if self._site is not None:
            with _told(entry.name):
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
                with _told("indexes.json"):
                    await change(index["collection"], index["fields"])
        if self._rules is not None:
            await self._backpack.set_rules(self._rules)
        if self._key is not None:
            await self._backpack.set_key(self._key)


@dataclass(frozen=True)
class Place:
    """Which of the entries of a folder it is."""

    folder: str
    number: int

    def follows(self, before: Place) -> bool:
        """Whether it may come next: the same folder goes on, or a later one begins."""
        if self.folder == before.folder:
            return self.number == before.number + 1
        same_part = self.folder.partition("/")[0] == before.folder.partition("/")[0]
        return self.number == 1 and (not same_part or self.folder > before.folder)

    def __str__(self) -> str:
        return f"{self.folder}/{self.number:06}" if self.folder else "manifest.json"


@contextmanager
def _told(where: str) -> Iterator[None]:
    """Says of what is refused inside where it stands."""
    try:
        yield
    except BadRequest as exc:
        why = "; ".join(f"{name or 'it'} {why}" for name, why in (exc.fields or {}).items())
        raise damaged(where, f"{exc.message}: {why}" if why else exc.message) from exc


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
