"""Access rules: what each lets through, and that they hold in lists, counts, filters, sorts and
answers of writes."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.deployments import App

CALLS = {
    "list": "GET /cars",
    "read": "GET /cars/{id}",
    "create": "POST /cars",
    "update": "PATCH /cars/{id}",
    "delete": "DELETE /cars/{id}",
}


def statuses(app: App, action: str) -> dict[str, int]:
    """What each actor gets for `action` on a record that `user` made."""
    got = {}
    for actor in ("guest", "user", "other"):
        record = app.backpack.seed({"collections": {"cars": [{"userId": app.user_id("user")}]}})[
            "collections"
        ]["cars"][0]
        body: dict[str, Any] | None = {} if action in ("create", "update") else None
        got[actor] = app.ask(CALLS[action].format(id=record["_id"]), body, actor=actor).status_code
    return got


@pytest.mark.parametrize("action", CALLS)
@pytest.mark.parametrize(
    ("access", "guest", "user", "other"),
    [("public", 200, 200, 200), ("user", 403, 200, 200), ("none", 403, 403, 403)],
)
def test_rule_lets_through(
    app: App, action: str, access: str, guest: int, user: int, other: int
) -> None:
    everyone = {"list": "public", "read": "public"}
    app.backpack.set_rules({"cars": {**everyone, action: access}})

    assert statuses(app, action) == {"guest": guest, "user": user, "other": other}


@pytest.mark.parametrize(
    ("action", "guest", "user", "other"),
    [
        ("list", 403, 200, 200),
        ("read", 403, 200, 404),
        ("create", 403, 200, 200),
        ("update", 403, 200, 403),
        ("delete", 403, 200, 403),
    ],
)
def test_owner_rule_lets_owner_through(
    app: App, action: str, guest: int, user: int, other: int
) -> None:
    app.backpack.set_rules({"cars": {action: "owner"}})

    assert statuses(app, action) == {"guest": guest, "user": user, "other": other}


@pytest.mark.parametrize("action", ["update", "delete"])
def test_unreadable_record_is_not_there(app: App, action: str) -> None:
    app.backpack.set_rules({"cars": {"read": "owner"}})

    assert statuses(app, action) == {"guest": 403, "user": 200, "other": 404}


@pytest.fixture
def private(app: App) -> App:
    """Two records of ada's and three of bob's, each for its owner's eyes only."""
    app.backpack.set_rules({"notes": {"read": "owner", "update": "owner", "delete": "owner"}})
    app.backpack.seed({"collections": {"notes": []}})
    for actor, n in (("ada", 1), ("bob", 2), ("ada", 3), ("bob", 4), ("bob", 5)):
        assert app.ask("POST /notes", {"n": n}, actor=actor).status_code == 200
    return app


@pytest.mark.parametrize(
    ("part", "ada", "bob"),
    [
        ("", [1, 3], [2, 4, 5]),
        ("?limit=2", [1, 3], [2, 4]),
        ("?skip=1", [3], [4, 5]),
        ("?skip=1&limit=1", [3], [4]),
        ("?sort=-n", [3, 1], [5, 4, 2]),
        ("?sort=-n&limit=1", [3], [5]),
        ("?filter=" + quote('{"n":{"$gt":2}}'), [3], [4, 5]),
        ("?filter=" + quote('{"$or":[{"n":1},{"n":2},{"n":{"$exists":true}}]}'), [1, 3], [2, 4, 5]),
        ("?filter=" + quote('{"userId":{"$ne":"x"}}'), [1, 3], [2, 4, 5]),
        ("?filter=" + quote('{"$nor":[{"n":99}]}'), [1, 3], [2, 4, 5]),
    ],
)
def test_lists_hold_own_records_only(
    private: App, part: str, ada: list[int], bob: list[int]
) -> None:
    def numbers(actor: str) -> list[int]:
        return [record["n"] for record in private.ask(f"GET /notes{part}", actor=actor).json()]

    assert (numbers("ada"), numbers("bob"), numbers("eve")) == (ada, bob, [])


