"""Requests as bytes on a connection: malformed ones, several in a row, bodies nobody asked for."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
import threading
import time
from itertools import pairwise
from typing import Any

import pytest
from sanic import Request

from tests.deployments import App, in_process
from tests.forms import FORM, form, upload

# They come by one connection, to one process.
pytestmark = in_process

KIND = FORM["content-type"]
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n")


def converse(app: App, *parts: bytes) -> bytes:
    """Send each part when the one before has been answered; returns all until the server closes."""
    with app.dial() as connection:
        answers = b""
        for part in parts:
            connection.sendall(part)
            if part is not parts[-1]:
                answers += connection.recv(65_536)
        while received := connection.recv(65_536):
            answers += received
    return answers


def last(app: App, line: str, *headers: str, actor: str = "user") -> bytes:
    """As `request`, and the server closes the connection behind its answer."""
    return request(app, line, *headers, "connection: close", actor=actor)


def statuses(answers: bytes) -> list[int]:
    return [int(status) for status in STATUS.findall(answers)]


def request(app: App, line: str, *headers: str, actor: str = "user") -> bytes:
    """The head of a request of `actor` with the right host, unless `headers` name one."""
    sent = [f"{name}: {value}" for name, value in app.headers(actor).items()]
    if not any(header.lower().startswith("host") for header in headers):
        sent.append(f"host: {app.host}")
    return "\r\n".join((f"{line} HTTP/1.1", *sent, *headers, "", "")).encode("latin-1")


@pytest.mark.parametrize(
    "headers",
    [
        ("host: {host}", "host: {host}"),
        ("host: {host}", "Host: other-be.bkpk.localhost"),
        ("content-length : 5",),
        ("content-length\t: 5",),
        ("x: 1", " content-length: 5"),
        ("\x0bcontent-length: 5",),
        ("x y: 1",),
        ("x\xff: 1",),
        ("no colon",),
        ("content-length: 5", "content-length: 5"),
        ("content-length: 5", "transfer-encoding: chunked"),
        ("transfer-encoding: chunked", "transfer-encoding: chunked"),
        ("transfer-encoding: gzip, chunked",),
        ("transfer-encoding: xchunked",),
        ("content-length: -1",),
        ("content-length: +5",),
        ("content-length: 0x5",),
        ("content-length: " + "9" * 5_000,),
    ],
    ids=repr,
)
def test_malformed_headers_end_connection(app: App, headers: tuple[str, ...]) -> None:
    sent = [header.format(host=app.host) for header in headers]
    smuggled = request(app, "GET /me")

    answers = converse(app, request(app, "POST /logout", *sent) + smuggled)

    assert statuses(answers) == [400]
    assert json.loads(answers.partition(b"\r\n\r\n")[2])["code"] == "bad_request"
    assert b"\r\nconnection: close\r\n" in answers
    assert app.ask("GET /me").status_code == 200


@pytest.mark.parametrize(
    "target", ["cars", "example.com:80", "http://", "http://[", "/\x01", "/\n"]
)
@pytest.mark.parametrize("method", ["GET", "CONNECT"])
def test_unreadable_target_gets_400(
    app: App, method: str, target: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)

    answers = converse(app, request(app, f"{method} {target}"))

    assert statuses(answers) == [400]
    assert caplog.messages == []


@pytest.mark.parametrize("target", ["http://{host}/", "http://{host}", "HTTP://{host}/?x=1"])
def test_absolute_target_wins_over_host(app: App, target: str) -> None:
    line = "GET " + target.format(host=app.host)

    answers = converse(app, last(app, line, "host: other-be.bkpk.localhost"))

    assert statuses(answers) == [200]
    assert json.loads(answers.partition(b"\r\n\r\n")[2])["name"] == app.backpack.name


def test_absolute_target_of_nobody_gets_404(app: App) -> None:
    answers = converse(app, last(app, "GET http://[::1]:80/me"))

    assert statuses(answers) == [404]
    assert b"on the host '[::1]:80'" in answers


@pytest.mark.parametrize("header", ["AUTHORIZATION", "Authorization", "aUtHoRiZaTiOn"])
@pytest.mark.parametrize("value", ["{}", "  {}", "{}  ", "\t{}\t"], ids=repr)
def test_header_is_read_in_any_spelling(app: App, header: str, value: str) -> None:
    key = value.format(f"key {app.backpack.api_key}")

    answers = converse(app, last(app, "GET /", f"{header}:{key}", actor="nokey"))

    assert statuses(answers) == [200]


@pytest.mark.parametrize("first", [True, False], ids=["right-first", "wrong-first"])
def test_first_of_two_keys_counts(app: App, first: bool) -> None:
    keys = [f"authorization: key {app.backpack.api_key}", "authorization: key wrong-wrong"]

    answers = converse(app, last(app, "GET /", *keys[:: 1 if first else -1], actor="nokey"))

    assert statuses(answers) == [200 if first else 401]


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (b"authorization: key \xff\xfe", 401),
        (b"authorization: \xff", 401),
        (b"x-backpack-session: \xff", 200),
        (b"cookie: backpack_session=\xff", 200),
        (b"cookie: \xff=\xff; backpack_session=\xff", 200),
        (b"origin: http://\xff.localhost", 200),
        (b"origin: http://\xc3\xa9.localhost", 200),
        (b"origin: http://\0.localhost", 200),
        (b"origin: http://localhost\nx: y", 200),
        (b"origin: http://localhost:\xd9\xa1", 200),
        (b"x-forwarded-for: \xff", 200),
        (b"x-forwarded-proto: \xff", 200),
    ],
    ids=repr,
)
def test_bytes_beyond_ascii_are_no_failure(app: App, header: bytes, status: int) -> None:
    actor = "nokey" if header.startswith(b"authorization") else "guest"
    head = last(app, "POST /logout", actor=actor)[:-2] + header + b"\r\n\r\n"

    answers = converse(app, head)

    assert statuses(answers) == [status]
    assert b"access-control-allow-origin" not in answers


@pytest.mark.parametrize("method", ["G\xffT", "G\xc3\xa9T", "get", "TRACE", "FOO", "__class__"])
def test_odd_method_gets_405(app: App, method: str) -> None:
    answers = converse(app, last(app, f"{method} /me"))

    assert statuses(answers) == [405]
    assert b"\r\nallow: GET\r\n" in answers


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (("content-length: 5",), b"hello"),
        (("transfer-encoding: chunked",), b"5\r\nhello\r\n0\r\n\r\n"),
        (("content-length: 3000000",), b"x" * 3_000_000),
    ],
    ids=["length", "chunks", "long"],
)
@pytest.mark.parametrize("actor", ["nokey", "guest"])
def test_refused_body_hides_no_request(
    app: App, headers: tuple[str, ...], body: bytes, actor: str
) -> None:
    refused = request(app, "POST /cars", *headers, actor=actor)

    answers = converse(app, refused + body + last(app, "GET /me"))

    assert statuses(answers) == [401 if actor == "nokey" else 403, 200]


def test_too_long_body_can_be_sent_whole(app: App) -> None:
    app.make("cars")
    body = b"x" * 5_000_000
    refused = request(app, "POST /cars", f"content-length: {len(body)}")

    answers = converse(app, refused + body + last(app, "GET /me"))

    assert statuses(answers) == [413, 200]


def test_pipelined_requests_are_answered_in_order(app: App) -> None:
    app.make("cars")
    create = request(app, "POST /cars", "content-length: 7") + b'{"n":1}'
    calls = [create, request(app, "GET /nope/nope/nope"), create, last(app, "GET /cars")]

    answers = converse(app, b"".join(calls))

    assert statuses(answers) == [200, 404, 200, 200]
    assert len(json.loads(answers.rpartition(b"\r\n\r\n")[2])) == 2


@pytest.mark.parametrize("cuts", [(), (700_000,), (-1,), (-200,), (-600, -100), (1, 900_000, -300)])
def test_request_behind_an_upload_is_answered(app: App, cuts: tuple[int, ...]) -> None:
    content = bytes(range(256)) * 4_000
    body = form(("filename", "a"), ("file", ("x", content)))
    put = request(app, "POST /uploads", f"content-length: {len(body)}", f"content-type: {KIND}")
    get = last(app, f"GET /uploads/{app.user_id('user')}/a")
    sent = body + request(app, "GET /me") + get
    places = [0, *(cut % len(sent) for cut in cuts), len(sent)]

    with app.dial() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(put)
        for start, end in pairwise(places):
            # However much the server has read by then, the answers are the same.
            time.sleep(0.02)
            connection.sendall(sent[start:end])
        answers = b""
        while received := connection.recv(65_536):
            answers += received

    assert statuses(answers.removesuffix(content)) == [200, 200, 200]
    assert answers.endswith(content)


def test_refusal_comes_in_place_of_continue(app: App) -> None:
    waiting = request(app, "POST /cars", "expect: 100-continue", "content-length: 2", actor="nokey")

    answers = converse(app, waiting)

    assert statuses(answers) == [401]
    assert b"\r\nconnection: close\r\n" in answers


def test_accepted_body_is_asked_for(app: App) -> None:
    app.make("cars")
    waiting = last(app, "POST /cars", "expect: 100-continue", "content-length: 2")

    answers = converse(app, waiting, b"{}")

    assert statuses(answers) == [100, 200]


def test_unknown_expectation_gets_417(app: App) -> None:
    answers = converse(app, request(app, "POST /cars", "expect: tea", "content-length: 2"))

    assert statuses(answers) == [417]


@pytest.mark.parametrize(
    "chunks",
    [
        b"5\r\nhello\r\n0\r\nx: 1\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"5x\r\nhello\r\n0\r\n\r\n",
        b"\r\n\r\n\r\n",
        b"g" * 100,
    ],
    ids=repr,
)
def test_malformed_chunks_end_connection(app: App, chunks: bytes) -> None:
    head = request(app, "POST /register", "transfer-encoding: chunked")

    answers = converse(app, head + chunks + request(app, "GET /me"))

    assert statuses(answers) == [400]


@pytest.mark.parametrize("cut", ["head", "body", "chunk"])
def test_broken_off_request_changes_nothing(app: App, cut: str) -> None:
    app.make("cars")
    framing = "transfer-encoding: chunked" if cut == "chunk" else "content-length: 40"
    head = request(app, "POST /cars", framing)
    sent = {"head": head[:-3], "body": head + b'{"n":1}', "chunk": head + b'7\r\n{"n":1}\r\n'}

    with app.dial() as connection:
        connection.sendall(sent[cut])

    assert app.ask("GET /cars").json() == []


def test_writes_of_clients_that_go_away_are_told(app: App) -> None:
    app.make("cars")
    listener = app.socket("ada")
    for n in range(40):
        body = json.dumps({"n": n}).encode()
        head = request(app, "POST /cars", f"content-length: {len(body)}")
        with app.dial() as connection:
            connection.sendall(head + body)
    app.ask("POST /cars", {"n": 40}).raise_for_status()
    missing = {record["n"] for record in app.ask("GET /cars").json()}

    assert 40 in missing
    while missing:  # it is a failure when no more comes
        missing.discard(listener.receive().get("response", {}).get("n"))


@pytest.mark.parametrize("path", ["/", "/me", "/cars", "/no/such/route"])
@pytest.mark.parametrize("host", ["backend", "frontend", "admin", "nobody"])
def test_head_has_no_body(app: App, host: str, path: str) -> None:
    name, port = app.backpack.name, app.host.rpartition(":")[2]
    labels = {"backend": f"{name}-be", "frontend": name}
    header = f"host: {labels.get(host, host)}.bkpk.localhost:{port}"

    answers = converse(app, request(app, f"HEAD {path}", header) + last(app, "GET /healthz"))

    assert len(statuses(answers)) == 2
    assert answers.partition(b"\r\n\r\n")[2].startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("upgrade", ["websocket", "h2c", "TLS/1.0"])
def test_unknown_upgrade_is_ignored(app: App, upgrade: str) -> None:
    answers = converse(app, request(app, "GET /", f"upgrade: {upgrade}", "connection: upgrade"))

    body: Any = json.loads(answers.partition(b"\r\n\r\n")[2])
    assert (statuses(answers), body["status"]) == ([200], "ok")


def test_headers_of_each_request_count(app: App) -> None:
    """Headers are remembered; what was read of them must go with no others."""
    actors = ["user", "user", "guest", "user", "nokey", "nokey", "guest", "guest"]
    calls = [request(app, "GET /me", actor=actor) for actor in actors]

    answers = converse(app, b"".join(calls) + last(app, "GET /me"))

    assert statuses(answers) == [200, 200, 403, 200, 401, 401, 403, 403, 200]


@pytest.mark.parametrize("cut", [1, 7, 15, 16, 17, -3, -1])
def test_known_headers_may_come_in_pieces(app: App, cut: int) -> None:
    call = request(app, "GET /me")

    answers = converse(app, call, call + call[:cut], call[cut:] + last(app, "GET /me"))

    assert statuses(answers) == [200] * 4


@pytest.mark.parametrize("line", ["GET  /me", "GET /me x", "GET", "G\xe9T /me \xe9", "GET me"])
def test_malformed_line_before_known_headers_gets_400(app: App, line: str) -> None:
    call = request(app, "GET /me")

    answers = converse(app, call + call + call.replace(b"GET /me", line.encode("latin-1"), 1))

    assert statuses(answers) == [200, 200, 400]


def test_known_headers_carry_any_method_and_version(app: App) -> None:
    call = request(app, "GET /me")
    old = call.replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    head = call.replace(b"GET", b"HEAD", 1)

    answers = converse(app, call + call + head + call.replace(b"GET", b"PATCH", 1) + old)

    assert statuses(answers) == [200, 200, 200, 405, 200]
    assert answers.count(b"\r\nconnection: close\r\n") == 1


def test_length_of_known_headers_counts_each_time(app: App) -> None:
    app.make("cars")
    call = request(app, "POST /cars", "content-length: 7")
    bodies = [b'{"n":1}', b'{"n":2}', b'{"n":3}']

    converse(app, b"".join(call + body for body in bodies) + last(app, "GET /me"))

    assert [car["n"] for car in app.ask("GET /cars").json()] == [1, 2, 3]


def test_new_key_counts_on_open_connection(app: App) -> None:
    call = request(app, "GET /me")

    with app.dial() as connection:
        before = []
        for _ in range(2):
            connection.sendall(call)
            before += statuses(connection.recv(65_536))
        app.rotate_key(now=True)
        connection.sendall(call)
        after = statuses(connection.recv(65_536))

    assert (before, after) == ([200, 200], [401])


def test_new_origin_counts_on_open_connection(app: App) -> None:
    call = request(app, "GET /me", "origin: https://shop.example")

    with app.dial() as connection:
        connection.sendall(call)
        before = connection.recv(65_536)
        app.backpack.set_rules({"cors.origins": ["https://shop.example"]})
        connection.sendall(call)
        after = connection.recv(65_536)

    assert b"access-control-allow-origin" not in before
    assert b"\r\naccess-control-allow-origin: https://shop.example\r\n" in after


def test_client_that_leaves_a_download_is_no_error(
    app: App, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    upload(app, "large", bytes(2_000_000))
    files, left = app.backpack._backpack.files, threading.Event()
    open_file = files.open

    async def leave(*arguments: Any) -> Any:
        """The client leaves while its file is opened: the connection ends, but has not ended."""
        content = await open_file(*arguments)
        transport: Any = Request.get_current().transport
        transport.set_write_buffer_limits(high=100_000_000)
        transport.write(bytes(20_000_000))  # what nobody reads holds up the end
        transport.close()
        task = asyncio.current_task()
        assert task is not None
        task.add_done_callback(lambda _: left.set())
        return content

    monkeypatch.setattr(files, "open", leave)
    caplog.set_level(logging.WARNING)
    with app.dial() as connection:
        connection.sendall(request(app, f"GET /uploads/{app.user_id('user')}/large"))
        assert left.wait(30)

    assert caplog.messages == []
