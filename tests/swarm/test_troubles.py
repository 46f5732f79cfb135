"""What goes wrong in the middle of something, and what a driver in this process makes of it. Stacks
of processes that only wait stand in for backpacks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from backpack.drivers.stacks import BackpackSpec, Deployment
from backpack.drivers.swarm import SwarmDriver
from backpack.drivers.swarm_records import Record, Records, State
from backpack.drivers.swarm_secrets import Keyring
from backpack.errors import Unavailable
from backpack.settings import Settings
from backpack.steps import Steps, finish
from tests.backups import blocks, zipped
from tests.swarm.lab import Lab
from tests.swarm.lab.images import REDIS
from tests.swarm.web import until

STAND_IN = f"""
version: "3.8"
x-waiting: &waiting
  image: {REDIS}
  command: [sleep, "1000"]
  stop_grace_period: 0s
  networks: [host]
services:
  api:
    <<: *waiting
    deploy: {{replicas: 3, endpoint_mode: dnsrr, restart_policy: {{delay: 0s}}}}
  site:
    <<: *waiting
    environment: {{BACKPACK_SITE_VERSION: "0"}}
    deploy: {{endpoint_mode: dnsrr, update_config: {{order: start-first, monitor: 0s}}}}
networks: {{host: {{external: true, name: host}}}}
"""


class Stands:
    """Backpacks of the tests of this module, by the records of `folder`."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self._lab = lab
        self._folder = folder

    def note(self, name: str, state: State, deleted_at: int = 0) -> None:
        """Have the driver to come know a backpack that has no stack."""
        spec = BackpackSpec(name, replicas=3)
        Records(self._folder / "records").put(Record(spec, state, "key", 1, deleted_at))

    def put_up(self, name: str, state: State = "up") -> None:
        """The same of one that runs."""
        self.note(name, state)
        file = self._folder / "stand-in.yml"
        file.write_text(STAND_IN)
        self._lab.docker("stack", "deploy", "--compose-file", str(file), f"bp-{name}")
        until(lambda: len(self.containers(name)) == 4, "the stack runs")

    def containers(self, name: str) -> list[str]:
        return self._lab.docker("ps", "--quiet", "--filter", f"name=^bp-{name}_").split()

    def left(self, name: str) -> list[str]:
        """What there is of a backpack."""
        label = f"label=com.docker.stack.namespace=bp-{name}"
        kinds = ("service", "network", "volume", "secret")
        found = [self._lab.docker(kind, "ls", "--quiet", "--filter", label) for kind in kinds]
        return "".join(found).split()

    def records(self) -> list[tuple[str, State]]:
        """The names and states of all backpacks, as they are on disk."""
        return [(one.name, one.state) for one in Records(self._folder / "records").all()]

    @asynccontextmanager
    async def driver(self) -> AsyncIterator[SwarmDriver]:
        """A driver that runs, and knows what was noted."""
        keyring = Keyring("root", "SCRAM-SHA-256")
        driver = SwarmDriver(self._folder, Deployment("example.com"), keyring, Settings())
        async with driver.running():
            yield driver


@pytest.fixture
def stands(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stands:
    monkeypatch.setenv("DOCKER_HOST", lab.docker_host)
    return Stands(lab, tmp_path)


async def left_at(steps: Steps, line: str) -> None:
    """Go through steps and away, once one of them says `line`."""
    async for step in steps:
        if line in str(step):
            break
    await steps.aclose()


async def looked(look: Callable[[], Any], what: str) -> None:
    await asyncio.to_thread(until, look, what)


async def test_scale_forgives_old_failures(stands: Stands, lab: Lab) -> None:
    stands.put_up("tired")
    before = stands.containers("tired")
    lab.docker("kill", *before)
    until(lambda: len(set(stands.containers("tired")) - set(before)) == 4, "it runs again")

    async with stands.driver() as driver:
        status = await finish(driver.scale("tired", 4))
        await finish(driver.delete("tired"))

    api = status["services"][0]
    assert (api["name"], api["running"], api["wanted"]) == ("api", 4, 4)


async def test_left_delete_goes_on(stands: Stands) -> None:
    stands.put_up("parting")

    async with stands.driver() as driver:
        await left_at(driver.delete("parting"), "bp-parting")
        names, deleted = driver.names(), await driver.trash()

    assert (names, [one["name"] for one in deleted]) == ([], ["parting"])
    assert (stands.records(), stands.left("parting")) == ([("parting", "deleted")], [])


async def fail_to_delete(driver: SwarmDriver, name: str) -> None:
    await driver.status(name)  # so Docker is known, and the docker command alone fails
    with pytest.MonkeyPatch.context() as broken, pytest.raises(Unavailable):
        broken.setenv("DOCKER_HOST", "unix:///var/tmp/nowhere.sock")
        await finish(driver.delete(name))


async def test_failed_delete_can_be_purged(stands: Stands) -> None:
    stands.put_up("stuck")

    async with stands.driver() as driver:
        await fail_to_delete(driver, "stuck")
        deleted = await driver.trash()
        await finish(driver.purge("stuck"))

    assert [one["name"] for one in deleted] == ["stuck"]
    assert (stands.records(), stands.left("stuck")) == ([], [])


async def test_failed_delete_makes_way(stands: Stands) -> None:
    stands.put_up("twice")

    async with stands.driver() as driver:
        await fail_to_delete(driver, "twice")
        await left_at(driver.create("twice"), "bp-twice_2")

    assert stands.left("twice") == []


async def test_volumes_go_after_their_time(stands: Stands, lab: Lab) -> None:
    stands.note("over", "deleted", deleted_at=1)
    label = ("--label", "com.docker.stack.namespace=bp-over")
    lab.docker("volume", "create", *label, "bp-over_mongo")
    lab.docker(
        "secret", "create", *label, "--label", "backpack.stack=bp-over", "over", "/etc/hostname"
    )

    async with stands.driver():
        await looked(lambda: not stands.records(), "it is removed")

    assert stands.left("over") == []


async def test_left_deploy_serves_what_was_before(stands: Stands, lab: Lab) -> None:
    stands.put_up("wavering")
    site = blocks(zipped({"index.html": b"new"}))

    async with stands.driver() as driver:
        await left_at(driver.deploy("wavering", "ada", site), "site:")
        served = lab.docker(
            *("service", "inspect", "bp-wavering_site"),
            *("--format", "{{.Spec.TaskTemplate.ContainerSpec.Env}}"),
        )
        live = [one["live"] for one in await driver.sites("wavering")]
        await finish(driver.delete("wavering"))

    assert served.strip() == "[BACKPACK_SITE_VERSION=0]"
    assert live == [False]


async def test_recovery_waits_for_docker(
    stands: Stands,
    lab: Lab,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    stands.note("patient", "deleting")
    socket = tmp_path / "docker.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{socket}")
    silent = await asyncio.start_unix_server(lambda _, writer: writer.close(), socket)

    async with stands.driver():
        await looked(lambda: "Docker cannot be reached" in caplog.text, "it is missed")
        silent.close()
        socket.unlink()
        socket.symlink_to(lab.docker_host.removeprefix("unix://"))
        await looked(lambda: stands.records() == [("patient", "deleted")], "it comes to its end")
