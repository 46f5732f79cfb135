"""Backpacks: one backend's parts held together, found by host name.

What lies below a part is its own business.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Container, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from . import rules
from .bus import Bus
from .channels import Channels
from .documents import Document
from .errors import Conflict, Invalid, NoSpace, NotFound, Unavailable
from .events import Channel
from .files import Files
from .memberships import Memberships
from .origins import is_developers
from .passwords import Passwords
from .realtime import Hub
from .records import Records
from .resume import Resume
from .rules import Rules
from .sessions import Sessions, SessionStore
from .settings import Settings
from .sites import Site
from .stores.base import FileStore, Indexed, Store
from .throttle import Throttle
from .users import Users

NAME = re.compile(r"[a-z][a-z0-9-]{0,40}")
RESERVED_NAMES = frozenset(
    (
        "admin",
        "www",
        "traefik",
        "backpack",
        "api",
        "mail",
        "ftp",
        "ns",
        "localhost",
        "registry",
        "static",
    )
)

KEY_OVERLAP = 86_400  # seconds that a rotated key still works
_CONFIG = "_backpack"


def check_name(name: str) -> str:
    """`name` when a backpack may be called so; raises Invalid that says what is wrong otherwise."""
    if not NAME.fullmatch(name):
        why = "use up to 41 lower-case letters, digits and hyphens, a letter first"
    elif "--" in name or name.endswith("-"):
        why = "a hyphen must stand between letters or digits"
    elif name.endswith("-be"):
        why = "the ending -be is kept for backends"
    elif name in RESERVED_NAMES:
        why = "it is reserved"
    else:
        return name
    raise Invalid(
        f"{name!r} cannot be the name of a backpack: {why}", code="bad_name", fields={"name": why}
    )


def check_key(key: str) -> str:
    """`key` when it may be an API key; raises Invalid otherwise."""
    if not re.fullmatch(r"[A-Za-z0-9._~+/=-]{8,128}", key):
        raise Invalid("An API key has 8 to 128 letters, digits or any of ._~+/=-", code="bad_key")
    return key


def new_key() -> str:
    """A fresh API key: 24 random bytes in base64url, which a command line takes as a value."""
    while (key := secrets.token_urlsafe(24)).startswith("-"):
        pass
    return key


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


@dataclass(frozen=True)
class Draft:
    """A new, empty backpack that nobody sees. One of these is called when its parts are closed:

    `keep` makes it the backpack of its name, in place of one there is, whose parts are closed too;
    where that fails, and after a crash, it is that one still. `drop` removes it.
    """

    parts: Parts
    site: Site | None
    keep: Callable[[], Awaitable[None]]
    drop: Callable[[], Awaitable[None]]


class Home(Protocol):
    """Where backpacks are kept. Names it is given have been checked."""

    def names(self) -> list[str]:
        """The backpacks that are there, in code point order."""

    async def open(self, name: str) -> Parts:
        """The opened parts of a backpack, new and empty when it was not there."""

    def site(self, name: str) -> Site | None:
        """The deployed frontend of a backpack; None where frontends cannot be kept."""

    async def draft(self, name: str) -> Draft:
        """What may become the backpack `name`; what a process that dies leaves of it is removed
        later. Raises Conflict where that cannot be in place of the one there is."""

    async def delete(self, name: str) -> None:
        """Remove everything of a backpack whose parts are closed, if there is anything.

        Raises NoSpace or Unavailable when it is as it was.
        """


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
        self.users = Users(parts.store, passwords)
        self.sessions = Sessions(parts.sessions, parts.bus, settings.session_ttl)
        self.hub = Hub(
            parts.bus,
            config.rules,
            self.sessions,
            self._channel_exists,
            settings.ping_interval,
        )
        self.records = Records(parts.store, settings, config.rules, self.hub, self._channels_of)
        self.memberships = Memberships(parts.store, self.records)
        self.channels = Channels(parts.store, self.records, self.hub, self.memberships)
        self.resume = Resume(parts.bus, self.hub, self.channels)
        self.files = Files(parts.store, parts.files, settings, config.rules)
        self.throttle = Throttle(registrations_per_hour=settings.registrations_per_hour or None)
        self._use(config)
        self._stop_listening = parts.bus.listen("config", self._config_sent)

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
        await backpack.files.sweep()
        return backpack

    async def close(self) -> None:
        self._stop_listening()
        await self.hub.close()
        await self.files.close()
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

    async def _change_config(self, change: Mapping[str, Any]) -> None:
        """Write a change of the configuration, and let every process of this backpack know it."""
        changed = await self.store.change(_CONFIG, self.name, lambda old: {**old, **change})
        assert changed is not None
        assert changed.after is not None
        document = orjson.loads(changed.after)
        self._use(Config.from_document(document))
        await self.bus.send("config", document)

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

    async def set_rules(self, raw: object) -> None:
        """Put new access rules in force; raises Invalid, whose fields name each wrong entry."""
        # As text: MongoDB would read the dots in the names of rules as paths.
        text = orjson.dumps(rules.parse(raw).raw).decode()
        await self._change_config({"rules": text})

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


class Tenant:
    """A known backpack's place in this process: opened when it is first asked for."""

    def __init__(
        self,
        name: str,
        opener: Callable[[str, str | None], Awaitable[Backpack]],
        site: Site | None,
    ) -> None:
        self.name = name
        self.site = site
        self.backpack: Backpack | None = None
        self._opener = opener
        self._closed = False
        self._lock = asyncio.Lock()
        self._failures = 0
        self._failure = ""

    async def open(self, api_key: str | None = None) -> Backpack:
        """The opened backpack; callers that come at the same time get the same one.

        Raises Unavailable after `close`, and where the engines are away: to all who wait at once.
        """
        failures = self._failures
        async with self._lock:
            if self._closed:
                raise Unavailable(f"The backpack {self.name!r} is closed")
            if self.backpack is None and self._failures > failures:
                raise Unavailable(self._failure)
            if self.backpack is None:
                self.backpack = await self._try(api_key)
            return self.backpack

    async def _try(self, api_key: str | None) -> Backpack:
        try:
            return await self._opener(self.name, api_key)
        except Unavailable as exc:
            self._failures += 1
            self._failure = exc.message
            raise

    async def close(self) -> bool:
        """Close the backpack for good; False when it was closed already."""
        async with self._lock:
            if self._closed:
                return False
            self._closed = True
            if self.site is not None:
                await self.site.close()
            if self.backpack is not None:
                backpack, self.backpack = self.backpack, None
                await backpack.close()
            return True


