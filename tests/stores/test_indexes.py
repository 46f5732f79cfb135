"""Which indexes are asked for, made and dropped: decided without a database."""

from __future__ import annotations

import re

import pytest

from backpack.documents import Document
from backpack.errors import Invalid
from backpack.queries import Query, parse_filter
from backpack.stores.indexes import (
    AUTOMATIC,
    FORBIDDEN,
    MOST,
    PINNED,
    SCANS,
    Index,
    Usage,
    Wanted,
    asked_for,
    parse_fields,
    written,
)

from .cases import Sort


def index(number: int, fields: str, *, elements: bool = False, state: str = AUTOMATIC) -> Index:
    return Index(number, parse_fields(fields), elements, state)


def wanted(fields: str) -> Wanted:
    return Wanted(parse_fields(fields))


def scan(usage: Usage, path: str, there: tuple[Index, ...] = (), times: int = SCANS) -> None:
    for _ in range(times):
        usage.scanned(Query(parse_filter({path: 1})), there)


@pytest.mark.parametrize("text", ["n", "-n", "a.b", "brand,-price", "ü'"])
def test_fields_are_written_as_read(text: str) -> None:
    assert written(parse_fields(text)) == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "a path may not be empty"),
        ("_id", "_id has one of its own"),
        ("a..b", "an empty part"),
        ("$a", "a part that starts with \\$"),
        ("a,-a", "a path is named twice"),
        ("a,b,c", "at most 2 paths"),
        ('a"', "needs escapes"),
        ("x" * 201, "too long"),
    ],
)
def test_fields_that_cannot_be_are_refused(text: str, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        parse_fields(text)


@pytest.mark.parametrize(
    ("filter", "sort", "there", "expected"),
    [
        pytest.param({}, (), (), [], id="nothing"),
        pytest.param({"_id": "a"}, (("_id", -1),), (), [], id="_id"),
        pytest.param({"n": 5}, (), (), ["n"], id="equal"),
        pytest.param({"n": {"$gt": 5}}, (("n", -1),), (), ["-n", "n"], id="range and sort"),
        pytest.param({"n.m": {"$gt": 5}}, (("n.m", -1),), ("-n.m",), [], id="made"),
        pytest.param({}, (("n", 1),), ("-n",), ["n"], id="other direction"),
        pytest.param({"m": 1}, (("n", -1),), (), ["m", "-n"], id="equal and sort"),
        pytest.param({"m.x": 1}, (("n", -1),), ("m.x",), ["m.x,-n", "-n"], id="composite"),
        pytest.param({}, (("m", 1), ("n", -1)), (), ["m,-n"], id="two to sort by"),
        pytest.param({}, (("a", 1), ("b", 1), ("c", 1)), (), [], id="three to sort by"),
        pytest.param({"$or": [{"a": 1}, {"b": 2}]}, (), (), ["a", "b"], id="either"),
        pytest.param({"$or": [{"a": 1}, {"b": {"$ne": 2}}]}, (), (), [], id="either of no use"),
        pytest.param({"n": {"$regex": "a"}, "m": {"$exists": True}}, (), (), [], id="no values"),
        pytest.param({"n": {"$in": [1, {}]}}, (), (), [], id="an object"),
        pytest.param({'"': 5}, (), (), [], id="name out of reach"),
    ],
)
def test_query_asks_for_what_helps(
    filter: Document, sort: Sort, there: tuple[str, ...], expected: list[str]
) -> None:
    made = tuple(index(number, fields) for number, fields in enumerate(there))
    asked = asked_for(Query(parse_filter(filter), sort), made)
    assert [written(one.fields) for one in asked] == expected


def test_elements_are_asked_for_beside_values() -> None:
    query = Query(parse_filter({"tags": "new"}))
    values = index(1, "tags")
    assert asked_for(query, (values,)) == [Wanted(values.fields, elements=True)]
    assert asked_for(query, (values, index(2, "tags", elements=True))) == []


def test_index_is_made_after_a_few_scans() -> None:
    usage = Usage()
    scan(usage, "n", times=SCANS - 1)
    assert usage.next(()) is None
    scan(usage, "n", times=1)
    assert usage.next(()) == (wanted("n"), None)


def test_refused_or_forbidden_is_not_made() -> None:
    usage = Usage()
    scan(usage, "n")
    assert usage.next((index(1, "n", state=FORBIDDEN),)) is None
    usage.refused[wanted("n")] = "no document has the field"
    assert usage.next(()) is None


def test_least_used_goes_for_what_is_asked_for_more() -> None:
    there = tuple(index(number, f"f{number}") for number in range(MOST))
    usage = Usage()
    for number, one in enumerate(there):
        for _ in range(number + 2):
            usage.used(one)
    scan(usage, "n", there, times=SCANS + 2 * usage.uses(there[0]))
    assert usage.next(there) is None
    scan(usage, "n", there, times=1)
    assert usage.next(there) == (wanted("n"), there[0])


def test_pinned_never_goes() -> None:
    there = tuple(index(number, f"f{number}", state=PINNED) for number in range(MOST))
    usage = Usage()
    scan(usage, "n", there, times=50)
    assert usage.next(there) is None
    with pytest.raises(Invalid, match="all of them are pinned"):
        usage.made_room(there)
    assert usage.made_room(there[:-1]) is None


def test_new_index_is_not_the_next_to_go() -> None:
    usage = Usage()
    scan(usage, "n", times=5)
    usage.made(wanted("n"))
    assert usage.uses(index(1, "n")) == 5
    assert usage.next(()) is None


def test_counts_fade() -> None:
    usage = Usage()
    old, new = index(1, "old"), index(2, "new")
    for _ in range(1_500):
        usage.used(old)
    for _ in range(5_000):
        usage.used(new)
    assert 0 < usage.uses(old) * 4 < usage.uses(new)


def test_many_paths_do_not_fill_the_memory() -> None:
    usage = Usage()
    scan(usage, "n", times=2)
    for number in range(500):
        scan(usage, f"f{number}", times=1)
    assert len(usage._asked) <= 64


@pytest.mark.parametrize(
    ("filter", "there", "scans", "why"),
    [
        pytest.param({}, (), 0, "", id="nothing asked"),
        pytest.param({"n": 1}, (), 1, "n has no index: one is made after 3", id="too new"),
        pytest.param({"n": 1}, (), 3, "n has no index: it is being made", id="under way"),
        pytest.param({"n": 1}, ("n",), 0, "the indexes that there are leave too many", id="made"),
        pytest.param(
            {"n": {"$regex": "a"}}, (), 0, "n has no index: this kind of condition", id="kind"
        ),
        pytest.param({"x" * 201: 1}, (), 0, "its name is too long", id="long"),
        pytest.param(
            {"n": 1},
            tuple(f"f{number}" for number in range(MOST)),
            3,
            "n has no index: the collection has 8 that are used more, .* --pin n",
            id="full",
        ),
    ],
)
def test_slow_query_is_explained(
    filter: Document, there: tuple[str, ...], scans: int, why: str
) -> None:
    made = tuple(index(number, fields) for number, fields in enumerate(there))
    query = Query(parse_filter(filter))
    usage = Usage()
    for _ in range(scans):
        usage.scanned(query, made)
    assert re.search(why, usage.why_slow(query, made)) if why else usage.why_slow(query, made) == ""


def test_forbidden_and_refused_are_explained() -> None:
    query = Query(parse_filter({"a": 1, "$or": [{"b": 1}, {"c": {"$not": {"$gt": 5}}}]}))
    usage = Usage()
    usage.refused[wanted("b")] = "no document has the field"
    assert usage.why_slow(query, (index(1, "a", state=FORBIDDEN), index(2, "c"))) == (
        "a has no index: it is forbidden, backpack indexes with --release a allows it; "
        "b has no index: no document has the field"
    )
