"""What a backpack can reach of another one, and who is outside of both: nothing."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.swarm.deployment import Deployment
from tests.swarm.web import App

DATABASES = {"mongo": 27_017, "redis": 6_379}

# What a process of Backpack's image finds at addresses: "open", or why it is not.
KNOCK = """
import json, socket, sys
def knock(address, port):
    try:
        socket.create_connection((address, port), 2).close()
    except OSError as exc:
        return type(exc).__name__
    return "open"
print(json.dumps([knock(address, port) for address, port in json.loads(sys.argv[1])]))
"""
# The same for a request: its status and body.
ASK = """
import json, sys, urllib.error, urllib.request
url, token = json.loads(sys.argv[1])
headers = {"authorization": f"Bearer {token}"} if token else {}
try:
    answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5)
except urllib.error.HTTPError as exc:
    answer = exc
print(json.dumps([answer.status, json.loads(answer.read())]))
"""


@pytest.fixture(scope="module")
def forum(deployment: Deployment) -> Iterator[App]:
    """Another backpack."""
    app = deployment.create("forum")
    yield app
    app.close()
    deployment.remove(app.name)


def container(deployment: Deployment, app: App, service: str) -> str:
    name = f"name=^bp-{app.name}_{service}"
    return deployment.lab.docker("ps", "--quiet", "--filter", name).split()[0]


def address(deployment: Deployment, app: App, service: str, network: str) -> str:
    """Of a container on one of its networks."""
    found = json.loads(deployment.lab.docker("inspect", container(deployment, app, service)))
    return str(found[0]["NetworkSettings"]["Networks"][network]["IPAddress"])


def run(deployment: Deployment, app: App, script: str, given: Any) -> Any:
    """What a Python script says inside a container of a backpack's API."""
    inside = container(deployment, app, "api")
    return json.loads(
        deployment.lab.docker("exec", inside, "python", "-c", script, json.dumps(given))
    )


def connects(deployment: Deployment, app: App, service: str, host: str, port: int) -> bool:
    """Whether a container, of an image with a shell, reaches a port."""
    inside = container(deployment, app, service)
    knock = ("timeout", "3", "sh", "-c", f"nc {host} {port} </dev/null")
    docker = ("docker", "--host", deployment.lab.docker_host, "exec", inside)
    return subprocess.run([*docker, *knock], capture_output=True, check=False).returncode == 0


def test_databases_of_others_are_unreachable(deployment: Deployment, shop: App, forum: App) -> None:
    own, others = (
        [
            [address(deployment, app, name, f"bp-{app.name}_inside"), port]
            for name, port in DATABASES.items()
        ]
        for app in (shop, forum)
    )
    names = [[f"bp-forum_{name}", port] for name, port in DATABASES.items()]

    assert run(deployment, shop, KNOCK, own) == ["open", "open"]
    assert "open" not in run(deployment, shop, KNOCK, [*others, *names])


def test_private_port_wants_its_own_token(deployment: Deployment, shop: App, forum: App) -> None:
    token = deployment.lab.docker(
        "exec", container(deployment, shop, "api"), "cat", "/run/secrets/console_token"
    ).strip()
    paths = ["/", "/healthz", "/metrics", "/backup", "/uploads/x/y"]
    asked = [[f"http://bp-forum_api:4000{path}", sent] for path in paths for sent in (token, "")]

    answers = [run(deployment, shop, ASK, one) for one in asked]

    assert [status for status, _ in answers] == [401] * len(asked)
    assert len({json.dumps(body) for _, body in answers}) == 1
    assert run(deployment, shop, ASK, ["http://bp-shop_api:4000/healthz", token])[0] == 200


def test_private_port_is_unreachable_for_all_else(
    deployment: Deployment, shop: App, forum: App
) -> None:
    private = address(deployment, forum, "api", "backpack-admin")
    edge = address(deployment, forum, "api", "backpack-edge")

    assert connects(deployment, shop, "site", edge, 3_000)
    assert not connects(deployment, shop, "site", edge, 4_000)
    assert [
        connects(deployment, app, service, private, 4_000)
        for app in (shop, forum)
        for service in ("site", "mongo", "redis")
    ] == [False] * 6


def test_outside_has_the_edge_alone(deployment: Deployment) -> None:
    ports = {80, 443, 3_000, 4_000, 6_379, 8_080, 8_082, 27_017}

    assert {port for port in ports if is_open(deployment.edge.address, port)} == {80, 443}


def is_open(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=3).close()
    except OSError:
        return False
    return True
