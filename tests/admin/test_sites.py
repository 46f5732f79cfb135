"""Deploying a site by the panel, its versions, and back."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from backpack.settings import Settings
from tests.admin.test_backpacks import actions
from tests.panel import PanelClient, PanelServer
from tests.zips import Packed, zip_of


def site_of(text: str) -> bytes:
    return zip_of(Packed(b"index.html", text.encode()), Packed(b"app.js", b"let a = 1;"))


def shown(panel: PanelServer, name: str = "shop") -> str:
    headers = {"host": panel.host_url(name).removeprefix("http://")}
    return httpx.get(f"http://127.0.0.1:{panel.port}/", headers=headers, verify=False).text


def versions(client: PanelClient) -> list[tuple[int, bool, str]]:
    found = client.ask("GET /api/backpacks/shop/sites").json()
    return [(one["version"], one["live"], one["who"]) for one in found]


@pytest.fixture
def ann(kept_panel: PanelServer) -> PanelClient:
    """The owner of the backpack `shop`."""
    ann = kept_panel.developer("ann")
    ann.steps("POST /api/backpacks", {"name": "shop"})
    return ann


def test_site_is_deployed_and_rolled_back(kept_panel: PanelServer, ann: PanelClient) -> None:
    bob = kept_panel.developer("bob")
    kept_panel.share("shop", bob, role="member")

    ann.steps("POST /api/backpacks/shop/site", content=site_of("one"))
    lines, last = bob.steps("POST /api/backpacks/shop/site", content=site_of("two"))

    assert lines[-1] == "Version 2 is live"
    assert (last["result"]["version"], last["result"]["url"]) == (2, kept_panel.host_url("shop"))
    assert shown(kept_panel) == "two"
    assert versions(ann) == [(1, False, "ann@example.com"), (2, True, "bob@example.com")]

    assert ann.ask("POST /api/backpacks/shop/rollback", {"version": 1}).json()["live"] is True
    assert shown(kept_panel) == "one"
    kept = kept_panel.call(kept_panel.registry.deployments.of("shop"))
    assert [(one.version, one.who) for one in kept] == [
        (2, "bob@example.com"),
        (1, "ann@example.com"),
    ]
    assert [action for action, _, _ in actions(ann)][1:] == [
        "site.deploy",
        "site.deploy",
        "site.rollback",
    ]
    assert actions(ann)[-1] == ("site.rollback", "shop", {"version": 1})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no zip",
        zip_of(Packed(b"about.html", b"x")),
        zip_of(Packed(b"../index.html", b"x")),
        zip_of(Packed(b"index.html", b"x"), Packed(b"/etc/passwd", b"x")),
    ],
    ids=["empty", "no-zip", "no-index", "outside", "absolute"],
)
def test_bad_zip_changes_nothing(kept_panel: PanelServer, ann: PanelClient, content: bytes) -> None:
    ann.steps("POST /api/backpacks/shop/site", content=site_of("one"))

    answer = ann.ask("POST /api/backpacks/shop/site", content=content)

    said = answer.text.splitlines()[-1]
    assert "bad_site" in said
    assert shown(kept_panel) == "one"
    assert versions(ann) == [(1, True, "ann@example.com")]
    assert [action for action, _, _ in actions(ann)].count("site.deploy") == 1


def test_zip_over_the_limit_is_refused(tmp_path: Any) -> None:
    settings = Settings(dev=True, cheap_passwords=True, max_site=10_000)
    panel = PanelServer(tmp_path / "data", settings)
    panel.start()
    ann = panel.developer("ann")
    ann.steps("POST /api/backpacks", {"name": "shop"})

    answer = ann.ask("POST /api/backpacks/shop/site", content=b"x" * 10_001)

    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert versions(ann) == []
    panel.stop()


@pytest.mark.parametrize(
    ("body", "status"),
    [({"version": 7}, 404), ({"version": "1"}, 422), ({"version": True}, 422), ({}, 404)],
)
def test_bad_rollback_is_refused(ann: PanelClient, body: Any, status: int) -> None:
    assert ann.ask("POST /api/backpacks/shop/rollback", body).status_code == status


def test_names_of_entries_are_no_markup(kept_panel: PanelServer, ann: PanelClient) -> None:
    name = b"<img src=x onerror=alert(1)>.html"
    content = zip_of(Packed(b"index.html", b"x"), Packed(name, b"x"))

    lines, last = ann.steps("POST /api/backpacks/shop/site", content=content)

    assert last["result"]["files"] == 2
    assert lines
