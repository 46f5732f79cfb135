from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backpack.documents import REVISION
from backpack.errors import BackpackError, BadRequest, Invalid
from backpack.filters import parse_filter
from backpack.queries import Query, parse_url, project

ID = "65b9f2c7aaaaaabbbbbbcccc"


@pytest.mark.parametrize(
    ("query_string", "query"),
    [
        ("", Query()),
        ('filter={"a":{"$gt":1}}', Query(filter=parse_filter({"a": {"$gt": 1}}))),
        ("filter=" + quote('{"a":"ü& "}'), Query(filter=parse_filter({"a": "ü& "}))),
        ('filter={"a":"x+y"}', Query(filter=parse_filter({"a": "x y"}))),
        ("filter={}", Query()),
        ("sort=-price,name.first", Query(sort=(("price", -1), ("name.first", 1)))),
        ("sort=--a", Query(sort=(("-a", -1),))),
        ("sort=a,b,c,d,e,f,g,h", Query(sort=tuple((name, 1) for name in "abcdefgh"))),
        ("skip=0&limit=1", Query(skip=0, limit=1)),
        ("skip=999999999999999999&limit=007", Query(skip=10**18 - 1, limit=7)),
        (f"after={ID}&skip=2", Query(after=ID, skip=2)),
        ("fields=a,b.c,_id", Query(fields=("a", "b.c", "_id"))),
        ("fields=a%2Cb", Query(fields=("a", "b"))),
        ("fields=a-b,a,ab", Query(fields=("a-b", "a", "ab"))),
        ("count=1", Query(count=True)),
        ("count=0", Query()),
    ],
)
def test_urls_become_queries(query_string: str, query: Query) -> None:
    assert parse_url(query_string) == query


