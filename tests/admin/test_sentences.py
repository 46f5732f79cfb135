"""What the log says in words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import backpack
from backpack.admin.sentences import SENTENCES, sentence
from tests.panel import PanelServer

KINDS = "account|backpack|backup|collection|developer|document|file|key|member|node|rules|session"
ACTION = re.compile(rf'"((?:{KINDS}|site|token|user)\.[a-z_]+)"')

SAID = [
    (
        "backpack.create",
        {"databases": ["MongoDB", "Redis"]},
        "Created the backpack, on MongoDB and Redis of its own",
    ),
    (
        "backpack.delete",
        {"until": "2026-01-09T10:00:00.000Z"},
        "Deleted the backpack, to be had back until 2026-01-09",
    ),
    ("backpack.reconnect", {"databases": ["Redis"]}, "Changed the URL of its Redis"),
    ("backpack.scale", {"replicas": 1}, "Has 1 process serve it"),
    ("backpack.scale", {"replicas": 3}, "Has 3 processes serve it"),
    ("backup.export", {"with_key": True}, "Downloaded a backup with the API key"),
    (
        "backup.import",
        {"users": 1, "documents": 1_200, "files": 0},
        "Created the backpack from a backup: 1 user, 1,200 documents, 0 files",
    ),
    (
        "backup.promote",
        {"rules": True, "files": 2},
        "Took over what was promoted: rules and 2 files",
    ),
    ("backup.promote", {"rules": False, "files": 0}, "Took over what was promoted"),
    (
        "developer.role",
        {"developer": "bo@example.com", "role": "operator"},
        "Made bo@example.com an operator",
    ),
    (
        "document.delete",
        {"collection": "cars", "count": 1, "ids": ["a"]},
        "Deleted the document a from cars",
    ),
    (
        "document.create",
        {"collection": "cars", "count": 2, "ids": ["a", "b"]},
        "Added 2 documents: a, b to cars",
    ),
    (
        "document.create",
        {"collection": "cars", "count": 5_000, "ids": ["a"] * 100},
        "Added 5,000 documents to cars",
    ),
    (
        "document.delete",
        {"collection": "cars", "count": 1_200, "ids": ["a"] * 100, "filter": {"n": {"$gt": 1}}},
        'Deleted 1,200 documents from cars that matched {"n":{"$gt":1}}',
    ),
    (
        "document.delete",
        {"collection": "cars", "count": 5, "ids": ["a"] * 5, "filter": {}},
        "Deleted 5 documents from cars, all",
    ),
    ("file.create", {"userId": "u", "filename": "a.txt", "size": 5}, "Uploaded the file a.txt"),
    (
        "file.change",
        {"count": 2, "files": [{"userId": "u", "filename": "a"}, {"userId": "u", "filename": "b"}]},
        "Changed 2 files: a, b",
    ),
    ("key.rotate", {"now": True}, "Changed the API key, the one before ended at once"),
    (
        "node.label",
        {"node": "n1", "key": "big", "value": None},
        "Took the label big off the node n1",
    ),
    ("node.label", {"node": "n1", "key": "big", "value": "yes"}, "Labelled the node n1: big=yes"),
    ("rules.set", {}, "Set the rules as they were"),
    (
        "rules.set",
        {
            "count": 1,
            "changed": {"cars": {"from": None, "to": {"list": "public"}}},
            "origins_added": ["https://a.com"],
            "origins_removed": ["https://b.com"],
        },
        "Changed the rules: allowed the origin https://a.com; took back the origin https://b.com; "
        "cars to list public, from the default",
    ),
    ("rules.set", {"count": 9, "changed": {}}, "Changed the rules: those of 9 collections"),
    ("session.begin", {"by": "set-up"}, "Signed in with the set-up token"),
    ("session.end", {}, "Logged out"),
    ("session.end", {"userId": "u"}, "Logged a user out"),
    ("site.deploy", {"version": 3, "size": 10}, "Deployed version 3 of the site"),
    (
        "site.deploy",
        {"version": 3, "broken_off": True},
        "Deployed version 3 of the site (broken off: it may have been done)",
    ),
    ("site.deploy", {"version": 3, "files": 1}, "Deployed version 3 of the site (1 file)"),
    ("site.rollback", {}, "site.rollback"),
    ("of.tomorrow", {"a": 1}, "of.tomorrow"),
]


def test_every_action_has_a_sentence() -> None:
    package = Path(backpack.__file__).parent
    files = [package / "holdings.py", *(package / "admin").glob("*.py")]
    noted = {
        action
        for file in files
        if file.name != "sentences.py"
        for action in ACTION.findall(file.read_text("utf-8"))
    }

    assert set(SENTENCES) == noted


@pytest.mark.parametrize(("action", "detail", "said"), SAID)
def test_entries_are_told_in_words(action: str, detail: dict[str, Any], said: str) -> None:
    assert sentence(action, detail) == said


def test_log_has_them(panel: PanelServer) -> None:
    ann = panel.developer("ann")
    ann.steps("POST /api/backpacks", {"name": "shop"})

    (entry,) = ann.ask("GET /api/log").json()["entries"]
    assert (entry["action"], entry["text"]) == ("backpack.create", "Created the backpack")
