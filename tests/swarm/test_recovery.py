"""Parts of a running deployment end at once: what was answered is there, and all comes back."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.swarm.deployment import Deployment
from tests.swarm.lab import Lab
from tests.swarm.load import under_load
from tests.swarm.web import App, until

KEPT = {"collectionName": "kept"}


def numbers(app: App) -> list[int]:
    return [one["n"] for one in app.all("kept")]


@pytest.mark.parametrize("service", ["mongo", "redis"])
def test_killed_database_keeps_what_was_answered(
    deployment: Deployment, shop: App, service: str
) -> None:
    shop.collection("kept")
    before = numbers(shop)
    written = [shop.add("kept", n=number)["n"] for number in range(50)]

    deployment.kill(f"bp-{shop.name}_{service}")
    with deployment.lap(f"{service} killed until all is up"):
        until(lambda: is_back(shop), "the backpack works again")

    assert numbers(shop) == [*before, *written]


def is_back(app: App) -> bool:
    """Whether each of its processes reads and writes, by the session there was."""
    calls = (("GET", "/kept", None), ("GET", "/me", None), ("POST", "/collections", KEPT))
    asked = [app.client.request(method, path, json=body) for method, path, body in calls * 3]
    return {answer.status_code for answer in asked} == {200}


def test_killed_replica_is_replaced(deployment: Deployment, shop: App) -> None:
    deployment.inside("scale", shop.name, "2")

    with under_load(shop) as report:
        deployment.kill(f"bp-{shop.name}_api")
        until(lambda: replicas(deployment, shop) == 1, "the replica is missed")
        with deployment.lap("replica killed until there are two"):
            until(lambda: replicas(deployment, shop) == 2, "there are two again")
    deployment.note("replica killed", report)

    assert report.lost == {}
    assert len(report.failed) < report.requests / 10


def replicas(deployment: Deployment, app: App) -> int:
    found = deployment.lab.docker(
        *("service", "ls", "--filter", f"name=bp-{app.name}_api", "--format", "{{.Replicas}}")
    )
    return int(found.partition("/")[0])


def test_edge_is_restarted(deployment: Deployment, shop: App) -> None:
    with deployment.lap("edge killed until it answers"):
        deployment.kill("backpack_traefik")
        deployment.edge.until_answers(shop.host)

    assert deployment.edge.issuer(shop.host).startswith("Pebble Intermediate CA")


def test_admin_killed_in_a_create_goes_on(deployment: Deployment, lab: Lab) -> None:
    asked = ["docker", "--host", lab.docker_host, "exec", deployment.admin, "backpack"]
    with subprocess.Popen(
        [*asked, "create", "late"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ):
        until(
            lambda: lab.docker("service", "ls", "--quiet", "--filter", "name=bp-late_mongo"),
            "its stack is being deployed",
        )
        deployment.kill("backpack_admin")
    with deployment.lap("admin killed in a create until that is there"):
        until(lambda: is_up(deployment, "late"), "the create comes to its end", patience=120)
        deployment.edge.until_answers(f"late-be.{lab.domain}")

    deployment.remove("late")
    assert not any("bp-late" in name for names in deployment.traces().values() for name in names)


def is_up(deployment: Deployment, name: str) -> bool:
    """Whether the admin knows a backpack, and all of it runs."""
    found = json.loads(deployment.swarm("status", "--json"))["backpacks"]
    if {"name": name, "state": "up", "reason": ""} not in found:
        return False
    listed = deployment.attempt("list", "--json")
    return listed.returncode == 0 and name in listed.stdout


def test_restarted_docker_brings_all_back(deployment: Deployment, shop: App, lab: Lab) -> None:
    shop.collection("kept")
    before = numbers(shop)
    written = [shop.add("kept", n=number)["n"] for number in range(50)]

    with deployment.lap("Docker restarted until all is up"):
        lab.restart(lab.nodes[0])
        deployment.edge.until_answers(shop.host, patience=120)
        until(lambda: is_back(shop), "the backpack works again")

    assert numbers(shop) == [*before, *written]
