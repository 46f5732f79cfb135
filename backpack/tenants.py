"""The backpacks of a process: where they are kept, opened when asked for, made and deleted."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from .backpacks import Backpack, Parts
from .errors import Conflict, Invalid, NoSpace, NotFound, Unavailable
from .names import check_key, check_name
from .passwords import Passwords
from .settings import Settings
from .sites import Site
from .trash import Discarded, Trash, name_taken

T = TypeVar("T")


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

    @property
    def trash(self) -> Trash | None:
        """Where deleted backpacks go; None where they cannot be kept."""

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
        await asyncio.gather(*(backpack.hub.lines.close(code) for backpack in self.opened()))

    def opened(self) -> list[Backpack]:
        """The backpacks that have been asked for, in code point order of their names."""
        known = sorted(self._tenants.items())
        return [tenant.backpack for _, tenant in known if tenant.backpack is not None]

    def names(self) -> list[str]:
        return sorted(self._tenants)

    def get(self, name: str) -> Tenant | None:
        return self._tenants.get(name)

    async def backpack(self, name: str) -> Backpack:
        """The opened backpack of that name; raises NotFound."""
        tenant = self._tenants.get(name)
        if tenant is None:
            raise self.unknown(name)
        return tenant.backpack or await tenant.open()

    def site(self, name: str) -> Site:
        """The deployed frontend of that backpack; raises NotFound, and Invalid where there can be
        none."""
        tenant = self._tenants.get(name)
        if tenant is None:
            raise self.unknown(name)
        if tenant.site is None:
            raise Invalid(
                "Nothing is kept on disk here, so no site can be deployed: "
                "backpack dev --site NAME=DIR serves a folder instead"
            )
        return tenant.site

    def unknown(self, name: str) -> NotFound:
        """The error for a name that no backpack has. Which there are, not everybody may know."""
        return NotFound(f"There is no backpack {name!r}", code="unknown_backpack")

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

    async def build(
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
        """Delete a backpack with everything in it, for good; raises NotFound."""
        await self._take_away(name, self._home.delete)

    async def discard(self, name: str) -> Discarded:
        """Move a backpack into the trash; raises NotFound, and Invalid where there is none."""
        return await self._take_away(name, self._trash().put)

    async def _take_away(self, name: str, take: Callable[[str], Awaitable[T]]) -> T:
        tenant = self._tenants.get(name)
        if tenant is None or not await tenant.close():
            raise self.unknown(name)
        # It has its name until it is gone: a new one would find the same files.
        try:
            taken = await take(name)
        except BaseException:
            self._tenants[name] = self._tenant(name)
            raise
        del self._tenants[name]
        return taken

    def _trash(self) -> Trash:
        if self._home.trash is None:
            raise Invalid("Deleted backpacks are not kept here")
        return self._home.trash

    async def trash(self) -> list[Discarded]:
        """The deleted backpacks that are kept, the oldest first; raises Invalid where none are."""
        return await self._trash().all()

    async def restore(self, name: str, deleted_at: str | None = None) -> None:
        """Have the backpack back that was deleted under that name: then, or last.

        Raises NotFound when there is none, Conflict for a name that is taken.
        """
        found = await self._deleted(name, deleted_at)
        if name in self._tenants:
            raise name_taken(name)
        # Whoever asks for it now must not make another.
        tenant = self._tenants[name] = self._tenant(name)
        await tenant.close()
        try:
            await self._trash().take(found[-1])
        except BaseException:
            del self._tenants[name]
            raise
        self._tenants[name] = self._tenant(name)

    async def purge(self, name: str, deleted_at: str | None = None) -> None:
        """Remove for good what was deleted under that name: then, or ever; raises NotFound."""
        for one in await self._deleted(name, deleted_at):
            await self._trash().remove(one)

    async def sweep_trash(self) -> set[str]:
        """Remove for good what was deleted long enough ago, and tell the names of that."""
        now = time.time() * 1_000
        old = [one for one in await self.trash() if self.until(one) <= now]
        for one in old:
            await self._trash().remove(one)
        return {one.name for one in old}

    def until(self, one: Discarded) -> int:
        """Until when a deleted backpack is kept at least, in milliseconds since 1970."""
        return one.at + int(86_400_000 * self.settings.trash_days)

    async def _deleted(self, name: str, deleted_at: str | None) -> list[Discarded]:
        found = [
            one
            for one in await self.trash()
            if one.name == name and deleted_at in (None, one.deleted_at)
        ]
        if not found:
            raise NotFound(f"There is no backpack {name!r} in the trash", code="unknown_backpack")
        return found
