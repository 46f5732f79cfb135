"""The backpacks of a Docker Swarm: one stack each. What a stack is made of stands in `stacks`, what
is done to it in `swarm_stacks`."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from contextlib import (
    AbstractContextManager,
    aclosing,
    asynccontextmanager,
    nullcontext,
    suppress,
)
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from ..errors import BackpackError, BadKey, Conflict, Invalid, NotFound, Unavailable
from ..settings import Settings
from ..steps import Result, Steps, finish
from ..trash import moment, name_taken, swept
from . import certificates, stacks
from .base import Capability, Console, Deleted, Described, Measured, Node, SiteVersion, Status
from .databases import check_external, check_urls, try_urls
from .remote import PrivatePort
from .stacks import Deployment
from .swarm_backups import export_backup
from .swarm_imports import Imports
from .swarm_lives import Lives
from .swarm_logs import read_logs
from .swarm_metrics import Measurable, measure
from .swarm_nodes import Nodes
from .swarm_records import Record, Records
from .swarm_secrets import Keyring
from .swarm_sites import Publishing, Sites
from .swarm_stacks import Stacks
from .swarm_state import Swarm
from .swarm_status import judge
from .turns import Turns

_DAY = 86_400_000  # milliseconds
_MOST = 100  # API processes of one backpack

logger = logging.getLogger("backpack")


class SwarmDriver:
    """The Driver of a deployment; `folder` keeps what it knows of its backpacks, and their sites.

    Whoever opens it has `running` around its use.
    """

    capabilities: frozenset[Capability] = frozenset(("scale", "nodes", "node_changes", "databases"))

    def __init__(
        self,
        folder: Path,
        deployment: Deployment,
        keyring: Keyring,
        settings: Settings,
    ) -> None:
        self._deployment = deployment
        self._keyring = keyring
        self._swarm = Swarm()
        self._records = Records(folder / "records")
        self._stacks = Stacks(self._swarm, deployment, self._keyring)
        self._sites = Sites(folder / "sites", settings)
        self._publishing = Publishing(self._records, self._stacks, self._sites)
        self._turns = Turns()
        self._nodes = Nodes(self._swarm)
        self._lives = Lives(
            self._records,
            self._stacks,
            self._sites,
            self._nodes,
            self._turns,
            deployment,
            int(settings.trash_days * _DAY),
        )
        self._imports = Imports(
            self._records,
            self._stacks,
            self._lives,
            self._publishing,
            self._port,
            self._refreshed,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While inside, what a crash left in the middle is brought to its end, what has been in the
        trash for long enough is removed, and the edge tries again to get certificates it lacks."""
        told = self._deployment
        watching = certificates.watch(told.domain, self.names, told.certificate_interval)
        tasks = [
            asyncio.create_task(self._lives.recover(), name="recovery"),
            asyncio.create_task(watching, name="certificates"),
        ]
        try:
            async with swept(self._lives.sweep):
                yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await self._swarm.close()

    def names(self) -> Sequence[str]:
        return self._records.names()

    async def describe(self, name: str) -> Described:
        return self._lives.describe(await self._refreshed(self._records.get(name)))

    async def _refreshed(self, record: Record) -> Record:
        """The record of a backpack with the API key that it has by now."""
        with suppress(Unavailable):  # then what was known last is good enough
            async with self._port(record).console() as console:
                known = await console.ask("get", "key")
            latest = self._records.latest(record)
            if known["apiKey"] != latest.api_key:
                return self._records.put(replace(latest, api_key=known["apiKey"]))
        return record

    def create(
        self, name: str, api_key: str | None = None, mongo_url: str = "", redis_url: str = ""
    ) -> Steps:
        return self._turns.take(name, self._create(name, api_key, mongo_url, redis_url))

    async def _create(
        self, name: str, api_key: str | None, mongo_url: str, redis_url: str
    ) -> Steps:
        if self._records.find(name) is not None:
            raise Conflict(f"There is a backpack {name!r} already", code="backpack_exists")
        check_urls(mongo_url, redis_url)
        async for line in try_urls(name, mongo_url, redis_url):
            yield line
        async for step in self._lives.make_way(name):
            yield step
        record = await self._lives.new(name, api_key, "making", mongo_url, redis_url)
        async with aclosing(self._lives.start(record)) as steps:
            async for step in steps:
                yield step

    def delete(self, name: str) -> Steps:
        return self._turns.take(name, self._delete(name))

    async def _delete(self, name: str) -> Steps:
        record = self._records.mark(self._records.get(name), "deleting")
        try:
            async with aclosing(self._lives.stop(record)) as steps:
                async for step in steps:
                    yield step
        except (asyncio.CancelledError, GeneratorExit):
            await finish(self._lives.stop(self._records.latest(record)))
            raise

    async def trash(self) -> list[Deleted]:
        return [self._lives.deleted(record) for record in self._records.deleted()]

    def restore(self, name: str, deleted_at: str | None = None) -> Steps:
        return self._turns.take(name, self._restore(name, deleted_at))

    async def _restore(self, name: str, deleted_at: str | None) -> Steps:
        found = self._deleted_of(name, deleted_at)[-1]
        if self._records.find(name) is not None:
            raise name_taken(name)
        async for step in self._lives.make_way(name):
            yield step
        async with aclosing(self._lives.start(self._records.mark(found, "restoring"))) as steps:
            async for step in steps:
                yield step

    def _deleted_of(self, name: str, deleted_at: str | None) -> list[Record]:
        found = [
            record
            for record in self._records.deleted(name)
            if deleted_at in (None, moment(record.deleted_at))
        ]
        if not found:
            raise NotFound(f"There is no {name!r} in the trash", code="unknown_backpack")
        return found

    def purge(self, name: str, deleted_at: str | None = None) -> Steps:
        return self._turns.take(name, self._purge(name, deleted_at))

    async def _purge(self, name: str, deleted_at: str | None) -> Steps:
        for record in self._deleted_of(name, deleted_at):
            async with aclosing(self._lives.erase(record)) as steps:
                async for step in steps:
                    if not isinstance(step, Result):
                        yield step
        yield Result({"name": name})

    async def status(self, name: str) -> Status:
        record = self._records.get(name)
        return judge(record, await self._swarm.services(record.stack))

    def scale(self, name: str, replicas: int) -> Steps:
        return self._turns.take(name, self._scale(name, replicas))

    async def _scale(self, name: str, replicas: int) -> Steps:
        if not 1 <= replicas <= _MOST:
            raise Invalid(f"A backpack has 1 to {_MOST} API processes")
        record = self._records.change(self._records.get(name), replicas=replicas)
        async with aclosing(self._stacks.scale(record.spec)) as lines:
            async for line in lines:
                yield line
        yield Result(await self.status(name))

    def reconnect(self, name: str, mongo_url: str = "", redis_url: str = "") -> Steps:
        return self._turns.take(name, self._reconnect(name, mongo_url, redis_url))

    async def _reconnect(self, name: str, mongo_url: str, redis_url: str) -> Steps:
        record = self._records.get(name)
        check_urls(mongo_url, redis_url)
        check_external(record, mongo_url, redis_url)
        async for line in try_urls(name, mongo_url, redis_url):
            yield line
        async with aclosing(self._lives.reconnect(record, mongo_url, redis_url)) as steps:
            async for step in steps:
                yield step
        yield Result(await self.status(name))

    async def logs(
        self, name: str, service: str | None = None, tail: int = 200, follow: bool = False
    ) -> AsyncGenerator[str, None]:
        stack = self._records.get(name).stack
        there = [one.name for one in await self._swarm.services(stack)]
        if service is not None and service not in there:
            raise NotFound(f"There is no service {service!r}; there are: {', '.join(there)}")
        chosen = there if service is None else [service]
        async with aclosing(read_logs(stack, chosen, tail, follow)) as lines:
            async for line in lines:
                yield line

    def deploy(self, name: str, who: str, content: AsyncIterator[bytes]) -> Steps:
        return self._turns.take(name, self._deploy(name, who, content))

    async def _deploy(self, name: str, who: str, content: AsyncIterator[bytes]) -> Steps:
        record = self._records.get(name)
        async with aclosing(self._publishing.publish(record, content, who)) as lines:
            async for line in lines:
                yield line
        yield Result(await self._live_site(record))

    async def rollback(self, name: str, version: int | None = None) -> SiteVersion:
        await finish(self._turns.take(name, self._rollback(name, version)))
        return await self._live_site(self._records.get(name))

    async def _rollback(self, name: str, version: int | None) -> Steps:
        record = self._records.get(name)
        await self._sites.of(record.stack).rollback(version)
        async with aclosing(self._publishing.serve(record)) as lines:
            async for line in lines:
                yield line

    async def _live_site(self, record: Record) -> SiteVersion:
        return next(one for one in await self.sites(record.name) if one["live"])

    async def sites(self, name: str) -> list[SiteVersion]:
        record = self._records.get(name)
        url = f"https://{name}.{self._deployment.domain}"
        return await self._sites.described(record.stack, name, url)

    async def site_archive(self, stack: str, token: str, version: int) -> BinaryIO:
        """A version of a stack's site as a tar archive, to be closed, for its site service. Raises
        BadKey for a wrong token, NotFound."""
        record = next((one for one in self._records.all() if one.stack == stack), None)
        right = self._keyring.site_token(record.spec) if record else ""
        if not hmac.compare_digest(token.encode(errors="replace"), right.encode()) or not right:
            raise BadKey
        return await self._sites.of(stack).unpacked(version)

    async def roll(self) -> Steps:
        """Deploy every backpack anew, one after the other; Result: `{"upgraded": [...]}`.

        One that does not come up goes back to what it was by itself, and those after it are not
        touched; Unavailable names it.
        """
        done: list[str] = []
        for name in self.names():
            try:
                async with aclosing(self._turns.take(name, self._redeploy(name))) as steps:
                    async for step in steps:
                        yield step
            except NotFound:  # deleted meanwhile
                continue
            except BackpackError as exc:
                so_far = f"; renewed before: {', '.join(done)}" if done else ""
                raise Unavailable(f"{name}: {exc.message}{so_far}") from exc
            done.append(name)
        yield Result({"upgraded": done})

    async def _redeploy(self, name: str) -> Steps:
        async with aclosing(self._stacks.start(self._records.get(name))) as lines:
            async for line in lines:
                yield f"{name}: {line}"

    async def export_backup(
        self, name: str, with_key: bool = False, only: Collection[str] | None = None
    ) -> Steps:
        record = self._records.get(name)
        has_site = only is None or "site" in only
        with await self._packed_site(record) if has_site else nullcontext() as site:
            exported = export_backup(self._port(record), site, with_key, only)
            async with aclosing(exported) as steps:
                async for step in steps:
                    yield Result({**step.value, "name": name}) if isinstance(step, Result) else step

    async def _packed_site(self, record: Record) -> AbstractContextManager[BinaryIO | None]:
        return await self._sites.of(record.stack).packed() or nullcontext()

    def import_backup(
        self, name: str, content: AsyncIterator[bytes], replace: bool = False
    ) -> Steps:
        return self._turns.take(name, self._imports.run(name, content, replace))

    def _port(self, record: Record) -> PrivatePort:
        """The private port of the process that has everything, files too."""
        url = f"http://{record.stack}_files:{stacks.PRIVATE_PORT}"
        return PrivatePort(url, self._keyring.console_token(record.spec))

    @asynccontextmanager
    async def console(self, name: str) -> AsyncIterator[Console]:
        async with self._port(self._records.get(name)).console() as console:
            yield console

    async def metrics(self) -> list[Measured]:
        records = [self._records.get(name) for name in self._records.names()]
        return await measure(
            [
                Measurable(
                    record.spec.name,
                    service,
                    f"tasks.{record.stack}_{service}",
                    self._keyring.console_token(record.spec),
                )
                for record in records
                for service in ("api", "files")
            ]
        )

    async def nodes(self) -> list[Node]:
        return await self._nodes.all()

    async def label_node(self, node: str, key: str, value: str | None) -> Node:
        """Give a node a label, or take it with None; raises NotFound, Invalid."""
        return await self._nodes.label(node, key, value)

    async def drain_node(self, node: str) -> Node:
        """Have what runs on a node run elsewhere, as far as that needs no data of it."""
        return await self._nodes.drain(node)

    async def activate_node(self, node: str) -> Node:
        """Have a node take tasks again; raises NotFound."""
        return await self._nodes.activate(node)

    async def join_command(self, role: str = "worker") -> str:
        """What to run on another machine to make it a node of the swarm: it holds a secret."""
        return await self._nodes.join_command(role)
