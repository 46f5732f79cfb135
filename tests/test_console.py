"""The console: every model and action on every deployment, and what it hears."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from backpack.console.handler import MAX_BACKLOG, MODELS
from backpack.errors import BadRequest, Conflict, Invalid, NotFound, Unavailable
from tests.deployments import App
from tests.desks import Desk, desk

__all__ = ["desk"]

PASSWORD = "correct horse"
NOWHERE = "0" * 24


def without_stamps(record: dict[str, Any]) -> dict[str, Any]:
    return {name: record[name] for name in record if name not in ("createdAt", "updatedAt")}


async def content(*blocks: bytes) -> AsyncIterator[bytes]:
    for block in blocks:
        yield block


def upload(app: App, filename: str, data: bytes = b"hello", *, actor: str = "ada") -> None:
    files = {"file": (filename, data, "text/plain")}
    httpx.post(
        f"{app.address}/uploads",
        headers={"host": app.host, **app.headers(actor)},
        data={"bucket": "", "filename": filename},
        files=files,
    ).raise_for_status()


# Documents


def test_documents_come_in_pages(app: App, desk: Desk) -> None:
    app.make("cars", *({"n": n} for n in range(5)))

    page = desk.ask("get", "documents", collection="cars", sort="-n", skip=1, limit=2)

    assert ([one["n"] for one in page["items"]], page["total"]) == ([3, 2], 5)


def test_documents_are_filtered(app: App, desk: Desk) -> None:
    app.make("cars", *({"n": n} for n in range(5)))

    page = desk.ask("get", "documents", collection="cars", filter={"n": {"$gte": 3}})

    assert ([one["n"] for one in page["items"]], page["total"]) == ([3, 4], 2)


@pytest.mark.parametrize(
    ("skip", "limit", "found"),
    [(0, 3, 3), (0, 5, 5), (0, 6, 5), (3, 2, 2), (3, 3, 2), (5, 1, 0), (9, 9, 0)],
)
def test_total_is_of_all_pages(app: App, desk: Desk, skip: int, limit: int, found: int) -> None:
    app.make("cars", *({"n": n} for n in range(5)))

    page = desk.ask("get", "documents", collection="cars", skip=skip, limit=limit)

    assert (len(page["items"]), page["total"]) == (found, 5)


def test_document_is_got(app: App, desk: Desk) -> None:
    (made,) = app.make("cars", {"n": 1})

    assert desk.ask("get", "documents", {"_id": made["_id"]}, collection="cars") == made


def test_rules_do_not_hold_back_console(app: App, desk: Desk) -> None:
    app.backpack.seed({"collections": {"cars": [{"n": 1}]}})
    app.backpack.set_rules({"cars": dict.fromkeys(("list", "read", "create", "delete"), "none")})

    (held,) = desk.ask("get", "documents", collection="cars")["items"]
    made = desk.ask("post", "documents", {"n": 2}, collection="cars")

    assert (held["n"], made["n"]) == (1, 2)


def test_document_is_posted_and_broadcast(app: App, desk: Desk) -> None:
    app.make("cars")
    socket = app.socket("bob")

    made = desk.ask("post", "documents", {"n": 1}, collection="cars")

    assert without_stamps(made) == {"_id": made["_id"], "n": 1}
    assert app.ask(f"GET /cars/{made['_id']}").json() == made
    assert app.heard(socket) == [
        [{"action": "create", "collection": "cars", "httpRequest": True, "response": made}]
    ]


def test_console_changes_are_broadcast_by_rules(app: App, desk: Desk) -> None:
    app.make("cars")
    app.backpack.set_rules({"cars": {"read": "owner"}})
    ada, bob = app.socket("ada"), app.socket("bob")

    made = desk.ask("post", "documents", {"userId": app.user_id("ada")}, collection="cars")

    heard = [[frame["response"] for frame in frames] for frames in app.heard(ada, bob)]
    assert heard == [[made], []]


def test_documents_are_posted_all_or_none(app: App, desk: Desk) -> None:
    app.make("cars")
    ids = [one["_id"] for one in desk.ask("post", "documents", [{}, {}], collection="cars")]

    with pytest.raises(Invalid):
        desk.ask("post", "documents", [{"n": 1}, {"$n": 1}], collection="cars")

    items = desk.ask("get", "documents", collection="cars")["items"]
    assert [one["_id"] for one in items] == ids


def test_exported_document_keeps_its_stamps(app: App, desk: Desk) -> None:
    (made,) = app.make("cars", {"n": 1})
    app.ask(f"DELETE /cars/{made['_id']}")

    assert desk.ask("post", "documents", made, collection="cars") == made
    assert app.ask(f"GET /cars/{made['_id']}").json() == made


def test_document_is_replaced(app: App, desk: Desk) -> None:
    (made,) = app.make("cars", {"n": 1, "old": True})
    socket = app.socket("bob")

    put = desk.ask("put", "documents", {"_id": made["_id"], "n": 2}, collection="cars")

    assert without_stamps(put) == {"_id": made["_id"], "n": 2}
    assert [frame["action"] for frame in app.heard(socket)[0]] == ["update"]


def test_document_is_merged(app: App, desk: Desk) -> None:
    (made,) = app.make("cars", {"n": 1, "o": {"a": 1}, "gone": 1})
    socket = app.socket("bob")

    patch = {"_id": made["_id"], "n": 2, "o.b": 2, "gone": None}
    merged = desk.ask("patch", "documents", patch, collection="cars")

    assert without_stamps(merged) == {"_id": made["_id"], "n": 2, "o": {"a": 1, "b": 2}}
    assert [frame["action"] for frame in app.heard(socket)[0]] == ["patch"]


@pytest.mark.parametrize("action", ["put", "patch"])
def test_document_is_changed_as_it_was_seen(app: App, desk: Desk, action: str) -> None:
    (made,) = app.make("cars", {"n": 1})
    new = {"_id": made["_id"], "n": 2}

    with pytest.raises(Conflict) as failure:
        desk.ask(action, "documents", new, collection="cars", was="2026-01-01T00:00:00.000Z")
    held = desk.ask("get", "documents", {"_id": made["_id"]}, collection="cars")
    changed = desk.ask(action, "documents", new, collection="cars", was=made["updatedAt"])

    assert failure.value.code == "changed_meanwhile"
    assert held == made
    assert without_stamps(changed) == new


def test_document_is_deleted(app: App, desk: Desk) -> None:
    (made,) = app.make("cars", {"n": 1})
    socket = app.socket("bob")

    assert desk.ask("delete", "documents", made["_id"], collection="cars") == made
    assert [frame["action"] for frame in app.heard(socket)[0]] == ["delete"]


def test_documents_are_deleted_as_far_as_they_are_there(app: App, desk: Desk) -> None:
    made = app.make("cars", *({"n": n} for n in range(3)))
    ids = [one["_id"] for one in made]

    deleted = desk.ask("delete", "documents", [ids[0], NOWHERE, ids[2]], collection="cars")

    assert deleted == [ids[0], ids[2]]
    assert app.ask("GET /cars").json() == [made[1]]


def test_documents_are_deleted_by_a_filter(app: App, desk: Desk) -> None:
    made = app.make("cars", *({"n": n} for n in range(250)))
    ids = [one["_id"] for one in made]

    first = desk.ask("delete", "documents", collection="cars", filter={"n": {"$gte": 5}}, limit=240)
    rest = desk.ask("delete", "documents", collection="cars", filter={"n": {"$gte": 5}}, limit=240)
    none = desk.ask("delete", "documents", collection="cars", filter={"n": 7})

    assert (first, rest, none) == (ids[5:245], ids[245:], [])
    assert app.ask("GET /cars").json() == made[:5]
    with pytest.raises(BadRequest):
        desk.ask("delete", "documents", collection="cars", filter={"$where": "1"})
    with pytest.raises(Invalid):
        desk.ask("delete", "documents", collection="cars")


@pytest.mark.parametrize("action", ["get", "put", "patch"])
def test_document_that_is_not_there_is_not_found(app: App, desk: Desk, action: str) -> None:
    app.make("cars")

    with pytest.raises(NotFound) as failed:
        desk.ask(action, "documents", {"_id": NOWHERE}, collection="cars")

    assert failed.value.code == "not_found"


@pytest.mark.parametrize("name", ["bikes", "_users", "_backpack", "a/b"])
def test_only_collections_have_documents(desk: Desk, name: str) -> None:
    with pytest.raises(NotFound) as failed:
        desk.ask("get", "documents", collection=name)

    assert failed.value.code == "unknown_collection"


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"filter": {"$where": "1"}}, "bad_filter"),
        ({"sort": "a,,b"}, "bad_query"),
        ({"skip": -1}, "bad_message"),
        ({"limit": 1_001}, "bad_message"),
        ({"limit": True}, "bad_message"),
        ({"data": 1}, "bad_message"),
    ],
    ids=str,
)
def test_bad_query_is_refused(app: App, desk: Desk, more: dict[str, Any], code: str) -> None:
    app.make("cars")

    with pytest.raises(Invalid) as failed:
        desk.ask("get", "documents", collection="cars", **more)

    assert failed.value.code == code


def test_page_is_far_behind(app: App, desk: Desk) -> None:
    app.make("cars")
    for start in range(0, 3_000, 1_000):
        batch = [{"n": start + n} for n in range(1_000)]
        desk.ask("post", "documents", batch, collection="cars")

    page = desk.ask("get", "documents", collection="cars", sort="-n", skip=2_000, limit=1_000)

    assert [page["items"][at]["n"] for at in (0, -1)] == [999, 0]
    assert (len(page["items"]), page["total"]) == (1_000, 3_000)


# Collections


def test_collections_are_counted(app: App, desk: Desk) -> None:
    app.make("cars", {}, {})
    app.make("bikes")

    assert desk.ask("get", "collections") == [
        {"name": "bikes", "documents": 0},
        {"name": "cars", "documents": 2},
    ]


def test_collection_is_made_and_deleted(app: App, desk: Desk) -> None:
    assert desk.ask("post", "collections", {"name": "cars"}) == {"name": "cars"}
    assert desk.hear("collections") == {"action": "post", "data": {"name": "cars"}}
    app.ask("POST /cars", {"n": 1})

    assert desk.ask("delete", "collections", {"name": "cars"}) == {"name": "cars"}
    assert desk.hear("collections") == {"action": "delete", "data": {"name": "cars"}}
    assert desk.ask("get", "collections") == []


def test_end_of_collection_is_told_to_who_resumes(app: App, desk: Desk) -> None:
    app.make("cars", {"n": 1})
    plain, resuming = app.socket("ada"), app.socket("ada", resume="")

    desk.ask("delete", "collections", {"name": "cars"})

    heard = [[frame["action"] for frame in frames] for frames in app.heard(plain, resuming)]
    assert heard == [[], ["reload"]]


def test_bad_collection_name_is_refused(desk: Desk) -> None:
    with pytest.raises(Invalid) as failed:
        desk.ask("post", "collections", {"name": "users"})

    assert failed.value.fields == {"collectionName": "is reserved"}
    with pytest.raises(NotFound):
        desk.ask("delete", "collections", {"name": "_users"})


# Users and sessions


def test_users_come_in_pages(app: App, desk: Desk) -> None:
    ids = [app.user_id(name) for name in ("ada", "bob", "eve")]

    page = desk.ask("get", "users", sort="-email", skip=1, limit=1)

    (bob,) = page["items"]
    assert page["total"] == 3
    assert without_stamps(bob) == {"_id": ids[1], "email": "bob@example.com"}


@pytest.mark.parametrize("search", ["DA@", "{id}"])
def test_users_are_searched(app: App, desk: Desk, search: str) -> None:
    app.user_id("bob")
    search = search.format(id=app.user_id("ada"))

    page = desk.ask("get", "users", search=search)

    assert ([one["email"] for one in page["items"]], page["total"]) == (["ada@example.com"], 1)


@pytest.mark.parametrize("search", ["argon2", ".*", "$"])
def test_search_for_users_sees_addresses_only(app: App, desk: Desk, search: str) -> None:
    app.user_id("ada")

    assert desk.ask("get", "users", search=search) == {"items": [], "total": 0}


def test_user_is_made_and_may_log_in(app: App, desk: Desk) -> None:
    account = {"email": "New@Example.com", "password": PASSWORD}

    made = desk.ask("post", "users", account)

    assert made == {**made, "email": "new@example.com"}
    assert set(made) == {"_id", "email", "createdAt"}
    assert app.ask("POST /login", account, actor="guest").json() == {"id": made["_id"]}


def test_weak_password_is_refused(desk: Desk) -> None:
    with pytest.raises(Invalid) as failed:
        desk.ask("post", "users", {"email": "a@example.com", "password": "short"})

    assert failed.value.fields == {"password": "must have at least 8 characters"}


def test_new_password_ends_sessions(app: App, desk: Desk) -> None:
    ada, socket = app.user_id("ada"), app.socket("ada")

    desk.ask("patch", "users", {"_id": ada, "password": "another horse"})

    assert socket.code() == 4401
    login = {"email": "ada@example.com", "password": "another horse"}
    assert app.ask("POST /login", login, actor="guest").status_code == 200


def test_deleted_user_is_gone(app: App, desk: Desk) -> None:
    ada, socket = app.user_id("ada"), app.socket("ada")

    deleted = desk.ask("delete", "users", ada)

    assert deleted["email"] == "ada@example.com"
    assert socket.code() == 4401
    assert desk.ask("get", "users")["items"] == []
    with pytest.raises(NotFound) as failed:
        desk.ask("delete", "users", ada)
    assert failed.value.code == "unknown_user"


def test_sessions_of_user_are_listed_without_tokens(app: App, desk: Desk) -> None:
    ada = app.user_id("ada")
    app.backpack.login("ada@example.com")

    found = desk.ask("get", "sessions", {"userId": ada})

    assert [set(one) for one in found] == [{"_id", "userId", "email", "expires"}] * 2
    assert app.token("ada") not in str(found)


def test_session_is_ended(app: App, desk: Desk) -> None:
    ada, socket = app.user_id("ada"), app.socket("ada")
    (session,) = desk.ask("get", "sessions", {"userId": ada})

    desk.ask("delete", "sessions", {"_id": session["_id"]})

    assert socket.code() == 4401
    assert desk.ask("get", "sessions", {"userId": ada}) == []
    with pytest.raises(NotFound):
        desk.ask("delete", "sessions", {"_id": session["_id"]})


def test_all_sessions_of_user_are_ended(app: App, desk: Desk) -> None:
    ada, bob = app.socket("ada"), app.socket("bob")

    desk.ask("delete", "sessions", {"userId": app.user_id("ada")})

    assert ada.code() == 4401
    assert bob.ask({"action": "presence"})["action"] == "presence"


# Files


def test_files_come_in_pages(app: App, desk: Desk) -> None:
    for name in ("b.txt", "a.txt", "c.png"):
        upload(app, name)
    upload(app, "d.txt", actor="bob")

    page = desk.ask("get", "uploads", sort="filename", search="TXT", userId=app.user_id("ada"))

    assert [one["filename"] for one in page["items"]] == ["a.txt", "b.txt"]
    assert desk.ask("get", "uploads")["total"] == 4
    assert "content" not in page["items"][0]


def test_file_is_read_whatever_the_rules(app: App, desk: Desk) -> None:
    upload(app, "a.txt")
    app.backpack.set_rules({"files.read": "none", "files.list": "none"})

    async def read() -> tuple[Any, bytes]:
        metadata, blocks = await desk.console.read_file(app.user_id("ada"), "a.txt")
        return metadata["type"], b"".join([block async for block in blocks])

    assert desk.call(read()) == ("text/plain", b"hello")


def test_file_is_saved_for_user(app: App, desk: Desk) -> None:
    ada = app.user_id("ada")

    saved = desk.call(desk.console.save_file(content(b"one ", b"two"), "a.txt", "text/plain", ada))

    assert (saved["userId"], saved["size"]) == (ada, 7)
    assert app.ask(f"GET /uploads/{ada}/a.txt").content == b"one two"


def test_saved_file_is_replaced_when_that_is_wanted(app: App, desk: Desk) -> None:
    save = desk.console.save_file
    first = desk.call(save(content(b"1"), "a.txt", "text/plain"))

    with pytest.raises(BadRequest) as failed:
        desk.call(save(content(b"2"), "a.txt", "text/plain"))
    again = desk.call(save(content(b"22"), "a.txt", "text/plain", replace=True))

    assert failed.value.code == "file_exists"
    assert (again["_id"], again["size"]) == (first["_id"], 2)
    assert app.ask(f"GET /uploads/{first['userId']}/a.txt").content == b"22"


def test_file_is_renamed(app: App, desk: Desk) -> None:
    upload(app, "a.txt")
    key = {"userId": app.user_id("ada"), "filename": "a.txt"}

    renamed = desk.ask("patch", "uploads", {**key, "changes": {"filename": "b.txt"}})

    assert renamed["filename"] == "b.txt"
    assert app.ask(f"GET /uploads/{key['userId']}/b.txt").content == b"hello"


def test_files_are_deleted(app: App, desk: Desk) -> None:
    ada = app.user_id("ada")
    for name in ("a.txt", "b.txt"):
        upload(app, name)

    names = ("a.txt", "x.txt", "b.txt")
    deleted = desk.ask("delete", "uploads", [{"userId": ada, "filename": name} for name in names])

    assert [one["filename"] for one in deleted] == ["a.txt", "b.txt"]
    assert app.ask(f"GET /uploads/{ada}").json() == {"records": []}


# Configuration


def test_rules_of_another_are_not_overwritten(app: App, desk: Desk) -> None:
    first, second = {"cars": {"list": "public"}}, {"cars": {"list": "none"}}
    desk.ask("put", "rules", first, was={})

    with pytest.raises(Conflict) as failed:
        desk.ask("put", "rules", second, was={})
    held = desk.ask("get", "rules")

    assert failed.value.code == "changed_meanwhile"
    assert held == first
    assert desk.ask("put", "rules", second, was=first) == second


def test_rules_are_set(app: App, desk: Desk) -> None:
    rules = {"cars": {"list": "public"}, "cors.origins": ["https://example.com"]}

    assert desk.ask("get", "rules") == {}
    assert desk.ask("put", "rules", rules) == rules
    assert desk.hear("rules") == {"action": "put", "data": rules}
    assert desk.ask("get", "rules") == rules


def test_bad_rules_are_refused_by_entry(desk: Desk) -> None:
    with pytest.raises(Invalid) as failed:
        desk.ask("put", "rules", {"cars": {"list": "all"}})

    assert failed.value.fields == {"cars.list": "must be one of public, user, owner, none"}


def test_key_is_rotated(app: App, desk: Desk) -> None:
    before = desk.ask("get", "key")

    after = desk.ask("post", "key", {"now": True})

    assert before == {"apiKey": app.backpack.api_key, "previousUntil": None}
    assert after["apiKey"] != before["apiKey"]
    assert desk.hear("key") == {"action": "post", "data": after}
    assert app.ask("GET /collections", actor="guest").status_code == 401


def test_stats_count_everything(app: App, desk: Desk) -> None:
    app.make("cars", {}, {})
    upload(app, "a.txt")

    stats = desk.ask("get", "stats")

    assert {name: stats[name] for name in ("collections", "documents", "users", "uploads")} == {
        "collections": 1,
        "documents": 2,
        "users": 2,
        "uploads": 1,
    }


# What is heard


def test_changes_by_app_are_heard(app: App, desk: Desk) -> None:
    app.make("cars")
    made = app.ask("POST /cars", {"n": 1}).json()
    merged = app.ask(f"PATCH /cars/{made['_id']}", {"n": 2}).json()
    put = app.ask(f"PUT /cars/{made['_id']}", {"n": 3}).json()
    app.ask(f"DELETE /cars/{made['_id']}")

    assert [desk.hear("documents") for _ in range(4)] == [
        {"action": "post", "collection": "cars", "data": made},
        {"action": "patch", "collection": "cars", "data": merged},
        {"action": "put", "collection": "cars", "data": put},
        {"action": "delete", "collection": "cars", "data": put},
    ]


@pytest.mark.parametrize("broadcast", [False, "false"])
def test_changes_that_nobody_is_told_of_are_heard(app: App, desk: Desk, broadcast: Any) -> None:
    app.make("cars")
    socket = app.socket("bob")

    answer = socket.ask(
        {"action": "create", "collection": "cars", "data": {"broadcast": broadcast}}
    )

    assert desk.hear("documents")["data"] == answer["response"]
    assert app.heard(socket) == [[]]


def test_channels_are_heard(app: App, desk: Desk) -> None:
    socket = app.socket("ada")
    info = {"usersInformationCollection": "people"}
    made = socket.ask({"action": "createChannel", **info, "channelType": "rooms", "name": "hall"})
    channel = made["response"]
    socket.ask(
        {
            "action": "deleteChannel",
            **info,
            "channelMessagesCollection": "messages",
            "channelType": "rooms",
            "channelId": channel["_id"],
        }
    )

    heard = [desk.hear("documents") for _ in range(5)]

    assert {"action": "post", "collection": "rooms", "data": channel} in heard
    assert {"action": "delete", "collection": "rooms", "data": channel} in heard
    people = [one["data"]["channels"] for one in heard if one["collection"] == "people"]
    entry = {"channelType": "rooms", "channelId": channel["_id"]}
    assert people == [[], [entry], []]


def test_accounts_and_sessions_are_heard(app: App, desk: Desk) -> None:
    account = {"email": "ada@example.com", "password": PASSWORD}
    user = app.ask("POST /register", account, actor="guest").json()["id"]
    token = app.ask("POST /login", {**account, "token": True}, actor="guest").json()["token"]
    app.ask("POST /logout", headers={"x-backpack-session": token}, actor="guest")

    added = desk.hear("users")
    begun, ended = desk.hear("sessions"), desk.hear("sessions")
    assert (added["action"], added["data"]["_id"]) == ("post", user)
    assert set(added["data"]) == {"_id", "email", "createdAt", "updatedAt"}
    assert (begun["action"], begun["data"]["userId"]) == ("post", user)
    assert ended == {"action": "delete", "data": {"_id": begun["data"]["_id"]}}
    assert token not in str(begun)


def test_uploads_are_heard(app: App, desk: Desk) -> None:
    upload(app, "a.txt")
    app.ask("DELETE /uploads/a.txt", actor="ada")

    added, deleted = desk.hear("uploads"), desk.hear("uploads")
    assert (added["action"], added["data"]["filename"]) == ("post", "a.txt")
    assert deleted == {"action": "delete", "data": added["data"]}


def test_changes_by_other_console_are_heard(app: App, desk: Desk) -> None:
    app.make("cars")
    other = Desk(app.backpack._server, app.backpack.name)

    made = other.ask("post", "documents", {"n": 1}, collection="cars")
    other.close()

    assert desk.hear("documents") == {"action": "post", "collection": "cars", "data": made}


# Messages


def test_answers_name_what_was_asked(app: App, desk: Desk) -> None:
    app.make("cars")

    answers = [
        desk.send({"action": "get", "model": "rules", "requestId": 7}),
        desk.send({"action": "put", "model": "rules", "data": [], "requestId": "x"}),
        desk.send({"action": "get", "model": "cars"}),
    ]

    models = ", ".join(MODELS)
    assert answers == [
        {"type": "success", "action": "get", "model": "rules", "requestId": 7, "data": {}},
        {
            "type": "failure",
            "action": "put",
            "model": "rules",
            "requestId": "x",
            "status": 422,
            "data": {"message": "Rules must be a JSON object", "code": "bad_rules"},
        },
        {
            "type": "failure",
            "action": "get",
            "model": "cars",
            "status": 422,
            "data": {
                "message": f"model must be one of {models}",
                "code": "bad_message",
                "fields": {"model": f"must be one of {models}"},
            },
        },
    ]


@pytest.mark.parametrize("raw", [b"{", b"[]", b"1", b'{"action":1}', b'{"requestId":{}}'])
def test_bad_messages_are_answered(desk: Desk, raw: bytes) -> None:
    answer = desk.send(raw)

    assert answer["type"] == "failure"
    assert answer["data"]["code"] in ("bad_json", "bad_message")


def test_every_action_takes_any_message(app: App, desk: Desk) -> None:
    app.make("cars")
    values: list[Any] = [None, 1, "x", [], {}, [1], {"_id": 1}, {"name": []}, {"userId": {}}]
    for model, actions in MODELS.items():
        for action in actions:
            for value in values:
                message = {"action": action, "model": model, "data": value}
                for more in ({}, {"collection": "cars"}, {"collection": value}):
                    answer = desk.send({**message, **more})
                    assert isinstance(answer["data"], list) or (
                        answer["data"].get("code") != "internal_error"
                    ), (message, answer)


def test_slow_console_is_closed(app: App, desk: Desk) -> None:
    app.make("cars")
    large = {"text": "x" * 900_000}

    for _ in range(MAX_BACKLOG // 900_000 + 4):
        app.ask("POST /cars", large)

    with pytest.raises(Unavailable):
        desk.ask("get", "collections")  # the answer comes behind what it was told before
        desk.next(lambda told: False)


def test_console_ends_with_its_backpack(app: App, desk: Desk) -> None:
    desk.call(app.backpack._server._tenants.close_sockets(1012))  # type: ignore[union-attr]

    with pytest.raises(StopAsyncIteration):
        desk.next(lambda told: False)
