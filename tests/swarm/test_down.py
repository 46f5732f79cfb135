"""A deployment that is down, and up again: what it had is there."""

from __future__ import annotations

import json

from tests.backups import zipped
from tests.swarm.conftest import BUILT_IN
from tests.swarm.deployment import Deployment
from tests.swarm.web import App, until


def test_all_is_there_again(deployment: Deployment, shop: App) -> None:
    forum = deployment.create("forum").login()
    forum.collection("threads")
    written = [forum.add("threads", n=number) for number in range(20)]
    deployment.deploy("forum", zipped({"index.html": b"the forum"}))
    deployment.inside("scale", "forum", "2")
    deployment.inside("create", "bin")
    deployment.inside("delete", "bin")
    before, trash = deployment.status(), deployment.inside("trash")
    traces = deployment.traces()

    with deployment.lap("swarm down"):
        deployment.swarm("down")
    left = {kind: set(names) - BUILT_IN for kind, names in deployment.traces().items()}
    with deployment.lap("swarm up with two backpacks"):
        again = json.loads(deployment.swarm("up", "--json"))
        for app in (shop, forum):
            deployment.edge.until_answers(app.host, patience=120)
    until(lambda: deployment.status() == before, "all runs as before")

    assert (left["service"], left["network"]) == (set(), set())
    assert again["admin"] == f"https://admin.{deployment.lab.domain}"
    assert forum.all("threads") == written
    assert shop.client.get("/me").status_code == 200
    with deployment.edge.client(f"forum.{deployment.lab.domain}") as site:
        assert site.get("/").text == "the forum"
    assert deployment.inside("trash") == trash
    assert deployment.traces() == traces
    forum.close()
    deployment.inside("purge", "bin")
    deployment.remove("forum")
