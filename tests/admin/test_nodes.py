"""Nodes: looked at and changed by operators, where the driver can."""

from __future__ import annotations

from typing import Any

import pytest

from backpack.drivers.base import Capability, Described, Node, Status
from backpack.drivers.databases import check_urls
from backpack.steps import Result, Steps
from tests.admin.test_backpacks import actions
from tests.panel import PASSWORD, PanelServer

HERE: Node = {
    "id": "n1",
    "name": "<b>one</b>",
    "role": "manager",
    "state": "ready",
    "availability": "active",
    "address": "10.0.0.1",
    "labels": {},
}


class Machines:
    """What a driver of several machines has besides the local one's methods."""

    def __init__(self, local: Any) -> None:
        self._local = local
        self.node = HERE
        self.urls: list[tuple[str, str]] = []

    capabilities: frozenset[Capability] = frozenset(("scale", "nodes", "node_changes", "databases"))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._local, name)

    def create(
        self, name: str, api_key: str | None = None, mongo_url: str = "", redis_url: str = ""
    ) -> Steps:
        check_urls(mongo_url, redis_url)
        self.urls.append((mongo_url, redis_url))
        made: Steps = self._local.create(name, api_key)
        return made

    def reconnect(self, name: str, mongo_url: str = "", redis_url: str = "") -> Steps:
        check_urls(mongo_url, redis_url)
        return self._reconnect(name, mongo_url, redis_url)

    async def _reconnect(self, name: str, mongo_url: str, redis_url: str) -> Steps:
        yield f"Deploying bp-{name}"
        self.urls.append((mongo_url, redis_url))
        yield Result(await self.status(name))

    async def status(self, name: str) -> Status:
        found: Status = await self._local.status(name)
        return {**found, "databases": {"MongoDB": "db.example.com"}}

    async def describe(self, name: str) -> Described:
        found: Described = await self._local.describe(name)
        del found["connect"]  # only what is on this machine has one
        return found

    async def nodes(self) -> list[Node]:
        return [self.node]

    async def label_node(self, node: str, key: str, value: str | None) -> Node:
        labels = {name: text for name, text in self.node["labels"].items() if name != key}
        self.node = {**self.node, "labels": labels if value is None else {**labels, key: value}}
        return self.node

    async def drain_node(self, node: str) -> Node:
        self.node = {**self.node, "availability": "drain"}
        return self.node

    async def activate_node(self, node: str) -> Node:
        self.node = {**self.node, "availability": "active"}
        return self.node

    async def join_command(self, role: str) -> str:
        return f"docker swarm join --token secret-of-{role} 10.0.0.1:2377"


@pytest.fixture
def machines(panel: PanelServer, monkeypatch: pytest.MonkeyPatch) -> PanelServer:
    """A panel over several machines."""
    driver = panel.app.ctx.driver = Machines(panel.driver)
    monkeypatch.setattr(panel.panel.holdings, "_driver", driver)
    return panel


def test_databases_are_for_operators_to_choose(machines: PanelServer) -> None:
    operator, ann = machines.operator(), machines.developer("ann")
    mongo = "mongodb://ada:s3cret@db.example.com"

    refused = ann.ask("POST /api/backpacks", {"name": "anns", "mongo_url": mongo})
    wrong = operator.ask("POST /api/backpacks", {"name": "wrong", "mongo_url": "http://a"})
    no_text = operator.ask("POST /api/backpacks", {"name": "wrong", "redis_url": 1})
    made = operator.steps("POST /api/backpacks", {"name": "shop", "mongo_url": mongo})[-1]
    entry = operator.ask("GET /api/log?backpack=shop").json()["entries"][0]

    assert "Only operators may choose databases" in refused.text
    assert "must begin with mongodb:// or mongodb+srv://" in wrong.text
    assert "http://a" not in wrong.text
    assert no_text.status_code == 422
    assert made["result"]["name"] == "shop"
    assert machines.app.ctx.driver.urls == [(mongo, "")]
    assert entry["detail"] == {"databases": ["MongoDB"]}
    assert list(machines.driver.names()) == ["shop"]


