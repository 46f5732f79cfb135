"""Which channels a user is in: entries in the user's own record of a collection that the app names.

Channels themselves, and who is told, are the matter of `channels`.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from . import documents, rules
from .documents import Document
from .errors import Conflict, Invalid, NotFound, Unavailable
from .events import Channel, State
from .queries import Query, equals
from .records import Records
from .rules import OWNER_FIELD
from .stores.base import Store

CHANNELS, CURRENT = "channels", "currentChannel"

_KNOWN = "_members"  # by user: the collections with a record of theirs
_MAX_KNOWN = 16
_REMEMBERED = 10_000  # records whose _id is known
_TRIES = 5

Edit = Callable[[list[Channel], Channel | None], tuple[list[Channel], Channel | None]]


@dataclass(frozen=True, slots=True)
class Membership:
    """A user's record, also encoded, and which of its states it is."""

    record: Document
    encoded: bytes
    state: State

    @property
    def channels(self) -> list[Channel]:
        return channels_in(self.record)


class Memberships:
    """The memberships of all users of a backpack.

    `info` is the name of the collection that the app keeps them in: a user's record there is the
    one whose `userId` is the user's, and made when it is missing. Everything is done in the name
    of `user`, by the rules `read` and `update` of that collection, each by one atomic write.
    """

    def __init__(self, store: Store, records: Records) -> None:
        self._store = store
        self._records = records
        self._new_id = documents.Ids()
        self._ids: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._noted: set[tuple[str, str]] = set()
        self._numbers = itertools.count(1)

    async def record(self, info: str, user: str) -> Membership:
        """The user's record; raises Forbidden, Invalid for a bad name."""
        await self._admit(info, user)
        return await self._change(info, user, lambda old: self._checked(info, user, old))

    async def edit(self, info: str, user: str, edit: Edit) -> Membership:
        """Change a user's channels and the current one; the record as it is then."""
        await self._admit(info, user)
        await self._note(info, user)

        def change(old: Document) -> Document:
            self._checked(info, user, old)
            return _with(old, *edit(channels_in(old), current_in(old)))

        return await self._change(info, user, change)

    async def _change(
        self, info: str, user: str, change: Callable[[Document], Document]
    ) -> Membership:
        for _ in range(_TRIES):
            record_id = await self._record_id(info, user)
            if (membership := await self._try(info, user, record_id, change)) is not None:
                return membership
            self._ids.pop((info, user), None)
        raise _contended()

    async def _try(
        self, info: str, user: str, record_id: str, change: Callable[[Document], Document]
    ) -> Membership | None:
        """The record after a change, or as it is found; None when it is not the user's."""
        number = 0

        def numbered(old: Document) -> Document:
            nonlocal number
            if old.get(OWNER_FIELD) != user:
                raise _Moved
            number = next(self._numbers)
            return change(old)

        # Also to read it: only writes of a record have an order that all processes agree on.
        try:
            changed = await self._store.change(info, record_id, numbered)
        except _Moved:
            return None
        if changed is None or changed.after is None:
            return None
        # Where there are no revisions, all writers are in this process, and take turns.
        state = State(f"{info}/{record_id}", changed.revision or number)
        return Membership(orjson.loads(changed.after), changed.after, state)

    async def remove_everywhere(self, info: str, channel: Channel) -> list[tuple[str, bytes]]:
        """Take a channel that is gone from everybody; each user who had it, and their record."""
        holding = equals(f"{CHANNELS}.channelId", channel.id)
        edit = partial(without, channel=channel)
        changed = []
        for found in await self._store.find(info, Query(holding)):
            holder = orjson.loads(found)
            written = await self._store.change(info, holder["_id"], edit)
            if written is not None and written.after not in (None, written.before):
                changed.append((holder.get(OWNER_FIELD), written.after))
        return [(user, record) for user, record in changed if isinstance(user, str)]

    async def forget(self, info: str, user: str, gone: Iterable[Channel]) -> None:
        """Take channels that are gone from a user."""
        for channel in gone:
            await self.edit(info, user, partial(lose, channel=channel))

    async def of(self, user: str | None) -> frozenset[Channel]:
        """All channels that a user is in, whichever collections say so."""
        found: set[Channel] = set()
        for record in (await self._records_of(user)).values() if user else ():
            found.update(channels_in(record))
        return frozenset(found)

    async def states_of(self, user: str) -> dict[Channel, State]:
        """The same, each with a state of the record that says so."""
        found: dict[Channel, State] = {}
        for info, record in (await self._records_of(user)).items():
            held = await self._try(info, user, record["_id"], lambda old: old)
            if held is not None:
                found.update(dict.fromkeys(held.channels, held.state))
        return found

    async def _records_of(self, user: str) -> dict[str, Document]:
        """The records of a user that are there, by collection."""
        known = await self._store.get(_KNOWN, user)
        found: dict[str, Document] = {}
        for info in orjson.loads(known)["collections"] if known else ():
            record_id = self._ids.get((info, user), user)
            encoded = await self._store.get(info, record_id)
            if encoded is None:
                encoded = await self._search(info, user)
            record = orjson.loads(encoded) if encoded else {}
            if record.get(OWNER_FIELD) == user:
                found[info] = record
        return found

    async def _admit(self, info: str, user: str) -> None:
        held = self._records.rules.of(rules.check_collection_name(info))
        rules.admit(held.read, user, info, "read")
        rules.admit(held.update, user, info, "update")
        if not await self._store.has_collection(info):
            self._records.admit_create_collection(user)
            await self._records.create_collection(info)

    def _checked(self, info: str, user: str, record: Document) -> Document:
        held = self._records.rules.of(info)
        if not rules.passes(held.read, user, record):
            raise NotFound
        if not rules.passes(held.update, user, record):
            raise rules.refused(held.update, info, "update")
        return record

    async def _record_id(self, info: str, user: str) -> str:
        known = self._ids.get((info, user))
        if known is not None:
            return known
        found = await self._store.get(info, user)
        if found is None or orjson.loads(found).get(OWNER_FIELD) != user:
            found = await self._search(info, user) or await self._make(info, user)
        record_id: str = orjson.loads(found)["_id"]
        self._ids[(info, user)] = record_id
        if len(self._ids) > _REMEMBERED:
            self._ids.popitem(last=False)
        return record_id

    async def _search(self, info: str, user: str) -> bytes | None:
        """The record that the app has made for a user."""
        found = await self._store.find(info, Query(equals(OWNER_FIELD, user), limit=2))
        # A list with the user in it matches too.
        return next((one for one in found if orjson.loads(one)[OWNER_FIELD] == user), None)

    async def _make(self, info: str, user: str) -> bytes:
        record = documents.stamp(_with({OWNER_FIELD: user}, [], None), user, documents.now())
        try:
            # Under the user's own id: of several at the same time only one can be made.
            return (await self._store.insert(info, [record]))[0]
        except Conflict:
            found = await self._store.get(info, user)
        if found is not None and orjson.loads(found).get(OWNER_FIELD) == user:
            return found
        return (await self._store.insert(info, [{**record, "_id": self._new_id()}]))[0]

    async def _note(self, info: str, user: str) -> None:
        """Keep in mind that `info` has a record of the user, for `of`."""
        if (info, user) in self._noted:
            return
        try:
            await self._store.insert(_KNOWN, [{"_id": user, "collections": [info]}])
        except Conflict:
            await self._store.change(_KNOWN, user, lambda old: _noted(old, info))
        if len(self._noted) >= _REMEMBERED:
            self._noted.clear()
        self._noted.add((info, user))


