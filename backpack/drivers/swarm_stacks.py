"""The stack of one backpack on Docker: started, changed, stopped, erased. Each of these can be done
again after a crash in its middle, and what there is already stays."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress

from ..errors import Conflict, Unavailable
from . import docker_cli, stacks
from .stacks import BackpackSpec, Deployment
from .swarm_records import Record
from .swarm_secrets import Keyring
from .swarm_state import Swarm
from .swarm_volumes import remove_volumes
from .swarm_watch import converge, vanish

Lines = AsyncGenerator[str, None]

_LABEL = "backpack.stack"  # of a secret: whose it is


async def put_up(swarm: Swarm, stack: str, text: str, deployment: Deployment) -> Lines:
    """Have a stack be what a text says, and wait for it; raises Unavailable as `converge` does."""
    command = docker_cli.deploy_stack(stack, from_registry=bool(deployment.registry))
    async with aclosing(docker_cli.lines(command, text.encode())) as lines:
        async for line in lines:
            yield line
    # Docker compares names of images, and a name may stand for another one than it did.
    for service in await swarm.outdated(stack):
        yield f"Renewing {service}: its image has changed"
        await docker_cli.run(docker_cli.renew_service(service))
    async with aclosing(converge(swarm, stack)) as lines:
        async for line in lines:
            yield line


async def take_down(swarm: Swarm, stack: str) -> Lines:
    """End a stack and wait until nothing is left of it but its volumes and secrets; raises
    Unavailable."""
    if await swarm.services(stack):
        try:
            async with aclosing(docker_cli.lines(docker_cli.remove_stack(stack))) as lines:
                async for line in lines:
                    yield line
        except Unavailable:  # also where a network is in use still, for a moment
            if await swarm.services(stack):
                raise
    async with aclosing(vanish(swarm, stack)) as lines:
        async for line in lines:
            yield line


class Stacks:
    """Does to a swarm what its backpacks need."""

    def __init__(self, swarm: Swarm, deployment: Deployment, keyring: Keyring) -> None:
        self._swarm = swarm
        self._deployment = deployment
        self._keyring = keyring

    async def start(self, record: Record) -> Lines:
        """Run a backpack as its record says, and wait for it; raises Unavailable that says which
        service does not run, and why."""
        yield f"Making the secrets of {record.stack}"
        await self._make_secrets(record)
        async with aclosing(self.deploy(record.spec)) as lines:
            async for line in lines:
                yield line

    async def deploy(self, spec: BackpackSpec) -> Lines:
        """Have a stack, whose secrets are there, be as `spec` says."""
        text = stacks.backpack(self._deployment, spec)
        yield f"Deploying {spec.stack}"
        async with aclosing(put_up(self._swarm, spec.stack, text, self._deployment)) as lines:
            async for line in lines:
                yield line

    async def scale(self, spec: BackpackSpec) -> Lines:
        """Run as many API processes as `spec` says."""
        command = docker_cli.update_service(f"{spec.stack}_api", replicas=spec.replicas)
        async with aclosing(self._updated(spec, "api", command)) as lines:
            async for line in lines:
                yield line

    async def serve_site(self, spec: BackpackSpec) -> Lines:
        """Have the site service serve the version that `spec` says."""
        environment = {stacks.SITE_VERSION: str(spec.site)}
        command = docker_cli.update_service(f"{spec.stack}_site", environment=environment)
        async with aclosing(self._updated(spec, "site", command)) as lines:
            async for line in lines:
                yield line

    async def _updated(self, spec: BackpackSpec, service: str, command: Sequence[str]) -> Lines:
        """Run a command that updates one service, and wait for that."""
        async with aclosing(docker_cli.lines(command)) as lines:
            async for _ in lines:
                pass
        async with aclosing(converge(self._swarm, spec.stack, [service])) as lines:
            async for line in lines:
                yield line

    async def runs(self, record: Record) -> bool:
        """Whether there is a stack of a backpack, however that is."""
        return bool(await self._swarm.services(record.stack))

    async def stop(self, record: Record) -> Lines:
        """End everything of a backpack but its data: volumes and secrets stay."""
        async with aclosing(take_down(self._swarm, record.stack)) as lines:
            async for line in lines:
                yield line

    async def erase(self, record: Record) -> Lines:
        """End everything of a backpack and remove its data, on every node."""
        async with aclosing(self.stop(record)) as lines:
            async for line in lines:
                yield line
        yield f"Removing the volumes and secrets of {record.stack}"
        await remove_volumes(self._swarm, record.stack, self._deployment.image_of("admin"))
        for name in await self._secrets(record.stack):
            await self._swarm.remove_secret(name)

    async def forget_urls(self, record: Record) -> None:
        """Remove the secrets of a stack that are no longer, or never came to be, those of its
        record."""
        for name in await self._secrets(record.stack) - set(self._keyring.secrets(record)):
            await self._swarm.remove_secret(name)

    async def _make_secrets(self, record: Record) -> None:
        there = await self._secrets(record.stack)
        labels = {_LABEL: record.stack}
        for name, value in self._keyring.secrets(record).items():
            if name not in there:
                with suppress(Conflict):  # the same one: it follows from its name
                    await self._swarm.make_secret(name, value, labels)

    async def _secrets(self, stack: str) -> set[str]:
        return await self._swarm.secrets(f"{_LABEL}={stack}")
