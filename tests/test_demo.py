"""The demo app as `dev --demo` serves it; what it does in a browser is tested there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.sandboxes import Sandbox

ACCOUNT = {"email": "ada@example.org", "password": "correct horse"}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("demo"), "--demo") as sandbox:
        yield sandbox


def log_in(sandbox: Sandbox) -> httpx.Client:
    """A client of a user of the demo's backpack."""
    with sandbox.client("demo") as guest:
        guest.post("/register", json=ACCOUNT)
        token = guest.post("/login", json={**ACCOUNT, "token": True}).json()["token"]
    return sandbox.client("demo", **{"x-backpack-session": token})


def test_demo_is_a_backpack_with_rooms(tmp_path: Path) -> None:
    with Sandbox(tmp_path, "--demo") as sandbox:
        url = f"http://demo.bkpk.localhost:{sandbox.ready['port']}"
        assert sandbox.names == ["demo"]
        assert ["demo", url] in [line.split() for line in sandbox.table]
        with log_in(sandbox) as client:
            rooms = client.get("/rooms").json()
            refused = client.post("/collections", json={"collectionName": "more"})

    assert [room["name"] for room in rooms] == ["Lobby", "Kitchen table", "Travel plans"]
    assert refused.status_code == 403


def test_second_start_changes_nothing(tmp_path: Path) -> None:
    with Sandbox(tmp_path, "--demo") as first, log_in(first) as client:
        key, rooms = first["demo"]["api_key"], client.get("/rooms").json()
    with Sandbox(tmp_path, "--demo") as second, log_in(second) as client:
        assert (second["demo"]["api_key"], client.get("/rooms").json()) == (key, rooms)


def test_own_rules_stay(tmp_path: Path) -> None:
    with Sandbox(tmp_path, "--backpack", "demo") as sandbox, log_in(sandbox) as client:
        client.post("/collections", json={"collectionName": "rooms"}).raise_for_status()
    with Sandbox(tmp_path, "--demo") as sandbox, log_in(sandbox) as client:
        assert client.get("/rooms").json() == []
        assert client.get("/profiles").json() == []


def test_my_app_is_made_when_it_is_asked_for(tmp_path: Path) -> None:
    with Sandbox(tmp_path, "--demo", "--backpack", "my-app") as sandbox:
        assert sandbox.names == ["demo", "my-app"]


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("/", 200, "text/html; charset=utf-8"),
        ("/app.js", 200, "text/javascript; charset=utf-8"),
        ("/chat.css", 200, "text/css; charset=utf-8"),
        ("/rules.json", 404, "application/json"),
        ("/__init__.py", 404, "application/json"),
        ("/index.html.j2", 404, "application/json"),
        ("/nothing", 404, "application/json"),
    ],
)
def test_demo_host_serves_its_files(demo: Sandbox, path: str, status: int, kind: str) -> None:
    answer = demo.get("demo", path)

    assert (answer.status_code, answer.headers["content-type"]) == (status, kind)


def test_page_loads_from_its_own_hosts_only(demo: Sandbox) -> None:
    policy = demo.get("demo").headers["content-security-policy"]
    sources = {word for rule in policy.split(";") for word in rule.split()[1:]}

    assert sources == {
        "'none'",
        "'self'",
        "data:",
        "http://admin.bkpk.localhost",
        "http://demo-be.bkpk.localhost",
        "ws://demo-be.bkpk.localhost",
    }


def test_other_backpacks_have_their_welcome_page(tmp_path: Path) -> None:
    with Sandbox(tmp_path, "--demo", "--backpack", "my-app") as sandbox:
        assert "my-app is running" in sandbox.get("my-app").text
        assert sandbox.get("my-app", "/app.js").status_code == 404


def test_own_site_takes_its_place(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("mine", "utf-8")
    with Sandbox(tmp_path, "--demo", "--site", "demo=site") as sandbox:
        assert sandbox.get("demo").text == "mine"
