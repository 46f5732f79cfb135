"""What is known of files of users: the documents in which their metadata stands.

These have `USER/FILENAME` as their `_id`. They are the metadata, whose own `_id` is in `id`, and:
`content`, its id in the file store; `since`, when the file got it, in seconds since 1970; `moves`,
how often the file was renamed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import orjson

from . import documents
from .documents import Document
from .errors import BadRequest, Conflict, Invalid, NotFound
from .filenames import check_bucket, check_filename, compose, is_type
from .queries import EVERYTHING, Query, both, equals, parse_filter
from .stores.base import Store

COLLECTION = "_files"
_METADATA = ("userId", "filename", "bucket", "size", "type", "createdAt", "updatedAt")

_PAGE = 200  # documents

_SORTED = {
    "_id": "id",
    **{name: name for name in ("filename", "bucket", "size", "type", "createdAt", "updatedAt")},
}
SORTS: Mapping[str, tuple[tuple[str, int], ...]] = {
    f"{sign}{name}": ((path, way),)
    for name, path in _SORTED.items()
    for sign, way in (("", 1), ("-", -1))
}


class Metadata:
    """The documents of all files of a backpack."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, user: str, filename: str) -> Document:
        """The document of a file; raises NotFound."""
        key = key_of(user, compose(filename))
        stored = await self._store.get(COLLECTION, key)
        if stored is None:
            raise unknown()
        found: Document = orjson.loads(stored)
        return found

    async def latest(self, stored: Document) -> Document:
        """A document as it is now, or when it is gone as it was."""
        now = await self._store.get(COLLECTION, stored["_id"])
        return orjson.loads(now) if now else stored

    async def of(self, owner: str) -> AsyncIterator[Document]:
        """The documents of a user's files, which follow each other in the order of `_id`."""
        first = after = key_of(owner, "")
        while True:
            page = await self._store.find(COLLECTION, Query(after=after, limit=_PAGE))
            for encoded in page:
                stored = orjson.loads(encoded)
                after = stored["_id"]
                if not after.startswith(first):
                    return
                yield stored
            if len(page) < _PAGE:
                return

    async def page(
        self, owner: str, search: str, sort: str, skip: int, limit: int
    ) -> tuple[list[Document], int]:
        """The metadata of files, of all users or of `owner`, with `search` in their names, and how
        many there are. `sort`: one of `SORTS`."""
        wanted = equals("userId", owner) if owner else EVERYTHING
        if search:
            part = {"$regex": re.escape(compose(search)), "$options": "i"}
            wanted = both(wanted, parse_filter({"filename": part}))
        query = Query(wanted, SORTS[sort], skip, limit)
        found = await self._store.find(COLLECTION, query)
        total = await self._store.count(COLLECTION, wanted)
        return [metadata_of(orjson.loads(one)) for one in found], total

    async def count(self) -> int:
        return await self._store.count(COLLECTION, EVERYTHING)

    async def sizes_of(self, owner: str) -> AsyncIterator[int]:
        """The size of each file of a user, in bytes."""
        async for stored in self.of(owner):
            yield stored["size"]

    async def holders(self, contents: Sequence[str]) -> Mapping[str, list[Document]]:
        """The documents that name these contents, by content; a rename that broke off left two."""
        wanted = parse_filter({"content": {"$in": list(contents)}})
        found: defaultdict[str, list[Document]] = defaultdict(list)
        for encoded in await self._store.find(COLLECTION, Query(wanted)):
            stored = orjson.loads(encoded)
            found[stored["content"]].append(stored)
        return found

    async def check_free(self, user: str, filename: str) -> None:
        """Raise BadRequest when the user has a file of that name."""
        if await self._store.get(COLLECTION, key_of(user, filename)) is not None:
            raise _taken()

    async def insert(self, stored: Document) -> None:
        """Store the document of a new file; raises BadRequest when its name is taken."""
        try:
            await self._store.insert(COLLECTION, [stored])
        except Conflict as exc:
            raise _taken() from exc

    async def rename(self, old: Document, new: Document) -> None:
        """Put `new`, which has another key, in the place of `old`, in two writes.

        Raises BadRequest when the name is taken, NotFound when `old` is no more.
        """
        await self.insert(new)
        try:
            await self.change(old, lambda now: None)
        except BadRequest:
            await self._store.change(COLLECTION, new["_id"], lambda now: None)
            raise

    async def change(self, old: Document, edit: Callable[[Document], Document | None]) -> None:
        """Change a file that is as it was looked up; another process may have been faster."""

        def checked(now: Document) -> Document | None:
            if now["content"] != old["content"] or now["id"] != old["id"]:
                raise unknown()
            return edit(now)

        if await self._store.change(COLLECTION, old["_id"], checked) is None:
            raise unknown()


def key_of(user: str, filename: str) -> str:
    return f"{user}/{filename}"


def metadata_of(stored: Document) -> Document:
    """The metadata in a document, as clients see it."""
    return {"_id": stored["id"], **{name: stored[name] for name in _METADATA}}


def check_metadata(data: object) -> Document:
    """`data`, the metadata of a file that was there before, as `Files.restore` takes it; raises
    Invalid."""
    metadata = data if isinstance(data, dict) else {}
    checks: dict[str, Callable[[Any], bool]] = {
        "_id": documents.is_id,
        "userId": documents.is_id,
        "filename": lambda name: check_filename(name) == name,
        "bucket": lambda name: check_bucket(name) == name,
        "size": lambda size: type(size) is int and size >= 0,
        "type": is_type,
        "createdAt": documents.is_time,
        "updatedAt": documents.is_time,
    }
    wrong = {name: "is missing or wrong" for name in checks if not checks[name](metadata.get(name))}
    wrong |= {name: "is unknown" for name in metadata if name not in checks}
    if wrong:
        raise Invalid("Not a file", code="invalid_file", fields=wrong)
    return {"id": metadata["_id"], **{name: metadata[name] for name in _METADATA}}


def unknown() -> NotFound:
    return NotFound("file does not exist", code="unknown_file")


def _taken() -> BadRequest:
    return BadRequest("file already exists", code="file_exists")
