"""A swarm for the tests of this folder."""

from __future__ import annotations

import os
from collections.abc import Iterator

import docker
import pytest

from tests.services import need
from tests.swarm.deployment import Deployment
from tests.swarm.lab import Images, Lab, Node, missing, opened
from tests.swarm.lab.images import cache
from tests.swarm.load import COLLECTION
from tests.swarm.web import App

# These take minutes each, so they are for who asks for them.
_LONG = ["test_down.py", "test_driver.py", "test_promotions.py"]
collect_ignore = [] if os.environ.get("BACKPACK_SWARM_LONG") == "1" else _LONG

BUILT_IN = {"bridge", "docker_gwbridge", "host", "ingress", "none"}


@pytest.fixture(scope="package")
def lab() -> Iterator[Lab]:
    """A swarm of one node."""
    reason = missing()
    need(reason is None, f"{reason}")
    with opened(Images(cache())) as made:
        yield made


@pytest.fixture(scope="module")
def worker(lab: Lab) -> Iterator[Node]:
    """A second node of the swarm, for the tests of one module."""
    node = lab.join()
    yield node
    lab.leave(node)


@pytest.fixture(scope="package")
def client(lab: Lab) -> Iterator[docker.DockerClient]:
    """A client of the manager's Docker daemon."""
    made = docker.DockerClient(base_url=lab.docker_host)
    yield made
    made.close()


@pytest.fixture(scope="package")
def deployment(lab: Lab) -> Iterator[Deployment]:
    """Backpack, put up in the swarm; nothing of it is left afterwards."""
    made = Deployment(lab)
    made.up("--set", "health_interval=3")
    made.edge.until_answers(f"admin.{lab.domain}", patience=180)  # with a certificate
    yield made
    made.swarm("down", "--purge")
    print(made.told())
    left = {kind: set(names) - BUILT_IN for kind, names in made.traces().items()}
    assert not any(left.values()), left


@pytest.fixture(scope="package")
def shop(deployment: Deployment) -> Iterator[App]:
    """A backpack that has a user, who is signed in, and the collection `load`."""
    app = deployment.create("shop").login()
    app.collection(COLLECTION)
    yield app
    app.close()
