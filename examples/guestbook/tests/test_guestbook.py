"""What the guestbook's rules let visitors do, asked of a real backend in memory: `pytest`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backpack.testing import BackpackServer, TestBackpack

PROJECT = Path(__file__).parent.parent
SEED = PROJECT / "seed.json"
RULES = json.loads((PROJECT / "rules.json").read_text("utf-8"))

pytestmark = pytest.mark.backpack(seed=SEED, rules=RULES)


def test_guests_read_every_entry(backpack: TestBackpack) -> None:
    entries = backpack.client.get("/entries").json()

    assert [entry["text"] for entry in entries] == ["First!", "Tidy."]


def test_guests_cannot_sign(backpack: TestBackpack) -> None:
    answer = backpack.client.post("/entries", json={"name": "?", "text": "Hi"})

    assert answer.status_code == 403


def test_visitor_signs_as_themselves(backpack: TestBackpack) -> None:
    ada = backpack.login("ada@example.org", "correct horse")

    entry = ada.client.post("/entries", json={"name": "Ada", "text": "Lovely!"}).json()

    assert entry["userId"] == ada.id


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_only_author_changes_entry(backpack: TestBackpack, method: str) -> None:
    author, other = backpack.register(), backpack.register()
    entry = author.client.post("/entries", json={"name": "Ada", "text": "Lovely!"}).json()
    body = None if method == "DELETE" else {"text": "Changed"}

    statuses = [
        user.request(method, f"/entries/{entry['_id']}", json=body).status_code
        for user in (backpack.client, other.client, author.client)
    ]

    assert statuses == [403, 403, 200]


@pytest.mark.backpack(rules={"entries": {"create": "none"}})
def test_closed_guestbook_takes_no_entries(backpack: TestBackpack) -> None:
    answer = backpack.register().client.post("/entries", json={"text": "Late"})

    assert answer.status_code == 403


def test_guestbooks_are_apart(backpack: TestBackpack, backpack_server: BackpackServer) -> None:
    other = backpack_server.create(seed={"collections": {"entries": []}, "rules": RULES})

    assert other.client.get("/entries").json() == []
    other.close()