def test_urls_of_databases_are_for_operators_to_change(machines: PanelServer) -> None:
    operator, ann = machines.operator(), machines.developer("ann")
    ann.steps("POST /api/backpacks", {"name": "shop"})
    call, redis = "POST /api/backpacks/shop/databases", "rediss://:s3cret@cache.example.com"

    refused = ann.ask(call, {"redis_url": redis})
    wrong = operator.ask(call, {"redis_url": "cache.example.com"})
    made = operator.steps(call, {"redis_url": redis})[-1]
    entry = operator.ask("GET /api/log?backpack=shop").json()["entries"][0]
    seen = [
        client.ask("GET /api/status?names=shop").json()[0]["databases"]
        for client in (operator, ann)
    ]

    assert refused.status_code == 403
    assert "must begin with redis:// or rediss://" in wrong.text
    assert made["result"]["state"] == "up"
    assert machines.app.ctx.driver.urls[1:] == [("", redis)]
    assert (entry["action"], entry["detail"]) == ("backpack.reconnect", {"databases": ["Redis"]})
    assert seen == [{"MongoDB": "db.example.com"}, {}]


def test_node_is_labelled_and_drained(machines: PanelServer) -> None:
    operator = machines.operator()
    calls: list[tuple[str, dict[str, Any]]] = [
        ("labels", {"key": "disk", "value": "ssd"}),
        ("drain", {}),
        ("activate", {}),
        ("labels", {"key": "disk", "value": None}),
    ]

    seen = [operator.ask(f"POST /api/nodes/n1/{call}", body).json() for call, body in calls]

    assert [(one["availability"], one["labels"]) for one in seen] == [
        ("active", {"disk": "ssd"}),
        ("drain", {"disk": "ssd"}),
        ("active", {"disk": "ssd"}),
        ("active", {}),
    ]
    assert operator.ask("GET /api/nodes").json() == [HERE]
    assert [action for action, _, _ in actions(operator)] == [
        "node.label",
        "node.drain",
        "node.activate",
        "node.label",
    ]


def test_overview_shows_what_there_is(machines: PanelServer) -> None:
    operator = machines.operator()
    operator.steps("POST /api/backpacks", {"name": "shop"})

    page = operator.ask("GET /backpacks/shop")

    assert page.status_code == 200
    assert "shop-be." in page.text
    assert "programs on this machine" not in page.text


def test_join_command_needs_the_password(machines: PanelServer) -> None:
    operator = machines.operator()

    wrong = operator.ask("POST /api/nodes/join", {"role": "worker", "password": "wrong"})
    odd = operator.ask("POST /api/nodes/join", {"role": "king", "password": PASSWORD})
    right = operator.ask("POST /api/nodes/join", {"role": "worker", "password": PASSWORD})

    assert (wrong.status_code, list(wrong.json()["fields"])) == (422, ["password"])
    assert odd.status_code == 422
    assert "secret-of-worker" in right.json()["command"]
    assert actions(operator) == [("node.join_command", None, {"role": "worker"})]
    assert "secret" not in operator.ask("GET /api/log").text


def test_nodes_are_for_operators(machines: PanelServer) -> None:
    ann = machines.developer("ann")
    calls = ["GET /nodes", "GET /api/nodes", "POST /api/nodes/n1/drain", "POST /api/nodes/join"]

    assert [ann.ask(call, {} if "POST" in call else None).status_code for call in calls] == [
        403
    ] * 4


def test_one_machine_cannot_be_changed(panel: PanelServer) -> None:
    operator = panel.operator()

    assert len(operator.ask("GET /api/nodes").json()) == 1
    assert operator.ask("POST /api/nodes/n1/drain", {}).status_code == 404
    assert "/nodes" not in operator.ask("GET /").text


@pytest.mark.parametrize("body", [{}, {"key": 1}, {"key": "a", "value": 1}])
def test_bad_label_is_refused(machines: PanelServer, body: dict[str, Any]) -> None:
    assert machines.operator().ask("POST /api/nodes/n1/labels", body).status_code == 422
