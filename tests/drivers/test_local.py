"""The contract on a folder and on memory, and what a folder promises besides: through kills too."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import httpx
import pytest

from backpack.backpacks import Parts
from backpack.drivers.base import Driver
from backpack.drivers.local import LocalDriver
from backpack.errors import Unavailable
from backpack.homes import Folder, Memory
from backpack.logs import Logs
from backpack.settings import Settings
from backpack.steps import finish
from backpack.tenants import Tenants
from backpack.testing import BackpackServer
from tests.sandboxes import Sandbox, command, environment

from .contract import KEY, Breaking, DriverContract, exported, lines_of, site

SETTINGS = Settings(dev=True, cheap_passwords=True)


class TestFolder(DriverContract):
    @pytest.fixture
    async def driver(self, tmp_path: Path) -> AsyncIterator[Driver]:
        tenants = Tenants(SETTINGS, Folder(tmp_path, SETTINGS))
        yield LocalDriver(tenants)
        await tenants.close()

    @pytest.fixture
    def breaking(self, tmp_path: Path) -> Breaking:
        @asynccontextmanager
        async def breaking(name: str) -> AsyncIterator[str]:
            (tmp_path / "backpacks" / name / "documents.sqlite3").mkdir(parents=True)
            yield "Cannot open"

        return breaking


class BreakingHome(Memory):
    """Memory, of which there is none for the backpack `short`."""

    short = ""

    async def open(self, name: str) -> Parts:
        parts = await super().open(name)
        if name == self.short:
            raise Unavailable("There is no more memory")
        return parts


class TestMemory(DriverContract):
    keeps_sites = False

    @pytest.fixture
    def home(self) -> BreakingHome:
        return BreakingHome(SETTINGS)

    @pytest.fixture
    async def driver(self, home: BreakingHome) -> AsyncIterator[Driver]:
        tenants = Tenants(SETTINGS, home)
        yield LocalDriver(tenants)
        await tenants.close()

    @pytest.fixture
    def breaking(self, home: BreakingHome) -> Breaking:
        @asynccontextmanager
        async def breaking(name: str) -> AsyncIterator[str]:
            home.short = name
            yield "There is no more memory"
            home.short = ""

        return breaking


@pytest.fixture
async def tenants(tmp_path: Path) -> AsyncIterator[Tenants]:
    tenants = Tenants(SETTINGS, Folder(tmp_path, SETTINGS))
    yield tenants
    await tenants.close()


async def test_store_that_cannot_be_opened_is_down(tmp_path: Path) -> None:
    folder = tmp_path / "backpacks" / "shop"
    folder.mkdir(parents=True)
    (folder / "documents.sqlite3").write_bytes(b"no database" * 1_000)
    tenants = Tenants(SETTINGS, Folder(tmp_path, SETTINGS))

    status = await LocalDriver(tenants).status("shop")
    await tenants.close()

    assert status["state"] == "down"
    assert "Cannot open" in status["reason"]
    assert [(one["running"], one["reason"]) for one in status["services"]] == [
        (0, status["reason"])
    ]


async def test_site_that_cannot_be_read_is_degraded(tenants: Tenants, tmp_path: Path) -> None:
    driver = LocalDriver(tenants)
    await finish(driver.create("shop"))
    await finish(driver.deploy("shop", "ada", site("first")))
    await finish(driver.delete("shop"))
    await finish(driver.restore("shop"))
    (live,) = (path for path in (tmp_path / "backpacks/shop/site").iterdir() if path.name == "live")
    live.unlink()
    live.mkdir()

    status = await driver.status("shop")

    assert status["state"] == "degraded"
    assert status["reason"].startswith("The site cannot be served: ")
    assert status["services"][0]["running"] == 1


async def test_damaged_backpack_goes_to_the_trash_and_back(tmp_path: Path) -> None:
    folder = tmp_path / "backpacks" / "shop"
    folder.mkdir(parents=True)
    (folder / "documents.sqlite3").write_bytes(b"no database" * 1_000)
    tenants = Tenants(SETTINGS, Folder(tmp_path, SETTINGS))
    driver = LocalDriver(tenants)

    deleted = await finish(driver.delete("shop"))
    with pytest.raises(Unavailable, match="Cannot open"):
        await finish(driver.restore("shop"))
    await tenants.close()

    assert deleted["name"] == "shop"
    assert (folder / "documents.sqlite3").read_bytes() == b"no database" * 1_000


async def test_what_is_in_the_trash_long_enough_goes(tmp_path: Path) -> None:
    settings = Settings(cheap_passwords=True, trash_days=1)
    tenants = Tenants(settings, Folder(tmp_path, settings))
    driver = LocalDriver(tenants)
    for name in ("old", "young"):
        await finish(driver.create(name))
        await finish(driver.delete(name))
    (old,) = (tmp_path / "trash").glob("old.*")
    old.rename(old.with_name(f"old.{int((time.time() - 86_401) * 1_000)}"))
    (tmp_path / "trash" / "not ours").mkdir()

    await tenants.sweep_trash()
    kept = await driver.trash()
    await tenants.close()

    assert [one["name"] for one in kept] == ["young"]
    assert (tmp_path / "trash" / "not ours").is_dir()
    assert [path.name for path in (tmp_path / "backpacks").iterdir()] == []


async def test_no_days_remove_at_once(tmp_path: Path) -> None:
    settings = Settings(cheap_passwords=True, trash_days=0)
    tenants = Tenants(settings, Folder(tmp_path, settings))
    driver = LocalDriver(tenants)
    await finish(driver.create("shop"))

    await finish(driver.delete("shop"))
    kept = await driver.trash()
    await tenants.close()

    assert kept == []
    assert list((tmp_path / "trash").iterdir()) == []


@pytest.mark.parametrize("days", [0, 7])
async def test_gone_is_what_is_nowhere_any_more(tmp_path: Path, days: int) -> None:
    told: list[str] = []

    async def gone(name: str) -> None:
        told.append(name)

    settings = Settings(cheap_passwords=True, trash_days=days)
    tenants = Tenants(settings, Folder(tmp_path, settings))
    driver = LocalDriver(tenants, gone=gone)
    for action in (driver.create, driver.delete):
        await finish(action("shop"))
    deleted = list(told)
    if days:
        await finish(driver.create("shop"))
        await finish(driver.purge("shop"))
        assert told == []
        await finish(driver.delete("shop"))
        await finish(driver.purge("shop"))
    await tenants.close()

    assert deleted == ([] if days else ["shop"])
    assert told == ["shop"]


def test_sandbox_empties_the_trash_when_it_starts(tmp_path: Path) -> None:
    old = tmp_path / "data/trash/shop.1700000000000"
    (tmp_path / "data/backpacks").mkdir(parents=True)
    shutil.copytree(tmp_path / "data/backpacks", old)

    with Sandbox(tmp_path, "--data", "data"):
        ends = time.monotonic() + 30
        while old.exists() and time.monotonic() < ends:
            time.sleep(0.02)

    assert not old.exists()


async def test_failed_request_is_in_its_backpacks_log(tmp_path: Path) -> None:
    for name in ("shop", "forum"):
        folder = tmp_path / "backpacks" / name
        folder.mkdir(parents=True)
        (folder / "documents.sqlite3").write_bytes(b"no database" * 1_000)
    server = BackpackServer(lambda settings: Folder(tmp_path, settings), SETTINGS).start()
    assert server._tenants is not None
    with Logs().collecting() as logs:
        driver = LocalDriver(server._tenants, logs=logs)
        answer = httpx.get(f"http://127.0.0.1:{server.port}/~shop/cars")
        shop, forum = await lines_of(driver, "shop"), await lines_of(driver, "forum")
    server.stop()

    assert answer.status_code == 503
    assert len(shop) == 1
    assert "ERROR GET /~shop/cars failed: " in shop[0]
    assert forum == []


async def test_followed_log_tells_what_comes(tenants: Tenants) -> None:
    driver = LocalDriver(tenants)
    await finish(driver.create("shop"))
    async with asyncio.timeout(30), aclosing(driver.logs("shop", tail=0, follow=True)) as lines:
        coming = asyncio.ensure_future(anext(lines))
        await asyncio.sleep(0)
        await finish(driver.delete("shop"))
        await finish(driver.restore("shop"))
        told = [await coming, await anext(lines)]

    assert "moved it into the trash" in told[0]
    assert "back out of the trash" in told[1]


async def test_purged_backpack_leaves_no_log(tenants: Tenants) -> None:
    driver = LocalDriver(tenants)
    await finish(driver.create("shop"))
    await finish(driver.delete("shop"))
    await finish(driver.purge("shop"))
    await finish(driver.create("shop", KEY))

    assert len(await lines_of(driver, "shop")) == 1


def test_deleted_backpack_survives_kill(tmp_path: Path) -> None:
    data = tmp_path / "data"
    account = {"email": "ada@example.com", "password": "correct horse battery"}
    with Sandbox(tmp_path, "--data", data, "--backpack", "shop") as sandbox:
        with sandbox.client("shop") as client:
            client.post("/register", json=account).raise_for_status()
            token = client.post("/login", json={**account, "token": True}).json()["token"]
            client.headers["x-backpack-session"] = token
            client.post("/collections", json={"collectionName": "cars"}).raise_for_status()
            made = client.post("/cars", json={"brand": "Volvo"}).json()
        run("delete", "shop", data)
        sandbox.stop(signal.SIGKILL)

    with Sandbox(tmp_path, "--data", data) as sandbox:
        key = json.loads(run("restore", "shop", data))["api_key"]
        headers = {"authorization": f"key {key}", "x-backpack-session": token}
        url = f"http://127.0.0.1:{sandbox.ready['port']}/~shop/cars/{made['_id']}"
        found = httpx.get(url, headers=headers).json()

    assert found == made


def run(action: str, name: str, data: Path) -> str:
    asked = command(action, name, "--data", data, "--json")
    return subprocess.run(
        asked, env=environment(), check=True, capture_output=True, text=True
    ).stdout


MOVES = """
import asyncio, itertools, sys
from pathlib import Path
from backpack.drivers.local import LocalDriver
from backpack.homes import Folder
from backpack.settings import Settings
from backpack.steps import finish
from backpack.tenants import Tenants

