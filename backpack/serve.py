"""One backpack on MongoDB and Redis, as the environment has it: what a container runs.

Several of these processes, on the same servers, are one backend.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO

from . import ports, process
from .app import create_backend, create_private
from .control import read
from .drivers.commands import Commands
from .drivers.local import LocalDriver
from .health import Health, Watch
from .homes import Servers
from .names import check_key, check_name
from .server import Server
from .settings import Serving, Settings, from_environment, serving_from_environment
from .steps import Say, Take, finish, say_nothing, take_nothing
from .tenants import Tenants
from .terminal import say


def run() -> None:
    """Serve the backpack of the environment until SIGINT or SIGTERM.

    MongoDB and Redis may come later, and go and come again; what needs them gets 503 meanwhile.
    Raises BackpackError with a message that says what to do when it cannot start.
    """
    settings = from_environment()
    process.run(_serve(serving_from_environment(), settings), settings)


async def _serve(serving: Serving, settings: Settings) -> None:
    with process.stop_signals() as stopping:
        async with _open(serving, settings) as (server, health):
            host = f"{serving.name}-be.{settings.domain}"
            say(f"Backpack serves {host} on port {server.port}")
            process.collect_less_garbage()
            await stopping.wait()
            health.stopping = True
            # Whoever sends requests here has this long to see that it must not.
            await asyncio.sleep(serving.drain)
    say("Backpack has stopped")


@asynccontextmanager
async def _open(serving: Serving, settings: Settings) -> AsyncIterator[tuple[Server, Health]]:
    async with AsyncExitStack() as stack:
        tenants = _tenants(serving, settings)
        stack.push_async_callback(tenants.close)
        listener = stack.enter_context(ports.listen(serving.host, serving.port))
        health = Health()
        watch = Watch(health, tenants, serving.name)
        watch.start()
        stack.push_async_callback(watch.stop)
        app = create_backend(tenants, health)
        app.config.TOUCHUP = True  # the only application of this process
        server = Server(app)
        await server.start_on(listener)
        stack.push_async_callback(server.stop)
        if serving.console_port:
            private = Server(create_private(tenants, serving.name, health, serving.console_token))
            await private.start(serving.console_host, serving.console_port)
            stack.push_async_callback(private.stop)
        yield server, health


def _tenants(serving: Serving, settings: Settings) -> Tenants:
    name = check_name(serving.name)
    files = Path(serving.files)
    home = Servers(settings, serving.mongo_url, serving.redis_url, files, [name])
    return Tenants(settings, home, {name: check_key(serving.api_key)} if serving.api_key else None)


def perform(
    command: str,
    arguments: Mapping[str, Any],
    content: BinaryIO | None = None,
    say: Say = say_nothing,
    take: Take = take_nothing,
) -> Any:
    """Perform a command of `LocalDriver` on the backpack of the environment, whose processes hear
    of it; raises what the command raises. The rest is as in `control.perform`."""
    return asyncio.run(_perform(command, arguments, content, say, take))


async def _perform(
    command: str,
    arguments: Mapping[str, Any],
    content: BinaryIO | None,
    say: Say,
    take: Take,
) -> Any:
    tenants = _tenants(serving_from_environment(), from_environment())
    try:
        steps = Commands(tenants, LocalDriver(tenants)).perform(command, arguments, read(content))
        return await finish(steps, say, take)
    finally:
        await tenants.close()
