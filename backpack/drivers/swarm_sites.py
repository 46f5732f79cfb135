"""The sites of a swarm's backpacks, as the admin keeps them: every version. Site services fetch the
one that they serve from here."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path

from ..errors import BackpackError
from ..settings import Settings
from ..shelf import Shelf
from ..sites import Site
from ..steps import finish
from .base import SiteVersion
from .swarm_records import Record, Records
from .swarm_stacks import Stacks

logger = logging.getLogger("backpack")

_MEMORY = 1_048_576  # bytes for lists of files; no content is served from here


class Sites:
    """The sites in `folder`, one a stack."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self._folder = folder
        self._settings = settings
        self._shelf = Shelf(_MEMORY)
        self._opened: dict[str, Site] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def of(self, stack: str) -> Site:
        found = self._opened.get(stack)
        if found is None:
            found = self._opened[stack] = Site(self._folder / stack, self._settings, self._shelf)
        return found

    async def described(self, stack: str, name: str, url: str) -> list[SiteVersion]:
        """The versions of a site that are kept, the oldest first."""
        return [
            {
                "name": name,
                "version": version.number,
                "live": version.since > 0,
                "at": version.at,
                "who": version.who,
                "size": version.size,
                "files": len(version.files),
                "url": url,
            }
            for version in await self.of(stack).versions()
        ]

    async def copy(self, stack: str, other: str) -> None:
        """Have another stack, which has no site, have all versions of this one's too; raises
        NoSpace, Unavailable."""
        await self.of(stack).copy(self._folder / other)

    async def remove(self, stack: str) -> None:
        """Remove all versions of a site."""
        site = self._opened.pop(stack, None)
        if site is not None:
            await site.close()
        await asyncio.to_thread(shutil.rmtree, self._folder / stack, ignore_errors=True)


class Publishing:
    """Gets versions of sites to the services that serve them."""

    def __init__(self, records: Records, stacks: Stacks, sites: Sites) -> None:
        self._records = records
        self._stacks = stacks
        self._sites = sites

    async def publish(
        self, record: Record, content: AsyncIterator[bytes], who: str
    ) -> AsyncGenerator[str, None]:
        """Make the zip that comes as `content` the site of a backpack; raises as `Site.deploy`
        does, and Unavailable where it cannot be served."""
        async with aclosing(self._sites.of(record.stack).deploy(content, who)) as steps:
            async for step in steps:
                if isinstance(step, str):
                    yield step
        async with aclosing(self.serve(record)) as lines:
            async for line in lines:
                yield line

    async def take_over(self, before: Record, record: Record) -> AsyncGenerator[str, None]:
        """Have a backpack that has no site serve the one of another, which keeps it."""
        await self._sites.copy(before.stack, record.stack)
        async with aclosing(self.serve(record)) as lines:
            async for line in lines:
                yield line

    async def serve(self, record: Record) -> AsyncGenerator[str, None]:
        """Have the site service serve the live version; where it cannot, or its reader goes, it
        serves the one before again."""
        site, before = self._sites.of(record.stack), record.spec.site
        try:
            changed = self._records.change(record, site=(await site.live()).number)
            async with aclosing(self._stacks.serve_site(changed.spec)) as lines:
                async for line in lines:
                    yield line
        except (BackpackError, asyncio.CancelledError, GeneratorExit):
            self._records.change(record, site=before)
            await (site.rollback(before) if before else site.withdraw())
            await self._serve_again(record)
            raise

    async def _serve_again(self, record: Record) -> None:
        try:
            await finish(self._stacks.serve_site(record.spec))
        except BackpackError as exc:
            logger.warning("%s may serve another version of its site: %s", record.stack, exc)
