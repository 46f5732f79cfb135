"""What the command line can have done, here or over a sandbox's control socket: plain values in,
JSON values out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from ..backpacks import Backpack
from ..errors import Invalid, NotFound
from ..steps import Result, Steps
from ..tenants import Tenants
from .base import Described
from .local import LocalDriver, open_backpack

# Those that take what stands behind a command on the control socket.
RECEIVING = ("deploy", "import_backup")
# Methods of the driver, and methods of `Commands`.
DRIVEN = (
    "create",
    "delete",
    "deploy",
    "export_backup",
    "import_backup",
    "purge",
    "reconnect",
    "restore",
    "rollback",
    "scale",
    "sites",
    "trash",
)
CONFIGURING = (
    "forbid_index",
    "indexes",
    "key",
    "link",
    "list",
    "pin_index",
    "release_index",
    "rotate_key",
    "rules",
    "set_rules",
)

Indexes = list[dict[str, Any]]
Each = list[Described]


async def steps_of(
    performer: object,
    command: str,
    arguments: Mapping[str, Any],
    content: AsyncIterator[bytes] | None,
) -> Steps:
    """What the method of `performer` named `command` says and returns, whether that is steps or
    awaited; `content` is for those of `RECEIVING`."""
    if command in RECEIVING:
        arguments = {**arguments, "content": content}
    said = getattr(performer, command)(**arguments)
    if isinstance(said, Awaitable):
        yield Result(await said)
        return
    async with aclosing(said):
        async for step in said:
            yield step


class Commands:
    """The commands on the backpacks of `tenants`, whose driver is `driver`. `link` makes the URL of
    a one-time link to the panel, where there is one."""

    def __init__(
        self,
        tenants: Tenants,
        driver: LocalDriver,
        link: Callable[[], Awaitable[str]] | None = None,
    ) -> None:
        self._tenants = tenants
        self._driver = driver
        self._link = link

    async def perform(
        self,
        command: str,
        arguments: Mapping[str, Any],
        content: AsyncIterator[bytes] | None = None,
    ) -> Steps:
        """What the method named `command` says and returns; `content` is for those of `RECEIVING`.

        Raises Invalid when there is no such command.
        """
        if command not in (*DRIVEN, *CONFIGURING):
            raise Invalid(f"There is no command {command!r}")
        performer = self._driver if command in DRIVEN else self
        try:
            async with aclosing(steps_of(performer, command, arguments, content)) as steps:
                async for step in steps:
                    yield step
        except NotFound as exc:
            if exc.code == "unknown_backpack":
                exc.message += await self._known(command)
            raise

    async def _known(self, command: str) -> str:
        """Which names there are, for who has given another: the command line is for who has all."""
        if command in ("purge", "restore"):
            names = sorted({one["name"] for one in await self._driver.trash()})
            return f"; there is: {', '.join(names) or 'nothing'}"
        return f"; there are: {', '.join(self.names()) or 'none'}"

    def names(self) -> Sequence[str]:
        """The names of all backpacks, in code point order; none is opened for it."""
        return self._driver.names()

    async def list(self) -> Each:
        """All backpacks, described, in code point order of their names."""
        return [described async for described in self._each()]

    async def first(self, count: int) -> Each:
        """The first `count` of what `list` would say."""
        return [described async for described in self._each(count)]

    async def _each(self, count: int | None = None) -> AsyncIterator[Described]:
        for name in self._tenants.names()[:count]:
            if self._tenants.get(name) is not None:
                yield await self._driver.describe(name)
            await asyncio.sleep(0)  # others get a turn: each has a file to open

    async def link(self) -> dict[str, str]:
        """`{"url"}`: where the panel lets one browser in, once; raises Invalid."""
        if self._link is None:
            raise Invalid("No sandbox is running: backpack dev starts one, and prints a link")
        return {"url": await self._link()}

    async def key(self, name: str) -> dict[str, str | None]:
        """`{"name", "api_key", "previous_until"}`; raises NotFound.

        `previous_until`: the ISO 8601 time until which the key before works too, or null.
        """
        return _describe_key(await open_backpack(self._tenants, name))

    async def rotate_key(self, name: str, now: bool = False) -> dict[str, str | None]:
        """A new API key, described as `key` does; the one before works 24 hours more, or with `now`
        no longer."""
        backpack = await open_backpack(self._tenants, name)
        await backpack.rotate_key(now=now)
        return _describe_key(backpack)

    async def rules(self, name: str) -> dict[str, Any]:
        """A backpack's access rules, as they were set; raises NotFound."""
        return dict((await open_backpack(self._tenants, name)).config.rules.raw)

    async def set_rules(self, name: str, rules: object) -> dict[str, Any]:
        """Put access rules in force and answer them; raises NotFound, and Invalid whose fields name
        each wrong entry."""
        backpack = await open_backpack(self._tenants, name)
        await backpack.set_rules(rules)
        return dict(backpack.config.rules.raw)

    async def indexes(self, name: str, collection: str | None = None) -> Indexes:
        """The indexes of a backpack, or of one collection: `[{"collection", "fields", "state",
        "elements", "uses"}]`; raises NotFound."""
        found = await (await open_backpack(self._tenants, name)).indexed.indexes(collection)
        return [asdict(index) for index in found]

    async def pin_index(self, name: str, collection: str, fields: str) -> Indexes:
        """Have an index on `fields`, such as `brand,-price`, and keep it; answers as `indexes`
        does. Raises NotFound, and Invalid where there can be none."""
        await (await open_backpack(self._tenants, name)).indexed.pin_index(collection, fields)
        return await self.indexes(name, collection)

    async def forbid_index(self, name: str, collection: str, path: str) -> Indexes:
        """Drop the indexes with `path` and make none; answers as `indexes` does. Raises NotFound,
        Invalid."""
        await (await open_backpack(self._tenants, name)).indexed.forbid_index(collection, path)
        return await self.indexes(name, collection)

    async def release_index(self, name: str, collection: str, fields: str) -> Indexes:
        """End what `pin_index` or `forbid_index` did; answers as `indexes` does. Raises NotFound,
        Invalid."""
        await (await open_backpack(self._tenants, name)).indexed.release_index(collection, fields)
        return await self.indexes(name, collection)


def _describe_key(backpack: Backpack) -> dict[str, str | None]:
    config = backpack.config
    until = None
    if config.has_previous_key:
        until = datetime.fromtimestamp(config.previous_until, UTC).isoformat(timespec="seconds")
    return {"name": backpack.name, "api_key": config.api_key, "previous_until": until}
