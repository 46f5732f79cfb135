"""From nothing to a backpack for the public, and what changes under its users."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.backups import zipped
from tests.swarm.deployment import Deployment
from tests.swarm.lab import Lab
from tests.swarm.lab.images import REDIS
from tests.swarm.load import under_load
from tests.swarm.web import App, until

IMAGE = "{{.Spec.TaskTemplate.ContainerSpec.Image}}"


def test_backend_answers_with_a_certificate(deployment: Deployment, shop: App) -> None:
    answer = shop.client.get("/")

    assert (answer.status_code, answer.json()) == (200, {"name": "shop", "status": "ok"})
    assert answer.headers["strict-transport-security"].startswith("max-age=")
    assert deployment.edge.issuer(shop.host).startswith("Pebble Intermediate CA")


def test_http_is_sent_to_https(shop: App) -> None:
    answer = httpx.get(f"http://{shop.edge.address}/cars", headers={"host": shop.host})

    assert (answer.status_code, answer.headers["location"]) in (
        (301, f"https://{shop.host}/cars"),
        (308, f"https://{shop.host}/cars"),
    )


def test_panel_waits_for_its_first_developer(deployment: Deployment) -> None:
    host = f"admin.{deployment.lab.domain}"
    with deployment.edge.client(host) as client:
        answer = client.get("/", follow_redirects=False)

    assert answer.status_code == 303
    assert len(deployment.setup) == 64


def test_up_again_changes_nothing(deployment: Deployment, lab: Lab) -> None:
    before = lab.docker("ps", "--quiet", "--no-trunc")

    deployment.up()

    assert lab.docker("ps", "--quiet", "--no-trunc") == before


def test_up_changes_backpacks_that_are_there(deployment: Deployment, shop: App, lab: Lab) -> None:
    deployment.up("--set", "memory.site=100M")

    limit = "{{.Spec.TaskTemplate.Resources.Limits.MemoryBytes}}"
    found = lab.docker("service", "inspect", f"bp-{shop.name}_site", "--format", limit)
    assert int(found) == 100 * 1_048_576


@pytest.mark.parametrize(
    ("assigned", "why"),
    [
        ("subnets=10.9.0.0/20,10.9.16.0/20", "backpack swarm down first"),
        ("node=nowhere", "There is no manager 'nowhere'"),
    ],
)
def test_up_refuses(deployment: Deployment, assigned: str, why: str) -> None:
    refused = deployment.finished("swarm", "up", "--set", assigned, check=False)

    assert refused.returncode == 2
    assert why in refused.stderr


def test_status_tells_what_runs(deployment: Deployment, shop: App) -> None:
    found = json.loads(deployment.swarm("status", "--json"))

    assert found["domain"] == deployment.lab.domain
    assert [(one["name"], one["running"]) for one in found["services"]] == [
        ("admin", 1),
        ("traefik", 1),
    ]
    assert {"name": shop.name, "state": "up", "reason": ""} in found["backpacks"]


def by_image(lab: Lab, *words: str) -> str:
    """What a command says that is run from the image, as users of it do."""
    socket = "/run/docker.sock:/var/run/docker.sock"
    run = ("run", "--rm", "--network", "host", "--user", "root", "--volume", socket)
    return lab.docker(*run, "backpack:latest", *words)


def test_doctor_finds_nothing_that_fails(deployment: Deployment, lab: Lab) -> None:
    found = json.loads(by_image(lab, "swarm", "doctor", "--json"))

    assert [one["what"] for one in found if one["state"] == "failure"] == []
    assert {"Docker", "Swarm", "Nodes", "IP_VS", "Ports", "Disk"} <= {one["what"] for one in found}


def test_doctor_tells_what_fails_and_its_remedy(deployment: Deployment, lab: Lab) -> None:
    """On this machine nobody knows the lab's hosts."""
    failed = deployment.finished("swarm", "doctor", check=False)

    assert failed.returncode == 2
    assert f"FAIL  DNS: admin.{lab.domain} has no address\n      add a DNS record" in failed.stdout
    assert failed.stderr == "backpack: 1 of 11 findings keep a swarm from working\n"


