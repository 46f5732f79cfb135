"""The lab itself: what the other tests stand on."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker

from tests.swarm.lab import Images, Lab, Node, opened
from tests.swarm.lab.boxes import run
from tests.swarm.lab.images import BACKPACK, MONGO, NGINX, REDIS, TRAEFIK, cache
from tests.swarm.lab.network import Network
from tests.swarm.lab.tools import Tools


def test_lab_is_a_swarm_with_images(lab: Lab, client: docker.DockerClient) -> None:
    tags = {tag for image in client.images.list() for tag in image.tags}

    assert {BACKPACK, MONGO, NGINX, REDIS, TRAEFIK} <= tags
    assert [node.attrs["Status"]["Addr"] for node in client.nodes.list()] == [lab.edge]


def test_worker_takes_tasks(lab: Lab, worker: Node, client: docker.DockerClient) -> None:
    lab.docker(
        *("service", "create", "--quiet", "--name", "there", "--endpoint-mode", "dnsrr"),
        *("--constraint", "node.role == worker", REDIS),
    )

    (task,) = client.services.get("there").tasks()
    node = client.nodes.get(task["NodeID"])
    lab.docker("service", "rm", "there")

    assert (node.attrs["Description"]["Hostname"], task["Status"]["State"]) == (
        worker.name,
        "running",
    )


def test_second_lab_leaves_nothing(lab: Lab) -> None:
    with opened(Images(cache())) as other:
        assert other.edge != lab.edge
        tag = (other.folder / "tag").read_text()
        other.docker("run", "--network", "none", REDIS, "ls")
        assert traces(tag, other) == ["device", "groups", "processes", "folder"]

    assert traces(tag, other) == []


def test_networks_begun_at_once_differ(lab: Lab, tmp_path: Path) -> None:
    def begin(name: str) -> Network:
        folder, tools = tmp_path / name, Tools(tmp_path, name)
        folder.mkdir()
        tools.folder.symlink_to(lab.tools)
        return Network(folder, f"bp{secrets.token_hex(2)}", tools, lasting=False)

    with ThreadPoolExecutor() as threads:  # as long as they live, so do the networks
        networks = list(threads.map(begin, ("first", "second", "third")))
        addresses = {network.address for network in networks}
        for network in networks:
            network.stop()

    assert len(addresses) == 3


def traces(tag: str, lab: Lab) -> list[str]:
    """What there is of a lab on this machine: a device, control groups, processes, its folder."""
    groups = list(Path("/sys/fs/cgroup").glob(f"*/{tag}-*"))
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    found = {
        "device": f" {tag}-" in run("ip", "-o", "link"),
        "groups": groups,
        "processes": [command for command in commands if str(lab.folder).encode() in command],
        "folder": lab.folder.exists(),
    }
    return [kind for kind, here in found.items() if here]
