"""Accounts of developers over HTTP: one's own, and all of them for operators."""

from __future__ import annotations

from typing import Any

import pytest

from backpack.throttle import FAILURES_OF_PAIR
from tests.panel import PASSWORD, PanelServer

NEW = "another fine password"


def test_password_changes_and_other_sessions_end(panel: PanelServer) -> None:
    here, there = panel.developer("ann"), panel.developer("ann")
    answer = here.ask("PUT /api/account/password", {"current": PASSWORD, "new": NEW})

    assert answer.status_code == 200
    assert here.ask("GET /account").status_code == 200
    assert there.ask("GET /account").status_code == 303
    old, new = panel.stranger(), panel.stranger()
    assert old.enter("/login", email="ann@example.com", password=PASSWORD).status_code == 401
    assert new.enter("/login", email="ann@example.com", password=NEW).status_code == 303


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        pytest.param({"current": "wrong", "new": NEW}, {"current"}, id="wrong current"),
        pytest.param({"new": NEW}, {"current"}, id="no current"),
        pytest.param({"current": PASSWORD, "new": "short"}, {"new"}, id="weak"),
        pytest.param({"current": PASSWORD}, {"new"}, id="no new"),
    ],
)
def test_bad_password_change_is_refused(
    panel: PanelServer, body: dict[str, Any], fields: set[str]
) -> None:
    ann = panel.developer("ann")
    answer = ann.ask("PUT /api/account/password", body)

    assert (answer.status_code, set(answer.json()["fields"])) == (422, fields)
    browser = panel.stranger()
    assert browser.enter("/login", email="ann@example.com", password=PASSWORD).status_code == 303


def test_guessing_the_current_password_is_braked(panel: PanelServer) -> None:
    ann = panel.developer("ann")
    tries = [
        ann.ask("PUT /api/account/password", {"current": f"guess {n}", "new": NEW}).status_code
        for n in range(FAILURES_OF_PAIR + 1)
    ]

    assert tries == [422] * FAILURES_OF_PAIR + [429]


def test_sandbox_operator_sets_a_login(panel: PanelServer) -> None:
    made = panel.call(panel.registry.developers.sandbox_operator())
    link = f"/open/{panel.call(panel.registry.links.create(made))}"
    browser = panel.stranger()
    browser.enter(link)
    page = browser.ask("GET /account").text
    answer = browser.ask(
        "PUT /api/account/login", {"email": "ann@example.com", "password": PASSWORD}
    )
    again = browser.ask("PUT /api/account/login", {"email": "eve@example.com", "password": NEW})

    assert "Sign in without a link" in page
    assert (answer.status_code, again.status_code) == (200, 422)
    assert browser.ask("GET /account").status_code == 200
    other = panel.stranger()
    assert other.enter("/login", email="ann@example.com", password=PASSWORD).status_code == 303


def test_sessions_are_listed_and_ended(panel: PanelServer) -> None:
    panel.developer("ann")
    browser = panel.stranger()
    agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/156.0.0.0 Safari/537.36"
    browser.http.headers["user-agent"] = agent
    browser.enter("/login", email="ann@example.com", password=PASSWORD)
    found = browser.ask("GET /api/account/sessions").json()
    other = next(one for one in found if not one["current"])
    bob = panel.developer("bob").ask(f"DELETE /api/account/sessions/{other['id']}")
    ended = browser.ask(f"DELETE /api/account/sessions/{other['id']}")
    left = browser.ask("GET /api/account/sessions").json()

    assert (len(found), bob.status_code, ended.status_code) == (2, 404, 200)
    assert [(one["browser"], one["address"], one["current"]) for one in left] == [
        ("Chrome on Linux", "127.0.0.1", True)
    ]
    assert browser.token not in str(found)


def test_log_out_everywhere(panel: PanelServer) -> None:
    clients = [panel.developer("ann") for _ in range(3)]
    bob = panel.developer("bob")
    answer = clients[0].ask("DELETE /api/account/sessions")

    assert answer.status_code == 200
    assert [one.ask("GET /account").status_code for one in clients] == [303] * 3
    assert bob.ask("GET /account").status_code == 200


def test_operator_sees_and_changes_developers(panel: PanelServer) -> None:
    operator, bob = panel.operator(), panel.developer("bob")
    operator.ask("POST /api/developers/invitations", {"role": "operator"})
    found = operator.ask("GET /api/developers").json()
    known = next(one for one in found["developers"] if one["email"] == "bob@example.com")
    (invitation,) = found["invitations"]
    promoted = operator.ask(f"PUT /api/developers/{known['id']}", {"role": "operator"})

    assert [(one["email"], one["own"]) for one in found["developers"]] == [
        ("operator@example.com", True),
        ("bob@example.com", False),
    ]
    assert "password" not in str(found)
    assert (invitation["role"], invitation["invited_by"]) == ("operator", "operator@example.com")
    assert promoted.status_code == 200
    assert bob.ask("GET /api/developers").status_code == 200
    operator.ask(f"DELETE /api/developers/invitations/{invitation['id']}")
    assert operator.ask("GET /api/developers").json()["invitations"] == []
    removed = operator.ask(f"DELETE /api/developers/{known['id']}")
    assert removed.status_code == 200
    assert bob.ask("GET /api/developers").status_code == 401


def test_last_operator_is_kept(panel: PanelServer) -> None:
    operator = panel.operator()
    assert operator.developer is not None
    path = f"/api/developers/{operator.developer.id}"
    answers = [operator.ask(f"PUT {path}", {"role": "developer"}), operator.ask(f"DELETE {path}")]

    assert [(one.status_code, one.json()["code"]) for one in answers] == [
        (422, "last_operator")
    ] * 2


@pytest.mark.parametrize(
    ("call", "body", "status"),
    [
        ("POST /api/developers/invitations", {"role": "king"}, 422),
        ("POST /api/developers/invitations", [], 400),
        ("PUT /api/developers/nobody", {"role": "developer"}, 404),
        ("DELETE /api/developers/nobody", None, 404),
        ("DELETE /api/developers/invitations/none", None, 404),
        ("DELETE /api/account/sessions/none", None, 404),
    ],
)
def test_what_is_not_there_is_refused(
    panel: PanelServer, call: str, body: Any, status: int
) -> None:
    assert panel.operator().ask(call, body).status_code == status


def test_changes_of_developers_are_noted(panel: PanelServer) -> None:
    operator, bob = panel.operator(), panel.developer("bob")
    assert bob.developer is not None
    operator.ask("POST /api/developers/invitations", {"role": "developer"})
    operator.ask(f"PUT /api/developers/{bob.developer.id}", {"role": "operator"})
    operator.ask(f"DELETE /api/developers/{bob.developer.id}")
    assert operator.developer is not None
    entries = panel.call(panel.registry.audit.visible(operator.developer))

    assert [(one.action, one.detail) for one in reversed(entries)] == [
        ("developer.invite", {"role": "developer"}),
        ("developer.role", {"developer": "bob@example.com", "role": "operator"}),
        ("developer.remove", {"developer": "bob@example.com"}),
    ]