def test_counts_hold_own_records_only(private: App) -> None:
    def total(actor: str, part: str = "") -> str:
        return private.ask(f"GET /notes?count=1&limit=1{part}", actor=actor).headers[
            "x-total-count"
        ]

    assert [total(actor) for actor in ("ada", "bob", "eve")] == ["2", "3", "0"]
    assert total("ada", "&filter=" + quote('{"n":{"$gt":1}}')) == "1"


def test_filter_cannot_probe_others(private: App) -> None:
    bob = private.user_id("bob")

    answer = private.ask(
        "GET /notes?count=1&filter=" + quote(json.dumps({"userId": bob})), actor="ada"
    )

    assert (answer.json(), answer.headers["x-total-count"]) == ([], "0")


def test_after_does_not_leak(private: App) -> None:
    first = private.ask("GET /notes?limit=1", actor="bob").json()[0]

    rest = private.ask(f"GET /notes?after={first['_id']}", actor="ada").json()

    assert [record["n"] for record in rest] == [3]


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_others_record_is_404(private: App, method: str) -> None:
    record = private.ask("GET /notes?limit=1", actor="bob").json()[0]
    body = {"n": 0} if method in ("PUT", "PATCH") else None

    answer = private.ask(f"{method} /notes/{record['_id']}", body, actor="ada")

    assert (answer.status_code, answer.json()) == (
        404,
        {"message": "Not found", "code": "not_found"},
    )
    assert private.ask(f"GET /notes/{record['_id']}", actor="bob").json() == record


def test_owner_is_set_by_server(private: App) -> None:
    ada, bob = private.user_id("ada"), private.user_id("bob")
    record = private.ask("POST /notes", {"n": 6}, actor="ada").json()
    path = f"/notes/{record['_id']}"

    refused = [
        private.ask("POST /notes", {"userId": bob}, actor="ada"),
        private.ask(f"PUT {path}", {"userId": bob}, actor="ada"),
        private.ask(f"PATCH {path}", {"userId": bob}, actor="ada"),
        private.ask(f"PATCH {path}", {"userId": None}, actor="ada"),
        private.ask(f"PATCH {path}", {"userId.x": 1}, actor="ada"),
    ]

    assert record["userId"] == ada
    assert [answer.status_code for answer in refused] == [422] * 5
    assert private.ask(f"GET {path}", actor="ada").json() == record


def test_replace_keeps_owner(private: App) -> None:
    ada = private.user_id("ada")
    record = private.ask("POST /notes", {"n": 6, "userId": ada}, actor="ada").json()

    without = private.ask(f"PUT /notes/{record['_id']}", {"n": 7}, actor="ada").json()
    repeated = private.ask(
        f"PUT /notes/{record['_id']}", {"n": 8, "userId": ada}, actor="ada"
    ).json()

    assert (without["userId"], without["n"]) == (ada, 7)
    assert (repeated["userId"], repeated["n"]) == (ada, 8)


def test_user_id_is_ordinary_elsewhere(app: App) -> None:
    (record,) = app.make("cars", {"userId": "someone"})

    changed = app.ask(f"PATCH /cars/{record['_id']}", {"userId": None})

    assert (record["userId"], changed.status_code, "userId" in changed.json()) == (
        "someone",
        200,
        False,
    )


@pytest.mark.parametrize("read", ["none", "owner"])
def test_write_answers_no_more_than_may_be_read(app: App, read: str) -> None:
    app.backpack.set_rules({"letters": {"create": "public", "read": read}})
    app.backpack.seed({"collections": {"letters": []}})

    one = app.ask("POST /letters", {"secret": 1}, actor="guest").json()
    many = app.ask("POST /letters", [{"secret": 1}, {"secret": 2}], actor="guest").json()

    assert set(one) == {"_id"}
    assert [set(record) for record in many] == [{"_id"}, {"_id"}]


