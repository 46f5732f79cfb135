from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backpack.documents import (
    MAX_NESTING,
    REVISION,
    Ids,
    check,
    check_merge,
    decode,
    encode,
    index_of,
    is_id,
    merge,
    now,
    replace,
    stamp,
)
from backpack.errors import BadRequest, Invalid, TooLarge

THEN = "2026-01-31T08:09:10.123Z"
LATER = "2026-01-31T08:09:11.000Z"
ID = "65b9f2c7aaaaaabbbbbbcccc"
STORED = {"_id": ID, "a": 1, "createdAt": THEN, "updatedAt": THEN}


def _nested(depth: int) -> list[Any]:
    return [_nested(depth - 1)] if depth > 1 else []


def test_ids_rise_and_are_ids() -> None:
    ids = Ids()
    made = [ids() for _ in range(10_000)]
    assert made == sorted(set(made))
    assert all(is_id(one) for one in made)


def test_ids_of_a_later_source_sort_by_time() -> None:
    assert Ids()()[:12] <= Ids()()[:12]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ID, True),
        (ID.upper(), False),
        (ID[:23], False),
        (ID + "0", False),
        ("g" * 24, False),
        (" " * 24, False),
        ("٣" * 24, False),
        (12, False),
        (None, False),
    ],
    ids=str,
)
def test_is_id_takes_24_lower_case_hex_digits(text: object, expected: bool) -> None:
    assert is_id(text) is expected


def test_now_has_milliseconds_and_z() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", now())


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b" 1 ", 1),
        (b"9223372036854775807", 2**63 - 1),
        (b"-9223372036854775808", -(2**63)),
        (b"1e20", 1e20),
        (b"[1e300, 9007199254740993]", [1e300, 2**53 + 1]),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b'"\\u0000"', "\0"),
        (b'"\\ud83d\\udc4b"', "👋"),
        (b'{"":1,"__proto__":2}', {"": 1, "__proto__": 2}),
        (b"[" * MAX_NESTING + b"]" * MAX_NESTING, _nested(MAX_NESTING)),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_decode_reads_json(body: bytes, value: Any) -> None:
    assert decode(body) == value


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"a":1,}',
        b"{'a':1}",
        b"NaN",
        b"Infinity",
        b"01",
        b"1 2",
        b'"\xff"',
        b'"\\ud800"',
        b"\xef\xbb\xbf{}",
    ],
    ids=repr,
)
def test_decode_refuses_what_is_no_json(body: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        decode(body)
    assert (caught.value.status, caught.value.code) == (400, "bad_json")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"9223372036854775808", "bad_number"),
        (b'{"a":[-9223372036854775809]}', "bad_number"),
        (b"18446744073709551616", "bad_number"),
        (b"[100000000000000000000]", "bad_number"),
        (b"1" * 300, "bad_number"),
        (b"1" * 5_000, "bad_number"),
        (b"1e400", "bad_number"),
        (b"-1e400", "bad_number"),
        (b"[" * 65 + b"]" * 65, "too_deep"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "too_deep"),
        (b"[" * 100_000 + b"]" * 100_000, "too_deep"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_decode_refuses_what_is_out_of_bounds(body: bytes, code: str) -> None:
    with pytest.raises(Invalid) as caught:
        decode(body)
    assert (caught.value.status, caught.value.code) == (422, code)


def test_encode_counts_bytes() -> None:
    assert encode({"a": "ü"}, 10) == '{"a":"ü"}'.encode()
    with pytest.raises(TooLarge):
        encode({"a": "ü"}, 9)


@pytest.mark.parametrize(
    "data",
    [{}, {"a": None, "b": [{"c": 1}]}, {"a$": 1, "__proto__": {}, "constructor": 1}],
    ids=str,
)
def test_check_takes_documents(data: Any) -> None:
    assert check(data) is data


@pytest.mark.parametrize(
    "data",
    [
        [],
        "a",
        None,
        {"$a": 1},
        {"a.b": 1},
        {"a\0": 1},
        {"": 1},
        {REVISION: 1},
        {"a": {"$b": 1}},
        {"a": [[{"b.c": 1}]]},
    ],
    ids=repr,
)
def test_check_refuses_the_rest(data: object) -> None:
    with pytest.raises(Invalid) as caught:
        check(data)
    assert caught.value.code == "invalid_entry"


def test_stamp_puts_id_first() -> None:
    stamped = stamp({"b": 1, "a": None}, ID, THEN)
    assert list(stamped.items()) == [
        ("_id", ID),
        ("b", 1),
        ("a", None),
        ("createdAt", THEN),
        ("updatedAt", THEN),
    ]


@pytest.mark.parametrize("name", ["_id", "createdAt", "updatedAt"])
def test_stamp_refuses_stamps(name: str) -> None:
    with pytest.raises(Invalid) as caught:
        stamp({name: ID}, ID, THEN)
    assert caught.value.fields == {name: "is set by the server"}


def test_replace_keeps_only_stamps() -> None:
    assert replace(STORED, {"b": 2}, LATER) == {
        "_id": ID,
        "b": 2,
        "createdAt": THEN,
        "updatedAt": LATER,
    }


def test_replace_takes_repeated_stamps() -> None:
    assert replace(STORED, STORED, LATER) == {**STORED, "updatedAt": LATER}


@pytest.mark.parametrize("name", ["_id", "createdAt", "updatedAt"])
def test_replace_refuses_changed_stamps(name: str) -> None:
    with pytest.raises(Invalid) as caught:
        replace(STORED, {name: None}, LATER)
    assert caught.value.fields == {name: "cannot be changed"}


# MongoDB manual, "$set" and "$unset": dotted paths, arrays by index, an unset element becomes null.
MERGES: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ({"a": 1}, {}, {"a": 1}),
    ({"a": 1}, {"a": 2, "b": 3}, {"a": 2, "b": 3}),
    ({"a": 1, "b": 2}, {"a": None}, {"b": 2}),
    ({"a": 1}, {"z": None, "y.x": None}, {"a": 1}),
    ({"a": {"b": 1, "c": 2}}, {"a": {"d": 3}}, {"a": {"d": 3}}),
    ({"a": {"b": 1, "c": 2}}, {"a.b": 5}, {"a": {"b": 5, "c": 2}}),
    ({"a": {"b": 1, "c": 2}}, {"a.b": None, "a.c": 3}, {"a": {"c": 3}}),
    ({}, {"a.b.c": 1}, {"a": {"b": {"c": 1}}}),
    ({}, {"a.0": 1}, {"a": {"0": 1}}),
    ({"a": {"b": 1}}, {"a.c.d": None}, {"a": {"b": 1}}),
    ({"a": [1, 2]}, {"a.1": 5}, {"a": [1, 5]}),
    ({"a": [1, 2]}, {"a.0": None}, {"a": [None, 2]}),
    ({"a": [1, 2]}, {"a.7": None, "b": 1}, {"a": [1, 2], "b": 1}),
    ({"a": [{"b": 1}]}, {"a.0.b": 2, "a.0.c": 3}, {"a": [{"b": 2, "c": 3}]}),
    ({"a": [[1]]}, {"a.0.0": 2}, {"a": [[2]]}),
    ({"a": 1}, {"a.b": None}, {"a": 1}),
]


