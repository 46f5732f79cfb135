"""What the processes that serve the backpacks of a swarm have counted."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from ..errors import BackpackError
from .base import Measured
from .remote import PrivatePort
from .stacks import PRIVATE_PORT

_PATIENCE = 3.0  # seconds for all of them together: who scrapes has a patience too
_AT_ONCE = 50  # of them that are asked


@dataclass(frozen=True)
class Measurable:
    """A service of a backpack, by the host name that leads to its tasks."""

    backpack: str
    service: str
    host: str
    token: str


async def measure(services: Sequence[Measurable]) -> list[Measured]:
    """The metrics of each task that answers; without any for a service that has none."""
    turns = asyncio.Semaphore(_AT_ONCE)
    found: dict[Measurable, dict[str, str]] = {one: {} for one in services}
    tasks = [asyncio.create_task(_ask(one, turns, found[one])) for one in services]
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=_PATIENCE)
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return [_measured(one, pages) for one, pages in found.items()]


def _measured(service: Measurable, pages: Mapping[str, str]) -> Measured:
    return {"backpack": service.backpack, "service": service.service, "pages": pages}


async def _ask(service: Measurable, turns: asyncio.Semaphore, pages: dict[str, str]) -> None:
    """Add the page of each task to `pages`, by its address."""
    loop = asyncio.get_running_loop()
    async with turns:
        with suppress(OSError):
            known = await loop.getaddrinfo(service.host, PRIVATE_PORT, type=socket.SOCK_STREAM)
            await asyncio.gather(
                *(_read(str(entry[4][0]), service.token, pages) for entry in known)
            )


async def _read(address: str, token: str, pages: dict[str, str]) -> None:
    with suppress(BackpackError):
        pages[address] = await PrivatePort(f"http://{address}:{PRIVATE_PORT}", token).metrics()
