"""Backups by the panel: downloading one, and back from it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.admin.test_backpacks import actions, names
from tests.panel import PanelClient, PanelServer


@pytest.fixture
def ann(kept_panel: PanelServer) -> PanelClient:
    """The owner of the backpack `shop`, which has two records."""
    ann = kept_panel.developer("ann")
    kept_panel.create("shop", seed={"collections": {"cars": [{"n": 1}, {"n": 2}]}})
    kept_panel.share("shop", ann)
    return ann


@pytest.fixture
def elsewhere() -> Iterator[PanelServer]:
    """Another deployment, on another kind of store."""
    server = PanelServer()
    server.start()
    yield server
    server.stop()


def test_backup_becomes_a_backpack_elsewhere(ann: PanelClient, elsewhere: PanelServer) -> None:
    bob = elsewhere.developer("bob")
    file = ann.ask("GET /api/backpacks/shop/backup")

    lines, last = bob.steps("POST /api/backups/copy", content=file.content)

    assert file.headers["content-disposition"] == 'attachment; filename="shop.tar"'
    assert lines[-1].startswith("Imported ")
    assert (last["result"]["name"], last["result"]["documents"]) == ("copy", 2)
    assert names(bob) == ["copy"]
    assert actions(bob) == [("backup.import", "copy", {"documents": 2, "files": 0, "users": 0})]
    assert actions(ann)[-1] == ("backup.export", "shop", {"with_key": False})


def test_backup_with_key_has_it(ann: PanelClient, elsewhere: PanelServer) -> None:
    key = ann.ask("GET /api/backpacks/shop").json()["api_key"]
    bob = elsewhere.developer("bob")
    made = {}
    for query in ("", "?key=1"):
        file = ann.ask(f"GET /api/backpacks/shop/backup{query}").content
        name = f"copy{len(query)}"
        made[query] = bob.steps(f"POST /api/backups/{name}", content=file)[1]["result"]["api_key"]

    assert (made["?key=1"], made[""] == key) == (key, False)


def test_backup_replaces_what_is_there(kept_panel: PanelServer, ann: PanelClient) -> None:
    file = ann.ask("GET /api/backpacks/shop/backup").content
    key = ann.ask("GET /api/backpacks/shop").json()["api_key"]
    ann.steps("POST /api/backpacks", {"name": "other"})

    last = ann.steps("POST /api/backpacks/other/backup", content=file)[1]["result"]

    assert (last["name"], last["documents"], last["api_key"] == key) == ("other", 2, False)
    assert actions(ann)[-1][:2] == ("backup.replace", "other")


@pytest.mark.parametrize("path", ["/api/backups/copy", "/api/backpacks/shop/backup"])
@pytest.mark.parametrize("content", [b"", b"no backup", b"x" * 100_000], ids=["0", "9", "100k"])
def test_bad_backup_changes_nothing(
    kept_panel: PanelServer, ann: PanelClient, path: str, content: bytes
) -> None:
    before = ann.ask("GET /api/backpacks/shop/backup").content

    answer = ann.ask(f"POST {path}", content=content)

    assert "bad_backup" in answer.text
    assert names(ann) == ["shop"]
    assert len(ann.ask("GET /api/backpacks/shop/backup").content) == len(before)


def test_import_needs_a_free_name(kept_panel: PanelServer, ann: PanelClient) -> None:
    bob = kept_panel.developer("bob")
    file = ann.ask("GET /api/backpacks/shop/backup").content

    answer = bob.ask("POST /api/backups/shop", content=file)

    assert (answer.status_code, answer.json()["code"]) == (422, "backpack_exists")
    assert names(bob) == []


def test_members_have_no_backups(kept_panel: PanelServer, ann: PanelClient) -> None:
    bob = kept_panel.developer("bob")
    kept_panel.share("shop", bob, role="member")
    refused = [
        bob.ask(call).status_code
        for call in (
            "GET /api/backpacks/shop/backup",
            "POST /api/backpacks/shop/backup",
            "GET /backpacks/shop/backup",
            "GET /backpacks/shop/tokens",
        )
    ]

    assert refused == [403] * 4


@contextmanager
def importing(
    client: PanelClient, name: str, content: bytes, data: Path
) -> Iterator[list[httpx.Response]]:
    """While inside, `name` is being made of a backup that has not all come; what is yielded has the
    answer behind it."""
    come = threading.Event()

    def blocks() -> Iterator[bytes]:
        yield content[:1024]
        assert come.wait(30.0)
        yield content[1024:]

    answers: list[httpx.Response] = []
    with ThreadPoolExecutor(1) as pool:
        headers = client.headers("POST")
        answer = pool.submit(
            client.http.post, f"/api/backups/{name}", content=blocks(), headers=headers
        )
        try:
            ends = time.monotonic() + 10.0
            while not list((data / "backpacks").glob(f".draft-{name}-*")):
                assert time.monotonic() < ends
                time.sleep(0.01)
            yield answers
        finally:
            come.set()
            answers.append(answer.result())


@pytest.mark.parametrize("name", ["ann", "bob"])
def test_backpack_is_made_once_at_a_time(
    kept_panel: PanelServer, ann: PanelClient, tmp_path: Path, name: str
) -> None:
    file = ann.ask("GET /api/backpacks/shop/backup").content
    other = kept_panel.developer(name)

    with importing(ann, "copy", file, tmp_path / "data") as answers:
        refused = other.ask("POST /api/backpacks", {"name": "copy"})

    assert (refused.status_code, refused.json()["code"]) == (422, "backpack_exists")
    assert '"documents":2' in answers[0].text
    assert names(ann) == ["copy", "shop"]


def test_purge_takes_no_backpack_that_is_being_made(
    kept_panel: PanelServer, ann: PanelClient, tmp_path: Path
) -> None:
    file = ann.ask("GET /api/backpacks/shop/backup").content
    ann.steps("DELETE /api/backpacks/shop")
    again = kept_panel.developer("ann")

    with importing(ann, "shop", file, tmp_path / "data") as answers:
        again.steps("POST /api/backpacks/shop/purge")

    assert '"documents":2' in answers[0].text
    assert names(ann) == ["shop"]