@pytest.mark.parametrize(("data", "patch", "expected"), MERGES, ids=lambda value: str(value)[:40])
def test_merge_sets_and_removes(
    data: dict[str, Any], patch: dict[str, Any], expected: dict[str, Any]
) -> None:
    old = stamp(data, ID, THEN)
    before = encode(old)
    assert merge(old, check_merge(patch), LATER) == {
        "_id": ID,
        **expected,
        "createdAt": THEN,
        "updatedAt": LATER,
    }
    assert encode(old) == before


@pytest.mark.parametrize(
    ("data", "patch"),
    [
        ({"a": 1}, {"a.b": 1}),
        ({"a": None}, {"a.b": 1}),
        ({"a": "x"}, {"a.0": 1}),
        ({"a": [1]}, {"a.1": 1}),
        ({"a": [1, 2]}, {"a.01": 1}),
        ({"a": [1]}, {"a.-1": 1}),
        ({"a": [1]}, {"a.x": 1}),
        ({"a": [1]}, {"a." + "0" * 5_000: 1}),
        ({"a": [1]}, {"a.\u0660": 1}),
        ({}, {"_id": "0" * 24}),
        ({}, {"createdAt": None}),
        ({}, {"updatedAt.x": None}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_merge_refuses_what_has_no_place(data: dict[str, Any], patch: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as caught:
        merge(stamp(data, ID, THEN), check_merge(patch), LATER)
    assert caught.value.code == "invalid_entry"


def test_merge_takes_repeated_stamps() -> None:
    assert merge(STORED, dict(STORED), LATER) == {**STORED, "updatedAt": LATER}


def test_merge_refuses_too_deep_a_document() -> None:
    deep: dict[str, Any] = {"b": 1}
    for _ in range(MAX_NESTING - 2):
        deep = {"b": deep}
    old = stamp({"a": {}}, ID, THEN)
    assert merge(old, {"a": deep}, LATER)["a"] == deep
    with pytest.raises(Invalid) as caught:
        merge(old, {"a.b": deep}, LATER)
    assert caught.value.code == "too_deep"


@pytest.mark.parametrize(
    ("patch", "code"),
    [
        ([], "invalid_entry"),
        (None, "invalid_entry"),
        ({"": 1}, "invalid_entry"),
        ({"a.": 1}, "invalid_entry"),
        ({"a..b": 1}, "invalid_entry"),
        ({"$set": 1}, "invalid_entry"),
        ({"a.$": 1}, "invalid_entry"),
        ({"a\0.b": 1}, "invalid_entry"),
        ({REVISION: 1}, "invalid_entry"),
        ({"a": {"b.c": 1}}, "invalid_entry"),
        ({"a": 1, "a.b": 2}, "invalid_entry"),
        ({"a.b.c": 1, "a.b": 2}, "invalid_entry"),
        ({".".join("a" * 65): 1}, "too_deep"),
        ({".".join("a" * 500_000): 1}, "too_deep"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_check_merge_refuses_bad_paths(patch: object, code: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_merge(patch)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("part", "index"),
    [("0", 0), ("7", 7), ("10", 10), ("01", -1), ("00", -1), ("-1", -1), ("a", -1), ("٣", -1)],
)
def test_index_of_reads_plain_numbers(part: str, index: int) -> None:
    assert index_of(part) == index


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(json_values)
def test_decode_is_the_inverse_of_encode(value: Any) -> None:
    assert decode(encode(value)) == value