def test_doctor_names_hosts_without_certificate(deployment: Deployment, lab: Lab) -> None:
    until(lambda: certificates(lab)["state"] == "ok", "every host has one")
    labels = ("backpack.name=ghost", "com.docker.stack.namespace=bp-ghost")
    told = [word for label in labels for word in ("--label", label)]
    lab.docker("service", "create", "--name", "ghost", "--replicas", "0", *told, REDIS)
    ill = certificates(lab)
    lab.docker("service", "rm", "ghost")

    assert ill["found"] == f"none yet for ghost.{lab.domain}, ghost-be.{lab.domain}"
    assert "docker service update --force backpack_traefik" in ill["remedy"]


def certificates(lab: Lab) -> Any:
    found = json.loads(by_image(lab, "swarm", "doctor", "--json"))
    return next(one for one in found if one["what"] == "Certificates")


def test_image_puts_up_and_tells(deployment: Deployment, lab: Lab) -> None:
    up = json.loads(by_image(lab, "swarm", "up", "--json"))
    status = json.loads(by_image(lab, "swarm", "status", "--json"))

    assert up["admin"] == f"https://admin.{lab.domain}"
    assert status["domain"] == lab.domain


def test_create_that_fails_leaves_nothing(deployment: Deployment, lab: Lab) -> None:
    before = deployment.traces()
    lab.docker("tag", REDIS, "kept:1")
    lab.docker("rmi", "--force", REDIS)

    with deployment.lap("create that fails"):
        failed = deployment.attempt("create", "broken")
    lab.docker("tag", "kept:1", REDIS)

    assert failed.returncode == 2
    assert (
        failed.stderr.strip()
        == f"backpack: broken could not be made: Service redis does not run: No such image: {REDIS}"
    )
    assert deployment.traces() == before


def test_scaling_fails_no_request(deployment: Deployment, shop: App) -> None:
    with under_load(shop) as report:
        for replicas in (3, 2):
            with deployment.lap(f"scale to {replicas}"):
                deployment.inside("scale", shop.name, str(replicas))
        until(lambda: len(deployment.containers(shop)) == 2, "one of three has ended")
    deployment.note("scale 1, 3, 2", report)

    assert (report.failed, report.lost) == ([], {})


def test_upgrade_fails_no_request(deployment: Deployment, shop: App, lab: Lab) -> None:
    lab.docker("tag", "backpack:latest", "backpack:next")
    before = deployment.containers(shop)

    with under_load(shop, uploads=True) as report:
        with deployment.lap("upgrade"):
            deployment.swarm("upgrade", "--image", "backpack:next")
        until(lambda: not before & deployment.containers(shop), "those before have ended")
    deployment.note("upgrade", report)

    assert (report.failed, report.lost) == ([], {})
    assert report.reconnects >= 50


def test_upgrade_that_cannot_start_goes_back(deployment: Deployment, shop: App) -> None:
    with deployment.lap("upgrade that goes back"):
        failed = deployment.finished("swarm", "upgrade", "--image", "no.such/image:1", check=False)

    assert failed.returncode == 2
    assert "went back to what it was before" in failed.stderr
    until(lambda: shop.client.get("/").status_code == 200, "the backend answers")


def test_upgrade_that_dies_goes_back(deployment: Deployment, lab: Lab) -> None:
    before = lab.docker("service", "inspect", "backpack_admin", "--format", IMAGE)
    lab.docker("create", "--name", "dying", "backpack:latest")
    lab.docker("commit", "--change", 'ENTRYPOINT ["false"]', "dying", "backpack:dying")
    lab.docker("rm", "dying")

    with deployment.lap("upgrade that dies"):
        failed = deployment.finished("swarm", "upgrade", "--image", "backpack:dying", check=False)

    assert failed.returncode == 2
    assert "Service admin went back to what it was before" in failed.stderr
    assert lab.docker("service", "inspect", "backpack_admin", "--format", IMAGE) == before
    until(
        lambda: deployment.admin and deployment.attempt("list").returncode == 0,
        "the admin does what it is told",
    )


def test_site_is_deployed_without_a_pause(deployment: Deployment, shop: App) -> None:
    host = f"{shop.name}.{deployment.lab.domain}"
    with deployment.edge.client(host) as client, under_load(shop) as report:
        for text in ("first", "second"):
            with deployment.lap(f"deploy of the {text} site"):
                deployment.deploy(shop.name, zipped({"index.html": text.encode()}))
            assert client.get("/").text == text
        deployment.inside("rollback", shop.name)
        assert client.get("/").text == "first"
    deployment.note("site", report)

    assert (report.failed, report.lost) == ([], {})
