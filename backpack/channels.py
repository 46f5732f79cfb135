"""Channels: records that users join and leave, so that what is written into one reaches only them.

Who is in which is kept by `memberships`; who hears of it, `realtime` knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from . import rules
from .documents import Document, is_id
from .errors import BackpackError, NotFound
from .events import Asker, Channel, Drop, Event, State
from .fanout import Peer
from .memberships import Membership, Memberships, current_in, enter, entry, leave
from .queries import Query, both, equals, parse_filter
from .realtime import Hub
from .records import Records
from .rules import OWNER_FIELD
from .stores.base import Store

_AT_ONCE = 200  # messages that are deleted together


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and by which connection."""

    peer: Peer
    asker: Asker

    @property
    def user(self) -> str:
        return self.peer.user


class Channels:
    """The channels of one backpack. `info` is the collection with the users' own records.

    Each call is answered by an event to its asker, where it returns nothing. Those raise
    Unavailable before they change anything when it is known that nobody could be told.
    """

    def __init__(self, store: Store, records: Records, hub: Hub, memberships: Memberships) -> None:
        self._store = store
        self._records = records
        self._hub = hub
        self._memberships = memberships

    async def exists(self, channel: Channel) -> bool | None:
        """Whether a channel is there; None where it never can have been."""
        # Who is subscribed hears of the end of a channel before anything that comes after it.
        if self._hub.roster.of_channel(channel):
            return True
        if not rules.COLLECTION_NAME.fullmatch(channel.kind) or not is_id(channel.id):
            return None
        if await self._store.get(channel.kind, channel.id) is not None:
            return True
        return False if await self._store.has_collection(channel.kind) else None

    async def join_all(self, info: str, caller: Caller) -> list[Document]:
        """Subscribe to every channel the user is in; their entries."""
        with self._hub.noting_drops() as dropped:
            membership = await self._memberships.record(info, caller.user)
            held = membership.channels
            there, readable = await self._look_up(held, caller.user)
            gone = [channel for channel in held if channel not in there]
            if gone:
                await self._memberships.forget(info, caller.user, gone)
        states = dict.fromkeys(readable, membership.state)
        joined = self._subscribe(caller.peer, states, dropped)
        return [entry(channel) for channel in held if channel in joined]

    async def create(self, info: str, kind: str, name: str, caller: Caller) -> None:
        """Make a channel, and be in it."""
        self._hub.check()
        rules.check_collection_name(kind)
        rules.admit(self._records.rules.of(kind).create, caller.user, kind, "create")
        if not await self._store.has_collection(kind):
            self._records.admit_create_collection(caller.user)
            await self._records.create_collection(kind)
        await self._memberships.record(info, caller.user)  # before anything is made
        data = {"channelType": kind, "name": name, OWNER_FIELD: caller.user}
        (made,) = await self._records.fill(kind, [data])
        channel = Channel(kind, orjson.loads(made)["_id"])
        try:
            entered = await self._enter(info, channel, caller)
        except BackpackError:
            await self._store.change(kind, channel.id, lambda _: None)
            raise
        answer = _text(
            "createChannel",
            response=orjson.Fragment(made),
            usersChannels=[entry(one) for one in entered.channels],
            usersCurrentChannel=entry(current_in(entered.record)),
        )
        await self._hub.send(
            Event(
                _text("createChannel", response=orjson.Fragment(made)),
                collection=kind,
                owner=caller.user,
                asker=caller.asker,
                answer=answer,
            )
        )

    async def join(self, info: str, channel: Channel, caller: Caller) -> None:
        """Be in a channel that is there."""
        self._hub.check()
        await self._find(channel, caller.user)
        entered = await self._enter(info, channel, caller)
        await self._tell_subscribers("joinChannel", channel, caller, entered.encoded)

    async def leave(self, info: str, channel: Channel, caller: Caller) -> None:
        """Be in a channel no longer, on no connection of the user."""
        self._hub.check()
        had = False

        def edit(
            held: list[Channel], current: Channel | None
        ) -> tuple[list[Channel], Channel | None]:
            nonlocal had
            had = channel in held
            return leave(held, current, channel)

        left = await self._memberships.edit(info, caller.user, edit)
        await self._tell_subscribers(
            "leaveChannel",
            channel,
            caller,
            left.encoded,
            users=None if had else (),
            dropped=Drop(channel, caller.user, left.state),
        )

    async def change(self, info: str, channel: Channel, caller: Caller) -> bytes:
        """Make a channel that the user is in the current one; the user's record, encoded."""

        def choose(
            held: list[Channel], current: Channel | None
        ) -> tuple[list[Channel], Channel | None]:
            if channel not in held:
                raise NotFound("You are not in this channel", code="not_in_channel")
            return held, channel

        return (await self._memberships.edit(info, caller.user, choose)).encoded

    async def delete(self, info: str, messages: str, channel: Channel, caller: Caller) -> None:
        """Delete a channel with its messages, and take it from everybody who is in it."""
        self._hub.check()
        for name in (info, messages):
            rules.check_collection_name(name)
        rules.admit(self._records.rules.of(info).update, caller.user, info, "update")
        rules.admit(self._records.rules.of(messages).delete, caller.user, messages, "delete")
        creator = await self._delete_record(channel, caller.user)
        await self._delete_messages(messages, channel, caller.user)
        holders = await self._memberships.remove_everywhere(info, channel)
        await self._hub.send_all(_ends_of(channel, creator, info, holders, caller))

    async def is_member(self, channel: Channel, peer: Peer) -> bool:
        if peer.channels and channel in peer.channels:
            return True
        return channel in await self.readable_of(peer.user)

    async def subscribe_all(self, peer: Peer) -> frozenset[Channel]:
        """Subscribe to the channels that the user is in and may read, and say which they are."""
        with self._hub.noting_drops() as dropped:
            states = await self._memberships.states_of(peer.user)
            _, readable = await self._look_up(states, peer.user)
        return self._subscribe(peer, {one: states[one] for one in readable}, dropped)

    async def readable_of(self, user: str) -> frozenset[Channel]:
        """The channels a user is in that are there and may be read."""
        _, readable = await self._look_up(await self._memberships.of(user), user)
        return frozenset(readable)

    async def _find(self, channel: Channel, user: str) -> Document:
        """The record of a channel that `user` may read; raises NotFound, Forbidden."""
        rules.admit(self._records.rules.of(channel.kind).read, user, channel.kind, "read")
        found = None
        if rules.COLLECTION_NAME.fullmatch(channel.kind):
            found = await self._store.get(channel.kind, channel.id)
        record: Document | None = orjson.loads(found) if found else None
        access = self._records.rules.of(channel.kind).read
        if record is None or not rules.passes(access, user, record):
            raise _no_channel()
        return record

    async def _look_up(
        self, channels: Iterable[Channel], user: str
    ) -> tuple[set[Channel], set[Channel]]:
        """Which of some channels are there, and which of those `user` may read."""
        by_kind: dict[str, list[str]] = {}
        for channel in channels:
            if rules.COLLECTION_NAME.fullmatch(channel.kind) and is_id(channel.id):
                by_kind.setdefault(channel.kind, []).append(channel.id)
        there, readable = set(), set()
        for kind, ids in by_kind.items():
            access = self._records.rules.of(kind).read
            for start in range(0, len(ids), 1_000):
                wanted = parse_filter({"_id": {"$in": ids[start : start + 1_000]}})
                for found in await self._store.find(kind, Query(wanted)):
                    record = orjson.loads(found)
                    channel = Channel(kind, record["_id"])
                    there.add(channel)
                    if rules.passes(access, user, record):
                        readable.add(channel)
        return there, readable

    async def _enter(self, info: str, channel: Channel, caller: Caller) -> Membership:
        with self._hub.noting_drops() as dropped:
            entered = await self._memberships.edit(
                info, caller.user, partial(enter, channel=channel)
            )
            if await self._store.get(channel.kind, channel.id) is None:
                # It was deleted, and everybody's entries with it, before this one was made.
                await self._memberships.forget(info, caller.user, [channel])
                raise _no_channel()
        self._subscribe(caller.peer, {channel: entered.state}, dropped)
        return entered

    def _subscribe(
        self, peer: Peer, states: Mapping[Channel, State], dropped: Sequence[Drop]
    ) -> frozenset[Channel]:
        """Subscribe to those channels, on the strength of a state of the user's record, that are
        not `dropped` since they were looked up."""
        kept = [
            channel
            for channel, state in states.items()
            if not any(drop.ends(channel, peer.user, state) for drop in dropped)
        ]
        for channel in kept:
            self._hub.subscribe(peer, channel, states[channel])
        return frozenset(kept)

    async def _tell_subscribers(
        self, action: str, channel: Channel, caller: Caller, record: bytes, **ends: Any
    ) -> None:
        members = {"userId": caller.user, **entry(channel)}
        await self._hub.send(
            Event(
                _text(action, **members),
                channel=channel,
                asker=caller.asker,
                answer=_text(action, **members, response=orjson.Fragment(record)),
                **ends,
            )
        )

    async def _delete_record(self, channel: Channel, user: str) -> Any:
        """Delete a channel's own record; its creator."""
        await self._find(channel, user)
        access = self._records.rules.of(channel.kind).delete

        def check(old: Document) -> None:
            if old.get(OWNER_FIELD) != user and not rules.passes(access, user, old):
                raise rules.refused(access, channel.kind, "delete")

        changed = await self._store.change(channel.kind, channel.id, check)
        if changed is None:
            raise _no_channel()
        return orjson.loads(changed.before).get(OWNER_FIELD)

    async def _delete_messages(self, messages: str, channel: Channel, user: str) -> None:
        """Delete the messages of a channel that `user` may delete, without a word to anyone."""
        access = self._records.rules.of(messages).delete
        wanted = both(equals("channelType", channel.kind), equals("channelId", channel.id))
        after: str | None = None
        while found := await self._store.find(messages, Query(wanted, after=after, limit=_AT_ONCE)):
            records = [orjson.loads(one) for one in found]
            deletable = [one["_id"] for one in records if rules.passes(access, user, one)]
            await asyncio.gather(
                *(self._store.change(messages, one, lambda _: None) for one in deletable)
            )
            after = records[-1]["_id"]


def _ends_of(
    channel: Channel,
    creator: Any,
    info: str,
    holders: Sequence[tuple[str, bytes]],
    caller: Caller,
) -> list[Event]:
    """What is said about the end of a channel: to each who was in it, and to all others."""
    named = entry(channel)
    users = dict(holders)
    others = Event(
        _text("deleteChannel", **named),
        without=tuple(users),
        collection=channel.kind,
        owner=creator,
        asker=None if caller.user in users else caller.asker,
        dropped=Drop(channel),
    )
    members = [
        Event(
            _text("deleteChannel", userId=caller.user, **named, response=orjson.Fragment(record)),
            users=(user,),
            collection=info,
            owner=user,
            asker=caller.asker if user == caller.user else None,
        )
        for user, record in users.items()
    ]
    return [others, *members]


def _text(action: str, **members: Any) -> str:
    return orjson.dumps({"action": action, **members}).decode()


def _no_channel() -> NotFound:
    return NotFound("There is no such channel", code="unknown_channel")
