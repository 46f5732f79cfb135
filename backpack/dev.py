"""The sandbox: every backpack of a data folder, or of memory, served by one process.

What the command line may say stands in `Options`; nothing is parsed here.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from . import __version__, demo, folder, ports, process
from .admin import Panel
from .app import create_app
from .control import listening
from .drivers.base import Described, Driver
from .drivers.commands import Commands
from .drivers.local import Endpoint, LocalDriver
from .errors import Invalid, NotFound
from .folder import Lock
from .homes import Folder, Memory
from .logs import Logs
from .registry import FILE as REGISTRY
from .registry import Registry
from .server import Server
from .settings import Settings, from_environment
from .tenants import Home, Tenants
from .terminal import bold, dim, say
from .trash import swept

FIRST = "my-app"  # the backpack of a sandbox that would have none

_SHOWN = 20  # backpacks in the table
_PATIENCE = 2.0  # seconds that a command may hold the folder's lock at the start
_LOOK = 0.05  # seconds between two looks at the lock


@dataclass(frozen=True)
class Options:
    """What a sandbox is started with.

    `data` is None for memory. `backpacks` maps names to API keys, None for a key of Backpack's
    choice; those that are missing are made. `sites` maps names to folders. `demo` adds the demo
    app.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    domain: str | None = None
    data: Path | None = None
    backpacks: Mapping[str, str | None] = field(default_factory=dict)
    sites: Mapping[str, Path] = field(default_factory=dict)
    ready_file: Path | None = None
    demo: bool = False


def run(options: Options) -> None:
    """Run a sandbox until SIGINT or SIGTERM.

    Raises BackpackError with a message that says what to do when it cannot start.
    """
    settings = _settings(options)
    process.run(_serve(options), settings)


async def _serve(options: Options) -> None:
    with process.stop_signals() as stopping:
        async with _sandbox(options) as (commands, endpoint, link):
            if options.ready_file is not None:
                _write_ready_file(options.ready_file, endpoint, await commands.list())
            # Of many backpacks only these are opened, the others when they are asked for.
            shown = await commands.first(_SHOWN)
            more = len(commands.names()) - len(shown)
            say(*_welcome(options, endpoint, link, shown, more), "Backpack is ready")
            process.collect_less_garbage()
            await stopping.wait()
    say("Backpack has stopped")


@asynccontextmanager
async def _sandbox(options: Options) -> AsyncIterator[tuple[Commands, Endpoint, str]]:
    """Everything opened, in the order in which things can go wrong; closed in reverse."""
    settings = _settings(options)
    _check_ready_file(options.ready_file)
    async with AsyncExitStack() as stack:
        lock = stack.enter_context(_lock(options.data)) if options.data is not None else None
        listener = stack.enter_context(ports.listen(options.host, options.port))
        endpoint = _endpoint(settings, listener)
        tenants = Tenants(settings, _home(options, settings))
        stack.push_async_callback(tenants.close)
        logs = stack.enter_context(Logs().collecting())
        registry = await _registry(options, settings)
        driver = LocalDriver(tenants, endpoint, logs, registry.backpacks.remove)
        panel = Panel(registry, driver)
        stack.push_async_callback(panel.close)
        if options.demo:
            await demo.prepare(tenants)
        await _make_backpacks(options, tenants)
        await _forget_gone(registry, driver)
        link = partial(_link, registry, endpoint)
        commands = Commands(tenants, driver, link)
        app = create_app(tenants, options.sites, demo.NAME if options.demo else None, panel)
        app.config.TOUCHUP = True  # the only application of this process
        server = Server(app)
        await server.start_on(listener)
        stack.push_async_callback(server.stop)
        await stack.enter_async_context(swept(driver.sweep))
        _warn_of_network(options.host, listener)
        if lock is not None and options.data is not None:
            await stack.enter_async_context(
                listening(options.data, lock, commands.perform, endpoint.url("admin"))
            )
        yield commands, endpoint, await link()


def _settings(options: Options) -> Settings:
    settings = from_environment(
        dev=True, cheap_passwords=options.data is None, registrations_per_hour=0
    )
    return settings if options.domain is None else replace(settings, domain=options.domain)


def _check_ready_file(path: Path | None) -> None:
    """Remove a ready file of an earlier run, so that nobody takes it for this one's."""
    if path is None:
        return
    try:
        path.unlink(missing_ok=True)
    except OSError as exc:
        raise Invalid(f"Cannot write the ready file {path}: {exc.strerror}") from exc
    if not path.parent.is_dir():
        raise Invalid(f"Cannot write the ready file {path}: there is no folder {path.parent}")


