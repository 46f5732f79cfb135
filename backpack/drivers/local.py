"""The backpacks of this process: those of a sandbox, or of a folder that a command has opened."""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Sequence,
    Set,
)
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Literal

from .. import __version__
from ..backpacks import Backpack
from ..backup import DATA, PARTS, Counts
from ..errors import BackpackError, Invalid, NotFound
from ..exports import export
from ..imports import Import
from ..logs import Logs
from ..sites import Site
from ..steps import Result, Steps
from ..tenants import Tenants
from ..trash import Discarded, moment
from ..versions import Version
from .base import Capability, Deleted, Described, Measured, Node, Service, SiteVersion, Status
from .local_console import LocalConsole
from .turns import Turns

_TELL = 1.0  # seconds between two lines about how far it is
_SERVICE = "process"
_NO_DATABASES = "Databases of your own are for a swarm: here a file has everything"


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

    def describe(self, name: str, api_key: str) -> Described:
        """A backpack that is served here."""
        return {
            "name": name,
            "api_key": api_key,
            "backend": self.url(f"{name}-be"),
            "frontend": self.url(name),
            "connect": f"http://{self.address}:{self.port}/~{name}",
        }


class LocalDriver:
    """The Driver of `tenants`.

    `logs`: where what it says, and what they log, is collected. `gone` is told the name of each
    backpack that is no more, and not in the trash either.
    """

    capabilities: frozenset[Capability] = frozenset()

    def __init__(
        self,
        tenants: Tenants,
        endpoint: Endpoint | None = None,
        logs: Logs | None = None,
        gone: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self._tenants = tenants
        self._endpoint = endpoint
        self._logs = logs or Logs()
        self._gone = gone
        self._turns = Turns()

    def names(self) -> Sequence[str]:
        return self._tenants.names()

    async def describe(self, name: str) -> Described:
        return self._describe(await open_backpack(self._tenants, name))

    def _describe(self, backpack: Backpack) -> Described:
        name, api_key = backpack.name, backpack.config.api_key
        if self._endpoint is None:
            return {"name": name, "api_key": api_key}
        return self._endpoint.describe(name, api_key)

    def create(
        self, name: str, api_key: str | None = None, mongo_url: str = "", redis_url: str = ""
    ) -> Steps:
        if mongo_url or redis_url:
            raise Invalid(_NO_DATABASES)
        return self._in_turn(name, self._create(name, api_key))

    async def _create(self, name: str, api_key: str | None) -> Steps:
        described = self._describe(await self._tenants.create(name, api_key))
        yield f"Made {name}, with a database and folders of its own"
        if "backend" in described:
            yield f"Its backend is served at {described['backend']}"
            yield f"Its frontend is served at {described['frontend']}"
        yield Result(described)

    def delete(self, name: str) -> Steps:
        return self._in_turn(name, self._delete(name))

    async def _delete(self, name: str) -> Steps:
        deleted = self._deleted(await self._tenants.discard(name))
        yield f"Stopped {name} and moved it into the trash, where it stays until {deleted['until']}"
        await self.sweep()
        yield Result(deleted)

    async def trash(self) -> list[Deleted]:
        return [self._deleted(one) for one in await self._tenants.trash()]

    def _deleted(self, one: Discarded) -> Deleted:
        until = moment(self._tenants.until(one))
        return {"name": one.name, "deleted_at": one.deleted_at, "until": until}

    def restore(self, name: str, deleted_at: str | None = None) -> Steps:
        return self._in_turn(name, self._restore(name, deleted_at))

    async def _restore(self, name: str, deleted_at: str | None) -> Steps:
        await self._tenants.restore(name, deleted_at)
        yield f"Moved {name} back out of the trash"
        yield Result(await self.describe(name))

    def purge(self, name: str, deleted_at: str | None = None) -> Steps:
        return self._in_turn(name, self._purge(name, deleted_at))

    async def _purge(self, name: str, deleted_at: str | None) -> Steps:
        await self._tenants.purge(name, deleted_at)
        yield f"Removed {name} from the trash, for good"
        await self._forget({name})
        yield Result({"name": name})

    async def sweep(self) -> None:
        """Remove for good what was deleted long enough ago."""
        await self._forget(await self._tenants.sweep_trash())

    async def _forget(self, removed: Set[str]) -> None:
        kept = {one.name for one in await self._tenants.trash()}
        for name in removed - kept - set(self.names()):
            self._logs.forget(name)
            if self._gone is not None:
                await self._gone(name)

    def _in_turn(self, name: str, steps: Steps) -> Steps:
        return self._logs.noting(name, self._turns.take(name, steps))

    async def status(self, name: str) -> Status:
        state, reason = await self._state(name)
        is_down = state == "down"
        process: Service = {
            "name": _SERVICE,
            "wanted": 1,
            "running": 0 if is_down else 1,
            "image": f"backpack {__version__}",
            "reason": reason if is_down else "",
        }
        return {
            "name": name,
            "state": state,
            "reason": reason,
            "services": [process],
            "databases": {},
        }

    async def _state(self, name: str) -> tuple[Literal["up", "degraded", "down"], str]:
        try:
            await (await self._tenants.backpack(name)).reload()
        except NotFound:
            raise
        except BackpackError as exc:
            return "down", exc.message
        tenant = self._tenants.get(name)
        try:
            if tenant is not None and tenant.site is not None:
                await tenant.site.live()
        except BackpackError as exc:
            return "degraded", f"The site cannot be served: {exc.message}"
        return "up", ""

    def scale(self, name: str, replicas: int) -> Steps:
        return self._in_turn(name, self._scale(name, replicas))

    async def _scale(self, name: str, replicas: int) -> Steps:
        status = await self.status(name)
        if replicas != 1:
            raise Invalid(
                "One process serves all backpacks here, so none can have "
                f"{replicas}: that takes a swarm"
            )
        yield f"{name} is served by one process, as ever"
        yield Result(status)

    def reconnect(self, name: str, mongo_url: str = "", redis_url: str = "") -> Steps:
        if self._tenants.get(name) is None:
            raise self._tenants.unknown(name)
        raise Invalid(_NO_DATABASES)

    async def logs(
        self, name: str, service: str | None = None, tail: int = 200, follow: bool = False
    ) -> AsyncGenerator[str, None]:
        if self._tenants.get(name) is None:
            raise self._tenants.unknown(name)
        if service not in (None, _SERVICE):
            raise NotFound(f"There is no service {service!r}; there is: {_SERVICE}")
        async with aclosing(self._logs.read(name, tail, follow)) as lines:
            async for line in lines:
                yield line

    async def deploy(
        self, name: str, who: str, content: AsyncIterator[bytes] | None = None
    ) -> Steps:
        site = self._tenants.site(name)
        if content is None:
            raise Invalid("There is no zip to deploy")
        async with aclosing(site.deploy(content, who)) as steps:
            async for step in steps:
                yield (
                    Result(self._describe_site(name, step.value))
                    if isinstance(step, Result)
                    else step
                )

    async def rollback(self, name: str, version: int | None = None) -> SiteVersion:
        return self._describe_site(name, await self._tenants.site(name).rollback(version))

    async def sites(self, name: str) -> list[SiteVersion]:
        versions = await self._tenants.site(name).versions()
        return [self._describe_site(name, version) for version in versions]

    def _describe_site(self, name: str, version: Version) -> SiteVersion:
        described: SiteVersion = {
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

    async def export_backup(
        self, name: str, with_key: bool = False, only: Collection[str] | None = None
    ) -> Steps:
        counts = Counts()
        told = time.monotonic()
        backpack = await open_backpack(self._tenants, name)
        tenant = self._tenants.get(name)
        site = tenant.site if tenant else None
        parts = only or (PARTS if with_key else DATA)
        pieces = export(backpack, site, counts, parts)
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
        counts = Counts()

        async def fill(backpack: Backpack, site: Site | None) -> None:
            await Import(backpack, site, content, counts).run()

        work = asyncio.create_task(self._tenants.build(name, fill, replace=replace))
        try:
            while not (await asyncio.wait([work], timeout=_TELL))[0]:
                yield f"Imported {counts} so far"
            await work
        finally:
            work.cancel()
            await asyncio.wait([work])
        yield f"Imported {counts}"
        described = await self.describe(name)
        yield Result({**described, **asdict(counts)})

    async def metrics(self) -> list[Measured]:
        return []  # this process serves them all

    async def nodes(self) -> list[Node]:
        name = platform.node()
        address = self._endpoint.address if self._endpoint else ""
        return [
            {
                "id": name,
                "name": name,
                "role": "manager",
                "state": "ready",
                "availability": "active",
                "address": address,
                "labels": {},
            }
        ]

    @asynccontextmanager
    async def console(self, name: str) -> AsyncIterator[LocalConsole]:
        console = LocalConsole(await open_backpack(self._tenants, name))
        try:
            yield console
        finally:
            console.close()


async def open_backpack(tenants: Tenants, name: str) -> Backpack:
    """The opened backpack; what keeps it from that is told with its name."""
    try:
        return await tenants.backpack(name)
    except BackpackError as exc:
        if tenants.get(name) is not None:
            exc.message = f"{name}: {exc.message}"
        raise
