"""The driver's contract on a real swarm: this process is in the place of the admin."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from backpack.admin import Panel
from backpack.app import create_app
from backpack.drivers.base import Driver
from backpack.drivers.stacks import Deployment as Told
from backpack.drivers.swarm import SwarmDriver
from backpack.drivers.swarm_records import Records
from backpack.drivers.swarm_secrets import Keyring
from backpack.homes import Memory
from backpack.registry import Registry
from backpack.server import Server
from backpack.settings import Settings
from backpack.steps import finish
from backpack.tenants import Tenants
from tests.drivers.contract import KEY, Breaking, DriverContract
from tests.swarm.deployment import Deployment
from tests.swarm.lab import Lab
from tests.swarm.place import admins_place

STANDING = "standing"
PORT = 3_000  # the admin's, where sites are fetched


@asynccontextmanager
async def running(folder: Path, lab: Lab) -> AsyncIterator[SwarmDriver]:
    """The driver of an admin that has what it keeps in `folder`."""
    told = Told(lab.domain, vip=False, health_interval=2, drain=0.0)
    settings = Settings(domain=lab.domain, cheap_passwords=True)
    driver = SwarmDriver(folder, told, Keyring("root of the tests", told.mongo_auth), settings)
    async with AsyncExitStack() as stack:
        tenants = Tenants(settings, Memory(settings))
        stack.push_async_callback(tenants.close)
        panel = Panel(await Registry.open(None, settings), driver)
        stack.push_async_callback(panel.close)
        server = Server(create_app(tenants, panel=panel))
        await server.start("0.0.0.0", PORT)
        stack.push_async_callback(server.stop)
        await stack.enter_async_context(driver.running())
        yield driver


async def empty(folder: Path, lab: Lab) -> None:
    """Wait until all that is left is removed."""
    records = Records(folder / "records")
    for record in records.all():
        records.mark(record, "purging")
    async with running(folder, lab), asyncio.timeout(120):
        while list((folder / "records").iterdir()):
            await asyncio.sleep(0.1)


@pytest.fixture(scope="module")
def folder(
    deployment: Deployment, lab: Lab, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """What the driver keeps, while this process is in the admin's place."""
    folder = tmp_path_factory.mktemp("driver")
    with admins_place(deployment):
        yield folder
        asyncio.run(empty(folder, lab))


class TestSwarm(DriverContract):
    @pytest.fixture
    async def driver(self, folder: Path, lab: Lab) -> AsyncIterator[Driver]:
        async with running(folder, lab) as driver:
            yield driver

    @pytest.fixture
    async def name(self, folder: Path) -> AsyncIterator[str]:
        """A name that nothing has; what has it afterwards goes while other tests run."""
        name = f"test-{secrets.token_hex(4)}"
        yield name
        records = Records(folder / "records")
        for record in records.all():
            if record.name == name:
                records.mark(record, "purging")

    @pytest.fixture
    async def standing(self, driver: Driver) -> str:
        """The same for all tests."""
        if STANDING not in driver.names():
            await finish(driver.create(STANDING, KEY))
        return STANDING

    @pytest.fixture
    def breaking(self, lab: Lab) -> Breaking:
        @asynccontextmanager
        async def breaking(name: str) -> AsyncIterator[str]:
            network = f"bp-{name}_inside"  # of which the stack wants one of its own
            lab.docker("network", "create", "--driver", "overlay", network)
            yield "network with name"
            lab.docker("network", "rm", network)

        return breaking
