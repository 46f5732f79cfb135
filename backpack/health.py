"""Whether this process can do its work: what `/healthz` says, and who finds that out.

It is asked every second, not by those who want to know.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from .backpacks import Backpack
from .complaints import cause_of
from .errors import BackpackError, Unavailable
from .tenants import Tenants

_PAUSE = 1.0  # seconds between two questions
_PATIENCE = 2.0  # seconds until a server that does not answer counts as away

logger = logging.getLogger("backpack")


class Health:
    """What is known at this moment. A sandbox has everything in itself and is always well."""

    def __init__(self) -> None:
        self.starting = ""  # how far that has come
        self.stopping = False
        self.away: set[str] = set()  # names of servers

    @property
    def trouble(self) -> str | None:
        """Why no requests should be sent here; None when all is well."""
        if self.away and not self.stopping:
            away = sorted(self.away)
            return f"{' and '.join(away)} {'is' if len(away) == 1 else 'are'} away"
        return self.own_trouble

    @property
    def own_trouble(self) -> str | None:
        """The same, but for what troubles every process of the backpack alike: another one, or this
        one started again, would serve no better without its servers."""
        return "Shutting down" if self.stopping else self.starting or None


class Watch:
    """Opens a backpack as soon as its servers are there, then keeps asking them.

    MongoDB is asked for the backpack's configuration: a change that the bus did not tell of is in
    force after a second all the same.
    """

    def __init__(self, health: Health, tenants: Tenants, name: str) -> None:
        self._health = health
        self._tenants = tenants
        self._name = name
        self._stopped = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._health.starting = "Starting"
        self._task = asyncio.create_task(self._run(), name="watch")

    async def stop(self) -> None:
        assert self._task is not None
        self._stopped = True
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        await self._open()
        self._health.starting = ""
        await asyncio.gather(
            self._keep_asking("MongoDB", self._ask_mongo),
            self._keep_asking("Redis", self._ask_redis),
        )

    # The backpack of this moment: a restored one takes the place of the one before.

    async def _ask_mongo(self) -> None:
        await (await self._tenants.backpack(self._name)).reload()

    async def _ask_redis(self) -> None:
        await (await self._tenants.backpack(self._name)).bus.ping()

    async def _open(self) -> Backpack:
        said = ""
        while True:
            try:
                return await self._tenants.backpack(self._name)
            except Unavailable as exc:
                why = self._health.starting = exc.message
            except Exception as exc:  # whatever it is, it may be put right in the database
                why = f"cannot be opened: {exc!r}"
            if why != said:
                logger.warning("Not ready: %s", why)
                said = why
            await asyncio.sleep(_PAUSE)

    async def _keep_asking(self, server: str, ask: Callable[[], Awaitable[None]]) -> None:
        # Its own mark of the end: redis swallows a cancellation at times (see RedisBus.close).
        while not self._stopped:
            trouble = await _trouble(ask)
            if trouble and server not in self._health.away:
                logger.warning("%s is away: %s", server, trouble)
                self._health.away.add(server)
            elif not trouble and server in self._health.away:
                logger.warning("%s is back", server)
                self._health.away.discard(server)
            await asyncio.sleep(_PAUSE)


async def _trouble(ask: Callable[[], Awaitable[None]]) -> str | None:
    """What keeps a server from answering; None when it does."""
    try:
        async with asyncio.timeout(_PATIENCE):
            await ask()
    except TimeoutError:
        return f"no answer in {_PATIENCE:g} s"
    except BackpackError as exc:
        return cause_of(exc) or exc.message
    except Exception as exc:  # a watch that ended would leave the process ill, or well, for good
        return repr(exc)
    return None
