"""Waiting until a stack runs as it was deployed, told line by line, and what shows that it never
will."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Collection

from ..errors import Unavailable
from .swarm_state import Service, Swarm

_LOOK = 0.3  # seconds between two looks
_FAILURES = 3  # of tasks of one service: it will not run the next time either
_UNPLACED = 20.0  # seconds that a task may wait for a node to run on
_PATIENCE = 600.0  # seconds for all of it: images may have to be fetched


async def converge(
    swarm: Swarm, stack: str, only: Collection[str] = ()
) -> AsyncGenerator[str, None]:
    """Wait until every service of a stack, or those of `only`, is as it is wanted; each that has
    come further is a line. Of `only`, what was wanted before has ended by then.

    Raises Unavailable that names the service and says why it does not run, also where Docker has
    gone back to what was before.
    """
    started = time.monotonic()
    told: dict[str, str] = {}
    before: dict[str, frozenset[str]] = {}  # what had failed: Docker remembers that for days
    while True:
        services = [one for one in await swarm.services(stack) if not only or one.name in only]
        waited = time.monotonic() - started
        for service in services:
            failed = service.failed - before.setdefault(service.name, service.failed)
            line = _progress(service)
            if told.get(service.name) != line:
                told[service.name] = line
                yield line
            _check(service, len(failed), waited)
        late = [one for one in services if not one.is_complete or (only and one.leaving)]
        if services and not late:
            return
        if waited > _PATIENCE:
            raise Unavailable(_describe(late[0]) if late else f"There is nothing of {stack}")
        await asyncio.sleep(_LOOK)


def _progress(service: Service) -> str:
    line = f"{service.name}: {service.running} of {service.wanted} running"
    return (
        f"{line} ({service.update.replace('_', ' ')})"
        if not service.is_complete and (service.update not in ("", "completed"))
        else line
    )


def _check(service: Service, failures: int, waited: float) -> None:
    if service.update in ("rollback_completed", "rollback_paused", "paused"):
        why = service.update_reason or service.update
        raise Unavailable(f"Service {service.name} went back to what it was before: {why}")
    if service.is_complete:
        return
    hopeless = failures >= _FAILURES and service.update in ("", "completed")
    if hopeless or (not service.is_placed and waited > _UNPLACED):
        raise Unavailable(_describe(service))


def _describe(service: Service) -> str:
    """Why a service is not as it is wanted."""
    if service.is_complete:
        return f"What service {service.name} ran before does not end"
    reason = service.reason or service.update_reason or "it did not become healthy"
    return f"Service {service.name} does not run: {reason}"


async def vanish(swarm: Swarm, stack: str) -> AsyncGenerator[str, None]:
    """Wait until nothing of a stack is left but its volumes and secrets; what there still is, is a
    line each; networks go, which its last tasks may have kept. Raises Unavailable when it stays.
    """
    started = time.monotonic()
    told = ""
    while left := await swarm.is_left(stack):
        if left != told:
            told = left
            yield f"Waiting for its {left} to end"
        if left == "networks":
            await swarm.remove_networks(stack)
        if time.monotonic() - started > _PATIENCE:
            raise Unavailable(f"The {left} of {stack} do not end")
        await asyncio.sleep(_LOOK)