class _Moved(Exception):
    """The record is no longer the user's."""


def _contended() -> Unavailable:
    return Unavailable("Others keep replacing the record of this user, try again")


def _noted(known: Document, info: str) -> Document:
    held: list[str] = known["collections"]
    if info in held:
        return known
    if len(held) >= _MAX_KNOWN:
        raise Invalid(
            f"A user's channels are kept in at most {_MAX_KNOWN} collections",
            code="too_many_collections",
        )
    return {**known, "collections": [*held, info]}


def enter(
    held: list[Channel], current: Channel | None, channel: Channel
) -> tuple[list[Channel], Channel | None]:
    """A user's channels, and the current one, after a join."""
    return ([*held, channel] if channel not in held else held), channel


def leave(
    held: list[Channel], current: Channel | None, channel: Channel
) -> tuple[list[Channel], Channel | None]:
    """The same after leaving: the first remaining one of that type becomes the current one."""
    rest = [one for one in held if one != channel]
    return rest, next((one for one in rest if one.kind == channel.kind), None)


def lose(
    held: list[Channel], current: Channel | None, channel: Channel
) -> tuple[list[Channel], Channel | None]:
    """The same after a channel has gone, which another one only stays the current one through."""
    rest, following = leave(held, current, channel)
    return rest, following if current == channel else current


def without(record: Document, channel: Channel) -> Document:
    """A record after a channel has gone."""
    held = channels_in(record)
    if channel not in held:
        return record
    return _with(record, *lose(held, current_in(record), channel))


def channels_in(record: Document) -> list[Channel]:
    """The channels in a record; what clients may have put there besides is passed over."""
    entries = record.get(CHANNELS)
    if not isinstance(entries, list):
        return []
    found = [_channel(entry) for entry in entries]
    return list(dict.fromkeys(channel for channel in found if channel is not None))


def current_in(record: Document) -> Channel | None:
    return _channel(record.get(CURRENT))


def _channel(entry: Any) -> Channel | None:
    if not isinstance(entry, dict):
        return None
    kind, channel_id = entry.get("channelType"), entry.get("channelId")
    if not isinstance(kind, str) or not isinstance(channel_id, str):
        return None
    return Channel(kind, channel_id)


def entry(channel: Channel | None) -> Document:
    """A channel as it is kept and shown; nulls for none."""
    if channel is None:
        return {"channelType": None, "channelId": None}
    return {"channelType": channel.kind, "channelId": channel.id}


def _with(record: Document, held: list[Channel], current: Channel | None) -> Document:
    stamped = {"updatedAt": documents.now()} if "updatedAt" in record else {}
    shown = {CHANNELS: [entry(channel) for channel in held], CURRENT: entry(current)}
    return {**record, **shown, **stamped}
