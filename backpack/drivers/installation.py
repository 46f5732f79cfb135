"""A deployment as a whole: the edge and the admin, put up, renewed, taken down. What it is told is
kept as the environment of the admin, so a later command finds it there; while it is down, as a
config of the swarm."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any

from ..errors import BackpackError, Conflict, Invalid, NotFound, Unavailable
from ..steps import Result, Steps
from . import docker_cli, stacks
from .doctor import examine
from .kernel import has_ipsec, has_ipvs
from .routing import EDGE
from .stacks import NAME, PLATFORM, Deployment
from .swarm_nodes import Nodes
from .swarm_stacks import put_up, take_down
from .swarm_state import Service, Swarm
from .swarm_status import state_of
from .swarm_volumes import remove_volumes

SECRET = f"{PLATFORM}_secret"
CONFIG = f"{PLATFORM}_deployment"  # what was told to one that is down
NETWORKS = (EDGE, stacks.ADMIN)

_ADMIN = f"{PLATFORM}_admin"
_STACK = "backpack.stack"  # the label of its secrets
_VITAL = (
    "Docker",
    "docker command",
    "Swarm",
    "Ports",
    "Disk",
)  # findings without which nothing works
_PATIENCE = 60.0  # seconds for the admin to answer a command, once it is healthy
_LOOK = 0.5  # seconds between two tries

Lines = AsyncGenerator[str, None]


class Installation:
    """The deployment of one swarm."""

    def __init__(self, swarm: Swarm) -> None:
        self._swarm = swarm

    async def deployment(self) -> Deployment:
        """What the deployment was told; raises NotFound where there is none."""
        try:
            known = await self._swarm.environment(_ADMIN)
        except NotFound as exc:
            raise NotFound(
                "There is no deployment in this swarm: make one with backpack swarm up"
            ) from exc
        return Deployment.from_json(known["BACKPACK_DEPLOYMENT"])

    async def up(
        self,
        given: Mapping[str, Any],
        assigned: Mapping[str, str] | None = None,
        vip: bool | None = None,
    ) -> Steps:
        """Put up a deployment, or change the one there is to what is `given` anew, and `assigned`
        as text; the backpacks there are follow, one after the other. Result: `{"admin", "setup"}`,
        where the panel is and with which token the first developer registers there, None once there
        is one. `vip`: whether services have virtual addresses; with None as this machine's kernel
        allows.

        Raises Invalid and Unavailable that say what to do.
        """
        async with aclosing(self._checked(given.get("domain"))) as lines:
            async for line in lines:
                yield line
        before = await self._before()
        if before is None and not {"domain", "email"} <= set(given):
            raise Invalid(
                "Say where: backpack swarm up --domain example.com --email me@example.com"
            )
        if before is None:
            node = str((await self._swarm.info())["Swarm"]["NodeID"])
            vip = has_ipvs() if vip is None else vip
            encrypted = has_ipsec()
            deployment = Deployment(**{**given, "node": node, "vip": vip, "encrypted": encrypted})
            yield f"Making a deployment for {deployment.domain}"
        else:
            chosen = before.vip if vip is None else vip
            deployment = replace(before, **{**given, "vip": chosen})
            yield f"Renewing the deployment of {deployment.domain}"
        deployment = deployment.assign(await self._with_ids(assigned or {}))
        is_running = bool(await self._swarm.service_image(_ADMIN))
        is_moved = before is not None and is_running and deployment.subnets != before.subnets
        if is_moved or await self._swarm.is_encrypted(EDGE) not in (None, deployment.encrypted):
            raise Invalid("Networks stay as they were made: backpack swarm down first, then up")
        if not deployment.vip:
            yield "Services are found by DNS"
        await self._prepare(deployment)
        async with aclosing(self._deploy(deployment)) as lines:
            async for line in lines:
                yield line
        await self._swarm.remove_config(CONFIG)
        yield "Waiting until the admin answers"
        setup = await self._perform("swarm", "token")
        if is_running:
            async with aclosing(self._told_by_admin("swarm", "roll")) as steps:
                async for step in steps:
                    if not isinstance(step, Result):
                        yield step
        yield Result({"admin": f"https://admin.{deployment.domain}", **setup})

    async def _checked(self, domain: str | None) -> Lines:
        """What there is to be said of the machine; raises Invalid for what does not work on it."""
        async for finding in examine(self._swarm, domain):
            said = f"{finding.what}: {finding.found}; {finding.remedy}"
            if finding.state == "failure" and finding.what in _VITAL:
                raise Invalid(said)
            if finding.state != "ok":
                yield said

    async def _with_ids(self, assigned: Mapping[str, str]) -> Mapping[str, str]:
        """The same with the id of a node in place of its name."""
        if "node" not in assigned:
            return assigned
        for node in await Nodes(self._swarm).machines():
            if node.role == "manager" and assigned["node"] in (node.name, node.id):
                return {**assigned, "node": node.id}
        raise Invalid(f"There is no manager {assigned['node'][:100]!r} in this swarm")

    async def _before(self) -> Deployment | None:
        """What the deployment was told that runs, or that is down."""
        try:
            return await self.deployment()
        except NotFound:
            kept = await self._swarm.config(CONFIG)
        return Deployment.from_json(kept) if kept else None

    async def _prepare(self, deployment: Deployment) -> None:
        """Networks and the secret, which every stack shares; what is there already stays, whoever
        has made it."""
        for network, subnet in zip(NETWORKS, deployment.subnets, strict=True):
            with suppress(Conflict):
                await self._swarm.make_network(network, subnet, deployment.encrypted)
        with suppress(Conflict):
            await self._swarm.make_secret(SECRET, secrets.token_hex(32), {_STACK: PLATFORM})

    async def _deploy(self, deployment: Deployment) -> Lines:
        text = stacks.platform(deployment)
        async with aclosing(put_up(self._swarm, PLATFORM, text, deployment)) as lines:
            async for line in lines:
                yield line

    async def upgrade(self, given: Mapping[str, Any]) -> Steps:
        """Run other images, or the same anew: first edge and admin, then one backpack after the
        other, without a failed request; Result: `{"upgraded": [...]}`.

        Where something does not come up it goes back to what it was by itself, nothing after it is
        touched, and Unavailable says so.
        """
        deployment = replace(await self.deployment(), **given)
        yield f"Renewing edge and admin: {deployment.image}"
        async with aclosing(self._deploy(deployment)) as lines:
            async for line in lines:
                yield line
        async with aclosing(self._told_by_admin("swarm", "roll")) as steps:
            async for step in steps:
                yield step

    async def _told_by_admin(self, *command: str) -> Steps:
        """What a command says that is run inside the admin."""
        container = await self._admin()
        last = ""
        async with aclosing(docker_cli.lines(docker_cli.execute(container, *command))) as lines:
            async for line in lines:
                if last:
                    yield last
                last = line
        yield Result(last)

    async def _perform(self, *command: str) -> Any:
        """The JSON result of a command that is run inside the admin, as soon as that answers."""
        ends = time.monotonic() + _PATIENCE
        while True:
            try:
                container = await self._admin()
                said = await docker_cli.run(docker_cli.execute(container, *command, "--json"))
                return json.loads("\n".join(said))
            except (BackpackError, ValueError) as exc:
                if time.monotonic() > ends:
                    raise Unavailable(f"The admin does not answer: {exc}") from exc
            await asyncio.sleep(_LOOK)

    async def _admin(self) -> str:
        container = await self._swarm.container(_ADMIN)
        if not container:
            raise Unavailable(
                "The admin does not run on this machine: go to the node where swarm up was run, "
                "or see backpack swarm status"
            )
        return container

    async def down(self, *, purge: bool) -> Steps:
        """End everything; volumes, secrets and settings stay, and `up` has it all again, unless
        `purge`. Result: `{"stopped": [...]}`."""
        told = await self._before()
        if not purge and told:
            await self._swarm.remove_config(CONFIG)
            await self._swarm.make_config(CONFIG, told.to_json())
        image = told.image_of("admin") if told else Deployment.image
        names = {**await self._swarm.stacks(NAME)}
        kept = set(await self._swarm.secret_labels(_STACK)) if purge else set()
        every = sorted({*names, *kept} - {PLATFORM})
        for stack in (*every, PLATFORM):
            async with aclosing(take_down(self._swarm, stack)) as lines:
                async for line in lines:
                    yield line
        if purge:
            for stack in (*every, PLATFORM):
                yield f"Removing the volumes and secrets of {stack}"
                await remove_volumes(self._swarm, stack, image)
                for name in await self._swarm.secrets(f"{_STACK}={stack}"):
                    await self._swarm.remove_secret(name)
            await self._swarm.remove_config(CONFIG)
        for network in NETWORKS:
            await self._remove_network(network)
        yield Result({"stopped": sorted(set(names.values()))})

    async def _remove_network(self, network: str) -> None:
        # The last tasks leave it a moment after they have ended.
        ends = time.monotonic() + _PATIENCE
        while True:
            try:
                return await self._swarm.remove_network(network)
            except (Conflict, Invalid, Unavailable):
                if time.monotonic() > ends:
                    raise
            await asyncio.sleep(_LOOK)

    async def status(self) -> dict[str, Any]:
        """How everything is: `{"domain", "image", "services", "nodes", "backpacks"}`, where each
        backpack is `{"name", "state", "reason"}`."""
        deployment = await self.deployment()
        found = await self._swarm.stacks(NAME)
        backpacks = []
        for stack, name in sorted(found.items(), key=lambda item: item[1]):
            backpacks.append({"name": name, **_summary(await self._swarm.services(stack))})
        return {
            "domain": deployment.domain,
            "image": deployment.image,
            "services": [_row(one) for one in await self._swarm.services(PLATFORM)],
            "nodes": [
                {"name": node.name, "role": node.role, "state": node.state}
                for node in await Nodes(self._swarm).machines()
            ],
            "backpacks": backpacks,
        }


def _row(service: Service) -> dict[str, Any]:
    return {
        "name": service.name,
        "wanted": service.wanted,
        "running": service.running,
        "image": service.image,
        "reason": service.reason,
    }


def _summary(services: list[Service]) -> dict[str, str]:
    state, reason = state_of(services)
    return {"state": state, "reason": reason}
