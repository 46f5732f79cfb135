"""The seams between Backpack and what keeps its data: what every store of documents, and every
store of files, promises.

No store knows a user or a rule.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from ..documents import Document
from ..queries import Filter, Query

# Names of the collections that Backpack keeps for itself; no client can name them.
INTERNAL = "_"


@dataclass(frozen=True)
class Changed:
    """A finished change: the encoded document before it and after; None when it was deleted.

    `revision` rises with every change of the document; 0 where only one process can write, and the
    calls return in the order of the changes.
    """

    before: bytes
    after: bytes | None
    revision: int = field(default=0, compare=False)


@dataclass(frozen=True)
class IndexInfo:
    """An index of a collection, or what is forbidden to be one.

    `fields`: paths as in a sort, `brand,-price`. `state`: automatic, pinned or forbidden.
    `elements`: it holds the elements of arrays. `uses`: queries that it has answered lately, or
    that asked for it.
    """

    collection: str
    fields: str
    state: str
    elements: bool
    uses: int


class Store(Protocol):
    """One backpack's documents.

    Collections are told apart by case. A name that starts with `_` is Backpack's own: such a
    collection is made by its first insert and never listed. Documents come out as encoded JSON
    objects (UTF-8 bytes), `_id` first, in the field order they were stored with.

    Every write is durable when its call returns: it survives the end of the process. Writes are
    atomic one by one. Reads see every write that returned before them.

    Raises Unavailable when the database is out of reach, its kind Unanswered when it went away
    after it was asked to write something; TooSlow when a query passes its deadline,
    NoSpace when the disk is full; an engine's own errors never leave its module.
    """

    async def open(self) -> None:
        """Make ready for use; to be called once, before anything else."""

    async def close(self) -> None:
        """Finish what was begun and let go of files and connections."""

    async def collections(self) -> list[str]:
        """The names of the clients' collections in code point order, empty ones too."""

    async def has_collection(self, name: str) -> bool:
        """Whether a client's collection of that name exists; most requests ask, so it is cheap."""

    async def create_collection(self, name: str) -> bool:
        """Make an empty collection; False when it was there already, or another call won."""

    async def drop_collection(self, name: str) -> bool:
        """Delete a collection with its documents; False when there was none."""

    async def insert(self, collection: str, documents: Sequence[Document]) -> list[bytes]:
        """Store new documents, each with its `_id`: all, or none.

        Raises Conflict when an `_id` is taken, TooLarge when a document is over the limit.
        """

    async def get(self, collection: str, record_id: str) -> bytes | None:
        """The document with that `_id`; None when there is none, or no such collection."""

    async def find(self, collection: str, query: Query) -> list[bytes]:
        """What `query` asks for, in its order; ties, and all without a sort, by `_id`.

        An unknown collection is an empty one. `query.fields` is the caller's business.
        """

    async def count(self, collection: str, filter: Filter) -> int:
        """How many documents match."""

    async def change(
        self, collection: str, record_id: str, edit: Callable[[Document], Document | None]
    ) -> Changed | None:
        """Replace a document by `edit(document)`, or delete it where that is None, atomically.

        An edit that changes nothing writes nothing, and tells of the revision that is there.

        `edit` may be called again when another writer came first, so it must be pure; it must not
        change its argument nor `_id`. What it raises ends the call and nothing is changed. Returns
        None when there is no such document. Raises TooLarge for a new document over the limit.
        """


@runtime_checkable
class Indexed(Protocol):
    """A store that makes its indexes by itself, and lets its owner have a say.

    Raises NotFound for an unknown collection, Invalid for fields that cannot be indexed.
    """

    async def indexes(self, collection: str | None = None) -> list[IndexInfo]:
        """What clients' collections, or one of them, have, in the order in which it was made."""

    async def pin_index(self, collection: str, fields: str) -> None:
        """Have an index and keep it; raises Invalid where there are too many."""

    async def forbid_index(self, collection: str, path: str) -> None:
        """Drop the indexes with `path`, and make none."""

    async def release_index(self, collection: str, fields: str) -> None:
        """End a pin, which leaves the index, or a prohibition; raises NotFound for neither."""


@runtime_checkable
class Snapshots(Protocol):
    """A store that can be read as it was at one moment."""

    def snapshot(self) -> AbstractAsyncContextManager[Store]:
        """The store as it is now, for reads only, whatever is written meanwhile.

        It costs the time and the place of a copy; writes go on. Raises NoSpace, Unavailable.
        """


class Incoming(Protocol):
    """New content that is being written, in doubt until `FileStore.settle`."""

    async def write(self, data: Sequence[bytes | memoryview]) -> None:
        """Append; raises NoSpace, Unavailable."""

    async def finish(self) -> None:
        """Nothing more comes: it can be read from now on."""

    async def close(self) -> None:
        """To be called when it is decided whether it is kept, and no sooner: until then no process
        takes it for left over."""


class Content(Protocol):
    """A part of a file's content; it can be read to its end whatever happens to the file."""

    def blocks(self) -> AsyncIterator[bytes]:
        """The bytes, in blocks of a bounded size; raises Unavailable when they cannot be had."""

    async def close(self) -> None:
        """To be called after the last block, or when no more are wanted."""


class FileStore(Protocol):
    """The content of one backpack's files, under ids that are used once.

    Whose file has which content the documents say. The two cannot be changed at once, so content is
    *in doubt* before the documents name it and before they name it no longer. What is in doubt when
    a process dies is found by `doubtful`, and the documents decide. Both can be read.

    Nothing here blocks the event loop. Content survives the end of the process.
    """

    def create(self, content_id: str) -> Incoming:
        """New content, in doubt; nothing is there before its first `write` or its `finish`."""

    async def open(self, content_id: str, start: int, length: int) -> Content | None:
        """A part of the content, None when it is not there; raises Unavailable."""

    async def doubt(self, content_id: str) -> None:
        """It may soon be gone. Until it is settled or left, no other process decides on it."""

    def leave(self, content_ids: Sequence[str]) -> None:
        """Have what is in doubt stay so, whoever may decide on it."""

    async def settle(self, kept: Sequence[str] = (), gone: Sequence[str] = ()) -> None:
        """End the doubt: some is kept, other is deleted; what is not there does not matter."""

    async def doubtful(self) -> list[str]:
        """What is in doubt, but not what a process, this one too, is writing, nor what another one
        has not left."""
