"""A backpack that uses a MongoDB and a Redis which somebody else runs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pymongo
import pytest
import redis

from tests.swarm.deployment import Deployment
from tests.swarm.lab import Lab
from tests.swarm.lab.images import MONGO, REDIS
from tests.swarm.load import COLLECTION, under_load
from tests.swarm.web import App, until

PASSWORD = "s3cret"
PORTS = {"mongo": 27_117, "redis": 6_479}
OWN = {"mongo": 27_017, "redis": 6_379}
AUTH = "?authSource=admin&authMechanism=SCRAM-SHA-256"


@pytest.fixture(scope="module")
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


@pytest.fixture(scope="module")
def outer(deployment: Deployment, lab: Lab, urls: dict[str, str]) -> Iterator[App]:
    """A backpack that uses them."""
    mongo: pymongo.MongoClient[Any] = pymongo.MongoClient(urls["mongo"])
    until(lambda: mongo.admin.command("ping"), "MongoDB answers")
    mongo.close()
    for kind, url in urls.items():
        put(deployment, f"/tmp/{kind}-url", url)
    before = deployment.traces()
    made = deployment.inside(
        *("create", "outer", "--mongo-url-file", "/tmp/mongo-url"),
        *("--redis-url-file", "/tmp/redis-url"),
    )
    deployment.edge.until_answers(f"outer-be.{lab.domain}")
    app = App(deployment.edge, "outer", made["api_key"], lab.domain).login()
    for collection in ("cars", COLLECTION):
        app.collection(collection)
    yield app
    app.close()
    deployment.remove("outer")
    assert deployment.traces() == before


def test_databases_of_others_are_used_and_left(
    deployment: Deployment, outer: App, urls: dict[str, str]
) -> None:
    mongo: pymongo.MongoClient[Any] = pymongo.MongoClient(urls["mongo"])
    cache = redis.Redis.from_url(urls["redis"])
    written = [outer.add("cars", n=number) for number in range(3)]
    socket = outer.socket()
    outer.add("cars", n=3)
    while (event := socket.receive()).get("collection") != "cars":
        continue
    socket.close()
    read = outer.all("cars")
    deployment.inside("export", "outer", "/tmp/outer.tar")
    refused = deployment.attempt("import", "/tmp/outer.tar", "outer", "--replace")
    kept = outer.all("cars")
    services = [one for one in deployment.traces()["service"] if "outer" in one]
    deployment.inside("delete", "outer")
    deployment.inside("restore", "outer")
    until(lambda: outer.client.get("/cars").is_success, "it is there again")

    assert read[:3] == written
    assert event["response"]["n"] == 3
    assert refused.returncode == 2
    assert kept == read
    assert services == ["bp-outer_api", "bp-outer_files", "bp-outer_site"]
    assert [one["n"] for one in mongo["backpack_outer"]["cars"].find()] == [0, 1, 2, 3]
    assert cache.keys("outer:*")
    mongo.close()
    cache.close()


@pytest.mark.parametrize("action", ["create wrong", "reconnect outer"])
def test_url_that_is_refused_is_told_at_once(
    deployment: Deployment, outer: App, urls: dict[str, str], action: str
) -> None:
    put(deployment, "/tmp/wrong-url", urls["mongo"].replace(PASSWORD, "wr0ng"))
    before = deployment.traces()

    with deployment.lap(f"{action} with a password that is refused"):
        refused = deployment.attempt(*action.split(), "--mongo-url-file", "/tmp/wrong-url")

    assert (refused.returncode, refused.stderr) == (
        2,
        "backpack: The URL of MongoDB has a user or a password that the server refuses\n",
    )
    assert "wr0ng" not in refused.stdout
    assert deployment.traces() == before


def test_url_that_does_not_work_changes_nothing(
    deployment: Deployment, outer: App, urls: dict[str, str]
) -> None:
    """Nobody listens there, as far as the admin can tell. What could not be undone at once is when
    the admin begins anew."""
    put(deployment, "/tmp/mongo-url", urls["mongo"].replace(str(PORTS["mongo"]), "27118"))
    asked = ("reconnect", "outer", "--mongo-url-file", "/tmp/mongo-url")
    outer.add("cars", n=1)
    before = outer.all("cars")

    with deployment.lap("URL that does not work"):
        refused = deployment.attempt(*asked)
    with ThreadPoolExecutor() as beside:
        beside.submit(deployment.attempt, *asked)
        until(lambda: "mongo_url_2" in secrets(deployment), "it has begun")
        deployment.kill("backpack_admin")
    own = {"mongo_url", "redis_url"}
    until(lambda: deployment.admin and secrets(deployment) == own, "it is undone", patience=120)

    assert refused.returncode == 2
    assert "MongoDB does not answer here" in refused.stdout
    assert "outer has the databases it had: " in refused.stderr
    assert PASSWORD not in refused.stdout + refused.stderr
    assert outer.all("cars") == before


def test_password_of_a_database_changes(
    deployment: Deployment, outer: App, urls: dict[str, str]
) -> None:
    cache = redis.Redis.from_url(urls["redis"])
    written = outer.add("cars", n=1)

    cache.acl_setuser("default", enabled=True, passwords=["+n3w"])  # for a while both work
    put(deployment, "/tmp/redis-url", urls["redis"].replace(PASSWORD, "n3w"))
    with deployment.lap("other password of Redis"), under_load(outer) as report:
        changed = deployment.inside("reconnect", "outer", "--redis-url-file", "/tmp/redis-url")
    cache.acl_setuser("default", enabled=True, passwords=[f"-{PASSWORD}"])
    cache.client_kill_filter(_type="normal", skipme=True)
    path = f"/cars/{written['_id']}"
    until(lambda: outer.client.patch(path, json={"n": 9}).is_success, "it connects anew")

    assert changed["state"] == "up"
    assert (report.failed, report.lost) == ([], {})
    assert outer.all("cars")[-1]["n"] == 9
    assert secrets(deployment) == {"mongo_url_2", "redis_url_2"}
    cache.close()


def secrets(deployment: Deployment) -> set[str]:
    """Which secrets the backpack has that hold URLs."""
    named = [one.removeprefix("bp-outer_") for one in deployment.traces()["secret"]]
    return {one for one in named if "_url" in one}


def put(deployment: Deployment, path: str, text: str) -> None:
    """Make a file in the admin."""
    inside = ("docker", "--host", deployment.lab.docker_host, "exec", "--interactive")
    command = [*inside, deployment.admin, "sh", "-c", f"cat >{path}"]
    subprocess.run(command, input=text.encode(), check=True)
