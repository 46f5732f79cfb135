"""The console of a backpack over the panel's websocket: who is let in, until when, the audit."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from tests.panel import PASSWORD, PanelClient, PanelServer
from tests.servings import wait_until
from tests.talk import Socket, open_socket

PATH = "/backpacks/shop/console"
_numbers = itertools.count(1)


def enter(client: PanelClient, path: str = PATH, **headers: str) -> Socket:
    """A console, as a page of the panel opens it, with `headers` in place of the page's."""
    sent = {"cookie": client.cookie, "origin": client.origin, **headers}
    return open_socket(
        client.address + path,
        host=client.host,
        headers={name: value for name, value in sent.items() if value},
        greeted=False,
    )


def refused(client: PanelClient, path: str = PATH, **headers: str) -> int:
    """The status that a console is refused with."""
    with pytest.raises(InvalidStatus) as refusal:
        enter(client, path, **headers)
    return refusal.value.response.status_code


def ask(socket: Socket, action: str, model: str, data: Any = None, **more: Any) -> Any:
    answer = socket.ask({"action": action, "model": model, "data": data, **more})
    assert answer["type"] == "success", answer
    return answer["data"]


def noted(server: PanelServer) -> list[tuple[str, Any]]:
    """Actions and details of the audit, the first first."""
    entries = server.call(server.registry.audit.of_backpack("shop"))
    return [(entry.action, entry.detail) for entry in reversed(entries)]


def test_console_is_relayed(server: PanelServer, shop: Any) -> None:
    with_ann = enter(server.developer("ann"))

    ask(with_ann, "post", "collections", {"name": "cars"})
    made = ask(with_ann, "post", "documents", {"n": 1}, collection="cars")

    page = ask(with_ann, "get", "documents", collection="cars")
    assert page == {"items": [made], "total": 1}
    with_ann.close()


def test_changes_of_others_are_seen(server: PanelServer, shop: Any) -> None:
    server.share("shop", server.developer("bob"), role="member")
    with_ann, with_bob = enter(server.developer("ann")), enter(server.developer("bob"))
    ask(with_bob, "get", "rules")  # it listens

    ask(with_ann, "post", "collections", {"name": "cars"})
    made = ask(with_ann, "post", "documents", {"n": 1}, collection="cars")

    told = [with_bob.receive(), with_bob.receive()]
    assert told[1] == {
        "type": "event",
        "action": "post",
        "model": "documents",
        "collection": "cars",
        "data": made,
    }
    with_ann.close()
    with_bob.close()


@pytest.mark.parametrize("origin", ["http://shop.bkpk.localhost", "null", "", "https://evil.com"])
def test_foreign_pages_cannot_open_console(server: PanelServer, shop: Any, origin: str) -> None:
    assert refused(server.developer("ann"), origin=origin) == 403


def test_hosted_site_cannot_open_console(server: PanelServer, shop: Any) -> None:
    assert refused(server.developer("ann"), origin=shop.frontend) == 403


def test_stranger_cannot_open_console(server: PanelServer, shop: Any) -> None:
    assert refused(server.stranger()) == 401
    assert refused(server.developer("ann"), cookie="__Host-backpack=forged") == 401


def test_console_of_others_is_not_there(server: PanelServer, shop: Any) -> None:
    assert refused(server.developer("carol")) == 404
    assert refused(server.developer("carol"), "/backpacks/none/console") == 404
    assert refused(server.operator(), "/backpacks/none/console") == 404


def test_plain_request_is_no_console(server: PanelServer, shop: Any) -> None:
    ann = server.developer("ann")

    answer = ann.ask(f"GET {PATH}", headers={"origin": ann.origin})

    assert (answer.status_code, answer.json()["code"]) == (400, "bad_upgrade")


def test_end_of_session_ends_console(server: PanelServer, shop: Any) -> None:
    ann = server.developer("ann")
    socket, other = enter(ann), enter(server.developer("ann"))

    server.call(server.registry.sessions.end(ann.token))

    assert socket.code() == 4401
    assert ask(other, "get", "rules") == {}
    other.close()


@pytest.mark.parametrize(
    "ending",
    [
        pytest.param("DELETE /api/account/sessions", id="log out everywhere"),
        pytest.param("PUT /api/account/password", id="new password"),
        pytest.param("DELETE /api/developers/{id}", id="removed"),
        pytest.param("POST /logout", id="logged out"),
    ],
)
def test_what_ends_sessions_ends_consoles(server: PanelServer, shop: Any, ending: str) -> None:
    name = f"leaver-{next(_numbers)}"
    here, there = server.developer(name), server.developer(name)
    server.share("shop", here)
    assert here.developer is not None
    own = ending == "POST /logout"
    socket = enter(here if own else there)

    by = server.operator() if "{id}" in ending else here
    body = {"current": PASSWORD, "new": "another password"} if "password" in ending else None
    answer = by.ask(ending.format(id=here.developer.id), body)

    assert answer.status_code == 200
    assert socket.code() == 4401


def test_operator_no_more_hears_no_more(server: PanelServer, shop: Any) -> None:
    former = server.operator(f"former-{next(_numbers)}")
    assert former.developer is not None
    socket = enter(former)

    path = f"/api/developers/{former.developer.id}"
    answer = server.operator().ask(f"PUT {path}", {"role": "developer"})

    assert answer.status_code == 200
    assert socket.code() == 4401


def test_end_of_membership_ends_console(server: PanelServer, shop: Any) -> None:
    bob = server.developer("bob")
    server.share("shop", bob, role="member")
    socket = enter(bob)

    assert bob.developer is not None
    server.call(server.registry.backpacks.remove_member("shop", bob.developer.id))

    assert socket.code() == 4401
    assert refused(bob) == 404


