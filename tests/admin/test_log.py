"""The log of who did what."""

from __future__ import annotations

import pytest

from tests.panel import PanelClient, PanelServer


def entries(client: PanelClient, query: str = "") -> list[tuple[str, str, str]]:
    found = client.ask(f"GET /api/log{query}").json()["entries"]
    return [(one["name"], one["action"], one["backpack"]) for one in found]


def test_log_is_filtered(panel: PanelServer) -> None:
    ann, operator = panel.developer("ann"), panel.operator()
    for name in ("a", "b"):
        ann.steps("POST /api/backpacks", {"name": name})
    operator.steps("POST /api/backpacks", {"name": "c"})
    mine = [("ann@example.com", "backpack.create", name) for name in ("b", "a")]

    assert entries(ann) == mine
    assert entries(operator) == [("operator@example.com", "backpack.create", "c"), *mine]
    assert entries(operator, "?who=ann@example.com") == mine
    assert entries(operator, "?backpack=a") == mine[1:]
    assert entries(operator, "?backpack=c&who=ann@example.com") == []
    assert entries(ann, "?backpack=c") == []


def test_log_is_paged(panel: PanelServer) -> None:
    operator = panel.operator()

    async def fill() -> None:
        for number in range(120):
            await panel.registry.audit.note(operator.developer, "test.note", f"b{number}")

    panel.call(fill())
    seen: list[str] = []
    query, more = "", True
    while more:
        answer = operator.ask(f"GET /api/log{query}").json()
        seen += [one["backpack"] for one in answer["entries"]]
        more, query = answer["more"], f"?before={answer['entries'][-1]['id']}"

    assert seen == [f"b{number}" for number in reversed(range(120))]


@pytest.mark.parametrize("before", ["x", "-1", "1" * 30, "%D9%A1"])
def test_bad_place_in_log_is_refused(panel: PanelServer, before: str) -> None:
    assert panel.operator().ask(f"GET /api/log?before={before}").status_code == 422


def test_log_of_others_is_of_own_backpacks(panel: PanelServer) -> None:
    ann, bob = panel.developer("ann"), panel.developer("bob")
    ann.steps("POST /api/backpacks", {"name": "shop"})
    assert entries(bob) == []

    panel.share("shop", bob, role="member")

    assert entries(bob) == [("ann@example.com", "backpack.create", "shop")]
