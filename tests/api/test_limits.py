"""Sizes and numbers that are too large, and what is refused without being read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from backpack.homes import Memory
from backpack.settings import Settings
from backpack.testing import BackpackServer, TestBackpack
from tests.deployments import App, not_in_swarm

MIB = 1_048_576


def padded(size: int) -> bytes:
    """A JSON object of exactly `size` bytes."""
    frame = len(b'{"pad": ""}')
    return b'{"pad": "' + b"x" * (size - frame) + b'"}'


def test_body_of_a_mebibyte_is_read(app: App) -> None:
    app.make("cars")

    answer = app.ask("POST /cars", content=padded(MIB - 200))

    assert answer.status_code == 200


@pytest.mark.parametrize(
    "call", ["POST /cars", "POST /collections", "POST /login", "PUT /me/password"]
)
def test_longer_body_gets_413(app: App, call: str) -> None:
    app.make("cars")

    answer = app.ask(call, content=padded(MIB + 1))

    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_document_with_stamps_over_limit_gets_413(app: App) -> None:
    app.make("cars")

    answer = app.ask("POST /cars", content=padded(MIB))

    assert (answer.status_code, answer.json()["code"]) == (413, "document_too_large")
    assert app.ask("GET /cars").json() == []


def test_merge_cannot_grow_over_limit(app: App) -> None:
    app.make("cars")
    record = app.ask("POST /cars", content=padded(MIB // 2)).json()
    patch = json.dumps({"more": "x" * (MIB // 2)}).encode()

    answer = app.ask(f"PATCH /cars/{record['_id']}", content=patch)

    assert (answer.status_code, answer.json()["code"]) == (413, "document_too_large")
    assert app.ask(f"GET /cars/{record['_id']}").json() == record


def test_merge_cannot_nest_over_limit(app: App) -> None:
    app.make("cars")
    record = app.ask("POST /cars", content=b'{"a":' * 60 + b"1" + b"}" * 60).json()

    answer = app.ask(
        f"PATCH /cars/{record['_id']}", {".".join("a" * 59): {"a": {"a": {"a": {"a": {"a": {}}}}}}}
    )

    assert (answer.status_code, answer.json()["code"]) == (422, "too_deep")


def test_batch_has_a_limit(app: App) -> None:
    app.make("cars")

    full = app.ask("POST /cars", [{}] * 1000)
    over = app.ask("POST /cars", [{}] * 1001)

    assert (full.status_code, over.status_code, over.json()["code"]) == (
        200,
        413,
        "batch_too_large",
    )
    assert len(app.ask("GET /cars").json()) == 1000


def ask_raw(app: App, head: str, body: bytes = b"") -> bytes:
    """Send bytes as they are and read one answer's bytes until it pauses."""
    # Sanic gives up on a body after 60 seconds: an answer that waits for one comes too late.
    with app.dial() as connection:
        connection.sendall(head.replace("HOST", app.host).encode() + body)
        answer = b""
        while b"}" not in answer:
            part = connection.recv(65536)
            if not part:
                break
            answer += part
    return answer


@not_in_swarm  # whose edge answers when it has read on for a while
def test_huge_body_is_refused_unread(app: App) -> None:
    app.make("cars")
    key, token = app.backpack.api_key, app.token("user")
    head = (
        f"POST /cars HTTP/1.1\r\nhost: HOST\r\nauthorization: key {key}\r\n"
        f"x-backpack-session: {token}\r\ncontent-length: 50000000\r\n\r\n"
    )

    answer = ask_raw(app, head, b"{")

    assert answer.startswith(b"HTTP/1.1 413")


@not_in_swarm  # whose edge answers when it has read on for a while
def test_endless_chunks_get_413(app: App) -> None:
    app.make("cars")
    key, token = app.backpack.api_key, app.token("user")
    head = (
        f"POST /cars HTTP/1.1\r\nhost: HOST\r\nauthorization: key {key}\r\n"
        f"x-backpack-session: {token}\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    chunks = b"10000\r\n" + b"x" * 65536 + b"\r\n"

    answer = ask_raw(app, head, chunks * 17)

    assert answer.startswith(b"HTTP/1.1 413")
    assert b'"body_too_large"' in answer


@not_in_swarm  # whose edge answers when it has read on for a while
def test_stranger_is_refused_before_body(app: App) -> None:
    head = "POST /cars HTTP/1.1\r\nhost: HOST\r\ncontent-length: 1000\r\n\r\n"

    assert ask_raw(app, head).startswith(b"HTTP/1.1 401")


@not_in_swarm  # whose edge answers what is malformed
@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("NONSENSE\r\n\r\n", 400),
        ("GET / HTTP/3.5\r\nhost: HOST\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: HOST\r\ncontent-length: x\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: HOST\r\nno colon\r\n\r\n", 400),
        ("GET /\u00e9 HTTP/1.1\r\nhost: HOST\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: HOST\r\nx: " + "y" * 70_000 + "\r\n\r\n", 413),
        ("GET / HTTP/1.1\r\n\r\n", 404),
    ],
    ids=lambda value: str(value)[:30],
)
def test_malformed_request_gets_json_error(app: App, head: str, status: int) -> None:
    answer = ask_raw(app, head)

    assert answer.startswith(b"HTTP/1.1 %d" % status)
    assert error_of(answer) == {"message", "code"}


def error_of(answer: bytes) -> set[str]:
    return set(json.loads(answer.partition(b"\r\n\r\n")[2]))


def test_old_http_is_understood(app: App) -> None:
    answer = ask_raw(app, "GET / HTTP/1.0\r\nhost: HOST\r\n\r\n")

    assert re.match(rb"HTTP/1\.[01] 401 ", answer)
    assert error_of(answer) == {"message", "code"}


@pytest.fixture
def tight() -> Iterator[TestBackpack]:
    """A backpack under small limits."""
    limits = Settings(
        dev=True,
        cheap_passwords=True,
        max_body=900,
        max_document=600,
        max_batch=2,
        max_collections=2,
    )
    server = BackpackServer(Memory, limits).start()
    backpack = server.create("tight", seed={"collections": {"cars": []}})
    yield backpack
    backpack.close()
    server.stop()


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"n": 1}', 200, None),
        (b'{"n": "' + b"x" * 550 + b'"}', 413, "document_too_large"),
        (b'{"n": "' + b"x" * 900 + b'"}', 413, "body_too_large"),
        (b"[{}, {}]", 200, None),
        (b"[{}, {}, {}]", 413, "batch_too_large"),
    ],
    ids=["fits", "document", "body", "batch-fits", "batch"],
)
def test_limits_are_settings(
    tight: TestBackpack, body: bytes, status: int, code: str | None
) -> None:
    answer = tight.register().client.post("/cars", content=body)

    found = answer.json().get("code") if status >= 400 else None
    assert (answer.status_code, found) == (status, code)


def test_collections_have_a_limit(tight: TestBackpack) -> None:
    client = tight.register().client

    answers = [
        client.post("/collections", json={"collectionName": name})
        for name in ("boats", "planes", "cars")
    ]

    assert [answer.status_code for answer in answers] == [200, 422, 200]
    assert answers[1].json()["code"] == "too_many_collections"
    assert client.get("/collections").json() == ["boats", "cars"]