def test_changes_are_noted_without_contents(server: PanelServer, shop: Any) -> None:
    socket = enter(server.developer("ann"))
    before = len(noted(server))

    ask(socket, "post", "collections", {"name": "cars"})
    made = ask(socket, "post", "documents", [{"secret": "s3cret"}, {}], collection="cars")
    first, second = (one["_id"] for one in made)
    ask(socket, "patch", "documents", {"_id": first, "secret": "s3cret"}, collection="cars")
    ask(socket, "put", "documents", {"_id": first, "secret": "s3cret"}, collection="cars")
    ask(socket, "delete", "documents", first, collection="cars")
    ask(socket, "delete", "documents", [first, second], collection="cars")
    account = {"email": "u@example.com", "password": "s3cret s3cret"}
    user = ask(socket, "post", "users", account)
    named = {"_id": user["_id"], "email": "u@example.com"}
    own, foreign = "https://www.example.com", "https://other.example"
    ask(socket, "patch", "users", {"_id": user["_id"], "password": "s3cret s3cret 2"})
    ask(socket, "delete", "sessions", {"userId": user["_id"]})
    ask(socket, "delete", "users", user["_id"])
    ask(socket, "put", "rules", {"cars": {"read": "owner"}, "cors.origins": [own, foreign]})
    ask(socket, "put", "rules", {"files.read": "public", "cors.origins": [own]})
    ask(socket, "post", "key")
    ask(socket, "post", "key", {"now": True})
    ask(socket, "delete", "collections", {"name": "cars"})
    socket.close()

    assert noted(server)[before:] == [
        ("collection.create", {"collection": "cars"}),
        ("document.create", {"collection": "cars", "count": 2, "ids": [first, second]}),
        ("document.change", {"collection": "cars", "count": 1, "ids": [first]}),
        ("document.replace", {"collection": "cars", "count": 1, "ids": [first]}),
        ("document.delete", {"collection": "cars", "count": 1, "ids": [first]}),
        ("document.delete", {"collection": "cars", "count": 1, "ids": [second]}),
        ("user.create", named),
        ("user.password", named),
        ("session.end", {"userId": user["_id"]}),
        ("user.delete", named),
        (
            "rules.set",
            {
                "count": 1,
                "changed": {"cars": {"from": None, "to": {"read": "owner"}}},
                "origins_added": [own, foreign],
            },
        ),
        (
            "rules.set",
            {
                "count": 2,
                "changed": {
                    "cars": {"from": {"read": "owner"}, "to": None},
                    "files.read": {"from": None, "to": "public"},
                },
                "origins_removed": [foreign],
            },
        ),
        ("key.rotate", {"now": False}),
        ("key.rotate", {"now": True}),
        ("collection.delete", {"collection": "cars"}),
    ]


def test_delete_in_pieces_is_noted_once(server: PanelServer, shop: Any) -> None:
    socket = enter(server.developer("ann"))
    ask(socket, "post", "collections", {"name": "cars"})
    ids = [ask(socket, "post", "documents", {"n": n}, collection="cars")["_id"] for n in range(9)]
    before = len(noted(server))
    old, rest = {"n": {"$lt": 5}}, {"n": {"$gte": 5}}

    def delete(asked: dict[str, Any], **more: Any) -> None:
        ask(socket, "delete", "documents", collection="cars", filter=asked, limit=2, **more)

    delete(old)
    delete(old, goesOn=True)
    delete(old, goesOn=True)
    delete(rest, goesOn=True)  # with another one
    delete(rest)
    socket.close()

    told = {"collection": "cars", "filter": old}
    others = {"collection": "cars", "filter": rest}
    assert noted(server)[before:] == [
        ("document.delete", {**told, "count": 5, "ids": ids[:5]}),
        ("document.delete", {**others, "count": 2, "ids": ids[5:7]}),
        ("document.delete", {**others, "count": 2, "ids": ids[7:]}),
    ]


def test_failures_and_reads_are_not_noted(server: PanelServer, shop: Any) -> None:
    socket = enter(server.developer("ann"))
    before = noted(server)

    ask(socket, "get", "users")
    messages: list[Any] = [{}, [], {"action": "put", "model": "rules", "data": 1}]
    for message in messages:
        if isinstance(message, dict):
            assert socket.ask(message)["type"] == "failure"
        else:
            socket.send(message)
            assert socket.receive()["type"] == "failure"
    socket.close()

    assert noted(server) == before


def test_change_is_noted_though_page_has_gone(server: PanelServer, shop: Any) -> None:
    socket = enter(server.developer("ann"))
    ask(socket, "post", "collections", {"name": "cars"})
    documents = [{"n": n} for n in range(1_000)]

    socket.send({"action": "post", "model": "documents", "data": documents, "collection": "cars"})
    while socket.receive().get("model") != "documents":
        pass
    socket.connection.socket.close()

    wait_until(lambda: noted(server)[-1][0] == "document.create")
    assert noted(server)[-1][1]["count"] == 1_000


def test_console_ends_with_its_backpack(server: PanelServer, shop: Any) -> None:
    socket = enter(server.developer("ann"))
    ask(socket, "get", "rules")
    assert server._tenants is not None

    server.call(server._tenants.close_sockets(1012))

    assert socket.code() == 1012


def test_one_developer_cannot_open_any_number(server: PanelServer, shop: Any) -> None:
    dave = server.developer("dave")
    server.share("shop", dave)
    sockets = [enter(dave) for _ in range(100)]

    assert enter(dave).code() == 4429

    for socket in sockets:
        socket.close()


def test_too_large_message_is_refused(server: PanelServer, shop: Any) -> None:
    socket = enter(server.developer("ann"))

    socket.send({"action": "get", "model": "rules", "data": "x" * 1_200_000})

    assert socket.code() == 1009