def test_list_needs_read_too(app: App) -> None:
    app.make("cars", {"n": 1})
    app.backpack.set_rules({"cars": {"list": "public", "read": "user"}})

    assert app.ask("GET /cars?count=1", actor="guest").json() == []
    assert len(app.ask("GET /cars").json()) == 1


@pytest.mark.parametrize(
    ("rule", "call", "body"),
    [
        ("collections.create", "POST /collections", {"collectionName": "cars"}),
        ("collections.list", "GET /collections", None),
    ],
)
@pytest.mark.parametrize(
    ("access", "guest", "user"), [("public", 200, 200), ("user", 403, 200), ("none", 403, 403)]
)
def test_wide_rules_hold(
    app: App, rule: str, call: str, body: Any, access: str, guest: int, user: int
) -> None:
    app.backpack.set_rules({rule: access})

    assert app.ask(call, body, actor="guest").status_code == guest
    assert app.ask(call, body).status_code == user


@pytest.mark.parametrize("call", ["POST /collections", "POST /cars"])
def test_rule_refuses_before_body(app: App, call: str) -> None:
    app.make("cars")
    app.backpack.set_rules({"collections.create": "none", "cars": {"create": "none"}})

    assert app.ask(call, content=b"{broken").status_code == 403


def test_rules_change_at_once(app: App) -> None:
    app.make("cars", {"n": 1})
    before = app.ask("GET /cars", actor="guest").status_code
    app.backpack.set_rules({"cars": {"list": "public", "read": "public"}})
    during = app.ask("GET /cars", actor="guest").status_code
    app.backpack.set_rules({})
    after = app.ask("GET /cars", actor="guest").status_code

    assert (before, during, after) == (403, 200, 403)


def test_guest_creates_without_owner(app: App) -> None:
    app.backpack.set_rules({"cars": {"create": "public", "read": "public", "update": "owner"}})
    app.backpack.seed({"collections": {"cars": []}})

    made = app.ask("POST /cars", {"n": 1}, actor="guest")
    forged = app.ask("POST /cars", {"n": 1, "userId": app.user_id("ada")}, actor="guest")
    changed = app.ask(f"PATCH /cars/{made.json()['_id']}", {"n": 2}, actor="ada")

    assert (made.status_code, "userId" in made.json()) == (200, False)
    assert (forged.status_code, changed.status_code) == (422, 403)


@pytest.mark.parametrize(
    "entries",
    [
        [{"n": 1}, {"n": 2, "userId": "{bob}"}],
        [{"userId": ["{ada}", "{bob}"]}],
        [{"userId": {"$eq": "{bob}"}}],
        {"userId": ""},
        {"userId": None},
        {"userId": True},
    ],
    ids=repr,
)
def test_owner_cannot_be_forged_on_create(private: App, entries: Any) -> None:
    before = {actor: private.ask("GET /notes", actor=actor).json() for actor in ("ada", "bob")}
    text = json.dumps(entries)
    for actor in ("ada", "bob"):
        text = text.replace(f"{{{actor}}}", private.user_id(actor))

    answer = private.ask("POST /notes", content=text.encode(), actor="ada")

    assert (answer.status_code, answer.json()["message"]) == (422, "invalid entry")
    after = {actor: private.ask("GET /notes", actor=actor).json() for actor in ("ada", "bob")}
    assert after == before


def test_batch_is_owned_by_its_maker(private: App) -> None:
    ada = private.user_id("ada")

    made = private.ask("POST /notes", [{"n": 6}, {"n": 7, "userId": ada}], actor="ada").json()

    assert [note["userId"] for note in made] == [ada, ada]
    assert [private.ask(f"GET /notes/{note['_id']}", actor="bob").status_code for note in made] == [
        404,
        404,
    ]