def _lock(data: Path) -> Lock:
    """The lock of the data folder; raises Unavailable while another sandbox has it."""
    folder.prepare(data)
    ends = time.monotonic() + _PATIENCE
    while (lock := folder.try_lock(data)) is None:
        if "admin" in folder.holder(data) or time.monotonic() > ends:
            raise folder.in_use(data)
        time.sleep(_LOOK)
    return lock


def _endpoint(settings: Settings, listener: socket.socket) -> Endpoint:
    host, port = listener.getsockname()[:2]
    address = ipaddress.ip_address(host)
    if address.is_unspecified:
        return Endpoint(settings.domain, "127.0.0.1", port)
    return Endpoint(settings.domain, f"[{host}]" if address.version == 6 else host, port)


def _home(options: Options, settings: Settings) -> Home:
    if options.data is not None:
        return Folder(options.data, settings)
    if not all(find_spec(name) for name in ("fakeredis", "mongomock_motor")):
        raise Invalid("--memory needs more packages: pip install 'backpack-baas[memory]'")
    return Memory(settings)


async def _registry(options: Options, settings: Settings) -> Registry:
    """The opened registry, with an operator in it."""
    path = options.data / REGISTRY if options.data is not None else None
    registry = await Registry.open(path, settings)
    try:
        await registry.developers.sandbox_operator()
    except BaseException:
        await registry.close()
        raise
    return registry


async def _forget_gone(registry: Registry, driver: Driver) -> None:
    """Have no backpacks in the registry that went while no sandbox was running."""
    trash = await driver.trash()
    await registry.backpacks.settle({*driver.names(), *(gone["name"] for gone in trash)})


async def _link(registry: Registry, endpoint: Endpoint) -> str:
    """The URL of a fresh one-time link for the operator."""
    token = await registry.links.create(await registry.developers.sandbox_operator())
    return f"{endpoint.url('admin')}/open/{token}"


async def _make_backpacks(options: Options, tenants: Tenants) -> None:
    wanted = options.backpacks
    if not wanted and not tenants.names():
        wanted = {FIRST: None}
    for name, key in wanted.items():
        if tenants.get(name) is None:
            await tenants.create(name, key)
        elif key is not None and (await tenants.backpack(name)).config.api_key != key:
            await (await tenants.backpack(name)).set_key(key)
    for name in options.sites:
        if tenants.get(name) is None:
            known = ", ".join(tenants.names())
            raise NotFound(
                f"--site {name}: there is no backpack {name!r}; there are: {known}. "
                f"Add --backpack {name} to make it"
            )


def _write_ready_file(path: Path, endpoint: Endpoint, backpacks: list[Described]) -> None:
    """Write the ready file in one step: who sees it, sees all of it."""
    facts = {
        "port": endpoint.port,
        "domain": endpoint.domain,
        "admin": endpoint.url("admin"),
        "backpacks": backpacks,
    }
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(json.dumps(facts, indent=2) + "\n", "utf-8")
        beside.replace(path)
    except OSError as exc:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise Invalid(f"Cannot write the ready file {path}: {exc.strerror}") from exc


def _warn_of_network(host: str, listener: socket.socket) -> None:
    address, port = listener.getsockname()[:2]
    if not ipaddress.ip_address(address).is_loopback:
        say(
            f"Warning: --host {host} opens this sandbox to the network: "
            f"whoever reaches port {port} can use it",
            to=sys.stderr,
        )


def _welcome(
    options: Options, endpoint: Endpoint, link: str, backpacks: list[Described], more: int
) -> list[str]:
    kept = "in memory, gone when it ends" if options.data is None else f"in {options.data}"
    return [
        f"{bold(f'Backpack {__version__}')}, data {kept}",
        "",
        f"{dim('admin')}      {endpoint.url('admin')}",
        f"{dim('sign in')}    {link}",
        *([f"{dim('demo')}       {endpoint.url(demo.NAME)}"] if options.demo else []),
        "",
        *(line for backpack in backpacks for line in _rows(backpack)),
        *([f"and {more} more", ""] if more else []),
        *(_snippet(endpoint, backpacks[0])),
    ]


def _rows(backpack: Described) -> list[str]:
    return [
        bold(backpack["name"]),
        f"  {dim('frontend')}  {backpack['frontend']}",
        f"  {dim('backend')}   {backpack['backend']}",
        f"  {dim('API key')}   {backpack['api_key']}",
        "",
    ]


def _snippet(endpoint: Endpoint, backpack: Described) -> list[str]:
    return [
        dim(f"Paste this into a page to use {backpack['name']}:"),
        "",
        f'  <script src="{endpoint.url("admin")}/sdk.js"></script>',
        "  <script>",
        f'    const {{ auth, db }} = createSdk("{backpack["backend"]}", "{backpack["api_key"]}");',
        "  </script>",
        "",
    ]