@pytest.mark.parametrize(
    ("query_string", "name", "why"),
    [
        ("Sort=a", "Sort", "is unknown; there are filter, sort, skip, limit, after, fields, count"),
        ("sort=a&sort=b", "sort", "is given twice"),
        ("count=1&count=1", "count", "is given twice"),
        ("sort=", "sort", "a path may not be empty, nor have an empty part"),
        ("sort=a,,b", "sort", "a path may not be empty, nor have an empty part"),
        ("sort=-", "sort", "a path may not be empty, nor have an empty part"),
        ("sort=a..b", "sort", "a path may not be empty, nor have an empty part"),
        ("sort=$a", "sort", "a path may not contain NUL, nor a part that starts with $"),
        ("sort=a%00", "sort", "a path may not contain NUL, nor a part that starts with $"),
        (f"sort={REVISION}", "sort", "the name is reserved"),
        ("sort=a,-a", "sort", "names a path twice"),
        ("sort=a,b,c,d,e,f,g,h,i", "sort", "may have at most 8 paths"),
        ("skip=-1", "skip", "must be a whole number from 0 to 999999999999999999"),
        ("skip=1.5", "skip", "must be a whole number from 0 to 999999999999999999"),
        ("skip=", "skip", "must be a whole number from 0 to 999999999999999999"),
        ("skip=%D9%A3", "skip", "must be a whole number from 0 to 999999999999999999"),
        ("limit=0", "limit", "must be a whole number from 1 to 999999999999999999"),
        (
            "limit=1000000000000000000",
            "limit",
            "must be a whole number from 1 to 999999999999999999",
        ),
        ("limit=" + "0" * 5_000, "limit", "must be a whole number from 1 to 999999999999999999"),
        (f"after={ID.upper()}", "after", "must be an _id, 24 lower-case hex digits"),
        ("after=", "after", "must be an _id, 24 lower-case hex digits"),
        (f"after={ID}&sort=a", "after", "follows the order of _id, so it cannot go with sort"),
        ("fields=", "fields", "a path may not be empty, nor have an empty part"),
        ("fields=a,a", "fields", "names a twice"),
        ("fields=a.b,a", "fields", "a.b is a part of another path"),
        ("fields=a.b,a-c,a", "fields", "a.b is a part of another path"),
        ("fields=_id.x", "fields", "_id.x is a part of another path"),
        (f"fields={REVISION}", "fields", "the name is reserved"),
        ("fields=" + ",".join(map(str, range(101))), "fields", "may have at most 100 paths"),
        ("count=", "count", "must be 1 or 0"),
        ("count=true", "count", "must be 1 or 0"),
    ],
    ids=lambda value: value[:40],
)
def test_bad_parameters_are_refused(query_string: str, name: str, why: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_url(query_string)
    assert (caught.value.status, caught.value.code) == (422, "bad_query")
    assert (caught.value.message, caught.value.fields) == (f"{name}: {why}", {name: why})


@pytest.mark.parametrize(
    ("filter", "status", "code"),
    [
        ("", 400, "bad_json"),
        ("{a:1}", 400, "bad_json"),
        ('{"a":NaN}', 400, "bad_json"),
        ("[]", 422, "bad_filter"),
        ('"a"', 422, "bad_filter"),
        ('{"$where":"1"}', 422, "bad_filter"),
        ('{"a":9223372036854775808}', 422, "bad_number"),
        ('{"a":1e999}', 422, "bad_number"),
        ('{"a":' + "[" * 64 + "]" * 64 + "}", 422, "too_deep"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_bad_filters_are_refused(filter: str, status: int, code: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_url(urlencode({"filter": filter}))
    assert (caught.value.status, caught.value.code) == (status, code)


def test_what_is_no_utf8_is_refused() -> None:
    with pytest.raises(BadRequest) as caught:
        parse_url("sort=%ff")
    assert (caught.value.status, caught.value.code) == (400, "bad_query")


def test_the_same_url_is_read_once() -> None:
    assert parse_url("limit=3&sort=a") is parse_url("limit=3&sort=a")


@given(
    st.text(max_size=20)
    | st.dictionaries(
        st.sampled_from(["filter", "sort", "skip", "limit", "after", "fields", "count"]),
        st.text(max_size=10),
    ).map(urlencode)
)
def test_any_query_string_is_read_or_refused(query_string: str) -> None:
    try:
        assert isinstance(parse_url(query_string), Query)
    except BackpackError as exc:
        assert exc.status in (400, 422)


# MongoDB manual, "Project Fields to Return from Query".
DOCUMENT: dict[str, Any] = {
    "_id": ID,
    "b": {"c": 1, "d": {"e": 2}, "0": 3},
    "a": 1,
    "n": None,
    "list": [{"x": 1, "y": 2}, 5, [{"x": 3, "y": 4}, 6], {"y": 7}, {"x": {"z": 8}}],
}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ((), DOCUMENT),
        (("_id",), {"_id": ID}),
        (("a",), {"_id": ID, "a": 1}),
        (("n", "missing"), {"_id": ID, "n": None}),
        (("b",), {"_id": ID, "b": DOCUMENT["b"]}),
        (("b.c",), {"_id": ID, "b": {"c": 1}}),
        (("b.d.e", "b.c"), {"_id": ID, "b": {"c": 1, "d": {"e": 2}}}),
        (("b.missing",), {"_id": ID, "b": {}}),
        (("b.0",), {"_id": ID, "b": {"0": 3}}),
        (("a.b", "n.b"), {"_id": ID}),
        (("list.x",), {"_id": ID, "list": [{"x": 1}, [{"x": 3}], {}, {"x": {"z": 8}}]}),
        (("list.x.z",), {"_id": ID, "list": [{}, [{}], {}, {"x": {"z": 8}}]}),
        (("list.0",), {"_id": ID, "list": [{}, [{}], {}, {}]}),
    ],
    ids=str,
)
def test_project_keeps_only_the_fields(fields: tuple[str, ...], expected: Any) -> None:
    assert project(DOCUMENT, fields) == expected


def test_project_keeps_the_documents_order() -> None:
    assert list(project(DOCUMENT, ("a", "b"))) == ["_id", "b", "a"]


def test_long_texts_are_not_remembered() -> None:
    short, long = "sort=a", f'filter={{"a":"{"x" * 500}"}}'

    assert parse_url(short) is parse_url(short)
    assert parse_url(long) is not parse_url(long)
