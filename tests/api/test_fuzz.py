"""Whatever a client sends, the answer is one of the contract: never a 500."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backpack.testing import BackpackServer
from tests.deployments import App
from tests.forms import FORM, form, upload

RUN = settings(
    max_examples=200,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

NAMES = st.sampled_from(
    [
        "n",
        "s",
        "tags",
        "o",
        "o.x",
        "tags.0",
        "_id",
        "createdAt",
        "userId",
        "",
        "$set",
        "__proto__",
        "a.b.c",
        "\0",
    ]
) | st.text(max_size=5)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**65)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=8)
    | st.sampled_from(["", "red", "0" * 24, "\0", "2020-01-01T00:00:00.000Z"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
OPERATORS = st.sampled_from(
    [
        "$eq",
        "$ne",
        "$gt",
        "$gte",
        "$lt",
        "$lte",
        "$in",
        "$nin",
        "$exists",
        "$regex",
        "$options",
        "$all",
        "$size",
        "$elemMatch",
        "$not",
        "$and",
        "$or",
        "$nor",
        "$where",
        "$type",
    ]
)
FILTERS = st.recursive(
    VALUES,
    lambda inner: (
        st.dictionaries(OPERATORS | NAMES, inner, max_size=3) | st.lists(inner, max_size=3)
    ),
    max_leaves=10,
)
SEGMENTS = st.sampled_from(
    [
        "cars",
        "Cars",
        "me",
        "password",
        "login",
        "register",
        "logout",
        "collections",
        "healthz",
        "uploads",
        "cat.png",
        "_users",
        "~elsewhere",
        "~api",
        "..",
        "%2e%2e",
        "%00",
        "%ff",
        "0" * 24,
        "*",
        "static",
        "sdk.js",
        ":",
        "<collection>",
    ]
) | st.text(st.characters(codec="utf-8"), max_size=6).map(quote)


# The wire server of the tests cannot keep field names with control characters, MongoDB can.
pytestmark = pytest.mark.parametrize("deployment", ["memory", "sqlite"], indirect=True)


@pytest.fixture
def target(deployment: BackpackServer) -> Iterator[App]:
    made = App(deployment.create(), deployment.port)
    made.make(
        "cars", {"n": 1, "tags": ["red", 5, {"x": None}]}, {"o": {"x": [1, [2]]}, "s": "nul\0"}
    )
    upload(made, "cat.png", b"a cat", "image/png")
    yield made
    made.close()


def answers_well(app: App, call: str, content: bytes | None, headers: dict[str, str]) -> None:
    answer = app.ask(call, content=content, headers=headers)

    assert answer.status_code < 500, (call, content, answer.text)
    if call.startswith(("HEAD", "OPTIONS")):
        return
    if answer.status_code >= 400:
        assert {"message", "code"} <= set(answer.json()) <= {"message", "code", "fields"}
    else:
        answer.json()


@RUN
@given(data=st.data())
def test_any_request_is_answered(target: App, data: st.DataObject) -> None:
    method = data.draw(
        st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
    )
    path = "/".join(data.draw(st.lists(SEGMENTS, max_size=4)))
    content = data.draw(
        st.none() | st.binary(max_size=40) | VALUES.map(lambda value: json.dumps(value).encode())
    )
    origin = data.draw(
        st.sampled_from([None, "http://localhost:5173", "null", "https://x.example"])
    )

    answers_well(target, f"{method} /{path}", content, {"origin": origin} if origin else {})


@RUN
@given(value=VALUES, patch=st.dictionaries(NAMES, VALUES, max_size=4))
def test_any_document_is_kept_or_refused(target: App, value: Any, patch: dict[str, Any]) -> None:
    made = target.ask("POST /cars", content=json.dumps({"value": value}).encode())

    assert made.status_code in (200, 422), made.text
    if made.status_code == 200:
        path = f"/cars/{made.json()['_id']}"
        assert target.ask(f"GET {path}").json() == made.json()
        assert json.dumps(made.json()["value"]) == json.dumps(value)
        answers_well(target, f"PATCH {path}", json.dumps(patch).encode(), {})
        assert target.ask(f"DELETE {path}").status_code == 200


@RUN
@given(
    asked=FILTERS,
    sort=st.lists(NAMES, max_size=3),
    limit=st.integers(-1, 5),
    skip=st.integers(-1, 5),
)
def test_any_query_is_answered(
    target: App, asked: Any, sort: list[str], limit: int, skip: int
) -> None:
    parts = [f"filter={quote(json.dumps(asked))}", f"limit={limit}", f"skip={skip}", "count=1"]
    if sort:
        parts.append(f"sort={quote(','.join(sort))}")

    answers_well(target, f"GET /cars?{'&'.join(parts)}", None, {})


@RUN
@given(email=VALUES, password=VALUES, token=VALUES)
def test_any_credentials_are_answered(target: App, email: Any, password: Any, token: Any) -> None:
    body = json.dumps({"email": email, "password": password, "token": token}).encode()

    for call in ("POST /register", "POST /login"):
        answers_well(target, call, body, {})


FILENAMES = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(["cat.png", "a"])
FORMS = st.lists(
    st.tuples(
        st.sampled_from(["filename", "bucket", "file", "x"]),
        FILENAMES | st.tuples(st.sampled_from(["", "x.png"]), st.binary(max_size=20)),
    ),
    max_size=4,
).map(lambda parts: form(*parts))


@RUN
@given(whole=FORMS, cut=st.integers(0, 400), junk=st.binary(max_size=4), as_form=st.booleans())
def test_any_form_is_answered(
    target: App, whole: bytes, cut: int, junk: bytes, as_form: bool
) -> None:
    body = whole[:cut] + junk + whole[cut + len(junk) :]

    for call in ("POST /uploads", "PUT /uploads/cat.png", "PATCH /uploads/cat.png"):
        answers_well(target, call, body, FORM if as_form else {})
    (found, *_) = target.ask(f"GET /uploads/{target.user_id('user')}").json()["records"]
    path = f"/uploads/{found['userId']}/{quote(found['filename'], safe='')}"
    answer = target.ask(f"GET {path}")
    assert (answer.status_code, len(answer.content)) == (200, found["size"])
    target.ask(f"PATCH /uploads/{quote(found['filename'], safe='')}", {"filename": "cat.png"})


HEADERS = st.sampled_from(["range", "if-range", "if-none-match", "if-modified-since"])
HEADER_VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12).map(
    str.strip
) | (
    st.sampled_from(["bytes=0-", "bytes=-1", "bytes=1-0", '"x"', "*", "Mon, 01 Jan 0000 00:00:00"])
)


@RUN
@given(headers=st.dictionaries(HEADERS, HEADER_VALUES))
def test_any_condition_is_answered(target: App, headers: dict[str, str]) -> None:
    user = target.user_id("user")

    answer = target.ask(f"GET /uploads/{user}/cat.png", headers=headers)

    assert answer.status_code in (200, 206, 304, 416), (headers, answer.text)