async def move(data):
    settings = Settings(cheap_passwords=True)
    driver = LocalDriver(Tenants(settings, Folder(data, settings)))
    if "shop" not in driver.names():
        await finish(driver.restore("shop"))
    print("moving", flush=True)
    while True:
        await finish(driver.delete("shop"))
        await finish(driver.restore("shop"))
        await finish(driver.create("other"))
        await finish(driver.delete("other"))
        await finish(driver.purge("other"))

asyncio.run(move(Path(sys.argv[1])))
"""


async def test_kill_leaves_a_backpack_here_or_there(tmp_path: Path) -> None:
    tenants = Tenants(SETTINGS, Folder(tmp_path, SETTINGS))
    driver = LocalDriver(tenants)
    await finish(driver.create("shop", KEY))
    await finish(driver.deploy("shop", "ada", site("first")))
    before = await exported(driver, "shop")
    await tenants.close()

    for _ in range(8):
        await kill_while_moving(tmp_path)
        tenants = Tenants(SETTINGS, Folder(tmp_path, SETTINGS))
        driver = LocalDriver(tenants)
        kept = [one["name"] for one in await driver.trash()]
        assert [*driver.names(), *kept].count("shop") == 1
        assert {*driver.names(), *kept} <= {"shop", "other"}
        if "shop" in kept:
            await finish(driver.restore("shop"))
        assert await exported(driver, "shop") == before
        await tenants.close()

    left = [path.name for path in (tmp_path / "backpacks").iterdir() if path.name[0] == "."]
    assert left == []


async def kill_while_moving(data: Path) -> None:
    asked = [command()[0], "-c", MOVES, str(data)]
    with subprocess.Popen(asked, env=environment(), stdout=subprocess.PIPE) as moving:
        assert moving.stdout is not None
        assert moving.stdout.readline() == b"moving\n"
        await asyncio.sleep(random.uniform(0, 0.1))
        moving.kill()
