"""Tokens for programs, as the panel makes them; what they do is tested with what takes them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.admin.test_backpacks import actions
from tests.panel import PanelClient, PanelServer


@pytest.fixture
def ann(panel: PanelServer) -> PanelClient:
    """The owner of the backpack `shop`."""
    ann = panel.developer("ann")
    ann.steps("POST /api/backpacks", {"name": "shop"})
    return ann


def test_token_is_shown_once(panel: PanelServer, ann: PanelClient) -> None:
    body = {"name": "ci", "scope": "deploy", "days": 30}
    made = ann.ask("POST /api/backpacks/shop/tokens", body).json()
    secret = made.pop("token")

    listed = ann.ask("GET /api/backpacks/shop/tokens")
    log = ann.ask("GET /api/log")

    assert listed.json() == [{**made, "made_by": "ann@example.com"}]
    assert secret not in listed.text + log.text
    used = panel.call(panel.registry.tokens.use(secret))
    assert used is not None
    assert (used.label, used.backpack, used.scope) == ("ci", "shop", "deploy")
    assert actions(ann)[-1] == ("token.create", "shop", {"token": "ci", "scope": "deploy"})


def test_revoked_token_works_no_more(panel: PanelServer, ann: PanelClient) -> None:
    body = {"name": "ci", "scope": "restore", "days": 1}
    made = ann.ask("POST /api/backpacks/shop/tokens", body).json()

    answers = [ann.ask(f"DELETE /api/backpacks/shop/tokens/{made['id']}") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 404]
    assert panel.call(panel.registry.tokens.use(made["token"])) is None
    assert ann.ask("GET /api/backpacks/shop/tokens").json()[0]["revoked"] is True
    assert actions(ann)[-1] == ("token.revoke", "shop", {"token": "ci"})


def test_token_of_another_backpack_is_unknown(panel: PanelServer, ann: PanelClient) -> None:
    body = {"name": "ci", "scope": "deploy", "days": 1}
    made = ann.ask("POST /api/backpacks/shop/tokens", body).json()
    bob = panel.developer("bob")
    bob.steps("POST /api/backpacks", {"name": "blog"})

    assert bob.ask(f"DELETE /api/backpacks/blog/tokens/{made['id']}").status_code == 404
    assert panel.call(panel.registry.tokens.use(made["token"])) is not None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": None}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"scope": "everything"}, "scope"),
        ({"days": 0}, "days"),
        ({"days": 366}, "days"),
        ({"days": "7"}, "days"),
    ],
)
def test_bad_token_is_refused(ann: PanelClient, change: dict[str, Any], field: str) -> None:
    body = {"name": "ci", "scope": "deploy", "days": 7, **change}

    answer = ann.ask("POST /api/backpacks/shop/tokens", body)

    assert (answer.status_code, list(answer.json()["fields"])) == (422, [field])
    assert ann.ask("GET /api/backpacks/shop/tokens").json() == []