class Tenants:
    """All backpacks of this process, by name.

    `first_keys`: the API keys that backpacks of the home get when they are opened for the very
    first time.
    """

    def __init__(
        self, settings: Settings, home: Home, first_keys: Mapping[str, str] | None = None
    ) -> None:
        self.settings = settings
        self._home = home
        self._first_keys = first_keys or {}
        self._passwords = Passwords.cheap() if settings.cheap_passwords else Passwords()
        self._tenants = {name: self._tenant(name) for name in home.names()}

    def _tenant(self, name: str) -> Tenant:
        return Tenant(name, self._open, self._home.site(name))

    async def _open(self, name: str, api_key: str | None = None) -> Backpack:
        parts = await self._home.open(name)
        return await self._opened(name, parts, api_key or self._first_keys.get(name))

    async def _opened(self, name: str, parts: Parts, first_key: str | None) -> Backpack:
        try:
            return await Backpack.open(name, parts, self.settings, self._passwords, first_key)
        except BaseException:
            await parts.close()
            raise

    async def close(self) -> None:
        """Close every backpack; nothing may be asked of them afterwards."""
        await asyncio.gather(*(tenant.close() for tenant in self._tenants.values()))
        self._passwords.close()

    async def close_sockets(self, code: int) -> None:
        """Close the websockets of every backpack, those that come to them later too."""
        opened = [tenant.backpack for tenant in self._tenants.values() if tenant.backpack]
        await asyncio.gather(*(backpack.hub.close_sockets(code) for backpack in opened))

    def names(self) -> list[str]:
        return sorted(self._tenants)

    def get(self, name: str) -> Tenant | None:
        return self._tenants.get(name)

    async def backpack(self, name: str) -> Backpack:
        """The opened backpack of that name; raises NotFound."""
        tenant = self._tenants.get(name)
        if tenant is None:
            raise self._unknown(name)
        return tenant.backpack or await tenant.open()

    def site(self, name: str) -> Site:
        """The deployed frontend of that backpack; raises NotFound, and Invalid where there can be
        none."""
        tenant = self._tenants.get(name)
        if tenant is None:
            raise self._unknown(name)
        if tenant.site is None:
            raise Invalid(
                "Nothing is kept on disk here, so no site can be deployed: "
                "backpack dev --site NAME=DIR serves a folder instead"
            )
        return tenant.site

    def _unknown(self, name: str) -> NotFound:
        known = ", ".join(self.names()) or "none"
        return NotFound(
            f"There is no backpack {name!r}; there are: {known}", code="unknown_backpack"
        )

    async def create(self, name: str, api_key: str | None = None) -> Backpack:
        """Make a backpack; raises Invalid for a bad name or key, Conflict for a taken name."""
        check_name(name)
        if api_key is not None:
            check_key(api_key)
        self._check_free(name)
        tenant = self._tenants[name] = self._tenant(name)
        try:
            return await tenant.open(api_key)
        except BaseException:
            # Half a backpack would be one at the next start.
            with contextlib.suppress(NoSpace, Unavailable):
                await self._home.delete(name)
            del self._tenants[name]
            raise

    def _check_free(self, name: str) -> None:
        if name in self._tenants:
            raise Conflict(f"There is a backpack {name!r} already", code="backpack_exists")

    async def restore(
        self,
        name: str,
        fill: Callable[[Backpack, Site | None], Awaitable[None]],
        *,
        replace: bool = False,
    ) -> None:
        """Make a backpack that nobody sees before `fill` has filled it, and its site where there
        can be one; where that fails, nothing has changed.

        With `replace` it takes the place of one there is, and has its API key. Raises Invalid for a
        bad name, Conflict for a taken one.
        """
        check_name(name)
        if not replace:
            self._check_free(name)
        old = await self.backpack(name) if name in self._tenants else None
        draft = await self._home.draft(name)
        try:
            key = old.config.api_key if old else self._first_keys.get(name)
            backpack = await self._opened(name, draft.parts, key)
            try:
                await fill(backpack, draft.site)
            finally:
                if draft.site is not None:
                    await draft.site.close()
                await backpack.close()
            await self._put(name, draft, replace=replace)
        except BaseException:
            await draft.drop()
            raise

    async def _put(self, name: str, draft: Draft, *, replace: bool) -> None:
        """Have `draft` in the place of a backpack that is closed for that, if there is one."""
        if not replace:
            self._check_free(name)
        is_new = name not in self._tenants
        # A new one is closed too: whoever comes now must not make another.
        tenant = self._tenants.setdefault(name, self._tenant(name))
        if not await tenant.close():
            raise Conflict(f"The backpack {name!r} is being changed, try again")
        try:
            await draft.keep()
            is_new = False
        finally:
            if is_new:
                del self._tenants[name]
            else:
                self._tenants[name] = self._tenant(name)

    async def delete(self, name: str) -> None:
        """Delete a backpack with everything in it; raises NotFound."""
        tenant = self._tenants.get(name)
        if tenant is None or not await tenant.close():
            raise self._unknown(name)
        # It has its name until it is gone: a new one would find the same files.
        try:
            await self._home.delete(name)
        except BaseException:
            self._tenants[name] = self._tenant(name)
            raise
        del self._tenants[name]
