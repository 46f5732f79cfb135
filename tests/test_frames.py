"""Frames: what a client sends is understood however it comes, and refused when it is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backpack import frames
from backpack.frames import BadFrame, Parser
from tests.talk import masked, unmasked

LIMIT = 100_000


def parse(
    data: bytes, cuts: list[int] | None = None, limit: int = LIMIT
) -> list[tuple[int, bytes]]:
    """The messages and control frames in `data`, fed in pieces that end at `cuts`."""
    parser, start = Parser(limit), 0
    found: list[tuple[int, bytes]] = []
    for end in [*sorted(cuts or []), len(data)]:
        found += [frame for frame in parser.feed(data[start:end]) if frame[0]]
        start = end
    return found


def refusal(data: bytes, limit: int = LIMIT) -> int:
    with pytest.raises(BadFrame) as caught:
        parse(data, limit=limit)
    return caught.value.code


@given(
    texts=st.lists(st.text(max_size=200), max_size=5),
    cuts=st.lists(st.integers(0, 1_000), max_size=10),
)
def test_cuts_do_not_matter(texts: list[str], cuts: list[int]) -> None:
    data = b"".join(masked(1, text.encode()) for text in texts)
    inside = [cut for cut in cuts if cut <= len(data)]

    assert parse(data, inside) == [(1, text.encode()) for text in texts]


@given(
    payload=st.binary(max_size=300),
    sizes=st.lists(st.integers(0, 60), min_size=1, max_size=8),
    pings=st.booleans(),
)
def test_fragments_make_one_message(payload: bytes, sizes: list[int], pings: bool) -> None:
    pieces, rest = [], payload
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    pieces.append(rest)
    data = b""
    for number, piece in enumerate(pieces):
        data += masked(0 if number else 2, piece, final=number == len(pieces) - 1)
        data += masked(9, b"p") if pings else b""

    found = parse(data)
    assert [message for message in found if message[0] == 2] == [(2, payload)]
    assert len(found) == 1 + pings * len(pieces)


def test_fragments_can_be_counted() -> None:
    data = masked(1, b"a", final=False) + masked(0, b"", final=False) + masked(0, b"b")

    assert list(Parser(LIMIT).feed(data)) == [(0, b""), (0, b""), (1, b"ab")]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, LIMIT])
def test_sizes(size: int) -> None:
    payload = b"x" * size

    assert parse(masked(1, payload)) == [(1, payload)]
    assert unmasked(frames.text(payload)) == [(1, payload)]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frames.text(b"x"), 1002),
        (b"\xc1\x80\0\0\0\0", 1002),
        (masked(3, b""), 1002),
        (masked(11, b""), 1002),
        (masked(9, b"", final=False), 1002),
        (masked(9, b"x" * 126), 1002),
        (masked(0, b"x"), 1002),
        (masked(1, b"x", final=False) + masked(1, b"y"), 1002),
        (masked(1, b"\xff"), 1007),
        (masked(1, b"\xed\xa0\x80"), 1007),
        (masked(1, "ä".encode()[:1], final=False) + masked(0, b""), 1007),
        (masked(1, b"x" * (LIMIT + 1)), 1009),
        (b"\x81\xff" + b"\xff" * 8, 1009),
        (masked(1, b"x" * LIMIT, final=False) + masked(0, b"x", final=False), 1009),
    ],
    ids=[
        "unmasked",
        "reserved-bit",
        "opcode-3",
        "opcode-11",
        "ping-in-fragments",
        "long-ping",
        "nothing-to-continue",
        "message-in-message",
        "no-utf8",
        "surrogate",
        "cut-utf8",
        "too-large",
        "huge",
        "too-large-together",
    ],
)
def test_bad_frame_is_refused(data: bytes, code: int) -> None:
    assert refusal(data) == code


def test_too_large_is_refused_by_its_head() -> None:
    assert refusal(masked(1, b"x" * 2_000)[:8], limit=1_000) == 1009


def test_character_may_be_cut_between_fragments() -> None:
    first, second = "ä".encode()[:1], "ä".encode()[1:]

    assert parse(masked(1, first, final=False) + masked(0, second)) == [(1, "ä".encode())]


@pytest.mark.parametrize(
    ("payload", "code"),
    [(b"", 1000), (b"\x03\xe8", 1000), (b"\x0f\xa0bye", 4000), (b"\x03\xf6", 1014)],
    ids=["none", "1000", "4000", "1014"],
)
def test_close_code_is_answered(payload: bytes, code: int) -> None:
    assert frames.closing_code(payload) == code


@pytest.mark.parametrize(
    "payload",
    [b"\x03", b"\0\0", b"\x03\xed", b"\x03\xee", b"\x07\xd0", b"\x13\x88", b"\x03\xe8\xff"],
    ids=["half", "0", "1005", "1006", "2000", "5000", "no-utf8"],
)
def test_bad_close_is_refused(payload: bytes) -> None:
    with pytest.raises(BadFrame):
        frames.closing_code(payload)


def test_reason_fits_into_control_frame() -> None:
    assert len(frames.close(1011, "x" * 1_000)) == 127
