"""What connections are told about, as values: a finished change, a message of a client, a notice.

Pure: who is connected, and how it reaches them, is the matter of `realtime`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from . import rules
from .documents import Document
from .rules import OWNER_FIELD

CREATE, REPLACE, MERGE, DELETE = "create", "update", "patch", "delete"  # as clients call them


@dataclass(frozen=True, slots=True)
class Channel:
    """The record `id` of the collection `kind`: what clients call channelType and channelId."""

    kind: str
    id: str


@dataclass(frozen=True, slots=True)
class State:
    """A state of a user's own record, which says what channels the user is in: `number` rises with
    the writes of one record."""

    record: str
    number: int

    def is_after(self, other: State) -> bool:
        return self.record == other.record and self.number > other.number


@dataclass(frozen=True, slots=True)
class Drop:
    """The end of subscriptions to a channel: of all users, as it is deleted, or of one who has
    left it by `state`."""

    channel: Channel
    user: str | None = None
    state: State | None = None

    def ends(self, channel: Channel, user: str, state: State) -> bool:
        """Whether a user's subscription ends that was made on the strength of `state`.

        One that was made after the user had joined again does not, in whatever order word of the
        two comes.
        """
        if self.channel != channel or self.user not in (None, user):
            return False
        return self.state is None or not state.is_after(self.state)

    def written(self) -> list[Any]:
        """As a JSON array."""
        state = [] if self.state is None else [self.state.record, self.state.number]
        return [self.channel.kind, self.channel.id, self.user, *state]

    @classmethod
    def read(cls, written: Sequence[Any]) -> Drop:
        kind, channel_id, user, *state = written
        return cls(Channel(kind, channel_id), user, State(*state) if state else None)


@dataclass(frozen=True, slots=True)
class Asker:
    """The connection that a message came by.

    `process` and `connection` tell it from all others; `request` is its `requestId` as JSON, None
    without one.
    """

    process: str
    connection: int
    request: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A finished write: `record` is encoded, as it is after it, or was before a delete.

    `asker` is None for a write by HTTP. `answer`: what the asker may see, where that is less.
    `revision` rises with the writes of one record, where several processes write.
    """

    action: str
    collection: str
    record: bytes
    asker: Asker | None = None
    answer: bytes | None = None
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """What receivers get, and who they are.

    `text`: the JSON object. Only subscribers of `channel`, only `users`, and not those of `without`
    where these are given; in a `collection`, who may read a record of `owner` there.

    `asker` gets `answer` in place of the event where there is one, and with its request `text`
    for an answer. `dropped`: subscriptions that end with it. `key` and
    `revision`: the record that it is about, and which of its states.
    """

    text: str
    channel: Channel | None = None
    users: tuple[str, ...] | None = None
    without: tuple[str, ...] = ()
    collection: str | None = None
    owner: Any = None
    asker: Asker | None = None
    answer: str | None = None
    dropped: Drop | None = None
    key: str = ""
    revision: int = 0

    @property
    def is_for_asker(self) -> bool:
        """Whether it is nobody else's matter; consoles hear of every change of a record."""
        return self.users == () and self.dropped is None and not self.key

    def message(self) -> dict[str, Any]:
        """As a message of the bus; what is at its default is left out."""
        message: dict[str, Any] = {"text": self.text}
        for name in _PLAIN:
            value = getattr(self, name)
            if value:
                message[name] = value
        if self.users is not None:
            message["users"] = list(self.users)
        if self.without:
            message["without"] = list(self.without)
        if self.channel is not None:
            message["channel"] = [self.channel.kind, self.channel.id]
        if self.dropped is not None:
            message["dropped"] = self.dropped.written()
        if self.asker is not None:
            message["asker"] = [self.asker.process, self.asker.connection, self.asker.request]
        return message

    @classmethod
    def from_message(cls, message: Mapping[str, Any]) -> Event:
        values = dict(message)
        for name in ("users", "without"):
            if name in values:
                values[name] = tuple(values[name])
        if "channel" in values:
            values["channel"] = Channel(*values["channel"])
        if "dropped" in values:
            values["dropped"] = Drop.read(values["dropped"])
        if "asker" in values:
            values["asker"] = Asker(*values["asker"])
        return cls(**values)


_PLAIN = ("collection", "owner", "answer", "key", "revision")


@dataclass(frozen=True, slots=True)
class Reach:
    """Whom a record or message is for, by its own words: `users` alone where they are given, and
    what `channel` says where it is a channel."""

    users: tuple[str, ...] | None = None
    channel: Channel | None = None


def reach(data: Mapping[str, Any]) -> Reach:
    """Read `broadcast`, `channelType` and `channelId` of a record or of a message."""
    wanted = data.get("broadcast")
    if wanted is False:
        return _NOBODY
    if wanted == "false":
        owner = data.get(OWNER_FIELD)
        return Reach(users=(owner,)) if isinstance(owner, str) else _NOBODY
    return Reach(channel=channel_of(data))


_NOBODY = Reach(users=())


def channel_of(data: Mapping[str, Any]) -> Channel | None:
    """The channel that a record or message names; None when it names none that could be there."""
    kind, channel_id = data.get("channelType"), data.get("channelId")
    if not isinstance(kind, str) or not isinstance(channel_id, str):
        return None
    return Channel(kind, channel_id) if rules.COLLECTION_NAME.fullmatch(kind) else None


def drops_of(change: Change, record: Document) -> Iterator[Drop]:
    """The subscriptions that end with a change."""
    if change.action == DELETE:  # was it a channel, it is none any more
        yield Drop(Channel(change.collection, record["_id"]))


def of_change(change: Change, record: Document, reached: Reach) -> Event:
    """The event of a change; `record` is decoded."""
    source = "" if change.asker is not None else ',"httpRequest":true'
    head = f'{{"action":"{change.action}","collection":"{change.collection}"{source},"response":'
    answer = None
    if change.asker and change.asker.request and change.answer not in (None, change.record):
        assert change.answer is not None
        answer = f"{head}{change.answer.decode()}}}"
    return Event(
        text=f"{head}{change.record.decode()}}}",
        channel=reached.channel,
        users=reached.users,
        collection=change.collection,
        owner=record.get(OWNER_FIELD),
        asker=change.asker,
        answer=answer,
        dropped=next(drops_of(change, record), None),
        key=f"{change.collection}/{record['_id']}",
        revision=change.revision,
    )


def notice(**members: Any) -> str:
    """A JSON object for an event's `text`."""
    return orjson.dumps(members).decode()


RELOAD = notice(action="reload")  # to who missed something that cannot be told any more
