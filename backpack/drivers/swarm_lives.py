"""The life of a swarm's backpacks: made, ended, removed, brought to an end after a crash. What is
done at any time is noted first, so that an admin that is killed knows it when it runs again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import replace

from ..errors import BackpackError, Unavailable
from ..names import check_key, new_key
from ..steps import Result, Steps, finish
from ..trash import moment
from .base import Deleted, Described
from .stacks import BackpackSpec, Deployment
from .swarm_nodes import Nodes
from .swarm_records import LEFT, Record, Records, State, now
from .swarm_sites import Sites
from .swarm_stacks import Stacks
from .turns import Turns

_PAUSE = 1.0  # seconds before what could not be brought to its end is tried again; then twice that
_LONGEST = 3_600.0  # seconds, of such pauses

Way = Callable[[Record], Steps]

logger = logging.getLogger("backpack")


class Lives:
    """Begins and ends backpacks. `kept`: milliseconds that one is in the trash."""

    def __init__(
        self,
        records: Records,
        stacks: Stacks,
        sites: Sites,
        nodes: Nodes,
        turns: Turns,
        deployment: Deployment,
        kept: int,
    ) -> None:
        self._records = records
        self._stacks = stacks
        self._sites = sites
        self._nodes = nodes
        self._turns = turns
        self._deployment = deployment
        self._kept = kept

    async def new(
        self,
        name: str,
        api_key: str | None,
        state: State,
        mongo_url: str = "",
        redis_url: str = "",
    ) -> Record:
        """The record of a backpack that is not yet there; raises Invalid. With URLs it has no
        databases of its own."""
        key = new_key() if api_key is None else check_key(api_key)
        spec = BackpackSpec(
            name=name,
            generation=self._records.next_generation(name),
            replicas=self._deployment.replicas,
            node=await self._home(),
            external_mongo=bool(mongo_url),
            external_redis=bool(redis_url),
        )
        record = Record(spec, state, key, now(), mongo_url=mongo_url, redis_url=redis_url)
        return self._records.put(record)

    async def successor(self, before: Record) -> Record:
        """The record of a backpack that will take the place of another one, as that is run; no
        requests go to it so far."""
        spec = replace(
            before.spec,
            generation=self._records.next_generation(before.name),
            node=await self._home(),
            site=0,
            is_routed=False,
        )
        return self._records.put(Record(spec, "filling", before.api_key, now()))

    async def _home(self) -> str:
        return await self._nodes.choose_home(one.spec.node for one in self._records.all())

    async def make_way(self, name: str) -> Steps:
        """End what runs still of backpacks that had a name, whose end did not go well: it has the
        same hosts."""
        for record in self._records.of(name):
            if record.state in LEFT:
                async with aclosing(self._stacks.stop(record)) as lines:
                    async for line in lines:
                        yield line

    async def start(self, record: Record) -> Steps:
        """Bring a backpack up that is being made or restored; where that fails, it is again as it
        was before that."""
        try:
            async with aclosing(self._bring_up(record)) as steps:
                async for step in steps:
                    yield step
        except BackpackError as exc:
            yield f"Failed: {exc.message}"
            why = exc.message
            try:
                async with aclosing(self._give_up(record)) as steps:
                    async for step in steps:
                        if not isinstance(step, Result):
                            yield step
            except BackpackError as left:
                why = f"{why}; cleaning up goes on, since {left.message}"
            what = "made" if record.state == "making" else "restored"
            raise Unavailable(f"{record.name} could not be {what}: {why}") from exc
        except (asyncio.CancelledError, GeneratorExit):
            await finish(self._give_up(record))
            raise

    async def _bring_up(self, record: Record) -> Steps:
        async with aclosing(self._stacks.start(record)) as lines:
            async for line in lines:
                yield line
        described = self.describe(record)
        self._records.mark(record, "up")
        yield f"{record.name} is up: {described['backend']}"
        yield Result(described)

    def _give_up(self, record: Record) -> Steps:
        if record.state == "making":
            return self.erase(record)
        return self.stop(record)

    async def stop(self, record: Record) -> Steps:
        """End a backpack and keep its data: it is in the trash then."""
        async with aclosing(self._stacks.stop(record)) as lines:
            async for line in lines:
                yield line
        deleted = self.deleted(self._records.mark(record, "deleted"))
        yield f"{record.name} is in the trash until {deleted['until']}"
        yield Result(deleted)

    async def erase(self, record: Record) -> Steps:
        record = self._records.mark(record, "purging")
        async with aclosing(self._stacks.erase(record)) as lines:
            async for line in lines:
                yield line
        await self._sites.remove(record.stack)
        self._records.remove(record)
        yield f"Nothing of {record.stack} is left"
        yield Result({"name": record.name})

    async def reconnect(self, before: Record, mongo_url: str, redis_url: str) -> Steps:
        """Have a backpack reach databases by other URLs, those that are given; where that fails it
        runs with those it had."""
        before = self._records.mark(before, "reconnecting")

        def changed(record: Record) -> Record:
            return replace(
                record,
                mongo_url=mongo_url or before.mongo_url,
                redis_url=redis_url or before.redis_url,
                spec=replace(record.spec, urls=before.spec.urls + 1),
            )

        try:
            await self._stacks.forget_urls(before)  # of one that failed
            async with aclosing(self._stacks.start(changed(before))) as lines:
                async for line in lines:
                    yield line
        except BackpackError as exc:
            yield f"Failed: {exc.message}"
            why = exc.message
            try:
                async with aclosing(self._keep_urls(before)) as steps:
                    async for step in steps:
                        yield step
            except BackpackError as left:
                why = f"{why}; going back goes on, since {left.message}"
            raise Unavailable(f"{before.name} has the databases it had: {why}") from exc
        except (asyncio.CancelledError, GeneratorExit):
            await finish(self._keep_urls(before))
            raise
        after = changed(self._records.mark(self._records.latest(before), "up"))
        await self._stacks.forget_urls(self._records.put(after))

    async def _keep_urls(self, record: Record) -> Steps:
        """Have a backpack run with the URLs that its record has."""
        async with aclosing(self._stacks.start(record)) as lines:
            async for line in lines:
                yield line
        self._records.mark(self._records.latest(record), "up")
        await self._stacks.forget_urls(record)

    async def put_back(self, record: Record) -> Steps:
        """Run a backpack again that was to be replaced."""
        self._records.mark(record, "up")
        async with aclosing(self._stacks.start(record)) as lines:
            async for line in lines:
                yield line

    async def recover(self) -> None:
        """Bring to its end what a crash left in the middle; what cannot be now is tried again."""
        pause = _PAUSE
        while not await self._end_all({**self._ways, "up": self._start_again}):
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST)

    async def sweep(self) -> None:
        """Remove what has been in the trash for long enough, and bring to its end what failed."""
        await self._end_all(self._ways)

    @property
    def _ways(self) -> dict[State, Way]:
        return {
            "making": self.start,
            "restoring": self.start,
            "importing": self.erase,
            "filling": self.erase,
            "reconnecting": self._keep_urls,
            "deleting": self.stop,
            "replaced": self._settle,
            "purging": self.erase,
            "deleted": self._erase_in_time,
        }

    async def _end_all(self, ways: Mapping[State, Way]) -> bool:
        """Go the way of each record's state; answers whether there is nothing to try again."""
        try:  # otherwise what is being made would be given up
            await self._nodes.machines()
        except BackpackError as exc:
            logger.warning("Backpacks are not looked after: %s", exc)
            return False
        chosen = [record for record in self._records.all() if record.state in ways]
        return all([await self._end(record, ways[record.state]) for record in chosen])

    async def _erase_in_time(self, record: Record) -> Steps:
        if record.deleted_at + self._kept < now():
            async for step in self.erase(record):
                yield step

    async def _settle(self, record: Record) -> Steps:
        """Bring to its end that another took the place of a backpack: if that is there, it goes."""
        follows = self._records.find(record.name)
        if follows is None:
            async with aclosing(self.put_back(record)) as steps:
                async for step in steps:
                    yield step
            return
        async with aclosing(self._stacks.start(follows)) as lines:  # requests may not yet go there
            async for line in lines:
                yield line
        async with aclosing(self.erase(record)) as steps:
            async for step in steps:
                yield step

    async def _start_again(self, record: Record) -> Steps:
        """Start a backpack whose stack is gone, as after `swarm down`."""
        if not await self._stacks.runs(record):
            async with aclosing(self._stacks.start(record)) as lines:
                async for line in lines:
                    yield line

    async def _end(self, record: Record, way: Way) -> bool:
        """Bring what was begun to its end, unless somebody did meanwhile; answers whether that
        went well."""

        async def steps() -> Steps:
            if record in self._records.all():
                async with aclosing(way(record)) as steps:
                    async for step in steps:
                        yield step

        try:
            await finish(self._turns.take(record.name, steps()))
        except BackpackError as exc:
            logger.warning("%s was left %s: %s", record.stack, record.state, exc)
            return False
        except Exception:  # our bug: it is not the other backpacks' matter
            logger.exception("%s was left %s", record.stack, record.state)
            return False
        return True

    def describe(self, record: Record) -> Described:
        domain, name = self._deployment.domain, record.name
        return {
            "name": name,
            "api_key": record.api_key,
            "backend": f"https://{name}-be.{domain}",
            "frontend": f"https://{name}.{domain}",
        }

    def deleted(self, record: Record) -> Deleted:
        at = record.deleted_at
        return {"name": record.name, "deleted_at": moment(at), "until": moment(at + self._kept)}