@pytest.mark.parametrize(
    "path", ["userId.0", "userId.x", "userId.", "userId.$", "userid", "user_id"]
)
def test_dotted_path_does_not_reach_owner(private: App, path: str) -> None:
    note = private.ask("GET /notes?limit=1", actor="ada").json()[0]

    private.ask(f"PATCH /notes/{note['_id']}", {path: private.user_id("bob")}, actor="ada")

    seen = private.ask("GET /notes", actor="bob").json()
    assert note["_id"] not in [one["_id"] for one in seen]
    assert private.ask(f"GET /notes/{note['_id']}", actor="ada").json()["userId"] == note["userId"]


def test_older_records_have_the_owner_they_name(app: App) -> None:
    ada, bob = app.user_id("ada"), app.user_id("bob")
    app.make("notes", {"userId": [ada, bob]}, {"userId": {"x": ada}}, {"userId": 5}, {})
    app.backpack.set_rules({"notes": {"list": "owner", "read": "owner", "update": "owner"}})

    listed = app.ask("GET /notes?count=1", actor="ada")
    mine = listed.json()
    taken = app.ask(f"PATCH /notes/{mine[0]['_id']}", {"userId": [ada]}, actor="ada")
    alone = app.ask(f"PATCH /notes/{mine[0]['_id']}", {"userId.1": None}, actor="ada")

    assert ([note["userId"] for note in mine], listed.headers["x-total-count"]) == (
        [[ada, bob]],
        "1",
    )
    assert (taken.status_code, alone.status_code) == (422, 422)


@pytest.mark.parametrize(
    "part",
    [
        "filter=" + quote('{"$or":[{},{"userId":{"$exists":true}}]}'),
        "filter=" + quote('{"$nor":[{"userId":"x"}]}'),
        "filter=" + quote('{"userId":{"$regex":"."}}'),
        "filter=" + quote('{"userId":{"$not":{"$eq":"x"}}}'),
        "filter=" + quote('{"$and":[{"n":{"$gte":0}}]}'),
        "sort=userId,-n",
        "sort=-userId",
        "fields=n",
        "fields=userId",
        "after=" + "0" * 24,
        "skip=0&limit=100",
    ],
)
def test_no_part_shows_others_records(private: App, part: str) -> None:
    own = {note["_id"] for note in private.ask("GET /notes", actor="ada").json()}

    answer = private.ask(f"GET /notes?count=1&{part}", actor="ada")

    assert {note["_id"] for note in answer.json()} == own
    assert answer.headers["x-total-count"] == "2"


def test_guests_see_nothing_owned(app: App) -> None:
    app.backpack.set_rules({"notes": {"read": "owner", "list": "public", "create": "public"}})
    app.backpack.seed({"collections": {"notes": [{"n": 1}, {"n": 2, "userId": None}]}})

    answer = app.ask("GET /notes?count=1", actor="guest")

    assert (answer.json(), answer.headers["x-total-count"]) == ([], "0")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("actor", ["guest", "bob"])
def test_public_changes_stop_at_what_is_read(app: App, method: str, actor: str) -> None:
    every = {"update": "public", "delete": "public", "read": "owner"}
    app.backpack.set_rules({"notes": every})
    (note,) = app.make("notes", {"n": 1}, actor="ada")

    answer = app.ask(f"{method} /notes/{note['_id']}", {"n": 2}, actor=actor)

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert app.ask(f"GET /notes/{note['_id']}", actor="ada").json() == note


def test_rules_tell_nothing_about_collections(app: App) -> None:
    app.make("secret")

    known = app.ask("GET /secret", actor="guest")
    unknown = app.ask("GET /nothing", actor="guest")

    assert (known.status_code, known.json()) == (unknown.status_code, unknown.json())


@pytest.mark.parametrize(
    "path", ["/Notes", "/NOTES", "/notes%00", "/notes%20", "/%6eotes", "/notes;x"]
)
def test_spelling_of_path_is_no_way_around(private: App, path: str) -> None:
    answer = private.ask(f"GET {path}", actor="eve")

    assert answer.status_code == 404 or answer.json() == []
