"""The process that runs a swarm's panel: it makes and watches backpacks, and serves none itself.

Commands reach it by the control socket in its data folder, as they do a sandbox.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from . import folder, ports, process
from .admin import Panel
from .app import create_app
from .control import listening
from .drivers.stacks import Deployment
from .drivers.swarm import SwarmDriver
from .drivers.swarm_commands import SwarmCommands
from .drivers.swarm_secrets import Keyring
from .folder import Lock
from .homes import Memory
from .registry import FILE, Registry
from .server import Server
from .settings import (
    Administering,
    Settings,
    administering_from_environment,
    from_environment,
)
from .tenants import Tenants
from .terminal import say

_PATIENCE = 15.0  # seconds for the admin before this one to end
_LOOK = 0.05  # seconds between two looks at its lock


def run() -> None:
    """Serve the panel until SIGINT or SIGTERM.

    Raises BackpackError with a message that says what to do when it cannot start.
    """
    settings = from_environment()
    process.run(_serve(administering_from_environment(), settings), settings)


async def _serve(administering: Administering, settings: Settings) -> None:
    with process.stop_signals() as stopping:
        async with _open(administering, settings) as server:
            say(f"Backpack serves admin.{settings.domain} on port {server.port}")
            process.collect_less_garbage()
            await stopping.wait()
    say("Backpack has stopped")


@asynccontextmanager
async def _open(administering: Administering, settings: Settings) -> AsyncIterator[Server]:
    data = Path(administering.data)
    folder.prepare(data)
    async with AsyncExitStack() as stack:
        lock = stack.enter_context(await _lock(data))
        listener = stack.enter_context(ports.listen(administering.host, administering.port))
        deployment = Deployment.from_json(administering.deployment)
        keyring = Keyring(administering.secret, deployment.mongo_auth)
        settings = replace(
            settings, setup_token=keyring.setup_token, metrics_token=keyring.metrics_token
        )
        driver = SwarmDriver(data / "swarm", deployment, keyring, settings)
        # The backpacks are served by their stacks; this one has none.
        tenants = Tenants(settings, Memory(settings))
        stack.push_async_callback(tenants.close)
        panel = Panel(await Registry.open(data / FILE, settings), driver)
        stack.push_async_callback(panel.close)
        app = create_app(tenants, panel=panel)
        app.config.TOUCHUP = True  # the only application of this process
        server = Server(app)
        await server.start_on(listener)
        stack.push_async_callback(server.stop)
        await stack.enter_async_context(driver.running())
        admin = f"https://admin.{settings.domain}"
        commands = SwarmCommands(driver, panel.registry, keyring, admin)
        await stack.enter_async_context(listening(data, lock, commands.perform, admin))
        yield server


async def _lock(data: Path) -> Lock:
    """The lock of the data folder; the admin before this one may need a moment to let go of it."""
    ends = time.monotonic() + _PATIENCE
    while (lock := folder.try_lock(data)) is None:
        if time.monotonic() > ends:
            raise folder.in_use(data)
        await asyncio.sleep(_LOOK)
    return lock
