"""What was deleted and can be had back for some days: what lies there, and who empties it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from .errors import BackpackError, Conflict

_PAUSE = 3_600.0  # seconds between two looks for what has lain there long enough

logger = logging.getLogger("backpack")


@dataclass(frozen=True)
class Discarded:
    """A backpack in the trash. `at`: when it came there, in milliseconds since 1970."""

    name: str
    at: int

    @property
    def deleted_at(self) -> str:
        """`at`, as it is told and asked for."""
        return moment(self.at)


def moment(milliseconds: int) -> str:
    """A time since 1970 in ISO 8601, so exact that it tells two of one name apart."""
    return datetime.fromtimestamp(milliseconds / 1_000, UTC).isoformat(timespec="milliseconds")


def name_taken(name: str) -> Conflict:
    """The refusal to have a backpack back whose name has been taken since."""
    return Conflict(
        f"There is a backpack {name!r} again: delete that one first, it can be restored too",
        code="backpack_exists",
    )


class Trash(Protocol):
    """Where a home keeps deleted backpacks, of one name any number. Each change happens in one
    step: a process that dies leaves a backpack here or there."""

    async def all(self) -> list[Discarded]:
        """What is there, the oldest first."""

    async def put(self, name: str) -> Discarded:
        """Move a backpack here whose parts are closed.

        Raises NoSpace or Unavailable when it is where it was.
        """

    async def take(self, one: Discarded) -> None:
        """Move it back to where nothing may be of its name; raises as `put` does."""

    async def remove(self, one: Discarded) -> None:
        """Remove it for good; raises as `put` does."""


@asynccontextmanager
async def swept(sweep: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Have `sweep` called at the start, and every hour from then on."""
    task = asyncio.create_task(_sweep_for_ever(sweep), name="trash")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _sweep_for_ever(sweep: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await sweep()
        except BackpackError as exc:
            logger.warning("The trash was not emptied: %s", exc)
        await asyncio.sleep(_PAUSE)
