"""A backpack of a swarm made of a backup, also in the place of one there is."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace as changed
from typing import Any

from ..control import read
from ..errors import Conflict
from ..steps import Result, Steps, finish
from .remote import PrivatePort
from .swarm_backups import with_site_aside
from .swarm_lives import Lives
from .swarm_records import Record, Records
from .swarm_sites import Publishing
from .swarm_stacks import Lines, Stacks


class Imports:
    """Makes backpacks of backups; `port` knows the private port of each, `refreshed` the record of
    one with the API key that it has by now."""

    def __init__(
        self,
        records: Records,
        stacks: Stacks,
        lives: Lives,
        publishing: Publishing,
        port: Callable[[Record], PrivatePort],
        refreshed: Callable[[Record], Awaitable[Record]],
    ) -> None:
        self._records = records
        self._stacks = stacks
        self._lives = lives
        self._publishing = publishing
        self._port = port
        self._refreshed = refreshed

    async def run(self, name: str, content: AsyncIterator[bytes], replace: bool) -> Steps:
        """What `Driver.import_backup` says."""
        before = self._records.find(name)
        if before is not None and not replace:
            raise Conflict(f"There is a backpack {name!r} already", code="backpack_exists")
        async for step in self._lives.make_way(name):
            yield step
        counts: dict[str, Any] = {}
        async with aclosing(self._steps(name, before, content)) as steps:
            async for step in steps:
                if isinstance(step, Result):
                    counts = step.value
                else:
                    yield step
        record = await self._refreshed(self._records.get(name))
        yield Result({**counts, **self._lives.describe(record)})

    def _steps(self, name: str, before: Record | None, content: AsyncIterator[bytes]) -> Steps:
        if before is None:
            return self._make(name, content)
        if before.is_external:
            # A second one would work on the same databases: it is filled itself, if it is empty.
            return self._fill(before, content)
        return self._replace(before, content)

    async def _make(self, name: str, content: AsyncIterator[bytes]) -> Steps:
        """A new backpack that has what is in a backup."""
        record = await self._lives.new(name, None, "importing")
        try:
            async with aclosing(self._build(record, content)) as steps:
                async for step in steps:
                    yield step
            self._records.mark(self._records.latest(record), "up")
        except BaseException:
            await finish(self._lives.erase(self._records.latest(record)))
            raise

    async def _replace(self, before: Record, content: AsyncIterator[bytes]) -> Steps:
        """The same in the place of another, which serves until the new one is whole."""
        before = await self._refreshed(before)
        record = await self._lives.successor(before)
        try:
            async with aclosing(self._build(record, content)) as steps:
                async for step in steps:
                    yield step
            async with aclosing(self._keep_site(before, record)) as lines:
                async for line in lines:
                    yield line
            async with aclosing(self._exchange(before, record)) as lines:
                async for line in lines:
                    yield line
        except BaseException:
            await finish(self._lives.erase(self._records.latest(record)))
            if self._records.latest(before).state != "up":
                await finish(self._lives.put_back(before))
            raise
        await finish(self._lives.erase(before))

    async def _build(self, record: Record, content: AsyncIterator[bytes]) -> Steps:
        async with aclosing(self._stacks.start(record)) as lines:
            async for line in lines:
                yield line
        async with aclosing(self._fill(record, content)) as steps:
            async for step in steps:
                yield step

    async def _fill(self, record: Record, content: AsyncIterator[bytes]) -> Steps:
        """Put a backup into a backpack that runs and is empty; the result is what was in it."""
        with tempfile.TemporaryFile() as site:
            blocks = with_site_aside(content, site)
            async with aclosing(self._port(record).import_backup(blocks)) as steps:
                async for step in steps:
                    yield step
            if site.tell():
                site.seek(0)
                async with aclosing(self._publish(record, read(site))) as lines:
                    async for line in lines:
                        yield line

    def _publish(self, record: Record, site: AsyncIterator[bytes]) -> Lines:
        return self._publishing.publish(self._records.latest(record), site, "import")

    async def _keep_site(self, before: Record, record: Record) -> Lines:
        """Have a new backpack, for which no site came, serve the one before's."""
        latest = self._records.latest(record)
        if before.spec.site and not latest.spec.site:
            async with aclosing(self._publishing.take_over(before, latest)) as lines:
                async for line in lines:
                    yield line

    async def _exchange(self, before: Record, record: Record) -> Lines:
        """Have requests go to a backpack that is whole, and not to the one before."""
        yield f"{record.name} is whole: it takes the place of the one before"
        whole = self._records.latest(record)
        self._records.mark(before, "replaced")
        spec = changed(whole.spec, is_routed=True)
        async with aclosing(
            self._stacks.start(self._records.put(changed(whole, spec=spec, state="up")))
        ) as lines:
            async for line in lines:
                yield line
