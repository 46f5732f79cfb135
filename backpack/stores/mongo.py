"""The store on MongoDB, by Motor, and on mongomock. Nobody else imports motor or pymongo.

A document is kept flat, as clients see it, with its `_id` as the plain string and one hidden field
at its end: `documents.REVISION`, which each write raises. There are no transactions, as a
standalone server has none.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self, cast
from weakref import WeakValueDictionary

import orjson

from .. import documents
from ..documents import REVISION, Document
from ..errors import (
    BackpackError,
    Conflict,
    Invalid,
    NoSpace,
    Refused,
    TooLarge,
    TooSlow,
    Unanswered,
    Unavailable,
)
from ..queries import Filter, Query, order
from .base import INTERNAL, Changed

try:
    from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection
    from pymongo.errors import (
        BulkWriteError,
        CollectionInvalid,
        ConnectionFailure,
        DocumentTooLarge,
        DuplicateKeyError,
        ExecutionTimeout,
        OperationFailure,
        PyMongoError,
        ServerSelectionTimeoutError,
        WaitQueueTimeoutError,
    )
except ImportError as exc:
    raise ImportError("MongoDB needs Motor: pip install 'backpack-baas[mongo]'") from exc

# Seconds that a collection may still seem to be there after another process dropped it, where word
# of that is lost.
_MEMORY = 5.0
# Seconds that a call may take beyond the deadline that the server keeps itself.
_ALLOWANCE = 1.0
# Seconds between two looks for a server that is away.
_PAUSE = 0.2

_AWAY = "The database is not available, try again"

# What is raised before the server is asked.
_UNASKED = (ServerSelectionTimeoutError, WaitQueueTimeoutError)

# src/mongo/base/error_codes.yml of MongoDB's server; the last one is in src/mongo/db/matcher.
_BAD_VALUE, _NAMESPACE_EXISTS, _EXCEEDED_TIME_LIMIT = 2, 48, 262
_UNAUTHORIZED, _AUTHENTICATION_FAILED = 13, 18
_ATLAS = 8000  # what MongoDB Atlas says in place of 18
_DUPLICATE_KEY, _OBJECT_TOO_LARGE, _OUT_OF_DISK_SPACE, _BAD_REGEX = 11000, 10334, 14031, 51091


class MongoStore:
    """A database of a MongoDB server. The client is the store's own: `close` closes it.

    `max_document`: bytes of a document as JSON. `deadline`: seconds that a query may take on the
    server, and a change may take to win against other writers.
    """

    def __init__(
        self,
        client: AsyncIOMotorClient[Document],
        database: str,
        *,
        max_document: int = 1_048_576,
        deadline: float = 5.0,
    ) -> None:
        self._client = client
        self._database = client[database]
        self._max_document = max_document
        self._deadline = deadline
        self._lookout: asyncio.Task[None] | None = None
        self._known: dict[str, float] = {}
        self._turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    @classmethod
    def from_url(
        cls,
        url: str,
        database: str,
        *,
        max_document: int = 1_048_576,
        deadline: float = 5.0,
        server_timeout: float = 3.0,
    ) -> Self:
        """The store at a `mongodb://` URL, which says how to authenticate; nothing is opened yet.

        `server_timeout`: seconds to look for a server before a call fails with Unavailable.
        Raises Invalid when the URL cannot be read.
        """
        milliseconds = int(server_timeout * 1000)
        try:
            client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(
                url,
                w="majority",
                journal=True,
                readPreference="primary",
                serverSelectionTimeoutMS=milliseconds,
                connectTimeoutMS=milliseconds,
                waitQueueTimeoutMS=milliseconds,
                # The server ends a query at its deadline; this is for a server that went silent.
                socketTimeoutMS=int(deadline * 1000) + milliseconds,
            )
        except (PyMongoError, ValueError) as exc:
            raise Invalid(f"Not a URL of a MongoDB server: {exc}", code="bad_url") from exc
        return cls(client, database, max_document=max_document, deadline=deadline)

    async def open(self) -> None:
        async with self._asking():
            await self._database.command("ping")

    async def close(self) -> None:
        if self._lookout is not None:
            self._lookout.cancel()
            await asyncio.wait([self._lookout])
        self._client.close()

    async def drop(self) -> None:
        """Delete the whole database."""
        async with self._asking():
            await self._client.drop_database(self._database.name)

    async def collections(self) -> list[str]:
        async with self._asking():
            names = await self._database.list_collection_names()
        return sorted(name for name in names if not name.startswith((INTERNAL, "system.")))

    async def has_collection(self, name: str) -> bool:
        if name.startswith(INTERNAL):
            return False
        if time.monotonic() < self._known.get(name, 0):
            return True
        async with self._asking():
            exists = await self._has(name)
        if exists:
            self._known[name] = time.monotonic() + _MEMORY
        return exists

    async def _has(self, name: str) -> bool:
        return bool(await self._database.list_collection_names(filter={"name": name}))

    async def create_collection(self, name: str) -> bool:
        async with self._asking():
            try:
                await self._database.create_collection(name)
            except CollectionInvalid:
                return False
            except OperationFailure as exc:
                if exc.code == _NAMESPACE_EXISTS:
                    return False
                raise
        return True

    def forget(self, name: str) -> None:
        """Another process has dropped a collection."""
        self._known.pop(name, None)

    async def drop_collection(self, name: str) -> bool:
        self.forget(name)
        async with self._asking():
            existed = await self._has(name)
            if existed:
                await self._database.drop_collection(name)
        return existed

    async def insert(self, collection: str, documents: Sequence[Document]) -> list[bytes]:
        entries = [_id_first(document) for document in documents]
        encoded = [self._encode(entry) for entry in entries]
        # The time, so that a document that comes again under its old _id has a greater revision.
        revision = time.time_ns() // 1000
        for entry in entries:
            entry[REVISION] = revision
        if entries:
            async with self._asking(writes=True):
                await self._insert_all(self._database[collection], entries, revision)
        return encoded

    @staticmethod
    async def _insert_all(
        kept: AsyncIOMotorCollection[Document], entries: list[Document], revision: int
    ) -> None:
        if len(entries) == 1:
            await kept.insert_one(entries[0])
            return
        try:
            await kept.insert_many(entries)
        except PyMongoError:
            ids = [entry["_id"] for entry in entries]
            await kept.delete_many({"_id": {"$in": ids}, REVISION: revision})
            raise

    async def get(self, collection: str, record_id: str) -> bytes | None:
        async with self._asking():
            found = await self._database[collection].find_one({"_id": record_id})
        return None if found is None else _bare(found)

    async def find(self, collection: str, query: Query) -> list[bytes]:
        wanted = query.filter.source
        if query.after is not None:
            wanted = {"$and": [{"_id": {"$gt": query.after}}, wanted]}
        keys = list(query.sort)
        if all(path != "_id" for path, _ in keys):
            keys.append(("_id", 1))
        async with self._asking():
            cursor = self._database[collection].find(
                wanted,
                sort=keys,
                skip=query.skip,
                limit=query.limit or 0,
                max_time_ms=self._max_time,
                allow_disk_use=True,
            )
            return [_bare(found) async for found in cursor]

    async def count(self, collection: str, filter: Filter) -> int:
        async with self._asking():
            return await self._database[collection].count_documents(
                filter.source, maxTimeMS=self._max_time
            )

    async def change(
        self, collection: str, record_id: str, edit: Callable[[Document], Document | None]
    ) -> Changed | None:
        # Writers of one process take turns: each who lost would have to read and write once more.
        turn = self._turns.setdefault((collection, record_id), asyncio.Lock())
        ends = time.monotonic() + self._deadline
        async with turn:
            while True:
                async with self._asking():
                    found = await self._database[collection].find_one({"_id": record_id})
                if found is None:
                    return None
                revision = found[REVISION]
                before = _bare(found)
                new = edit(orjson.loads(before))
                after = None if new is None else self._encode(_id_first(new))
                if after == before:
                    return Changed(before, after, revision)
                if await self._swap(collection, record_id, revision, new):
                    return Changed(before, after, revision + 1)
                if time.monotonic() > ends:
                    raise Unavailable("Too many others are changing this document, try again")

    async def _swap(
        self, collection: str, record_id: str, revision: int, new: Document | None
    ) -> bool:
        """Put `new` in place of the document with that revision; False when that is gone."""
        kept = self._database[collection]
        old = {"_id": record_id, REVISION: revision}
        async with self._asking(writes=True):
            if new is None:
                return (await kept.delete_one(old)).deleted_count == 1
            replaced = await kept.replace_one(old, {**_id_first(new), REVISION: revision + 1})
            return replaced.matched_count == 1

    def _encode(self, document: Document) -> bytes:
        return documents.encode(document, self._max_document)

    @property
    def _max_time(self) -> int:
        return max(1, int(self._deadline * 1000))

    @asynccontextmanager
    async def _asking(self, *, writes: bool = False) -> AsyncIterator[None]:
        """Around what is asked of the server: an answer in time, and its errors as ours.

        Raises Unanswered in place of Unavailable when it `writes` and may have done so.

        While the server is away everything fails at once; a task of the store's looks out for it.
        """
        if self._lookout is not None:
            raise Unavailable(_AWAY)
        try:
            async with asyncio.timeout(self._deadline + _ALLOWANCE):
                yield
        except TimeoutError as exc:
            self._look_out()
            raise (Unanswered if writes else Unavailable)(_AWAY) from exc
        except PyMongoError as exc:
            # An exhausted pool says that much is asked, not that nobody answers.
            if isinstance(exc, ConnectionFailure) and not isinstance(exc, WaitQueueTimeoutError):
                self._look_out()
            failure = _own_error(exc)
            if writes and type(failure) is Unavailable and not isinstance(exc, _UNASKED):
                failure = Unanswered(_AWAY)
            raise failure from exc

    def _look_out(self) -> None:
        if self._lookout is None:
            self._lookout = asyncio.create_task(self._wait_for_server(), name="lookout")

    async def _wait_for_server(self) -> None:
        answered = False
        while not answered:
            try:
                # It looks for a server as long as every call does.
                async with asyncio.timeout(self._deadline + _ALLOWANCE):
                    await self._database.command("ping")
                answered = True
            except (PyMongoError, TimeoutError):
                await asyncio.sleep(_PAUSE)
        self._lookout = None


class FakeMongoStore(MongoStore):
    """The same on mongomock, in memory, without a deadline; for tests: a call costs O(documents).

    mongomock's filters and sorts differ from MongoDB's, so queries are answered by our own matcher.
    """

    @classmethod
    def fresh(cls, *, max_document: int = 1_048_576, deadline: float = 5.0) -> Self:
        """An empty store that shares nothing with any other."""
        from mongomock_motor import AsyncMongoMockClient

        client = cast("AsyncIOMotorClient[Document]", AsyncMongoMockClient())
        return cls(client, "backpack", max_document=max_document, deadline=deadline)

    async def find(self, collection: str, query: Query) -> list[bytes]:
        found = await self._matching(collection, query.filter)
        if query.after is not None:
            found = [document for document in found if document["_id"] > query.after]
        end = None if query.limit is None else query.skip + query.limit
        return [orjson.dumps(document) for document in order(found, query.sort)[query.skip : end]]

    async def count(self, collection: str, filter: Filter) -> int:
        return len(await self._matching(collection, filter))

    async def _matching(self, collection: str, filter: Filter) -> list[Document]:
        kept = [document async for document in self._database[collection].find()]
        for document in kept:
            del document[REVISION]
        return [document for document in kept if filter.matches(document)]

    async def _has(self, name: str) -> bool:
        # Asked for one name, mongomock lists collections that were only ever looked at.
        return name in await self._database.list_collection_names()


def _id_first(document: Document) -> Document:
    return {"_id": document["_id"], **document}


def _bare(found: Document) -> bytes:
    """A document as it comes from the server, encoded without its revision."""
    del found[REVISION]
    return orjson.dumps(found)


def _own_error(exc: PyMongoError) -> BackpackError:
    codes = _codes(exc)
    if isinstance(exc, DuplicateKeyError) or _DUPLICATE_KEY in codes:
        return Conflict("A document with this _id exists already")
    if isinstance(exc, ExecutionTimeout) or _EXCEEDED_TIME_LIMIT in codes:
        return TooSlow()
    if isinstance(exc, DocumentTooLarge) or _OBJECT_TOO_LARGE in codes:
        return TooLarge("The document is too large for the database", code="document_too_large")
    if _OUT_OF_DISK_SPACE in codes:
        return NoSpace()
    if codes & {_BAD_VALUE, _BAD_REGEX}:
        # Such as a sort by two fields that are both arrays in one document.
        return Invalid("The database refuses this", code="refused")
    if codes & {_UNAUTHORIZED, _AUTHENTICATION_FAILED, _ATLAS}:
        return Refused()
    return Unavailable(_AWAY)


def _codes(exc: PyMongoError) -> set[Any]:
    if isinstance(exc, BulkWriteError):
        return {error["code"] for error in exc.details["writeErrors"]}
    return {exc.code} if isinstance(exc, OperationFailure) else set()
