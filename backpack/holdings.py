"""The backpacks of developers: the driver runs them, the registry knows whose they are and what was
done to them. Who may do what has been checked before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from .drivers.base import Deleted, Driver, SiteVersion
from .errors import BackpackError, Conflict, Forbidden, Invalid
from .promotions import promote
from .registry import Registry
from .registry.audit import Actor
from .registry.developers import Developer
from .steps import Result, Steps, finish
from .unbroken import Unbroken


@dataclass(frozen=True)
class Acting:
    """Who does something, a developer or a token, and from where."""

    who: Actor
    address: str


class Holdings:
    """What developers do with whole backpacks, each noted in the log of the registry.

    Actions are Steps. Those without `content` go on to their end when nobody listens any more.
    """

    def __init__(self, driver: Driver, registry: Registry) -> None:
        self._driver = driver
        self._registry = registry
        self._unbroken = Unbroken(expected=BackpackError)
        self._making: set[str] = set()

    async def close(self) -> None:
        """Wait for what is under way."""
        await self._unbroken.close()

    async def names(self, developer: Developer) -> dict[str, str]:
        """The names of the backpacks that a developer may see, in order, and as what; none is
        opened for it."""
        return await self._registry.backpacks.visible(developer, self._driver.names())

    async def trash(self, developer: Developer) -> list[tuple[Deleted, str]]:
        """What a developer may see in the trash, and as what: owners can have it back. Raises
        Invalid where there is none."""
        there = await self._driver.trash()
        roles = await self._registry.backpacks.visible(developer, [one["name"] for one in there])
        return [(one, roles[one["name"]]) for one in there if one["name"] in roles]

    def create(
        self, owner: Developer, address: str, name: str, mongo_url: str = "", redis_url: str = ""
    ) -> Steps:
        """A new backpack, as `Driver.create`; raises Invalid, Conflict, and Forbidden where others
        than operators give URLs."""
        detail = _databases(mongo_url, redis_url)
        if detail and not owner.is_operator:
            raise Forbidden("Only operators may choose databases")
        steps = self._owned(owner, name, self._driver.create(name, None, mongo_url, redis_url))
        return self._lasting(Acting(owner, address), "backpack.create", name, steps, **detail)

    def import_as_new(
        self, owner: Developer, address: str, name: str, content: AsyncIterator[bytes]
    ) -> Steps:
        """A new backpack of a backup; raises Invalid, Conflict, TooLarge, NoSpace."""
        steps = self._owned(owner, name, self._driver.import_backup(name, content))
        return self._noted(Acting(owner, address), "backup.import", name, steps)

    async def _owned(self, owner: Developer, name: str, steps: Steps) -> Steps:
        """Have the backpack that `steps` make be the owner's, from before anybody sees it."""
        if name in self._driver.names():
            raise Conflict(f"There is a backpack {name!r} already", code="backpack_exists")
        if name in self._making:
            raise Conflict(f"A backpack {name!r} is being made", code="backpack_exists")
        self._making.add(name)
        try:
            async with aclosing(self._made(owner, name, steps)) as made:
                async for step in made:
                    yield step
        finally:
            self._making.discard(name)

    async def _made(self, owner: Developer, name: str, steps: Steps) -> Steps:
        is_stale = await self._is_stale(name)
        is_new = not is_stale and await self._claim(owner, name)
        try:
            async with aclosing(steps):
                async for step in steps:
                    if is_stale and isinstance(step, Result):
                        await self._registry.backpacks.give(name, owner)
                    elif isinstance(step, Result):
                        # One that left the trash meanwhile took all that was known of the name.
                        await self._registry.backpacks.add(name, owner)
                    yield step
        except BaseException as exc:
            # Where it was broken off, it may have been made.
            made = name in self._driver.names() and not isinstance(exc, BackpackError)
            if is_new and not made:
                await asyncio.shield(self._registry.backpacks.remove(name))
            raise

    async def _is_stale(self, name: str) -> bool:
        """Whether the registry knows members of a backpack that is gone: it was not told when the
        trash was emptied."""
        if not await self._registry.backpacks.members(name):
            return False
        try:
            return not await self._in_trash(name)
        except Invalid:  # there is none
            return False

    async def _in_trash(self, name: str) -> bool:
        return any(one["name"] == name for one in await self._driver.trash())

    async def _claim(self, owner: Developer, name: str) -> bool:
        """Have a name be the owner's; whether it was not before. Raises Conflict."""
        is_new = await self._registry.backpacks.add(name, owner)
        if not is_new and name not in await self._registry.backpacks.of(owner):
            # An operator may do everything; but its members would be those of the new one.
            raise Conflict(
                f"A backpack {name!r} of somebody else is in the trash: restore it, or delete it "
                "for good, or choose another name",
                code="backpack_in_trash",
            )
        return is_new

    def delete(self, acting: Acting, name: str) -> Steps:
        """Move a backpack into the trash."""
        return self._lasting(acting, "backpack.delete", name, self._driver.delete(name))

    def restore(self, acting: Acting, name: str, deleted_at: str | None) -> Steps:
        """Have a backpack back from the trash, as `Driver.restore`; raises NotFound, Conflict."""
        steps = self._driver.restore(name, deleted_at)
        return self._lasting(acting, "backpack.restore", name, steps, **_when(deleted_at))

    def purge(self, acting: Acting, name: str, deleted_at: str | None) -> Steps:
        """Remove for good what is in the trash, as `Driver.purge`; raises NotFound."""
        steps = self._purged(name, deleted_at)
        return self._lasting(acting, "backpack.purge", name, steps, **_when(deleted_at))

    async def _purged(self, name: str, deleted_at: str | None) -> Steps:
        async with aclosing(self._driver.purge(name, deleted_at)) as steps:
            async for step in steps:
                yield step
        # Another that was deleted under the name can still be had back, by its members.
        if name not in self._driver.names() and not await self._in_trash(name):
            await self._registry.backpacks.remove(name)

    def scale(self, acting: Acting, name: str, replicas: int) -> Steps:
        """Have so many processes serve a backpack; raises Invalid."""
        return self._lasting(
            acting, "backpack.scale", name, self._driver.scale(name, replicas), replicas=replicas
        )

    def reconnect(self, acting: Acting, name: str, mongo_url: str, redis_url: str) -> Steps:
        """Have a backpack reach its databases by other URLs, as `Driver.reconnect`; raises
        Invalid."""
        detail = _databases(mongo_url, redis_url)
        steps = self._driver.reconnect(name, mongo_url, redis_url)
        return self._lasting(acting, "backpack.reconnect", name, steps, **detail)

    def deploy(self, acting: Acting, name: str, content: AsyncIterator[bytes]) -> Steps:
        """Make the zip that comes as `content` the site; raises Invalid, TooLarge, NoSpace."""
        steps = self._deployed(self._driver.deploy(name, acting.who.name, content))
        return self._noted(acting, "site.deploy", name, steps)

    async def _deployed(self, steps: Steps) -> Steps:
        async with aclosing(steps):
            async for step in steps:
                if isinstance(step, Result):
                    await self._note_deployment(step.value)
                yield step

    async def _note_deployment(self, made: SiteVersion) -> None:
        await self._registry.deployments.note(
            made["name"], made["version"], made["who"], made["size"]
        )

    async def rollback(self, acting: Acting, name: str, version: int | None) -> SiteVersion:
        """Serve another version of a site again; raises NotFound."""
        return await self._unbroken.do(self._rolled_back(acting, name, version))

    async def _rolled_back(self, acting: Acting, name: str, version: int | None) -> SiteVersion:
        made = await self._driver.rollback(name, version)
        await self._note(acting, "site.rollback", name, {"version": made["version"]})
        return made

    def replace(self, acting: Acting, name: str, content: AsyncIterator[bytes]) -> Steps:
        """Put a backup in the place of all that is in a backpack; raises Invalid, TooLarge,
        NoSpace."""
        steps = self._driver.import_backup(name, content, replace=True)
        return self._noted(acting, "backup.replace", name, steps)

    async def fill(self, acting: Acting, name: str, content: AsyncIterator[bytes]) -> Steps:
        """The same for a backpack that has no users, records or files; raises Conflict for any
        other."""
        if await self._has_any(name):
            raise Conflict(
                f"The backpack {name!r} has users, records or files: they would be lost",
                code="backpack_exists",
            )
        async with aclosing(self.replace(acting, name, content)) as steps:
            async for step in steps:
                yield step

    async def _has_any(self, name: str) -> bool:
        async with self._driver.console(name) as console:
            collections = await console.ask("get", "collections")
            if any(one["documents"] for one in collections):
                return True
            models = ("users", "uploads")
            return any([(await console.ask("get", model, limit=1))["total"] for model in models])

    def promote(self, acting: Acting, name: str, content: AsyncIterator[bytes]) -> Steps:
        """Put rules, files and site of a backup into a backpack, whose users and records stay;
        raises Invalid, TooLarge, NoSpace."""
        steps = promote(self._driver, name, acting.who.name, content)
        return self._noted(acting, "backup.promote", name, self._promoted(steps))

    async def _promoted(self, steps: Steps) -> Steps:
        async with aclosing(steps):
            async for step in steps:
                if isinstance(step, Result) and step.value["site"] is not None:
                    await self._note_deployment(step.value["site"])
                yield step

    async def export(self, acting: Acting, name: str, *, with_key: bool) -> Steps:
        """Everything of a backpack as one file, whose bytes are steps."""
        await self._note(acting, "backup.export", name, {"with_key": with_key})
        async with aclosing(self._driver.export_backup(name, with_key)) as steps:
            async for step in steps:
                yield step

    async def _lasting(
        self, acting: Acting, action: str, name: str, steps: Steps, **detail: Any
    ) -> Steps:
        """Steps that go on to their end also when this is closed before."""
        said: asyncio.Queue[str | None] = asyncio.Queue()
        noted = self._noted(acting, action, name, steps, **detail)
        work = asyncio.ensure_future(self._unbroken.do(finish(noted, said.put_nowait)))
        work.add_done_callback(lambda _: said.put_nowait(None))
        try:
            while (line := await said.get()) is not None:
                yield line
            yield Result(await work)
        finally:
            work.cancel()  # what is unbroken goes on

    async def _noted(
        self, acting: Acting, action: str, name: str, steps: Steps, **detail: Any
    ) -> Steps:
        """Have an action noted that is done, or was broken off: then something may have changed."""
        try:
            async with aclosing(steps):
                async for step in steps:
                    if isinstance(step, Result):
                        result = step
                    else:
                        yield step
        except BackpackError:
            raise
        except BaseException:
            await asyncio.shield(self._note(acting, action, name, {**detail, "broken_off": True}))
            raise
        await asyncio.shield(self._note(acting, action, name, {**detail, **_facts(result.value)}))
        yield result

    async def _note(self, acting: Acting, action: str, name: str, detail: dict[str, Any]) -> None:
        await self._registry.audit.note(acting.who, action, name, detail, acting.address)


def _databases(mongo_url: str, redis_url: str) -> dict[str, Any]:
    """What the log should say of URLs."""
    chosen = [server for server, url in (("MongoDB", mongo_url), ("Redis", redis_url)) if url]
    return {"databases": chosen} if chosen else {}


def _when(deleted_at: str | None) -> dict[str, Any]:
    return {} if deleted_at is None else {"deleted_at": deleted_at}


def _facts(result: Any) -> dict[str, Any]:
    """What of a result the log should say: no secrets."""
    kept = ("version", "size", "rules", "files", "users", "documents", "until")
    return {key: result[key] for key in kept if isinstance(result, dict) and key in result}
