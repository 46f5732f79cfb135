"""One isolated backend: its engines, its configuration and its services, held together.

What lies below a part is its own business; which backpacks there are, `tenants` knows.
"""

from __future__ import annotations

import contextlib
import hmac
import time
from collections.abc import Awaitable, Callable, Container, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from . import rules
from .bus import Bus
from .channels import Channels
from .documents import Document, Ids
from .errors import Conflict, Invalid, NotFound
from .events import Channel
from .files import Files
from .inspector import Inspector
from .memberships import Memberships
from .names import check_key, new_key
from .notices import Noticed, Notices
from .origins import is_developers
from .passwords import Passwords
from .realtime import Hub
from .records import Records
from .resume import Resume
from .rules import COLLECTION_NAME, Rules
from .sessions import Sessions, SessionStore
from .settings import Settings
from .stores.base import FileStore, Indexed, Store
from .throttle import Throttle
from .users import Users
from .writes import Writes

TOPIC = "config"  # of the bus; messages are configurations as they are stored
DROPPED = "dropped"  # of the bus; messages are {"name"}, of a collection that was deleted
KEY_OVERLAP = 86_400  # seconds that a rotated key still works
_CONFIG = "_backpack"


@dataclass(frozen=True)
class Config:
    """What a backpack keeps about itself, in its own store.

    `previous_key` goes on working until `previous_until` (seconds since 1970).
    """

    api_key: str
    previous_key: str | None = None
    previous_until: float = 0.0
    rules: Rules = rules.NO_RULES

    @property
    def has_previous_key(self) -> bool:
        """Whether the key before works too."""
        return self.previous_key is not None and self.previous_until > time.time()

    @classmethod
    def from_document(cls, document: Document) -> Config:
        return cls(
            api_key=document["apiKey"],
            previous_key=document.get("previousKey"),
            previous_until=document.get("previousUntil", 0.0),
            rules=rules.parse(orjson.loads(document.get("rules", "{}"))),
        )


async def stored_config(store: Store, name: str) -> Config:
    """What a store says that the backpack `name` keeps about itself."""
    stored = await store.get(_CONFIG, name)
    assert stored is not None
    return Config.from_document(orjson.loads(stored))


@dataclass(frozen=True)
class Parts:
    """The engines below one backpack, opened; `release` lets go of what they share, after them."""

    store: Store
    sessions: SessionStore
    bus: Bus
    files: FileStore
    release: Callable[[], Awaitable[object]] | None = None

    async def close(self) -> None:
        await self.bus.close()
        await self.store.close()
        if self.release is not None:
            await self.release()


