"""Writing a backup: what a backpack holds goes out as the entries of an archive."""

from __future__ import annotations

import time
from asyncio import sleep, to_thread
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict
from os import SEEK_END
from typing import Any

import orjson

from . import backpacks, backup, users
from .backpacks import Backpack
from .backup import Counts
from .metadata import COLLECTION as FILES
from .queries import Query
from .sites import Site
from .stores.base import Indexed, Snapshots, Store
from .tarball import Writer

_CHUNK = 1_048_576  # bytes of records in an entry, but at least one record
_PAGE = 262_144  # bytes that are to come with one look into the store
_MOST = 1_000  # records that may

Pieces = AsyncGenerator[bytes, None]


def export(
    backpack: Backpack, site: Site | None, counts: Counts, parts: Collection[str] = backup.DATA
) -> Pieces:
    """The archive of these `parts` of a backpack, in pieces; it is as of one moment where its store
    can do that.

    Raises Unavailable, NoSpace.
    """
    return _Export(backpack, site, counts, parts).pieces()


class _Export:
    def __init__(
        self, backpack: Backpack, site: Site | None, counts: Counts, parts: Collection[str]
    ) -> None:
        self._backpack = backpack
        self._site = site
        self._counts = counts
        self._parts = parts
        self._archive = Writer(int(time.time()))

    async def pieces(self) -> Pieces:
        async with _snapshot(self._backpack.store) as store, aclosing(self._of(store)) as pieces:
            async for piece in pieces:
                yield piece

    async def _of(self, store: Store) -> Pieces:
        yield self._json("manifest.json", backup.manifest(self._backpack.name, self._parts))
        writers = {
            "rules": self._rules,
            "key": self._key,
            "indexes": self._kept_indexes,
            "users": self._users,
            "collections": self._collections,
            "files": self._files,
            "site": self._packed_site,
        }
        for part in backup.PARTS:
            if part in self._parts:
                async with aclosing(writers[part](store)) as pieces:
                    async for piece in pieces:
                        yield piece
        seal = self._archive.seal.digest
        yield self._json("end.json", {**asdict(self._counts), "seal": seal})
        yield self._archive.close()

    async def _rules(self, store: Store) -> Pieces:
        config = await backpacks.stored_config(store, self._backpack.name)
        yield self._json("rules.json", dict(config.rules.raw))

    async def _key(self, store: Store) -> Pieces:
        config = await backpacks.stored_config(store, self._backpack.name)
        yield self._json("key.json", {"apiKey": config.api_key})

    async def _kept_indexes(self, store: Store) -> Pieces:
        """What was pinned or forbidden; the others make themselves again."""
        if isinstance(store, Indexed):
            kept = [
                {"collection": one.collection, "fields": one.fields, "state": one.state}
                for one in await store.indexes()
                if one.state in ("pinned", "forbidden")
            ]
            yield self._json("indexes.json", kept)

    async def _users(self, store: Store) -> Pieces:
        async for piece in self._lines(store, users.COLLECTION, "users"):
            yield piece

    async def _collections(self, store: Store) -> Pieces:
        for name in await store.collections():
            self._counts.collections += 1
            async for piece in self._lines(store, name, f"collections/{name}"):
                yield piece

    def _json(self, name: str, value: Any) -> bytes:
        return self._archive.entry(name, orjson.dumps(value, option=orjson.OPT_INDENT_2) + b"\n")

    async def _lines(self, store: Store, collection: str, folder: str) -> Pieces:
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

    async def _files(self, store: Store) -> Pieces:
        every = self._backpack.files.every(_all(store, FILES))
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

    async def _packed_site(self, store: Store) -> Pieces:
        packed = await self._site.packed() if self._site else None
        if packed is None:
            return
        with packed:
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


async def _all(store: Store, collection: str) -> Pieces:
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
