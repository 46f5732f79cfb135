"""A deployment over two machines."""

from __future__ import annotations

import json
from collections.abc import Iterator

import docker
import pytest

from tests.swarm.deployment import Deployment
from tests.swarm.lab import Lab, Node
from tests.swarm.lab.boxes import run
from tests.swarm.web import App, until


@pytest.fixture(scope="module")
def spread(deployment: Deployment, worker: Node) -> Iterator[App]:
    """A backpack whose data are on the worker, with two API processes."""
    # What other tests have upgraded to.
    run("docker", "--host", worker.docker_host, "tag", "backpack:latest", "backpack:next")
    deployment.lab.docker("node", "update", "--label-add", "backpack.data=true", worker.name)
    app = deployment.create("spread").login()
    deployment.inside("scale", app.name, "2")
    yield app
    app.close()


def places(lab: Lab, app: App, service: str) -> list[str]:
    """The nodes on which a service's tasks run."""
    found = lab.docker(
        *("service", "ps", f"bp-{app.name}_{service}", "--filter", "desired-state=running"),
        *("--format", "{{.Node}} {{.CurrentState}}"),
    )
    return sorted(line.split()[0] for line in found.splitlines() if " Running " in line)


def test_data_are_on_the_labelled_node(lab: Lab, worker: Node, spread: App) -> None:
    assert [places(lab, spread, name) for name in ("mongo", "redis", "files")] == [
        [worker.name]
    ] * 3


def test_processes_spread(lab: Lab, worker: Node, spread: App) -> None:
    assert places(lab, spread, "api") == sorted([lab.nodes[0].name, worker.name])


def test_broadcasts_cross_nodes(spread: App) -> None:
    spread.collection("cars")
    # Traefik takes turns, so of several sockets some are on each node.
    sockets = [spread.socket() for _ in range(6)]

    made = spread.add("cars", brand="Volvo")
    heard = [socket.receive()["response"] for socket in sockets]
    for socket in sockets:
        socket.close()

    assert heard == [made] * 6


def test_upload_is_read_everywhere(spread: App) -> None:
    content = b"x" * 300_000
    user = spread.client.get("/me").json()["id"]

    spread.upload("a.bin", content)
    read = [spread.client.get(f"/uploads/{user}/a.bin").content for _ in range(6)]

    assert read == [content] * 6


def test_drained_node_gives_its_processes_away(
    deployment: Deployment, lab: Lab, worker: Node, shop: App
) -> None:
    """The data of `shop` are on the manager, so all of it can run there."""
    for replicas in ("1", "2"):  # those that there were before the worker stay where they are
        deployment.inside("scale", shop.name, replicas)
    until(lambda: worker.name in places(lab, shop, "api"), "one is on the worker")

    lab.docker("node", "update", "--availability", "drain", worker.name)
    with deployment.lap("drained until its processes run elsewhere"):
        until(lambda: places(lab, shop, "api") == [lab.nodes[0].name] * 2, "both have moved")

    assert shop.client.get("/me").status_code == 200
    lab.docker("node", "update", "--availability", "active", worker.name)


def test_removing_reaches_the_other_node(deployment: Deployment, worker: Node, spread: App) -> None:
    elsewhere = docker.DockerClient(base_url=worker.docker_host)
    before = {volume.name for volume in elsewhere.volumes.list()}
    app = deployment.create("gone")
    there = {volume.name for volume in elsewhere.volumes.list()} - before

    deployment.remove(app.name)
    app.close()
    left = {volume.name for volume in elsewhere.volumes.list()} - before
    elsewhere.close()

    assert {"bp-gone_mongo", "bp-gone_redis", "bp-gone_files"} <= there
    assert not any(name.startswith("bp-gone") for name in left)


def test_status_shows_both_nodes(deployment: Deployment, lab: Lab, worker: Node) -> None:
    found = json.loads(deployment.swarm("status", "--json"))["nodes"]

    assert found == [
        {"name": node.name, "role": role, "state": "ready"}
        for node, role in ((lab.nodes[0], "manager"), (worker, "worker"))
    ]


def test_lost_node_keeps_nothing_waiting(
    deployment: Deployment, lab: Lab, worker: Node, spread: App
) -> None:
    lab.kill(worker)
    state = ("node", "inspect", "--format", "{{.Status.State}}", worker.name)
    until(lambda: lab.docker(*state).strip() == "down", "the node is missed")

    with deployment.lap("removed though its node is lost"):
        deployment.remove(spread.name)

    left = deployment.traces()
    assert not any("bp-spread" in name for names in left.values() for name in names)
