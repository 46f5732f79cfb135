"""Contents of users' files over the panel's HTTP: as they are, and never as a page."""

from __future__ import annotations

from typing import Any

import pytest

from tests.panel import PanelServer

OWNER = "0" * 24
PATH = f"/api/backpacks/shop/files/{OWNER}"
PAGE = b"<script>alert(document.domain)</script>"


def save(server: PanelServer, filename: str, content: bytes, kind: str = "") -> Any:
    answer = server.developer("ann").ask(
        f"POST {PATH}/{filename}", content=content, headers={"content-type": kind}
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_file_is_made_read_replaced_and_deleted(server: PanelServer, shop: Any) -> None:
    ann = server.developer("ann")

    made = save(server, "a%20b.txt", b"one", "text/plain")
    read = ann.ask(f"GET {PATH}/a%20b.txt")
    again = ann.ask(f"PUT {PATH}/a%20b.txt", content=b"other", headers={"content-type": "x/y"})
    reread = ann.ask(f"GET {PATH}/a%20b.txt")
    deleted = ann.ask(f"DELETE {PATH}/a%20b.txt")

    assert (made["filename"], made["size"], made["type"]) == ("a b.txt", 3, "text/plain")
    assert (read.content, reread.content) == (b"one", b"other")
    assert (again.json()["_id"], again.json()["size"]) == (made["_id"], 5)
    assert deleted.json()["_id"] == made["_id"]
    assert ann.ask(f"GET {PATH}/a%20b.txt").json()["code"] == "unknown_file"


@pytest.mark.parametrize(
    ("filename", "kind"),
    [
        ("page.html", "text/html"),
        ("page.html", ""),
        ("image.svg", "image/svg+xml"),
        ("page.xhtml", "application/xhtml+xml"),
        ("feed.xml", "text/xml"),
        ("a.pdf", "application/pdf"),
        ("a.txt", "text/plain"),
        ("a.png", "text/html"),
    ],
)
def test_files_are_not_shown_as_pages(
    server: PanelServer, shop: Any, filename: str, kind: str
) -> None:
    save(server, filename, PAGE, kind)

    headers = server.developer("ann").ask(f"GET {PATH}/{filename}").headers

    assert headers["content-disposition"].startswith("attachment; filename=")
    assert headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize("kind", ["image/png", "image/jpeg", "image/gif", "image/webp"])
def test_pictures_are_shown(server: PanelServer, shop: Any, kind: str) -> None:
    save(server, "picture", PAGE, kind)

    headers = server.developer("ann").ask(f"GET {PATH}/picture").headers

    assert headers["content-disposition"] == 'inline; filename="picture"'
    assert headers["content-type"] == kind
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == "sandbox; default-src 'none'"


def test_header_cannot_be_made_of_filename(server: PanelServer, shop: Any) -> None:
    save(server, "a%22%3Bb.txt", b"")

    answer = server.developer("ann").ask(f"GET {PATH}/a%22%3Bb.txt")

    assert answer.headers["content-disposition"] == (
        "attachment; filename=\"a_;b.txt\"; filename*=UTF-8''a%22%3Bb.txt"
    )


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_others_cannot_reach_files(server: PanelServer, shop: Any, method: str) -> None:
    save(server, "a.txt", b"one")

    carol, stranger = server.developer("carol"), server.stranger()

    assert carol.ask(f"{method} {PATH}/a.txt").status_code == 404
    assert stranger.ask(f"{method} {PATH}/a.txt").status_code == 401
    assert server.developer("ann").ask(f"GET {PATH}/a.txt").content == b"one"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "headers", [{"origin": "http://shop.bkpk.localhost"}, {"x-csrf-token": None}], ids=str
)
def test_pages_of_others_cannot_change_files(
    server: PanelServer, shop: Any, method: str, headers: dict[str, str | None]
) -> None:
    save(server, "a.txt", b"one")
    ann = server.developer("ann")

    answer = ann.ask(f"{method} {PATH}/a.txt", content=b"other", headers=headers)

    assert answer.status_code == 403
    assert ann.ask(f"GET {PATH}/a.txt").content == b"one"


def test_taken_name_is_refused(server: PanelServer, shop: Any) -> None:
    save(server, "a.txt", b"one")

    answer = server.developer("ann").ask(f"POST {PATH}/a.txt", content=b"other")

    assert (answer.status_code, answer.json()["code"]) == (400, "file_exists")


def test_bad_names_are_refused(server: PanelServer, shop: Any) -> None:
    ann = server.developer("ann")
    somebody = PATH.replace(OWNER, "somebody")

    answers = [
        ann.ask(f"POST {PATH}/a%00b", content=b"x"),
        ann.ask(f"POST {PATH}/..%5Cb", content=b"x"),
        ann.ask(f"POST {somebody}/b", content=b"x"),
    ]

    assert [(one.status_code, one.json()["code"]) for one in answers] == [(422, "invalid_file")] * 3


def test_changes_of_files_are_noted(server: PanelServer, shop: Any) -> None:
    save(server, "a.txt", b"s3cret")
    server.developer("ann").ask(f"DELETE {PATH}/a.txt")

    entries = server.call(server.registry.audit.of_backpack("shop", limit=2))

    named = {"userId": OWNER, "filename": "a.txt"}
    assert [(entry.action, entry.detail) for entry in entries] == [
        ("file.delete", named),
        ("file.create", {**named, "size": 6}),
    ]
