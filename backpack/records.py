"""Collections and records of one backpack: check, change, and have it written.

Every rule is asked here; no request comes this far.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import orjson

from . import documents, rules
from .documents import Document
from .errors import Invalid, NotFound, TooLarge
from .events import DELETE, MERGE, REPLACE, Asker, Channel, channel_of
from .queries import Query, project
from .rules import MEMBER, OWNER, OWNER_FIELD, POST, CollectionRules, Rules
from .settings import Settings
from .stores.base import Store
from .writes import Edit, Writes


@dataclass(frozen=True)
class Page:
    """Encoded records in the order asked for; `total` counts all matches, where that was asked."""

    records: list[bytes]
    total: int | None = None


class Records:
    """What users do with collections and records. `user` is the id of who asks, None for a guest;
    `asker` the connection that they ask by, None for HTTP.

    A write returns after it was announced. `channels_of` tells which channels a user is in.
    `rules` is replaced as a whole when the backpack's rules change.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        rules: Rules,
        writes: Writes,
        channels_of: Callable[[str | None], Awaitable[Container[Channel]]],
    ) -> None:
        self.rules = rules
        self._store = store
        self._settings = settings
        self._writes = writes
        self._channels_of = channels_of
        self._new_id = documents.Ids()

    async def collections(self, user: str | None) -> list[str]:
        """The names of all collections; raises Forbidden."""
        rules.admit(self.rules.collections_list, user, "collections", "list")
        return await self._store.collections()

    def admit_create_collection(self, user: str | None) -> None:
        """Raise Forbidden when `user` may not make collections."""
        rules.admit(self.rules.collections_create, user, "collections", "create")

    async def create_collection(self, name: object) -> str:
        """Make a collection, or find it made; raises Invalid for a bad name or one too many."""
        checked = rules.check_collection_name(name)
        if await self._store.has_collection(checked):
            return checked
        if len(await self._store.collections()) >= self._settings.max_collections:
            most = self._settings.max_collections
            raise Invalid(f"A backpack has at most {most} collections", code="too_many_collections")
        await self._store.create_collection(checked)
        return checked

    async def admit(self, action: str, collection: str, user: str | None) -> None:
        """Raise Forbidden or NotFound when the request fails whatever its body says."""
        access: str = getattr(self.rules.of(collection), action)
        rules.admit(access, user, collection, action)
        if not rules.COLLECTION_NAME.fullmatch(collection):
            raise NotFound("There is no such collection", code="unknown_collection")
        if not await self._store.has_collection(collection):
            raise NotFound(f"There is no collection {collection!r}", code="unknown_collection")

    async def find(self, collection: str, query: Query, user: str | None) -> Page:
        """The records that match and that `user` may see; raises Forbidden, NotFound, TooSlow."""
        await self.admit("list", collection, user)
        visible = rules.visible(self.rules.of(collection), user, query.filter)
        if visible is None:
            return Page([], 0 if query.count else None)
        if visible is not query.filter:
            query = replace(query, filter=visible)
        found = await self._store.find(collection, query)
        if query.fields:
            found = [orjson.dumps(project(orjson.loads(one), query.fields)) for one in found]
        total = await self._store.count(collection, visible) if query.count else None
        return Page(found, total)

    async def get(self, collection: str, record_id: str, user: str | None) -> bytes:
        """One record; raises Forbidden, or NotFound also where the user may not see it."""
        await self.admit("read", collection, user)
        found = await self._store.get(collection, record_id)
        if found is None:
            raise NotFound
        access = self.rules.of(collection).read
        if access == OWNER and not rules.passes(access, user, orjson.loads(found)):
            raise NotFound
        return found

    async def create(
        self, collection: str, data: Any, user: str | None, asker: Asker | None = None
    ) -> bytes:
        """Store one new record, or each of a list: all or none.

        Answers in the shape of `data`, encoded; where the user may not read what was made, with
        its `_id` only. Raises Invalid, TooLarge; `admit` has been called before.
        """
        many = isinstance(data, list)
        if many and len(data) > self._settings.max_batch:
            raise TooLarge(
                f"At most {self._settings.max_batch} documents at once", code="batch_too_large"
            )
        entries = data if many else [data]
        held = self.rules.of(collection)
        at = documents.now()
        check = await self._channel_check(user)
        made = [self._stamped(held, documents.check(entry), user, at) for entry in entries]
        for record in made:
            check(record)
        if many and asker is not None:
            # Each is told of by itself, the answer is the list.
            asker = replace(asker, request=None)
        shown = partial(self._shown, held, user)
        answers = await self._writes.insert(collection, made, asker, shown)
        return b"[" + b",".join(answers) + b"]" if many else answers[0]

    async def fill(self, collection: str, entries: list[Any]) -> list[bytes]:
        """Store new records whatever the rules say, for seeds and imports; answers them encoded."""
        at = documents.now()
        made = [documents.stamp(documents.check(entry), self._new_id(), at) for entry in entries]
        return await self._store.insert(collection, made)

    async def restore(self, collection: str, records: list[Document]) -> None:
        """Store records again, with the stamps they had; raises Conflict, TooLarge."""
        await self._store.insert(collection, records)

    def _stamped(
        self, held: CollectionRules, data: Document, user: str | None, at: str
    ) -> Document:
        rules.check_owner(held, data, user)
        if held.owned and user is not None:
            data = {**data, OWNER_FIELD: user}
        return documents.stamp(data, self._new_id(), at)

    @staticmethod
    def _shown(held: CollectionRules, user: str | None, record: Document, encoded: bytes) -> bytes:
        if rules.passes(held.read, user, record):
            return encoded
        return orjson.dumps({"_id": record["_id"]})

    async def replace(
        self,
        collection: str,
        record_id: str,
        data: Any,
        user: str | None,
        asker: Asker | None = None,
    ) -> bytes:
        """Put `data` in a record's place and answer it encoded; raises NotFound, Forbidden,
        Invalid, TooLarge."""
        new = documents.check(data)
        held = self.rules.of(collection)

        def edit(old: Document) -> Document:
            rules.check_owner(held, new, old.get(OWNER_FIELD))
            replaced = documents.replace(old, new, documents.now())
            if held.owned and OWNER_FIELD in old:
                replaced[OWNER_FIELD] = old[OWNER_FIELD]
            return replaced

        return await self._change(REPLACE, collection, record_id, user, asker, edit)

    async def merge(
        self,
        collection: str,
        record_id: str,
        patch: Any,
        user: str | None,
        asker: Asker | None = None,
    ) -> bytes:
        """Merge `patch` into a record and answer it encoded; raises as `replace` does."""
        checked = documents.check_merge(patch)
        held = self.rules.of(collection)

        def edit(old: Document) -> Document:
            merged = documents.merge(old, checked, documents.now())
            if held.owned and merged.get(OWNER_FIELD) != old.get(OWNER_FIELD):
                raise Invalid(
                    "invalid entry",
                    code="invalid_entry",
                    fields={OWNER_FIELD: "is set by the server"},
                )
            return merged

        return await self._change(MERGE, collection, record_id, user, asker, edit)

    async def delete(
        self, collection: str, record_id: str, user: str | None, asker: Asker | None = None
    ) -> bytes:
        """Delete a record and answer it as it was; raises NotFound, Forbidden."""
        return await self._change(DELETE, collection, record_id, user, asker, lambda old: None)

    async def admit_message(self, message: Document, user: str) -> None:
        """Raise Forbidden when a message is for a channel that `user` may not write into."""
        (await self._channel_check(user))(message)

    async def _channel_check(self, user: str | None) -> Callable[[Document], None]:
        """What raises Forbidden for a record in a channel that `user` may not write into."""
        closed = self.rules.members_only
        if not closed:
            return _allow
        held = await self._channels_of(user)

        def check(record: Document) -> None:
            channel = channel_of(record)
            if channel is not None and channel.kind in closed and channel not in held:
                raise rules.refused(MEMBER, channel.kind, POST)

        return check

    async def _change(
        self,
        action: str,
        collection: str,
        record_id: str,
        user: str | None,
        asker: Asker | None,
        edit: Edit,
    ) -> bytes:
        held = self.rules.of(collection)
        rule = "delete" if action == DELETE else "update"
        access: str = getattr(held, rule)
        check = await self._channel_check(user)

        def guarded(old: Document) -> Document | None:
            # What may not be read is not there: 404 comes before 403.
            if not rules.passes(held.read, user, old):
                raise NotFound
            if not rules.passes(access, user, old):
                raise rules.refused(access, collection, rule)
            check(old)
            new = edit(old)
            if new is not None:
                check(new)
            return new

        return await self._writes.change(action, collection, record_id, guarded, asker)


def _allow(_record: Document) -> None:
    """Every channel may be written into."""
