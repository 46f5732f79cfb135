"""Reading a part of a collection: filter, sort, skip, limit, fields, after, count."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from tests.deployments import App, in_process

# The store decides, however many processes ask it.
pytestmark = in_process

CARS: list[dict[str, Any]] = [
    {"make": "Saab", "price": 900, "tags": ["old", "red"], "owner": {"name": "Ada"}},
    {"make": "Volvo", "price": 1500, "tags": [], "owner": {"name": "Bob"}},
    {"make": "BMW", "price": 1500, "sold": True},
    {"make": "Audi", "price": "on request", "tags": ["new"]},
    {"make": "Lada", "sold": False, "tags": "red"},
]


@pytest.fixture
def cars(app: App) -> App:
    app.make("cars", *CARS)
    return app


def makes(app: App, **part: Any) -> list[str]:
    for name, value in part.items():
        if name == "filter":
            part[name] = json.dumps(value)
    answer = app.ask(f"GET /cars?{urlencode(part)}")
    assert answer.status_code == 200, answer.text
    return [record["make"] for record in answer.json()]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, ["Saab", "Volvo", "BMW", "Audi", "Lada"]),
        ({"price": 1500}, ["Volvo", "BMW"]),
        ({"price": {"$gt": 1000}}, ["Volvo", "BMW"]),
        ({"price": {"$lt": 1500.5, "$gte": 900}}, ["Saab", "Volvo", "BMW"]),
        ({"price": {"$gt": "a"}}, ["Audi"]),
        ({"price": None}, ["Lada"]),
        ({"price": {"$ne": 1500}}, ["Saab", "Audi", "Lada"]),
        ({"make": {"$in": ["Saab", "Lada", "x"]}}, ["Saab", "Lada"]),
        ({"make": {"$nin": ["Saab", "Lada"]}}, ["Volvo", "BMW", "Audi"]),
        ({"sold": {"$exists": True}}, ["BMW", "Lada"]),
        ({"sold": True}, ["BMW"]),
        ({"sold": 1}, []),
        ({"tags": "red"}, ["Saab", "Lada"]),
        ({"tags": {"$all": ["old", "red"]}}, ["Saab"]),
        ({"tags": {"$size": 0}}, ["Volvo"]),
        ({"tags": {"$elemMatch": {"$regex": "^n"}}}, ["Audi"]),
        ({"owner.name": "Ada"}, ["Saab"]),
        ({"owner": {"name": "Bob"}}, ["Volvo"]),
        ({"make": {"$regex": "^b", "$options": "i"}}, ["BMW"]),
        ({"make": {"$not": {"$regex": "a"}}}, ["Volvo", "BMW", "Audi"]),
        ({"$or": [{"make": "Saab"}, {"sold": False}]}, ["Saab", "Lada"]),
        ({"$nor": [{"price": 1500}, {"tags": "red"}]}, ["Audi"]),
        ({"$and": [{"price": 1500}, {"sold": True}]}, ["BMW"]),
    ],
    ids=repr,
)
def test_filter_finds(cars: App, asked: dict[str, Any], expected: list[str]) -> None:
    assert makes(cars, filter=asked) == expected


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("make", ["Audi", "BMW", "Lada", "Saab", "Volvo"]),
        ("-make", ["Volvo", "Saab", "Lada", "BMW", "Audi"]),
        ("price", ["Lada", "Saab", "Volvo", "BMW", "Audi"]),
        ("-price", ["Audi", "Volvo", "BMW", "Saab", "Lada"]),
        ("-price,make", ["Audi", "BMW", "Volvo", "Saab", "Lada"]),
        ("owner.name,-make", ["Lada", "BMW", "Audi", "Saab", "Volvo"]),
        ("_id", ["Saab", "Volvo", "BMW", "Audi", "Lada"]),
        ("-_id", ["Lada", "Audi", "BMW", "Volvo", "Saab"]),
        ("-createdAt,_id", None),
    ],
)
def test_sort_orders_by_type_then_value(cars: App, sort: str, expected: list[str] | None) -> None:
    found = makes(cars, sort=sort)

    assert found == expected if expected else len(found) == 5


def test_skip_and_limit_cut(cars: App) -> None:
    assert makes(cars, skip=1, limit=2) == ["Volvo", "BMW"]
    assert makes(cars, sort="-make", limit=2) == ["Volvo", "Saab"]
    assert makes(cars, skip=9) == []


def test_after_pages_by_id(cars: App) -> None:
    everything = cars.ask("GET /cars").json()

    first = cars.ask("GET /cars?limit=2").json()
    second = cars.ask(f"GET /cars?limit=2&after={first[-1]['_id']}").json()
    cars.ask(f"DELETE /cars/{second[-1]['_id']}")
    third = cars.ask(f"GET /cars?limit=2&after={second[-1]['_id']}").json()

    assert first + second + third == everything


def test_after_goes_with_filter(cars: App) -> None:
    volvo = cars.ask("GET /cars?skip=1&limit=1").json()[0]

    assert makes(cars, after=volvo["_id"], filter={"price": 1500}) == ["BMW"]


@pytest.mark.parametrize(
    ("part", "total"),
    [
        ("", "5"),
        ("&limit=2", "5"),
        ("&skip=4", "5"),
        ("&filter=" + quote('{"price":1500}') + "&limit=1", "2"),
        ("&filter=" + quote('{"price":1}'), "0"),
    ],
)
def test_count_tells_all_matches(cars: App, part: str, total: str) -> None:
    assert cars.ask(f"GET /cars?count=1{part}").headers["x-total-count"] == total


def test_no_count_unless_asked(cars: App) -> None:
    assert "x-total-count" not in cars.ask("GET /cars").headers


def test_fields_choose(cars: App) -> None:
    answer = cars.ask("GET /cars?fields=make,owner.name&limit=2").json()

    assert [
        {name: value for name, value in record.items() if name != "_id"} for record in answer
    ] == [
        {"make": "Saab", "owner": {"name": "Ada"}},
        {"make": "Volvo", "owner": {"name": "Bob"}},
    ]
    assert all(len(record["_id"]) == 24 for record in answer)


def test_id_is_filtered_by_its_text(cars: App) -> None:
    ids = [record["_id"] for record in cars.ask("GET /cars").json()]

    assert makes(cars, filter={"_id": ids[1]}) == ["Volvo"]
    assert makes(cars, filter={"_id": {"$in": [ids[4], ids[0]]}}) == ["Saab", "Lada"]
    assert makes(cars, filter={"_id": {"$gt": ids[2]}}) == ["Audi", "Lada"]
    assert makes(cars, filter={"_id": {"$ne": ids[0]}}) == ["Volvo", "BMW", "Audi", "Lada"]


@pytest.mark.parametrize(
    "asked",
    [
        '{"$where": "1"}',
        '{"$expr": {}}',
        '{"a": {"$type": 2}}',
        '{"a": {"$gt": 1, "b": 2}}',
        '{"a": {"$in": 5}}',
        '{"$or": []}',
        '{"$or": {}}',
        '{"$or": [5]}',
        '{"a": {"$size": -1}}',
        '{"a": {"$size": "1"}}',
        '{"a": {"$regex": 5}}',
        '{"a": {"$regex": "("}}',
        '{"a": {"$regex": "(?=x)"}}',
        '{"a": {"$regex": "(a)\\\\1"}}',
        '{"a": {"$options": "i"}}',
        '{"a": {"$regex": "x", "$options": "q"}}',
        '{"a": {"$not": 5}}',
        '{"a..b": 1}',
        '{"": 1}',
        '{"a": {"$elemMatch": 5}}',
        '{"a": {"$all": 5}}',
        "[]",
        "5",
        '"x"',
        "null",
        '{"a": 18446744073709551616}',
        '{"$text": {"$search": "x"}}',
        '{"a": {"$near": [0, 0]}}',
        '{"$comment": "x"}',
    ],
)
def test_other_filters_get_422(cars: App, asked: str) -> None:
    answer = cars.ask(f"GET /cars?filter={quote(asked)}")

    assert answer.status_code == 422, answer.text
    assert answer.json()["message"]


@pytest.mark.parametrize("asked", ["{", "", "{'a':1}", "%ff", "make=Saab"])
def test_filter_that_is_no_json_gets_400(cars: App, asked: str) -> None:
    assert cars.ask(f"GET /cars?filter={asked}").status_code == 400


@pytest.mark.parametrize(
    "part",
    [
        "limit=-1",
        "limit=x",
        "limit=0",
        "limit=1.5",
        "limit=99999999999999999999",
        "skip=-1",
        "skip=x",
        "sort=",
        "sort=,",
        "sort=a,a",
        "sort=$a",
        "sort=a..b",
        "after=x",
        f"after={'0' * 24}&sort=make",
        "fields=$x",
        "fields=",
        "fields=a,a.b",
        "count=2",
        "count=yes",
        "nonsense=1",
        "limit=1&limit=2",
    ],
)
def test_bad_parameters_get_422(cars: App, part: str) -> None:
    answer = cars.ask(f"GET /cars?{part}")

    assert answer.status_code == 422, answer.text
    assert answer.json()["message"]


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"$or": [{"a": n} for n in range(99)]}, 200),
        ({"$or": [{"a": n} for n in range(101)]}, 422),
        ({"a": {"$in": list(range(1000))}}, 200),
        ({"a": {"$in": list(range(1001))}}, 422),
    ],
    ids=["conditions", "too-many-conditions", "values", "too-many-values"],
)
def test_filters_have_limits(cars: App, asked: dict[str, Any], status: int) -> None:
    assert cars.ask(f"GET /cars?filter={quote(json.dumps(asked))}").status_code == status


def test_deep_filter_gets_422(cars: App) -> None:
    asked: dict[str, Any] = {"a": 1}
    for _ in range(17):
        asked = {"$and": [asked]}

    assert cars.ask(f"GET /cars?filter={quote(json.dumps(asked))}").status_code == 422


@pytest.mark.parametrize("path", ["/cars", "/cars?count=1"])
def test_list_of_megabytes_arrives_whole(app: App, path: str) -> None:
    app.make("cars")
    made = []
    for start in range(0, 1_500, 500):
        batch = [{"n": n, "text": "x" * 1_000} for n in range(start, start + 500)]
        made += app.ask("POST /cars", batch).json()
    answer = app.ask(f"GET {path}")
    assert answer.json() == made
    assert int(answer.headers["content-length"]) == len(answer.content) > 1_500_000
    # The same connection goes on.
    assert app.ask(f"GET /cars/{made[0]['_id']}").json() == made[0]
    head = app.ask(f"HEAD {path}")
    assert (head.content, head.headers["content-length"]) == (b"", str(len(answer.content)))


def test_client_that_leaves_within_a_long_list_harms_nobody(app: App) -> None:
    app.make("cars")
    for _ in range(16):
        app.ask("POST /cars", [{"text": "x" * 1_000}] * 900)
    with app._http.stream("GET", f"{next(app._addresses)}/cars", headers=app.headers("user")) as it:
        next(it.iter_raw(1_000))
    assert app.ask("GET /cars?limit=1").status_code == 200
