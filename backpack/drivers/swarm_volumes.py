"""Removing the volumes of a stack. A manager sees its own only, so the other nodes are reached by a
job that runs on each of them."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping
from typing import Any

from ..errors import Unavailable
from . import docker_cli
from .swarm_nodes import Nodes
from .swarm_state import STACK, Swarm

_LOOK = 0.3  # seconds between two looks at the job
_PATIENCE = 90.0  # seconds


async def remove_volumes(swarm: Swarm, stack: str, image: str) -> None:
    """Remove the volumes of a stack on every node that is up; `image` has the docker command.

    Raises Unavailable where a volume stays.
    """
    for name in await swarm.volumes(stack):
        await swarm.remove_volume(name)
    if len(await Nodes(swarm).machines()) > 1:
        await _on_every_node(swarm, image, _REMOVE.format(label=f"{STACK}={stack}"))


# Containers of a stack that has gone may need a moment more to end on their node.
_REMOVE = (
    'docker volume ls --quiet --filter "label={label}" | xargs --no-run-if-empty docker volume rm'
)


async def _on_every_node(swarm: Swarm, image: str, script: str) -> None:
    job = f"backpack-job-{secrets.token_hex(4)}"
    await docker_cli.run(docker_cli.create_job(job, image, script))
    try:
        started = time.monotonic()
        while trouble := await _unfinished(swarm, job):
            if time.monotonic() - started > _PATIENCE:
                raise Unavailable(f"Volumes were not removed on every node: {trouble}")
            await asyncio.sleep(_LOOK)
    finally:
        await docker_cli.run(docker_cli.remove_service(job))


async def _unfinished(swarm: Swarm, job: str) -> str:
    """Why a job has not yet come to its end on every node that is up; "" when it has."""

    def ask(client: Any) -> str:
        tasks = client.tasks(filters={"service": job})
        nodes = {one["ID"] for one in client.nodes() if _is_ready(one)}
        done = {one["NodeID"] for one in tasks if one["Status"]["State"] == "complete"}
        errors = [one["Status"]["Err"] for one in tasks if one["Status"].get("Err")]
        return "" if nodes <= done else (errors or ["it does not end"])[-1]

    return await swarm.ask(ask)


def _is_ready(node: Mapping[str, Any]) -> bool:
    return bool(node["Status"]["State"] == "ready" and node["Spec"]["Availability"] == "active")
