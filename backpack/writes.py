"""Writes of records: stored, then announced, to the end also when the client goes away meanwhile.

What may be written is decided before.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from .documents import Document
from .errors import BackpackError, NotFound, Unanswered
from .events import CREATE, Asker, Change
from .stores.base import Store
from .unbroken import Unbroken

Edit = Callable[[Document], Document | None]


class Announcer(Protocol):
    """Tells the connected about finished writes."""

    def check(self) -> None:
        """Raise Unavailable when nobody could be told of a write."""

    async def announce(self, changes: Sequence[Change]) -> None:
        """Tell who may see it, in this order; raises Unavailable."""

    def doubt(self, until: Callable[[], Awaitable[object]]) -> None:
        """A write may be stored that nobody will announce, which is known when `until` does not
        raise Unavailable."""


class Writes:
    """The writes of one backpack's records. Each returns when it has been announced.

    Raises Unavailable before anything is changed when it is known that nobody could be told.
    """

    def __init__(self, store: Store, announcer: Announcer) -> None:
        self._store = store
        self._announcer = announcer
        self.done = 0  # records that were written by this process, since it began
        self._unbroken = Unbroken(expected=BackpackError)

    async def close(self) -> None:
        """Wait for writes whose clients have gone."""
        await self._unbroken.close()

    async def insert(
        self,
        collection: str,
        made: Sequence[Document],
        asker: Asker | None = None,
        shown: Callable[[Document, bytes], bytes] | None = None,
    ) -> list[bytes]:
        """Store new records, all or none, and answer what of each is `shown`; without, all of it.

        Raises Conflict, TooLarge.
        """
        self._announcer.check()
        return await self._unbroken.do(self._insert(collection, made, asker, shown))

    async def _insert(
        self,
        collection: str,
        made: Sequence[Document],
        asker: Asker | None,
        shown: Callable[[Document, bytes], bytes] | None,
    ) -> list[bytes]:
        with self._doubting(collection):
            stored = await self._store.insert(collection, made)
        self.done += len(stored)
        answers = stored
        if shown is not None:
            answers = [shown(*pair) for pair in zip(made, stored, strict=True)]
        await self._announcer.announce(
            [
                Change(CREATE, collection, record, asker, answer)
                for record, answer in zip(stored, answers, strict=True)
            ]
        )
        return answers

    async def change(
        self,
        action: str,
        collection: str,
        record_id: str,
        edit: Edit,
        asker: Asker | None = None,
    ) -> bytes:
        """Have `edit` change a record, or delete it, as `Store.change` does; the record as it is
        then, or was. Raises NotFound, and what `edit` raises."""
        self._announcer.check()
        return await self._unbroken.do(self._change(action, collection, record_id, edit, asker))

    async def _change(
        self, action: str, collection: str, record_id: str, edit: Edit, asker: Asker | None
    ) -> bytes:
        with self._doubting(collection):
            changed = await self._store.change(collection, record_id, edit)
        if changed is None:
            raise NotFound
        self.done += 1
        record = changed.before if changed.after is None else changed.after
        await self._announcer.announce(
            [Change(action, collection, record, asker, revision=changed.revision)]
        )
        return record

    @contextmanager
    def _doubting(self, collection: str) -> Iterator[None]:
        """Around a write of a store that may go away before it can say that it has written."""
        try:
            yield
        except Unanswered:
            self._announcer.doubt(lambda: self._store.get(collection, ""))
            raise
