"""The backpacks of this process, as the command line and a sandbox's control socket handle them:
plain values in, JSON values out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from ..backpacks import Backpack
from ..backup import Counts
from ..errors import BackpackError, Invalid
from ..exports import export
from ..imports import Import
from ..sites import Site
from ..steps import Result, Steps
from ..tenants import Tenants
from ..versions import Version


@dataclass(frozen=True)
class Endpoint:
    """Where a running process serves its backpacks. `address` is an IP address, as it goes into a
    URL."""

    domain: str
    address: str
    port: int

    def url(self, label: str) -> str:
        """The URL of `label`'s host, such as `admin` or `my-app-be`."""
        return f"http://{label}.{self.domain}:{self.port}"

    def describe(self, name: str) -> dict[str, str]:
        """The URLs of a backpack; `connect` is for clients that cannot resolve the host names."""
        return {
            "backend": self.url(f"{name}-be"),
            "frontend": self.url(name),
            "connect": f"http://{self.address}:{self.port}/~{name}",
        }


_TELL = 1.0  # seconds between two lines about how far it is

Described = list[dict[str, str]]
Indexes = list[dict[str, Any]]
SiteVersions = list[dict[str, Any]]


class LocalDriver:
    """Creates, lists, changes and deletes backpacks.

    A backpack is described as `{"name", "api_key"}`, and where it is served also by `backend`,
    `frontend` and `connect`.
    """

    def __init__(self, tenants: Tenants, endpoint: Endpoint | None = None) -> None:
        self._tenants = tenants
        self._endpoint = endpoint

    async def perform(
        self,
        command: str,
        arguments: Mapping[str, Any],
        content: AsyncIterator[bytes] | None = None,
    ) -> Steps:
        """What the method named `command` says and returns; `content` is for those of `RECEIVING`.

        Raises Invalid when there is no such command.
        """
        if command not in COMMANDS:
            raise Invalid(f"There is no command {command!r}")
        if command in RECEIVING:
            arguments = {**arguments, "content": content}
        said = getattr(self, command)(**arguments)
        if isinstance(said, Awaitable):
            yield Result(await said)
            return
        async with aclosing(said):
            async for step in said:
                yield step

    async def create(self, name: str, api_key: str | None = None) -> dict[str, str]:
        """A new backpack, described; raises Invalid, Conflict."""
        return self._describe(await self._tenants.create(name, api_key))

    def names(self) -> Sequence[str]:
        """The names of all backpacks, in code point order; none is opened for it."""
        return self._tenants.names()

    async def list(self) -> Described:
        """All backpacks, described, in code point order of their names."""
        return [described async for described in self._each()]

    async def first(self, count: int) -> Described:
        """The first `count` of what `list` would say."""
        return [described async for described in self._each(count)]

    async def _each(self, count: int | None = None) -> AsyncIterator[dict[str, str]]:
        for name in self._tenants.names()[:count]:
            if self._tenants.get(name) is not None:
                yield self._describe(await self._open(name))
            await asyncio.sleep(0)  # others get a turn: each has a file to open

    async def delete(self, name: str) -> dict[str, str]:
        """Delete a backpack with everything in it: `{"name"}`; raises NotFound."""
        await self._tenants.delete(name)
        return {"name": name}

    async def key(self, name: str) -> dict[str, str | None]:
        """`{"name", "api_key", "previous_until"}`; raises NotFound.

        `previous_until`: the ISO 8601 time until which the key before works too, or null.
        """
        return _describe_key(await self._open(name))

    async def rotate_key(self, name: str, now: bool = False) -> dict[str, str | None]:
        """A new API key, described as `key` does; the one before works 24 hours more, or with `now`
        no longer."""
        backpack = await self._open(name)
        await backpack.rotate_key(now=now)
        return _describe_key(backpack)

    async def rules(self, name: str) -> dict[str, Any]:
        """A backpack's access rules, as they were set; raises NotFound."""
        return dict((await self._open(name)).config.rules.raw)

    async def set_rules(self, name: str, rules: object) -> dict[str, Any]:
        """Put access rules in force and answer them; raises NotFound, and Invalid whose fields name
        each wrong entry."""
        backpack = await self._open(name)
        await backpack.set_rules(rules)
        return dict(backpack.config.rules.raw)

    async def indexes(self, name: str, collection: str | None = None) -> Indexes:
        """The indexes of a backpack, or of one collection: `[{"collection", "fields", "state",
        "elements", "uses"}]`; raises NotFound."""
        found = await (await self._open(name)).indexed.indexes(collection)
        return [asdict(index) for index in found]

    async def pin_index(self, name: str, collection: str, fields: str) -> Indexes:
        """Have an index on `fields`, such as `brand,-price`, and keep it; answers as `indexes`
        does. Raises NotFound, and Invalid where there can be none."""
        await (await self._open(name)).indexed.pin_index(collection, fields)
        return await self.indexes(name, collection)

    async def forbid_index(self, name: str, collection: str, path: str) -> Indexes:
        """Drop the indexes with `path` and make none; answers as `indexes` does. Raises NotFound,
        Invalid."""
        await (await self._open(name)).indexed.forbid_index(collection, path)
        return await self.indexes(name, collection)

    async def release_index(self, name: str, collection: str, fields: str) -> Indexes:
        """End what `pin_index` or `forbid_index` did; answers as `indexes` does. Raises NotFound,
        Invalid."""
        await (await self._open(name)).indexed.release_index(collection, fields)
        return await self.indexes(name, collection)

    async def deploy(
        self, name: str, who: str, content: AsyncIterator[bytes] | None = None
    ) -> Steps:
        """Make the zip that comes as `content` the site of a backpack, described as `sites` does;
        raises NotFound, Invalid, TooLarge, NoSpace, Unavailable."""
        site = self._tenants.site(name)
        if content is None:
            raise Invalid("There is no zip to deploy")
        async for step in site.deploy(content, who):
            yield (
                Result(self._describe_site(name, step.value)) if isinstance(step, Result) else step
            )

    async def rollback(self, name: str, version: int | None = None) -> dict[str, Any]:
        """Serve another version of a site again, None for the one before; described as `sites`
        does. Raises NotFound, Invalid."""
        return self._describe_site(name, await self._tenants.site(name).rollback(version))

    async def sites(self, name: str) -> SiteVersions:
        """The versions of a site that are kept, the oldest first: `[{"name", "version", "live",
        "at", "who", "size", "files"}]`, and `url` where it is served; raises NotFound, Invalid."""
        versions = await self._tenants.site(name).versions()
        return [self._describe_site(name, version) for version in versions]

    def _describe_site(self, name: str, version: Version) -> dict[str, Any]:
        described = {
            "name": name,
            "version": version.number,
            "live": version.since > 0,
            "at": version.at,
            "who": version.who,
            "size": version.size,
            "files": len(version.files),
        }
        if self._endpoint is not None:
            described["url"] = self._endpoint.url(name)
        return described

    async def export_backup(self, name: str, with_key: bool = False) -> Steps:
        """Everything of a backpack as one file, whose bytes are steps: `{"name", "users",
        "collections", "documents", "files", "bytes"}`. Raises NotFound, NoSpace."""
        counts = Counts()
        told = time.monotonic()
        backpack = await self._open(name)
        tenant = self._tenants.get(name)
        site = tenant.site if tenant else None
        pieces = export(backpack, site, counts, with_key=with_key)
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece
                if time.monotonic() > told + _TELL:
                    told = time.monotonic()
                    yield f"Exported {counts} so far"
        yield f"Exported {counts}"
        yield Result({"name": name, **asdict(counts)})

    async def import_backup(
        self, name: str, content: AsyncIterator[bytes], replace: bool = False
    ) -> Steps:
        """Make a backpack of such a file, described with what came; with `replace` it takes the
        place of one there is. Raises Invalid, Conflict, TooLarge, NoSpace."""
        counts = Counts()

        async def fill(backpack: Backpack, site: Site | None) -> None:
            await Import(backpack, site, content, counts).run()

        work = asyncio.create_task(self._tenants.restore(name, fill, replace=replace))
        try:
            while not (await asyncio.wait([work], timeout=_TELL))[0]:
                yield f"Imported {counts} so far"
            await work
        finally:
            work.cancel()
            await asyncio.wait([work])
        yield f"Imported {counts}"
        described = self._describe(await self._open(name))
        yield Result({**described, **asdict(counts)})

    async def _open(self, name: str) -> Backpack:
        try:
            return await self._tenants.backpack(name)
        except BackpackError as exc:
            if self._tenants.get(name) is not None:
                exc.message = f"{name}: {exc.message}"
            raise

    def _describe(self, backpack: Backpack) -> dict[str, str]:
        described = {"name": backpack.name, "api_key": backpack.config.api_key}
        if self._endpoint is not None:
            described |= self._endpoint.describe(backpack.name)
        return described


# Those that take what stands behind a command on the control socket.
RECEIVING = ("deploy", "import_backup")
COMMANDS = (
    "create",
    "delete",
    "deploy",
    "export_backup",
    "forbid_index",
    "import_backup",
    "indexes",
    "key",
    "list",
    "pin_index",
    "release_index",
    "rollback",
    "rotate_key",
    "rules",
    "set_rules",
    "sites",
)


def _describe_key(backpack: Backpack) -> dict[str, str | None]:
    config = backpack.config
    until = None
    if config.has_previous_key:
        until = datetime.fromtimestamp(config.previous_until, UTC).isoformat(timespec="seconds")
    return {"name": backpack.name, "api_key": config.api_key, "previous_until": until}
