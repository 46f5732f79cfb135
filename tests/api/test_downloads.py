"""How files are answered: headers that keep a page safe, parts, conditions, to the end."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate, parsedate_to_datetime
from urllib.parse import quote

import httpx
import pytest

from tests.deployments import App
from tests.forms import send, upload

BYTES = bytes(range(256)) * 4


def get(app: App, name: str = "file.bin", **headers: str) -> httpx.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return app.ask(f"GET /uploads/{app.user_id('user')}/{quote(name)}", headers=sent)


@pytest.mark.parametrize(
    ("sent", "name", "kind", "inline"),
    [
        ("image/png", "x", "image/png", True),
        ("IMAGE/JPEG; x=y", "x", "image/jpeg", True),
        ("image/gif", "x", "image/gif", True),
        ("image/webp", "x", "image/webp", True),
        ("image/avif", "x", "image/avif", True),
        ("audio/mpeg", "x", "audio/mpeg", True),
        ("video/mp4", "x", "video/mp4", True),
        ("application/pdf", "x", "application/pdf", True),
        ("text/plain", "x", "text/plain; charset=utf-8", True),
        ("text/html", "x.png", "text/html", False),
        ("text/html", "x", "text/html", False),
        ("image/svg+xml", "x", "image/svg+xml", False),
        ("application/xhtml+xml", "x", "application/xhtml+xml", False),
        ("text/javascript", "x", "text/javascript", False),
        ("image/pngx", "x", "image/pngx", False),
        ("", "a.png", "image/png", True),
        ("", "a.PNG", "image/png", True),
        ("", "a.webp", "image/webp", True),
        ("", "a.html", "text/html", False),
        ("", "a.svg", "image/svg+xml", False),
        ("", "a.tar.gz", "application/octet-stream", False),
        ("", "data:text;html,x", "application/octet-stream", False),
        ("", "unknown", "application/octet-stream", False),
        ("application/octet-stream", "a.png", "image/png", True),
        ("nonsense", "a", "application/octet-stream", False),
        ("text/html\x00", "a", "application/octet-stream", False),
        ("image/png, text/html", "a", "application/octet-stream", False),
    ],
)
def test_only_harmless_types_are_shown(
    app: App, sent: str, name: str, kind: str, inline: bool
) -> None:
    made = upload(app, name, b"<script>alert(1)</script>", sent)

    answer = get(app, name)

    assert made["type"] == kind.partition(";")[0]
    assert answer.headers["content-type"] == kind
    assert answer.headers["content-disposition"].startswith("inline" if inline else "attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"


@pytest.mark.parametrize(
    ("name", "disposition"),
    [
        ("a b.png", 'inline; filename="a b.png"'),
        ("\u00fc.png", "inline; filename=\"_.png\"; filename*=UTF-8''%C3%BC.png"),
        ('a"b.png', "inline; filename=\"a_b.png\"; filename*=UTF-8''a%22b.png"),
        ("100%.png", "inline; filename=\"100_.png\"; filename*=UTF-8''100%25.png"),
        ("a;b=c.png", 'inline; filename="a;b=c.png"'),
        ("\U0001f600.png", "inline; filename=\"_.png\"; filename*=UTF-8''%F0%9F%98%80.png"),
        ("'*.png", 'inline; filename="\'*.png"'),
    ],
)
def test_file_is_saved_under_its_name(app: App, name: str, disposition: str) -> None:
    upload(app, name, kind="image/png")

    assert get(app, name).headers["content-disposition"] == disposition


RANGES = {
    "bytes=0-0": (206, 0, 1),
    "bytes=10-19": (206, 10, 20),
    "bytes=1000-": (206, 1000, 1024),
    "bytes=1000-9999": (206, 1000, 1024),
    "bytes=-24": (206, 1000, 1024),
    "bytes=-9999": (206, 0, 1024),
    "BYTES = 5 - 6": (206, 5, 7),
    "bytes=1024-": (416, 0, 0),
    "bytes=9999-10000": (416, 0, 0),
    "bytes=-0": (416, 0, 0),
    "bytes=999999999999999999-": (416, 0, 0),
    "bytes=0-1,5-6": (200, 0, 1024),
    "bytes=6-5": (200, 0, 1024),
    "bytes=-": (200, 0, 1024),
    "bytes=": (200, 0, 1024),
    "bytes=a-b": (200, 0, 1024),
    "lines=1-2": (200, 0, 1024),
    "bytes=9999999999999999999999-": (200, 0, 1024),
    "bytes=\u00b2-\u00b3": (200, 0, 1024),
}


@pytest.mark.parametrize("wanted", RANGES)
def test_part_is_answered(app: App, wanted: str) -> None:
    upload(app, "file.bin", BYTES)
    status, start, end = RANGES[wanted]

    answer = get(app, range=wanted)

    assert answer.status_code == status
    if status == 416:
        assert answer.headers["content-range"] == "bytes */1024"
        assert answer.json()["code"] == "bad_range"
        return
    assert answer.content == BYTES[start:end]
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers.get("content-range") == (
        f"bytes {start}-{end - 1}/1024" if status == 206 else None
    )


def test_empty_file_has_no_parts(app: App) -> None:
    upload(app, "file.bin", b"")

    assert get(app, range="bytes=0-").status_code == 416
    assert get(app, range="bytes=-5").status_code == 416
    assert get(app).content == b""


@pytest.mark.parametrize("size", [1, 524_287, 524_288, 524_289, 1_200_000])
def test_whole_file_is_answered(app: App, size: int) -> None:
    content = (BYTES * (size // 1024 + 1))[:size]
    upload(app, "file.bin", content)

    answer = get(app)

    assert answer.headers["content-length"] == str(size)
    assert answer.content == content
    assert get(app, range=f"bytes={size - 1}-").content == content[-1:]


def test_known_content_is_not_sent_again(app: App) -> None:
    upload(app, "file.bin", BYTES)
    first = get(app)
    tag, date = first.headers["etag"], first.headers["last-modified"]
    before = formatdate(parsedate_to_datetime(date).timestamp() - 1, usegmt=True)

    unchanged = [
        get(app, if_none_match=tag),
        get(app, if_none_match=f'"other", W/{tag}'),
        get(app, if_none_match="*"),
        get(app, if_modified_since=date),
        get(app, if_none_match=tag, if_modified_since=before),
        get(app, if_none_match=tag, range="bytes=0-1"),
    ]
    changed = [
        get(app, if_none_match='"other"'),
        get(app, if_modified_since=before),
        get(app, if_modified_since="nonsense"),
        get(app, if_none_match='"other"', if_modified_since=date),
    ]

    assert [(answer.status_code, answer.content) for answer in unchanged] == [(304, b"")] * 6
    assert {answer.headers["etag"] for answer in unchanged} == {tag}
    assert [(answer.status_code, answer.content) for answer in changed] == [(200, BYTES)] * 4


def test_new_content_has_a_new_tag(app: App) -> None:
    upload(app, "file.bin", BYTES)
    old = get(app).headers["etag"]

    send(app, "PUT /uploads/file.bin", ("file", ("x", BYTES)))

    answer = get(app, if_none_match=old)
    assert (answer.status_code, answer.headers["etag"] == old) == (200, False)


def test_renamed_file_keeps_its_tag(app: App) -> None:
    upload(app, "file.bin", BYTES)
    tag = get(app).headers["etag"]

    app.ask("PATCH /uploads/file.bin", {"filename": "other.bin"})

    assert get(app, "other.bin", if_none_match=tag).status_code == 304


def test_part_of_other_content_is_not_mixed_in(app: App) -> None:
    upload(app, "file.bin", BYTES)
    first = get(app)
    tag, date = first.headers["etag"], first.headers["last-modified"]
    after = formatdate(parsedate_to_datetime(date).timestamp() + 1, usegmt=True)

    same = [get(app, range="bytes=0-1", if_range=value) for value in (tag, date)]
    other = [
        get(app, range="bytes=0-1", if_range=value)
        for value in ('"other"', f"W/{tag}", after, "nonsense")
    ]

    assert [answer.status_code for answer in same] == [206, 206]
    assert [answer.status_code for answer in other] == [200] * 4


def test_head_answers_the_same_headers(app: App) -> None:
    upload(app, "file.bin", BYTES)
    call = f"/uploads/{app.user_id('user')}/file.bin"

    got, headed = app.ask(f"GET {call}"), app.ask(f"HEAD {call}")
    part = app.ask(f"HEAD {call}", headers={"range": "bytes=0-1"})
    missing = app.ask(f"HEAD {call}x")

    # Each request has those of its own.
    for answer in (got, headed):
        answer.headers.pop("date", None)
        answer.headers.pop("x-request-id", None)
    assert dict(headed.headers) == dict(got.headers)
    assert (headed.status_code, headed.content) == (200, b"")
    assert (part.status_code, part.headers["content-length"]) == (200, "1024")
    assert missing.status_code == 404
    assert app.ask("GET /me").status_code == 200


def test_browsers_ask_again_each_time(app: App) -> None:
    upload(app, "file.bin")

    assert get(app).headers["cache-control"] == "private, no-cache"


def test_pages_may_read_the_headers(app: App) -> None:
    upload(app, "file.bin", BYTES)
    origin = app.backpack.frontend

    answers = [
        get(app, origin=origin),
        get(app, origin=origin, range="bytes=0-1"),
        get(app, origin=origin, range="bytes=5000-"),
        get(app, origin=origin, if_none_match="*"),
        get(app, "missing", origin=origin),
    ]

    assert [answer.status_code for answer in answers] == [200, 206, 416, 304, 404]
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == origin
        exposed = answer.headers["access-control-expose-headers"].split(", ")
        assert {"etag", "content-range", "content-disposition"} <= set(exposed)


@contextmanager
def reading(app: App) -> Iterator[tuple[socket.socket, bytes]]:
    """Ask for the file, and read the first bytes of the answer only."""
    head = f"GET /uploads/{app.user_id('user')}/file.bin HTTP/1.1\r\nhost: {app.host}\r\n"
    for name, value in {**app.headers("user"), "connection": "close"}.items():
        head += f"{name}: {value}\r\n"
    # With a small window the file cannot be on its way as a whole.
    with app.dial(window=65_536) as connection:
        connection.sendall(head.encode() + b"\r\n")
        yield connection, connection.recv(1_000)


@pytest.mark.parametrize("change", ["replace", "delete", "rename"])
def test_file_is_read_to_its_end(app: App, change: str) -> None:
    size = 20_000_000
    upload(app, "file.bin", b"\1" * size)

    with reading(app) as (connection, got):
        if change == "replace":
            send(app, "PUT /uploads/file.bin", ("file", ("x", b"\2" * 100)))
        elif change == "delete":
            app.ask("DELETE /uploads/file.bin")
        else:
            app.ask("PATCH /uploads/file.bin", {"filename": "other.bin"})
        with connection.makefile("rb") as rest:
            got += rest.read()

    head, _, body = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert len(body) == size
    assert set(body) == {1}


def test_reader_who_leaves_disturbs_nothing(app: App) -> None:
    upload(app, "file.bin", bytes(20_000_000))

    with reading(app):
        pass

    assert get(app, range="bytes=0-9").content == bytes(10)
