"""Whatever a client says over a websocket, it is answered or closed, and the others go on."""

from __future__ import annotations

import json
import socket as tcp
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backpack.api.sockets import ACTIONS
from tests.deployments import App, not_in_swarm
from tests.talk import Socket, masked, read_all, unmasked

RUN = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
GET_ALL = {"action": "getAll", "collection": "cars"}

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=8)
)
WORDS = st.sampled_from(
    ["", "cars", "infos", "rooms", "_users", "users", "../cars", "0" * 24, "$where", "false", "\0"]
)
VALUES = st.recursive(
    SCALARS | WORDS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=4) | WORDS, inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    [
        "collection",
        "id",
        "data",
        "query",
        "usersInformationCollection",
        "channelType",
        "channelId",
        "channelMessagesCollection",
        "name",
        "broadcast",
        "userId",
        "seq",
    ]
)
MESSAGES = st.builds(
    lambda action, members: {**members, "action": action},
    st.sampled_from(sorted(ACTIONS)),
    st.dictionaries(FIELDS, WORDS | VALUES, max_size=8),
)
RIGHT = st.builds(
    lambda action, channel, data: {
        "action": action,
        "collection": "cars",
        "usersInformationCollection": "infos",
        "channelType": "rooms",
        "channelMessagesCollection": "cars",
        "channelId": channel,
        "id": channel,
        "name": "a",
        "data": data,
        "query": data,
    },
    st.sampled_from(sorted(ACTIONS)),
    VALUES,
    VALUES,
)


@pytest.fixture
def socket(app: App) -> Socket:
    app.backpack.seed({"collections": {"cars": [], "rooms": [], "infos": []}})
    return app.socket()


@RUN
@given(message=MESSAGES | RIGHT)
def test_any_message_has_one_answer(socket: Socket, message: dict[str, Any]) -> None:
    answer = socket.ask(message)

    assert answer["action"] in (message["action"], "error")
    assert answer.get("code") != "internal_error"


@RUN
@given(value=VALUES)
def test_any_json_has_an_answer(socket: Socket, value: Any) -> None:
    socket.send(json.dumps(value))

    assert socket.until({"action": "error"}) == []
    assert socket.ask(GET_ALL)["action"] == "getAll"


@RUN
@given(text=st.text(st.characters(codec="utf-8"), max_size=30))
def test_any_text_has_an_answer(socket: Socket, text: str) -> None:
    socket.send(text)

    assert socket.receive()["action"] == "error"
    assert socket.ask(GET_ALL)["action"] == "getAll"


FRAMES = st.builds(
    lambda opcode, payload, final: masked(opcode, payload, final=final),
    st.integers(0, 15) | st.just(1),
    st.binary(max_size=140) | st.just(b'{"action":"getAll","collection":"cars"}'),
    st.booleans() | st.just(True),
)


@not_in_swarm  # whose edge does not pass on that one side has said all
@RUN
@given(pieces=st.lists(FRAMES | st.binary(max_size=20), max_size=6))
def test_any_bytes_are_answered_or_closed(app: App, socket: Socket, pieces: list[bytes]) -> None:
    raw = app.raw_socket()
    raw.sendall(b"".join(pieces))
    raw.shutdown(tcp.SHUT_WR)

    frames = unmasked(read_all(raw))

    raw.close()
    assert frames[0][0] == 1
    for opcode, payload in frames[1:]:
        assert opcode in (1, 8, 10)
        if opcode == 1:
            assert json.loads(payload)["action"] in ("getAll", "error", "close")
        elif opcode == 8:
            assert 1000 <= int.from_bytes(payload[:2], "big") <= 4999
    assert socket.ask(GET_ALL)["response"] == []


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"\x81\x02{}", 1002),
        (b"\xc1" + masked(1, b"{}")[1:], 1002),
        (masked(3, b""), 1002),
        (masked(15, b""), 1002),
        (masked(9, b"x" * 126), 1002),
        (masked(8, b"\x03\xe8", final=False), 1002),
        (masked(0, b"{}"), 1002),
        (masked(1, b"{", final=False) + masked(1, b"}"), 1002),
        (masked(1, b"\xff"), 1007),
        (masked(8, b"\x03\xe8\xff"), 1007),
        (masked(8, b"\x03"), 1002),
        (masked(8, b"\x03\xed"), 1002),
        (masked(8, b"\x0b\xb8"), 3000),
        (masked(8, b""), 1000),
        (masked(2, b"{}"), 1003),
        (masked(1, b"x" * 1_048_577)[:100], 1009),
    ],
    ids=[
        "unmasked",
        "reserved-bit",
        "opcode-3",
        "opcode-15",
        "long-ping",
        "close-in-fragments",
        "continuation-alone",
        "message-in-message",
        "no-utf8",
        "reason-no-utf8",
        "half-a-code",
        "code-1005",
        "code-3000",
        "no-code",
        "binary",
        "too-large",
    ],
)
def test_protocol_is_kept_or_closed(app: App, socket: Socket, sent: bytes, code: int) -> None:
    raw = app.raw_socket()

    raw.sendall(sent + masked(8, b""))
    opcode, payload = unmasked(read_all(raw))[-1]

    raw.close()
    assert (opcode, int.from_bytes(payload[:2], "big")) == (8, code)
    assert socket.ask(GET_ALL)["response"] == []


def test_refused_client_may_send_to_its_end(app: App) -> None:
    message = masked(1, b"x" * 1_500_000)

    with app.raw_socket() as raw:
        raw.sendall(message[:1_000])
        opcode, payload = unmasked(read_all(raw))[-1]
        raw.sendall(message[1_000:])  # which a reset would end

    assert (opcode, int.from_bytes(payload[:2], "big")) == (8, 1009)