class Backpack:
    """One isolated backend: its configuration and its services."""

    def __init__(
        self, name: str, parts: Parts, config: Config, settings: Settings, passwords: Passwords
    ) -> None:
        self.name = name
        self.settings = settings
        self.store = parts.store
        self.bus = parts.bus
        self._parts = parts
        self.notices = Notices(parts.bus)
        noticed = Noticed(parts.store, self.notices)
        self.users = Users(noticed, passwords)
        self.sessions = Sessions(parts.sessions, parts.bus, settings.session_ttl)
        self.hub = Hub(
            parts.bus,
            config.rules,
            self.sessions,
            self._channel_exists,
            settings.ping_interval,
        )
        announced = Noticed(parts.store, self.notices, announced=True)
        self.writes = Writes(announced, self.hub)
        self.ids = Ids()
        self.inspector = Inspector(parts.bus, self.hub, self.writes)
        self._noticed = noticed
        self.records = Records(announced, settings, config.rules, self.writes, self._channels_of)
        self.memberships = Memberships(noticed, self.records)
        self.channels = Channels(noticed, self.records, self.hub, self.memberships)
        self.resume = Resume(parts.bus, self.hub, self.channels)
        self.files = Files(noticed, parts.files, settings, config.rules)
        self.throttle = Throttle(registrations_per_hour=settings.registrations_per_hour or None)
        self._use(config)
        self._stop_listening = parts.bus.listen(TOPIC, self._config_sent)

    @classmethod
    async def open(
        cls,
        name: str,
        parts: Parts,
        settings: Settings,
        passwords: Passwords,
        api_key: str | None = None,
    ) -> Backpack:
        """The backpack of `parts`; the first time it gets `api_key`, or a new key."""
        if await parts.store.get(_CONFIG, name) is None:
            with contextlib.suppress(Conflict):  # another process came first
                await parts.store.insert(_CONFIG, [{"_id": name, "apiKey": api_key or new_key()}])
        config = await stored_config(parts.store, name)
        backpack = cls(name, parts, config, settings, passwords)
        await backpack.hub.open()
        await backpack.files.sweep()
        return backpack

    async def close(self) -> None:
        self._stop_listening()
        await self.writes.close()
        await self.hub.close()
        await self.files.close()
        await self.notices.close()
        await self.inspector.close()
        await self.sessions.close()
        await self._parts.close()

    async def reload(self) -> None:
        """Read the configuration again: another process may have changed it, and word of that been
        lost. Raises Unavailable when the store is away."""
        before = self.config
        stored = await self.store.get(_CONFIG, self.name)
        # What was changed here meanwhile is newer than what was read.
        if stored is not None and self.config is before:
            config = Config.from_document(orjson.loads(stored))
            if config != before:
                self._use(config)

    @property
    def indexed(self) -> Indexed:
        """The store, as far as indexes go; raises Invalid when these are not Backpack's."""
        if not isinstance(self.store, Indexed):
            raise Invalid(f"The database of {self.name!r} has no indexes that make themselves")
        return self.store

    async def _channels_of(self, user: str | None) -> Container[Channel]:
        return await self.channels.readable_of(user) if user else ()

    async def _channel_exists(self, channel: Channel) -> bool | None:
        return await self.channels.exists(channel)

    def _use(self, config: Config) -> None:
        self.config = config
        self.records.rules = self.hub.rules = self.files.rules = config.rules
        self._authorization = f"key {config.api_key}".encode()
        self._origins: dict[tuple[str, str], bool] = {}

    def _config_sent(self, _seq: str, message: Mapping[str, Any]) -> None:
        self._use(Config.from_document(dict(message)))

    async def _change_config(
        self, change: Mapping[str, Any], check: Callable[[Config], None] | None = None
    ) -> Config:
        """Write a change of the configuration, and let every process of this backpack know it;
        answers the one before, in which `check` may find a reason to raise."""

        def edit(old: Document) -> Document:
            if check is not None:
                check(Config.from_document(old))
            return {**old, **change}

        changed = await self.store.change(_CONFIG, self.name, edit)
        assert changed is not None
        assert changed.after is not None
        document = orjson.loads(changed.after)
        self._use(Config.from_document(document))
        await self.bus.send(TOPIC, document)
        return Config.from_document(orjson.loads(changed.before))

    async def set_key(self, key: str) -> None:
        """Make `key` the API key; the one before stops working."""
        await self._change_config(
            {"apiKey": check_key(key), "previousKey": None, "previousUntil": 0.0}
        )

    async def rotate_key(self, *, now: bool = False) -> str:
        """A new API key; the one before works for 24 hours more, or with `now` no longer."""
        until = 0.0 if now else time.time() + KEY_OVERLAP
        previous = None if now else self.config.api_key
        key = new_key()
        await self._change_config({"apiKey": key, "previousKey": previous, "previousUntil": until})
        return key

    async def set_rules(self, raw: object, was: object = None) -> Rules:
        """Put new access rules in force and answer those before; raises Invalid, whose fields name
        each wrong entry, and Conflict where those before are not what `was` says, if it does."""

        def check(before: Config) -> None:
            if was is not None and dict(before.rules.raw) != was:
                raise Conflict("The rules have been changed meanwhile", code="changed_meanwhile")

        # As text: MongoDB would read the dots in the names of rules as paths.
        text = orjson.dumps(rules.parse(raw).raw).decode()
        return (await self._change_config({"rules": text}, check)).rules

    async def delete_collection(self, name: str) -> None:
        """Delete a collection with its documents; who resumes is told to read anew. Raises
        NotFound."""
        is_one = COLLECTION_NAME.fullmatch(name)
        if not is_one or not await self._noticed.drop_collection(name):
            raise NotFound(f"There is no collection {name[:100]!r}", code="unknown_collection")
        await self.bus.send(DROPPED, {"name": name})
        await self.hub.tell_to_reload()

    def accepts_key(self, authorization: str) -> bool:
        """Whether an `authorization` header carries this backpack's key; takes the same time for
        any wrong one."""
        # Sanic hands over bytes that are no UTF-8 as lone surrogates.
        sent = authorization.encode(errors="surrogateescape")
        if hmac.compare_digest(sent, self._authorization):
            return True
        scheme, _, key = sent.partition(b" ")
        if scheme.lower() != b"key":
            return False
        given = key.strip()
        is_previous = hmac.compare_digest(given, (self.config.previous_key or "").encode())
        if hmac.compare_digest(given, self.config.api_key.encode()):
            return True
        return is_previous and self.config.has_previous_key

    def allows_origin(self, origin: str, frontend: str) -> bool:
        """Whether a page of `origin` may use this backend with credentials.

        `frontend` is the origin of the backpack's own frontend, as this request's host and scheme
        have it.
        """
        known = self._origins.get((origin, frontend))
        if known is None:
            known = self._judge_origin(origin, frontend)
            if len(self._origins) < 1_000 and len(origin) < 300:
                self._origins[(origin, frontend)] = known
        return known

    def _judge_origin(self, origin: str, frontend: str) -> bool:
        if origin == frontend or origin in self.config.rules.origins:
            return True
        if origin in self.settings.allowed_origins:
            return True
        domain = self.settings.domain
        return self.settings.dev and is_developers(origin, f"{self.name}.{domain}", domain)
