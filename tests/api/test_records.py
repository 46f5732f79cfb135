"""Collections and records: create, read one, replace, merge, delete, and every way a body can be
wrong."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest

from tests.deployments import App, not_in_swarm

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
ID = re.compile("[0-9a-f]{24}")


def plain(record: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in record.items()
        if name not in ("_id", "createdAt", "updatedAt")
    }


@pytest.fixture
def cars(app: App) -> App:
    app.make("cars")
    return app


def test_collections_are_made_and_listed(app: App) -> None:
    before = app.ask("GET /collections").json()
    made = [
        app.ask("POST /collections", {"collectionName": name})
        for name in ("cars", "Cars", "a-b_C9", "cars")
    ]

    assert before == []
    assert [(answer.status_code, answer.json()) for answer in made] == [
        (200, "cars"),
        (200, "Cars"),
        (200, "a-b_C9"),
        (200, "cars"),
    ]
    assert app.ask("GET /collections").json() == ["Cars", "a-b_C9", "cars"]


def test_collections_differ_by_case(app: App) -> None:
    app.make("cars", {"n": 1})
    app.make("Cars", {"n": 2})

    assert [plain(record) for record in app.ask("GET /cars").json()] == [{"n": 1}]
    assert [plain(record) for record in app.ask("GET /Cars").json()] == [{"n": 2}]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "1cars",
        "_cars",
        "-cars",
        "ca rs",
        "ca/rs",
        "ca.rs",
        "cars\n",
        "é",
        "$cars",
        "a" * 65,
        "users",
        "Users",
        "UPLOADS",
        "collections",
        "register",
        "login",
        "logout",
        "me",
        "Me",
        "healthz",
        "metrics",
        5,
        None,
        ["cars"],
        {},
    ],
    ids=repr,
)
def test_bad_collection_name_gets_422(app: App, name: Any) -> None:
    answer = app.ask("POST /collections", {"collectionName": name})

    assert (answer.status_code, answer.json()["code"]) == (422, "bad_collection_name")
    assert app.ask("GET /collections").json() == []


def test_record_gets_stamps(cars: App) -> None:
    answer = cars.ask("POST /cars", {"make": "Saab", "sold": None})

    record = answer.json()
    assert answer.status_code == 200
    assert list(record) == ["_id", "make", "sold", "createdAt", "updatedAt"]
    assert plain(record) == {"make": "Saab", "sold": None}
    assert ID.fullmatch(record["_id"])
    assert STAMP.fullmatch(record["createdAt"])
    assert record["createdAt"] == record["updatedAt"]
    assert cars.ask(f"GET /cars/{record['_id']}").json() == record


def test_create_without_body_is_empty(cars: App) -> None:
    answer = cars.ask("POST /cars")

    assert (answer.status_code, plain(answer.json())) == (200, {})


def test_batch_answers_a_list(cars: App) -> None:
    answer = cars.ask("POST /cars", [{"n": 1}, {}, {"n": 3}])

    assert [plain(record) for record in answer.json()] == [{"n": 1}, {}, {"n": 3}]
    assert cars.ask("GET /cars").json() == answer.json()
    assert cars.ask("POST /cars", []).json() == []


@pytest.mark.parametrize("bad", [5, None, "x", [], {"$a": 1}, {"_id": "0" * 24}], ids=repr)
def test_batch_is_checked_whole(cars: App, bad: Any) -> None:
    answer = cars.ask("POST /cars", [{"n": 1}, bad])

    assert answer.status_code == 422
    assert cars.ask("GET /cars").json() == []


@pytest.mark.parametrize(
    "value",
    [
        0,
        -1,
        2**31,
        2**53 + 1,
        2**63 - 1,
        -(2**63),
        0.5,
        -0.25,
        1e300,
        5e-324,
        True,
        False,
        None,
        "",
        'tabs\tand "quotes" \\ / \u2028 \U0001f392',
        "nul\u0000inside",
        "<script>alert(1)</script>",
        [],
        {},
        [[], [1, [2, [3]]]],
        {"a": {"b": {"c": None}}},
        [1, "1", True, None, {"x": []}],
        "5" * 1000,
    ],
    ids=lambda value: repr(value)[:20],
)
def test_values_come_back_as_sent(cars: App, value: Any) -> None:
    answer = cars.ask("POST /cars", {"value": value})
    if cars.wire_faults and value == [[], [1, [2, [3]]]]:
        # The wire server refuses arrays in arrays; MongoDB keeps them.
        assert (answer.status_code, answer.json()["code"]) == (422, "refused")
        return

    record = answer.json()
    read = cars.ask(f"GET /cars/{record['_id']}").json()["value"]
    assert json.dumps(read) == json.dumps(value)


@pytest.mark.parametrize(
    "name",
    [
        "__proto__",
        "constructor",
        "a b",
        "é",
        "\U0001f392",
        "userId",
        "length",
        "a$",
        "-",
        "0",
        "\u2028",
        '"',
        "\\",
        "rev",
    ],
    ids=repr,
)
def test_odd_field_names_are_kept(cars: App, name: str) -> None:
    answer = cars.ask("POST /cars", {name: 1, "in": {name: 2}})
    if cars.wire_faults and name in ('"', "\\"):
        # The wire server writes names unescaped into its own JSON; MongoDB keeps them.
        assert answer.status_code == 503
        return

    record = answer.json()
    assert plain(cars.ask(f"GET /cars/{record['_id']}").json()) == {name: 1, "in": {name: 2}}


@pytest.mark.parametrize("name", ["$set", "$", "a.b", ".", "nul\0", ""], ids=repr)
@pytest.mark.parametrize("call", ["POST /cars", "PUT /cars/{id}", "PATCH /cars/{id}"])
def test_bad_field_names_get_422(cars: App, call: str, name: str) -> None:
    record = cars.ask("POST /cars", {"n": 1}).json()
    call = call.format(id=record["_id"])
    if call.startswith("PATCH") and name in ("a.b",):
        return

    outer = cars.ask(call, {name: 1})
    inner = cars.ask(call, {"a": [{"b": {name: 1}}]})

    assert [(answer.status_code, answer.json()["code"]) for answer in (outer, inner)] == [
        (422, "invalid_entry")
    ] * 2
    assert name in outer.json()["fields"]
    assert cars.ask("GET /cars").json() == [record]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "bad_json"),
        (b"{'a': 1}", 400, "bad_json"),
        (b'{"a": 1,}', 400, "bad_json"),
        (b'{"a": NaN}', 400, "bad_json"),
        (b'{"a": Infinity}', 400, "bad_json"),
        (b'{"a": "\xff"}', 400, "bad_json"),
        (b'{"a": "\\ud800"}', 400, "bad_json"),
        (b"\xef\xbb\xbf{}", 400, "bad_json"),
        (b"a=1&b=2", 400, "bad_json"),
        (b"5", 422, "invalid_entry"),
        (b'"x"', 422, "invalid_entry"),
        (b"null", 422, "invalid_entry"),
        (b'{"a": 9223372036854775808}', 422, "bad_number"),
        (b'{"a": -9223372036854775809}', 422, "bad_number"),
        (b'{"a": [18446744073709551616]}', 422, "bad_number"),
        (b'{"a": 1e400}', 422, "bad_number"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, 422, "too_deep"),
        (b"[" * 5000 + b"]" * 5000, 422, "too_deep"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_bad_bodies_are_named(cars: App, body: bytes, status: int, code: str) -> None:
    answer = cars.ask("POST /cars", content=body)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert cars.ask("GET /cars").json() == []


def test_nesting_of_64_is_kept(cars: App) -> None:
    body = b'{"a":' * 64 + b"1" + b"}" * 64

    record = cars.ask("POST /cars", content=body).json()

    assert cars.ask(f"GET /cars/{record['_id']}").json()["a"] == json.loads(body)["a"]


def test_last_of_duplicate_names_wins(cars: App) -> None:
    assert plain(cars.ask("POST /cars", content=b'{"a": 1, "a": 2}').json()) == {"a": 2}


def test_double_of_a_large_number_is_kept(cars: App) -> None:
    assert plain(cars.ask("POST /cars", content=b'{"a": 1e20}').json()) == {"a": 1e20}


@pytest.mark.parametrize("name", ["_id", "createdAt", "updatedAt"])
@pytest.mark.parametrize("value", ["0" * 24, "2020-01-01T00:00:00.000Z", 5, None], ids=repr)
def test_stamps_are_the_servers(cars: App, name: str, value: Any) -> None:
    record = cars.ask("POST /cars", {"n": 1}).json()

    for call in ("POST /cars", f"PUT /cars/{record['_id']}", f"PATCH /cars/{record['_id']}"):
        answer = cars.ask(call, {name: value})
        assert (answer.status_code, answer.json()["message"]) == (422, "invalid entry")
        assert set(answer.json()["fields"]) == {name}
    assert cars.ask("GET /cars").json() == [record]


def test_replace_keeps_stamps_only(cars: App) -> None:
    record = cars.ask("POST /cars", {"make": "Saab", "n": 1}).json()
    time.sleep(0.002)  # so that updatedAt can differ

    replaced = cars.ask(f"PUT /cars/{record['_id']}", {"n": 2}).json()
    repeated = cars.ask(f"PUT /cars/{record['_id']}", {**replaced, "n": 3}).json()

    assert list(replaced) == ["_id", "n", "createdAt", "updatedAt"]
    assert (replaced["_id"], replaced["createdAt"], plain(replaced)) == (
        record["_id"],
        record["createdAt"],
        {"n": 2},
    )
    assert replaced["updatedAt"] > record["updatedAt"]
    assert plain(repeated) == {"n": 3}
    assert cars.ask(f"GET /cars/{record['_id']}").json() == repeated


@pytest.mark.parametrize(
    ("patch", "after"),
    [
        ({}, {"a": 1, "b": {"c": 2, "d": [1, {"e": 3}]}}),
        ({"a": None}, {"b": {"c": 2, "d": [1, {"e": 3}]}}),
        ({"x": 5}, {"a": 1, "b": {"c": 2, "d": [1, {"e": 3}]}, "x": 5}),
        ({"b": {"z": 1}}, {"a": 1, "b": {"z": 1}}),
        ({"b": {"z": None}}, {"a": 1, "b": {"z": None}}),
        ({"b.c": 9, "b.x.y": 1}, {"a": 1, "b": {"c": 9, "d": [1, {"e": 3}], "x": {"y": 1}}}),
        (
            {"b.c": None, "nope": None, "no.pe": None, "b.no": None},
            {"a": 1, "b": {"d": [1, {"e": 3}]}},
        ),
        ({"b.d.1.e": 4, "b.d.0": "x"}, {"a": 1, "b": {"c": 2, "d": ["x", {"e": 4}]}}),
        ({"b.d.0": None}, {"a": 1, "b": {"c": 2, "d": [None, {"e": 3}]}}),
        (
            {"__proto__": {"x": 1}},
            {"a": 1, "b": {"c": 2, "d": [1, {"e": 3}]}, "__proto__": {"x": 1}},
        ),
    ],
    ids=repr,
)
def test_merge_changes_what_it_names(
    cars: App, patch: dict[str, Any], after: dict[str, Any]
) -> None:
    record = cars.ask("POST /cars", {"a": 1, "b": {"c": 2, "d": [1, {"e": 3}]}}).json()

    answer = cars.ask(f"PATCH /cars/{record['_id']}", patch)

    assert (answer.status_code, plain(answer.json())) == (200, after)
    assert cars.ask(f"GET /cars/{record['_id']}").json() == answer.json()


@pytest.mark.parametrize(
    "patch",
    [
        {"b": 1, "b.c": 2},
        {"b.d": 1, "b.d.0": 2},
        {"b.d.2": 1},
        {"b.d.-1": 1},
        {"b.d.x": 1},
        {"a.b": 1},
        {"b..c": 1},
        {".b": 1},
        {"b.": 1},
        {"b.$c": 1},
        {"_id.x": 1},
        {"createdAt.x": None},
        [],
        [{}],
        5,
        "x",
        None,
    ],
    ids=repr,
)
def test_bad_merge_gets_422(cars: App, patch: Any) -> None:
    record = cars.ask("POST /cars", {"a": 1, "b": {"c": 2, "d": [1, 2]}}).json()

    answer = cars.ask(f"PATCH /cars/{record['_id']}", content=json.dumps(patch).encode())

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_entry")
    assert cars.ask("GET /cars").json() == [record]


@pytest.mark.parametrize("call", ["PUT /cars/{}", "PATCH /cars/{}"])
def test_change_needs_a_body(cars: App, call: str) -> None:
    record = cars.ask("POST /cars", {"n": 1}).json()

    assert cars.ask(call.format(record["_id"])).status_code == 400
    assert cars.ask("GET /cars").json() == [record]


def test_delete_answers_the_record(cars: App) -> None:
    record = cars.ask("POST /cars", {"n": 1}).json()

    first = cars.ask(f"DELETE /cars/{record['_id']}")
    second = cars.ask(f"DELETE /cars/{record['_id']}")

    assert (first.status_code, first.json()) == (200, record)
    assert (second.status_code, second.json()["code"]) == (404, "not_found")
    assert cars.ask("GET /cars").json() == []


@pytest.mark.parametrize(
    "record_id",
    [
        "0" * 24,
        "0" * 23,
        "0" * 25,
        "x",
        "G" * 24,
        "$ne",
        "null",
        "é",
        "' OR 1=1 --",
        "..%2F..",
        "%00",
        "a" * 3000,
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_unknown_id_gets_404(cars: App, method: str, record_id: str) -> None:
    answer = cars.ask(f"{method} /cars/{record_id}", {} if method in ("PUT", "PATCH") else None)

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_body_on_get_is_ignored(cars: App, caplog: pytest.LogCaptureFixture) -> None:
    answers = [cars.ask("GET /cars", content=b"{broken" * 100) for _ in range(3)]

    assert [(answer.status_code, answer.json()) for answer in answers] == [(200, [])] * 3
    assert caplog.messages == []


def test_deleted_collection_is_gone_for_every_process(app: App) -> None:
    app.make("cars", {"n": 1}, {"n": 2})  # so that each process knows it
    backpack = app.backpack

    backpack._server.call(backpack._backpack.delete_collection("cars"))

    assert [app.ask("POST /cars", {}).status_code for _ in range(2)] == [404, 404]
    assert app.ask("GET /collections").json() == []


@not_in_swarm  # whose edge has connections of its own
def test_huge_body_on_delete_ends_connection(cars: App) -> None:
    record = cars.ask("POST /cars", {"n": 1}).json()

    answer = cars.ask(f"DELETE /cars/{record['_id']}", content=b"x" * 2_000_000)

    assert (answer.status_code, answer.headers["connection"]) == (200, "close")


@pytest.mark.parametrize(
    "collection", ["1x", "_users", "_sessions", "_backpack", "$cmd", "a" * 65, "system.users"]
)
def test_inner_collections_are_not_reached(cars: App, collection: str) -> None:
    reads = cars.ask(f"GET /{collection}")
    writes = cars.ask(f"POST /{collection}", {"n": 1})

    assert (reads.status_code, writes.status_code) == (404, 404)
