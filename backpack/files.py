"""Files of users: check, change, store. Each is known by its user and its name.

What a file is called, and which content it has, stands in the backpack's documents (`metadata`);
the content itself is in a file store. Every rule is asked here; no request comes this far.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import orjson

from . import documents, rules
from .arrivals import Arrival
from .documents import Document
from .doubts import Doubts
from .errors import BadRequest, Forbidden
from .filenames import check_bucket, check_filename
from .metadata import Metadata, key_of, metadata_of, unknown
from .quotas import Quotas
from .rules import OWNER, Rules
from .settings import Settings
from .stores.base import Content as Content
from .stores.base import FileStore, Store
from .unbroken import Unbroken

_Result = TypeVar("_Result")

logger = logging.getLogger("backpack")


@dataclass(frozen=True)
class File:
    """A file as it was looked up: its metadata as clients see it, the id of its content, and since
    when it has that (seconds since 1970)."""

    metadata: Document
    content: str
    since: int


class Files:
    """What users do with files. `user` is the id of who asks, None for a guest.

    `rules` is replaced as a whole when the backpack's rules change.
    """

    def __init__(self, store: Store, contents: FileStore, settings: Settings, rules: Rules) -> None:
        self.rules = rules
        self._metadata = Metadata(store)
        self._contents = contents
        self._quotas = Quotas(settings, self._metadata.sizes_of)
        self._doubts = Doubts(contents, self._metadata, self._quotas)
        self._new_id = documents.Ids()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._unbroken = Unbroken(expected=BadRequest)

    async def sweep(self) -> None:
        """Decide on what was left in doubt by a process that died."""
        await self._doubts.sweep()

    async def close(self) -> None:
        """Finish the changes under way."""
        await self._unbroken.close()

    async def list_of(self, owner: str, user: str | None) -> list[Document]:
        """The metadata of all files of `owner`, the oldest first; raises Forbidden."""
        access = self.rules.files_list
        rules.admit(access, user, "files", "list")
        if access == OWNER and owner != user:
            raise rules.refused(access, "files", "list")
        # A file that is being renamed may be there twice.
        found = {one["id"]: metadata_of(one) async for one in self._metadata.of(owner)}
        return [found[file_id] for file_id in sorted(found)]

    async def find(self, owner: str, filename: str, user: str | None) -> File:
        """A file; raises Forbidden, or NotFound also where the user may not read it."""
        access = self.rules.files_read
        rules.admit(access, user, "files", "read")
        if access == OWNER and owner != user:
            raise unknown()
        return await self.look_up(owner, filename)

    async def page(
        self, owner: str, search: str, sort: str, skip: int, limit: int
    ) -> tuple[list[Document], int]:
        """Files whatever the rules say, as `Metadata.page` has it."""
        return await self._metadata.page(owner, search, sort, skip, limit)

    async def count(self) -> int:
        return await self._metadata.count()

    async def look_up(self, owner: str, filename: str) -> File:
        """A file, whatever the rules say; raises NotFound."""
        stored = await self._metadata.get(owner, filename)
        return File(metadata_of(stored), stored["content"], stored["since"])

    async def every(
        self, stored: AsyncIterator[bytes]
    ) -> AsyncGenerator[tuple[Document, Content], None]:
        """The metadata and the content of every file, given their documents as they were lately.

        One that got another content since is as it is now; one that is gone is left out.
        """
        owner, seen = "", set[str]()
        async for encoded in stored:
            document = orjson.loads(encoded)
            if document["userId"] != owner:
                owner, seen = document["userId"], set()
            if document["id"] in seen:  # it is being renamed
                continue
            seen.add(document["id"])
            content = await self._contents.open(document["content"], 0, document["size"])
            if content is None:
                document = await self._metadata.latest(document)
                content = await self._contents.open(document["content"], 0, document["size"])
            if content is None:
                continue
            try:
                yield metadata_of(document), content
            finally:
                await content.close()

    async def open(self, file: File, start: int, length: int) -> Content | None:
        """A part of a file's content; None when the file has another by now.

        Raises NotFound when it is gone.
        """
        content = await self._contents.open(file.content, start, length)
        if content is None:
            owner, filename = file.metadata["userId"], file.metadata["filename"]
            if (await self._metadata.get(owner, filename))["content"] == file.content:
                logger.error("The content %s of the file %r is missing", file.content, filename)
                raise unknown()
        return content

    def admit(self, user: str | None) -> str:
        """`user`, who may have files; raises Forbidden for a guest."""
        if user is None:
            raise Forbidden
        return user

    async def admit_change(self, user: str | None, filename: str) -> str:
        """`user`, who has a file of that name; raises Forbidden, NotFound."""
        owner = self.admit(user)
        await self._metadata.get(owner, filename)
        return owner

    @asynccontextmanager
    async def arriving(self, user: str, replaced: str | None = None) -> AsyncIterator[Arrival]:
        """An upload, which is dropped at the end unless it has become a file.

        `replaced`: the name of the file whose content it shall be. Raises NotFound.
        """
        spare = (await self._metadata.get(user, replaced))["size"] if replaced is not None else 0
        usage = await self._quotas.usage(user)
        arrival = Arrival(user, self._contents, self._quotas, usage, spare)
        try:
            yield arrival
        finally:
            await self._unbroken.do(arrival.drop())

    async def check_free(self, user: str, filename: str) -> None:
        """Raise what `create` will raise for this name, as far as that is known before."""
        await self._metadata.check_free(user, check_filename(filename))

    async def create(self, filename: object, bucket: object, arrival: Arrival) -> Document:
        """The metadata of the new file that `arrival` has become.

        Raises Invalid for a name that none can have, BadRequest when there is no upload or the name
        is taken, TooLarge.
        """
        fields = {"filename": check_filename(filename), "bucket": check_bucket(bucket)}
        return await self._become(arrival, self._create(arrival, fields))

    async def _create(self, arrival: Arrival, fields: Document) -> Document:
        user = arrival.user
        async with self._turn(user):
            described = arrival.described(fields["filename"])
            usage = await self._quotas.usage(user)
            self._quotas.check_number(usage)
            arrival.check(usage, 0)
            at = documents.now()
            stored = {
                "_id": key_of(user, fields["filename"]),
                "id": self._new_id(),
                "userId": user,
                **described,
                "createdAt": at,
                "updatedAt": at,
                "moves": 0,
                **fields,
            }
            async with self._doubts.deciding(user, new=await arrival.finish()):
                await self._metadata.insert(stored)
            arrival.count(0, 1)
        return metadata_of(stored)

    async def restore(self, metadata: Document, arrival: Arrival) -> None:
        """Make a file that was there before of `arrival`, with metadata from `check_metadata`.

        Raises Invalid, BadRequest, TooLarge.
        """
        await self._become(arrival, self._create(arrival, metadata))

    async def replace(self, filename: str, arrival: Arrival) -> None:
        """Give a file the content that `arrival` is; raises NotFound, BadRequest, TooLarge."""
        await self._become(arrival, self._replace(filename, arrival))

    async def _replace(self, filename: str, arrival: Arrival) -> None:
        user = arrival.user
        async with self._turn(user):
            old = await self._metadata.get(user, filename)
            changes = {**arrival.described(old["filename"]), "updatedAt": documents.now()}
            arrival.check(await self._quotas.usage(user), old["size"])
            async with self._doubts.deciding(user, new=await arrival.finish(), old=old["content"]):
                await self._metadata.change(old, lambda now: {**now, **changes})
            arrival.count(old["size"], 0)

    async def update(self, user: str, filename: str, changes: Mapping[str, object]) -> Document:
        """Change a file's `filename` or `bucket`, or both, and answer its metadata.

        Raises NotFound, Invalid, and BadRequest when another file has the name.
        """
        checked: Document = {}
        if "bucket" in changes:
            checked["bucket"] = check_bucket(changes["bucket"])
        if "filename" in changes:
            checked["filename"] = check_filename(changes["filename"])
        return await self._unbroken.do(self._update(user, filename, checked))

    async def _update(self, user: str, filename: str, changes: Document) -> Document:
        async with self._turn(user):
            old = await self._metadata.get(user, filename)
            changes = {**changes, "updatedAt": documents.now()}
            if changes.get("filename", old["filename"]) != old["filename"]:
                return await self._rename(old, changes)
            await self._metadata.change(old, lambda now: {**now, **changes})
            return metadata_of({**old, **changes})

    async def _rename(self, old: Document, changes: Document) -> Document:
        user, content = old["userId"], old["content"]
        new = {**old, **changes, "moves": old["moves"] + 1}
        new["_id"] = key_of(user, new["filename"])
        # In doubt, so that a rename that breaks off between its two writes is noticed.
        async with self._doubts.deciding(user, old=content, moved=True):
            await self._metadata.rename(old, new)
        return metadata_of(new)

    async def delete(self, user: str, filename: str) -> Document:
        """Delete a file and answer its metadata as it was; raises NotFound."""
        return await self._unbroken.do(self._delete(user, filename))

    async def _delete(self, user: str, filename: str) -> Document:
        async with self._turn(user):
            old = await self._metadata.get(user, filename)
            async with self._doubts.deciding(user, old=old["content"]):
                await self._metadata.change(old, lambda now: None)
            self._quotas.add(user, -old["size"], -1)
        return metadata_of(old)

    @asynccontextmanager
    async def _turn(self, user: str) -> AsyncIterator[None]:
        """The changes of one user's files are made one after the other."""
        async with self._turns.setdefault(user, asyncio.Lock()):
            await self._doubts.decide(user)
            yield

    async def _become(self, arrival: Arrival, work: Coroutine[Any, Any, _Result]) -> _Result:
        """Do the `work` that makes a file of an upload."""
        arrival.work = asyncio.ensure_future(work)
        return await self._unbroken.do(arrival.work)
