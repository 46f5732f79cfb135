"""Members of a backpack."""

from __future__ import annotations

from typing import Any

import pytest

from tests.admin.test_backpacks import actions, names
from tests.panel import PanelClient, PanelServer


@pytest.fixture
def ann(panel: PanelServer) -> PanelClient:
    """The owner of the backpack `shop`."""
    ann = panel.developer("ann")
    ann.steps("POST /api/backpacks", {"name": "shop"})
    return ann


def members(client: PanelClient) -> list[tuple[str, str]]:
    found = client.ask("GET /api/backpacks/shop/members").json()
    return [(one["name"], one["role"]) for one in found]


def test_member_is_added_and_removed(panel: PanelServer, ann: PanelClient) -> None:
    bob = panel.developer("bob")
    assert bob.developer is not None

    ann.ask("POST /api/backpacks/shop/members", {"email": "BOB@example.com"})
    assert (names(bob), members(bob)) == (
        ["shop"],
        [("ann@example.com", "owner"), ("bob@example.com", "member")],
    )
    ann.ask("POST /api/backpacks/shop/members", {"email": "bob@example.com", "role": "owner"})
    assert bob.ask("GET /api/backpacks/shop/tokens").status_code == 200
    ann.ask(f"DELETE /api/backpacks/shop/members/{bob.developer.id}")

    assert (names(bob), members(ann)) == ([], [("ann@example.com", "owner")])
    assert actions(ann)[1:] == [
        ("member.set", "shop", {"member": "bob@example.com", "role": "member"}),
        ("member.set", "shop", {"member": "bob@example.com", "role": "owner"}),
        ("member.remove", "shop", {"member": "bob@example.com"}),
    ]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"email": "nobody@example.com"}, "email"),
        ({"email": 7}, "email"),
        ({}, "email"),
        ({"email": "bob@example.com", "role": "operator"}, "role"),
    ],
)
def test_bad_member_is_refused(
    panel: PanelServer, ann: PanelClient, body: dict[str, Any], field: str
) -> None:
    panel.developer("bob")

    answer = ann.ask("POST /api/backpacks/shop/members", body)

    assert (answer.status_code, list(answer.json()["fields"])) == (422, [field])
    assert members(ann) == [("ann@example.com", "owner")]


def test_last_owner_stays(panel: PanelServer, ann: PanelClient) -> None:
    bob, operator = panel.developer("bob"), panel.operator()
    panel.share("shop", bob, role="member")
    assert ann.developer is not None

    demoted = ann.ask(
        "POST /api/backpacks/shop/members", {"email": "ann@example.com", "role": "member"}
    )
    removed = ann.ask(f"DELETE /api/backpacks/shop/members/{ann.developer.id}")
    for answer in (demoted, removed):
        assert (answer.status_code, answer.json()["code"]) == (422, "last_owner")
    assert members(ann) == [("ann@example.com", "owner"), ("bob@example.com", "member")]

    operator.ask(f"DELETE /api/backpacks/shop/members/{ann.developer.id}")
    assert members(operator) == [("bob@example.com", "member")]


def test_owner_among_others_leaves(panel: PanelServer, ann: PanelClient) -> None:
    bob = panel.developer("bob")
    panel.share("shop", bob, role="owner")
    assert ann.developer is not None

    listed = ann.ask("GET /api/backpacks/shop/members").json()
    gone = ann.ask(f"DELETE /api/backpacks/shop/members/{ann.developer.id}")

    assert [(one["name"], one["own"]) for one in listed] == [
        ("ann@example.com", True),
        ("bob@example.com", False),
    ]
    assert gone.status_code == 200
    assert (names(ann), members(bob)) == ([], [("bob@example.com", "owner")])


def test_members_change_no_members(panel: PanelServer, ann: PanelClient) -> None:
    bob = panel.developer("bob")
    panel.share("shop", bob, role="member")
    assert ann.developer is not None

    answers = [
        bob.ask("POST /api/backpacks/shop/members", {"email": "bob@example.com", "role": "owner"}),
        bob.ask(f"DELETE /api/backpacks/shop/members/{ann.developer.id}"),
    ]

    assert [answer.status_code for answer in answers] == [403, 403]
    assert ann.ask("DELETE /api/backpacks/shop/members/nobody").status_code == 404
