"""A backpack that uses a MongoDB and a Redis which somebody else runs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pymongo
import pytest
import redis

from tests.swarm.deployment import Deployment
from tests.swarm.lab import Lab
from tests.swarm.lab.images import MONGO, REDIS
from tests.swarm.web import App, until

PASSWORD = "s3cret"
PORTS = {"mongo": 27_117, "redis": 6_479}
OWN = {"mongo": 27_017, "redis": 6_379}
AUTH = "?authSource=admin&authMechanism=SCRAM-SHA-256"


@pytest.fixture
def urls(lab: Lab) -> Iterator[dict[str, str]]:
    """Servers with passwords on a port of the first machine, beside all networks of Docker."""
    user = ("MONGO_INITDB_ROOT_USERNAME=ours", f"MONGO_INITDB_ROOT_PASSWORD={PASSWORD}")
    environment = [word for one in user for word in ("--env", one)]
    mongo, cache = (
        ("run", "--detach", "--publish", f"{PORTS[kind]}:{own}") for kind, own in OWN.items()
    )
    containers = [
        lab.docker(*mongo, *environment, MONGO),
        lab.docker(*cache, REDIS, "redis-server", "--requirepass", PASSWORD),
    ]
    yield {
        "mongo": f"mongodb://ours:{PASSWORD}@{lab.edge}:{PORTS['mongo']}/{AUTH}",
        "redis": f"redis://:{PASSWORD}@{lab.edge}:{PORTS['redis']}/0",
    }
    lab.docker("rm", "--force", "--volumes", *(one.strip() for one in containers))


def test_databases_of_others_are_used_and_left(
    deployment: Deployment, lab: Lab, urls: dict[str, str]
) -> None:
    mongo: pymongo.MongoClient[Any] = pymongo.MongoClient(urls["mongo"])
    cache = redis.Redis.from_url(urls["redis"])
    until(lambda: mongo.admin.command("ping"), "MongoDB answers")
    for kind, url in urls.items():
        put(deployment, f"/tmp/{kind}-url", url)
    before = deployment.traces()
    made = deployment.inside(
        *("create", "outer", "--mongo-url-file", "/tmp/mongo-url"),
        *("--redis-url-file", "/tmp/redis-url"),
    )
    deployment.edge.until_answers(f"outer-be.{lab.domain}")
    app = App(deployment.edge, "outer", made["api_key"], lab.domain).login()
    app.collection("cars")
    written = [app.add("cars", n=number) for number in range(3)]
    socket = app.socket()
    app.add("cars", n=3)
    while (event := socket.receive()).get("collection") != "cars":
        continue
    socket.close()
    read = app.all("cars")
    deployment.inside("export", "outer", "/tmp/outer.tar")
    refused = deployment.attempt("import", "/tmp/outer.tar", "outer", "--replace")
    kept = app.all("cars")
    stack = set(deployment.traces()["service"]) - set(before["service"])
    app.close()
    deployment.remove("outer")

    assert read[:3] == written
    assert event["response"]["n"] == 3
    assert refused.returncode == 2
    assert kept == read
    assert stack == {"bp-outer_api", "bp-outer_files", "bp-outer_site"}
    assert [one["n"] for one in mongo["backpack_outer"]["cars"].find()] == [0, 1, 2, 3]
    assert cache.keys("outer:*")
    assert deployment.traces() == before
    mongo.close()
    cache.close()


def put(deployment: Deployment, path: str, text: str) -> None:
    """Make a file in the admin."""
    inside = ("docker", "--host", deployment.lab.docker_host, "exec", "--interactive")
    command = [*inside, deployment.admin, "sh", "-c", f"cat >{path}"]
    subprocess.run(command, input=text.encode(), check=True)
