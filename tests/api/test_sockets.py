"""Websockets: who gets one, what each action answers, and who is told of what."""

from __future__ import annotations

import json
from contextlib import suppress
from itertools import pairwise
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.deployments import App, not_in_swarm
from tests.talk import Frame, Socket, open_socket

GREETING = {"action": "connection", "response": "Websocket connection established"}


def refusal(app: App, **options: Any) -> tuple[int, Any]:
    """Status and body that an upgrade is refused with."""
    with pytest.raises(InvalidStatus) as caught:
        app.connect(**options)
    response = caught.value.response
    return response.status_code, json.loads(response.body)


def cookie(app: App, actor: str = "user") -> dict[str, str]:
    return {"cookie": f"{app.cookie}={app.token(actor)}"}


# Who gets one


def test_socket_greets(app: App) -> None:
    assert app.socket().greeting == GREETING


def test_subprotocol_is_selected_and_token_is_not_echoed(app: App) -> None:
    connection = app.socket().connection

    assert connection.subprotocol == "backpack"
    assert connection.response is not None
    assert app.token("user") not in str(connection.response.headers)


def test_only_known_subprotocol_is_selected(app: App) -> None:
    made = app.connect(headers=cookie(app), subprotocols=["graphql-ws", "backpack.session.x"])

    assert (made.greeting, made.connection.subprotocol) == (GREETING, None)


def test_own_frontend_gets_socket_by_cookie(app: App) -> None:
    made = app.connect(headers={**cookie(app), "origin": app.backpack.frontend})

    assert made.greeting == GREETING


def test_cookie_alone_gets_socket(app: App) -> None:
    assert app.connect(headers=cookie(app)).greeting == GREETING


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://evil.bkpk.localhost"])
def test_foreign_page_is_refused(app: App, origin: str) -> None:
    headers = {**cookie(app), "origin": origin}

    assert refusal(app, headers=headers) == (403, {"message": "Unauthorized", "code": "forbidden"})


@not_in_swarm  # which has no such paths
def test_socket_by_path(app: App) -> None:
    offers = ["backpack", f"backpack.session.{app.token('user')}"]
    made = open_socket(f"{app.backpack.url}/", subprotocols=offers)

    assert made.greeting == GREETING
    made.close()


@pytest.mark.parametrize(
    "offers",
    [[], ["backpack"], ["backpack", "backpack.session.nobodys"], ["backpack.session." + "A" * 43]],
    ids=["none", "no-token", "short", "wrong"],
)
def test_without_session_socket_is_closed(app: App, offers: list[str]) -> None:
    assert app.connect(subprotocols=offers, greeted=False).code() == 4401


def test_page_cannot_offer_token(app: App) -> None:
    offers = ["backpack", f"backpack.session.{app.token('user')}"]
    headers = {"origin": app.backpack.frontend}

    assert app.connect(subprotocols=offers, headers=headers, greeted=False).code() == 4401


def test_page_may_offer_token_by_rule(app: App) -> None:
    app.backpack.set_rules({"tokens.browser": True})
    offers = ["backpack", f"backpack.session.{app.token('user')}"]
    headers = {"origin": app.backpack.frontend}

    assert app.connect(subprotocols=offers, headers=headers).greeting == GREETING


HANDSHAKE = {
    "upgrade": "websocket",
    "connection": "Upgrade",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"sec-websocket-version": "8"}, 426),
        ({"sec-websocket-key": "c2hvcnQ="}, 400),
        ({"sec-websocket-key": "!"}, 400),
    ],
    ids=["version", "short-key", "bad-key"],
)
def test_malformed_handshake_is_refused(app: App, change: dict[str, str], status: int) -> None:
    answer = app.ask("GET /", headers={**HANDSHAKE, **change})

    assert (answer.status_code, answer.json()["code"]) == (status, "bad_upgrade")
    assert answer.headers.get("sec-websocket-version") == ("13" if status == 426 else None)


@not_in_swarm  # whose edge passes such an upgrade on as none
def test_upgrade_of_no_connection_is_refused(app: App) -> None:
    answer = app.ask("GET /", headers={**HANDSHAKE, "connection": "keep-alive"})

    assert (answer.status_code, answer.json()["code"]) == (400, "bad_upgrade")
    assert "sec-websocket-version" not in answer.headers


def test_other_path_has_no_socket(app: App) -> None:
    assert app.ask("GET /collections", headers=HANDSHAKE).json() == []


# What actions answer


@pytest.fixture
def socket(app: App) -> Socket:
    """A socket of `user`; there is a collection `cars`."""
    app.backpack.seed({"collections": {"cars": []}})
    return app.socket()


def made(app: App, **data: Any) -> Any:
    return app.ask("POST /cars", data).json()


def test_find_answers(app: App, socket: Socket) -> None:
    red, _ = made(app, color="red"), made(app, color="blue")
    socket.until({"action": "create", "response": _})

    socket.send({"action": "find", "collection": "cars", "query": {"color": "red"}})

    assert socket.receive() == {"action": "find", "collection": "cars", "response": [red]}


def test_get_all_answers(app: App, socket: Socket) -> None:
    records = [made(app, n=1), made(app, n=2)]

    answer = socket.ask({"action": "getAll", "collection": "cars"})

    assert answer == {"action": "getAll", "collection": "cars", "response": records}


def test_get_one_answers(app: App, socket: Socket) -> None:
    record = made(app, n=1)

    answers = [
        socket.ask({"action": "getOne", "collection": "cars", "id": id})["response"]
        for id in (record["_id"], "0" * 24, "malformed")
    ]

    assert answers == [record, None, None]


def test_create_answers(app: App, socket: Socket) -> None:
    socket.send({"action": "create", "collection": "cars", "data": {"n": 1}})

    answer = socket.receive()
    (record,) = app.ask("GET /cars").json()
    assert answer == {"action": "create", "collection": "cars", "response": record}
    assert record["n"] == 1


@pytest.mark.parametrize(
    ("action", "data", "expected"),
    [
        ("update", {"b": 2}, {"b": 2}),
        ("patch", {"b": 2}, {"a": 1, "b": 2}),
        ("patch", {"a": None}, {}),
        ("delete", None, {"a": 1}),
    ],
    ids=["update", "patch", "remove", "delete"],
)
def test_change_answers(
    app: App, socket: Socket, action: str, data: Any, expected: dict[str, Any]
) -> None:
    record = made(app, a=1)
    app.heard(socket)

    message = {"action": action, "collection": "cars", "id": record["_id"]}
    socket.send(message if data is None else {**message, "data": data})
    answer = socket.receive()

    stamps = ("_id", "createdAt", "updatedAt")
    plain = {name: value for name, value in answer["response"].items() if name not in stamps}
    assert (set(answer), plain) == ({"action", "collection", "response"}, expected)
    assert (answer["action"], answer["response"]["_id"]) == (action, record["_id"])
    left = app.ask("GET /cars").json()
    assert left == ([] if action == "delete" else [answer["response"]])


def test_create_of_many_answers_once(app: App, socket: Socket) -> None:
    other = app.socket("other")
    answer = socket.ask({"action": "create", "collection": "cars", "data": [{"n": 1}, {"n": 2}]})

    assert [record["n"] for record in answer["response"]] == [1, 2]
    (told,) = app.heard(other)
    assert told == [
        {"action": "create", "collection": "cars", "response": record}
        for record in answer["response"]
    ]


@pytest.mark.parametrize("action", ["open", "close", "broadcast"])
def test_message_is_passed_on(app: App, socket: Socket, action: str) -> None:
    other = app.socket("other")

    socket.send({"action": action, "custom": "typing", "userId": "forged", "deep": [{"x": None}]})

    told = {
        "action": action,
        "custom": "typing",
        "userId": app.user_id("user"),
        "deep": [{"x": None}],
    }
    assert app.heard(socket, other, after=socket) == [[told], [told]]


@pytest.mark.parametrize("request_id", ["text", 7, 1.5, "", 0, 'quo"te\n'])
def test_request_id_is_the_askers(app: App, socket: Socket, request_id: Any) -> None:
    other = app.socket("other")
    message = {"action": "create", "collection": "cars", "data": {"n": 1}}

    socket.send({**message, "requestId": request_id})

    ((answer,), (told,)) = app.heard(socket, other, after=socket)
    assert answer == {**told, "requestId": request_id}
    assert "requestId" not in told


@pytest.mark.parametrize(
    "message",
    [
        {"action": "find", "collection": "cars", "query": {}},
        {"action": "getAll", "collection": "cars"},
        {"action": "getOne", "collection": "cars", "id": "x"},
        {"action": "create", "collection": "cars", "data": {}},
        {"action": "create", "collection": "cars", "data": []},
        {"action": "create", "collection": "cars", "data": [{}, {}]},
        {"action": "create", "collection": "cars", "data": {"broadcast": False}},
        {"action": "create", "collection": "none", "data": {}},
        {"action": "broadcast"},
        {"action": "broadcast", "broadcast": False},
        {"action": "broadcast", "broadcast": "false"},
        {"action": "presence"},
        {"action": "unheard-of"},
    ],
    ids=lambda message: json.dumps(message)[11:60],
)
def test_asker_gets_one_answer(app: App, socket: Socket, message: Frame) -> None:
    socket.send({**message, "requestId": "r"})

    (told,) = app.heard(socket, after=socket)
    answers = [frame for frame in told if frame.get("requestId") == "r"]
    assert [frame["action"] for frame in answers] in ([message["action"]], ["error"])


def test_sender_of_message_to_nobody_is_answered(app: App, socket: Socket) -> None:
    message = {"action": "broadcast", "broadcast": False, "n": 1}

    assert socket.ask(message) == {**message, "userId": app.user_id("user")}


@pytest.mark.parametrize(
    ("message", "code", "request_"),
    [
        ("{", "bad_json", None),
        ("", "bad_json", None),
        ("nan", "bad_json", None),
        ('"text"', "bad_message", None),
        ("[]", "bad_message", None),
        ("{}", "bad_message", None),
        ('{"action":null}', "bad_message", None),
        ('{"action":["find"]}', "bad_message", None),
        ('{"action":"find"}', "bad_message", "find"),
        ('{"action":"find","collection":7}', "bad_message", "find"),
        ('{"action":"find","collection":"cars","query":[]}', "bad_filter", "find"),
        ('{"action":"find","collection":"cars","query":null}', "bad_filter", "find"),
        ('{"action":"find","collection":"cars","query":{"$where":"1"}}', "bad_filter", "find"),
        ('{"action":"getAll","collection":"_users"}', "unknown_collection", "getAll"),
        ('{"action":"getAll","collection":"users"}', "unknown_collection", "getAll"),
        ('{"action":"getAll","collection":"../cars"}', "unknown_collection", "getAll"),
        ('{"action":"getOne","collection":"cars"}', "bad_message", "getOne"),
        ('{"action":"getOne","collection":"cars","id":{"$gt":""}}', "bad_message", "getOne"),
        ('{"action":"create","collection":"cars","data":7}', "invalid_entry", "create"),
        ('{"action":"create","collection":"cars","data":null}', "invalid_entry", "create"),
        ('{"action":"create","collection":"cars","data":{"_id":"x"}}', "invalid_entry", "create"),
        ('{"action":"create","collection":"cars","data":{"$a":1}}', "invalid_entry", "create"),
        ('{"action":"create","collection":"cars","data":{"n":1e999}}', "bad_number", None),
        ('{"action":"broadcast","n":9223372036854775808}', "bad_number", "broadcast"),
        ('{"action":"update","collection":"cars","id":"x","data":{}}', "not_found", "update"),
        ('{"action":"update","collection":"cars","id":"x"}', "invalid_entry", "update"),
        ('{"action":"patch","collection":"cars","id":"x","data":[]}', "invalid_entry", "patch"),
        ('{"action":"delete","collection":"cars","id":"x"}', "not_found", "delete"),
        ('{"action":"getAll","collection":"cars","requestId":{}}', "bad_message", "getAll"),
        ('{"action":"getAll","collection":"cars","requestId":true}', "bad_message", "getAll"),
        ('{"action":"nope"}', "unknown_action", "nope"),
        ('{"action":"__class__"}', "unknown_action", "__class__"),
        ("[" * 2000 + "]" * 2000, "too_deep", None),
        ('{"action":"broadcast","x":' + "[" * 70 + "]" * 70 + "}", "too_deep", "broadcast"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_bad_message_gets_error(
    socket: Socket, message: str, code: str, request_: str | None
) -> None:
    socket.send(message)

    error = socket.receive()
    assert (error["action"], error["code"], error["request"]) == ("error", code, request_)
    assert isinstance(error["message"], str)
    assert socket.ask({"action": "getAll", "collection": "cars"})["response"] == []


def test_last_of_equal_keys_counts(socket: Socket) -> None:
    socket.send('{"action":"nope","action":"getAll","collection":"x","collection":"cars"}')

    assert socket.receive() == {"action": "getAll", "collection": "cars", "response": []}


def test_messages_are_handled_in_turn(app: App, socket: Socket) -> None:
    for n in range(100):
        data = {"n": n}
        socket.send({"action": "create", "collection": "cars", "data": data, "requestId": n})

    told = [socket.receive() for _ in range(100)]
    assert [(frame["requestId"], frame["response"]["n"]) for frame in told] == [
        (n, n) for n in range(100)
    ]


# Who is told


@pytest.fixture
def trio(app: App) -> tuple[Socket, Socket, Socket]:
    """Two sockets of ada and one of bob; there is a collection `cars`."""
    app.backpack.seed({"collections": {"cars": []}})
    return app.socket("ada"), app.socket("ada"), app.socket("bob")


@pytest.mark.parametrize("by_http", [True, False], ids=["http", "socket"])
def test_writes_reach_everybody(
    app: App, trio: tuple[Socket, Socket, Socket], by_http: bool
) -> None:
    source = {"httpRequest": True} if by_http else {}

    def write(action: str, call: str, data: Any = None) -> Any:
        if by_http:
            return app.ask(call, data, actor="ada").json()
        _, _, record_id = call.partition("cars/")
        message: Frame = {"action": action, "collection": "cars"}
        message |= {"id": record_id} if record_id else {}
        message |= {} if data is None else {"data": data}
        return writer.ask(message)["response"]

    writer = app.socket("ada")
    made = write("create", "POST /cars", {"n": 1})
    path = f"/cars/{made['_id']}"
    replaced = write("update", f"PUT {path}", {"n": 2})
    merged = write("patch", f"PATCH {path}", {"m": 3})
    deleted = write("delete", f"DELETE {path}")

    expected = [
        {"action": action, "collection": "cars", **source, "response": record}
        for action, record in [
            ("create", made),
            ("update", replaced),
            ("patch", merged),
            ("delete", deleted),
        ]
    ]
    assert app.heard(*trio) == [expected] * 3


def test_batch_reaches_everybody_one_by_one(app: App, trio: tuple[Socket, Socket, Socket]) -> None:
    records = app.ask("POST /cars", [{"n": n} for n in range(5)]).json()

    told = [
        {"action": "create", "collection": "cars", "httpRequest": True, "response": record}
        for record in records
    ]
    assert app.heard(*trio) == [told] * 3


@pytest.mark.parametrize("by_http", [True, False], ids=["http", "socket"])
@pytest.mark.parametrize(
    ("data", "receivers"),
    [
        ({}, {"ada", "bob"}),
        ({"broadcast": True}, {"ada", "bob"}),
        ({"broadcast": "true"}, {"ada", "bob"}),
        ({"broadcast": None}, {"ada", "bob"}),
        ({"broadcast": 0}, {"ada", "bob"}),
        ({"broadcast": False}, set()),
        ({"broadcast": False, "userId": "ADA"}, set()),
        ({"broadcast": "false", "userId": "ADA"}, {"ada"}),
        ({"broadcast": "false"}, set()),
        ({"broadcast": "false", "userId": 7}, set()),
        ({"channelType": "cars"}, {"ada", "bob"}),
        ({"channelType": "cars", "channelId": None}, {"ada", "bob"}),
        ({"channelType": "nowhere", "channelId": "0" * 24}, {"ada", "bob"}),
        ({"channelType": "../x", "channelId": "0" * 24}, {"ada", "bob"}),
        ({"channelType": "cars", "channelId": "general"}, {"ada", "bob"}),
        ({"channelType": "cars", "channelId": "0" * 24}, set()),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else "",
)
def test_record_says_who_is_told(
    app: App,
    trio: tuple[Socket, Socket, Socket],
    data: dict[str, Any],
    receivers: set[str],
    by_http: bool,
) -> None:
    data = {name: app.user_id("ada") if v == "ADA" else v for name, v in data.items()}
    if by_http:
        assert app.ask("POST /cars", data, actor="bob").status_code == 200
    else:
        app.socket("bob").ask({"action": "create", "collection": "cars", "data": data})

    ada, again, bob = app.heard(*trio)
    assert (len(ada), len(again), len(bob)) == (
        "ada" in receivers,
        "ada" in receivers,
        "bob" in receivers,
    )


@pytest.mark.parametrize(
    ("message", "receivers"),
    [
        ({}, {"ada", "bob"}),
        ({"broadcast": False}, set()),
        ({"broadcast": "false"}, {"bob"}),
        ({"broadcast": "false", "userId": "ADA"}, {"bob"}),
    ],
    ids=["all", "nobody", "own", "forged"],
)
def test_message_says_who_is_told(
    app: App,
    trio: tuple[Socket, Socket, Socket],
    message: dict[str, Any],
    receivers: set[str],
) -> None:
    message = {name: app.user_id("ada") if v == "ADA" else v for name, v in message.items()}
    app.socket("bob").ask({"action": "broadcast", **message})

    ada, again, bob = app.heard(*trio)
    assert (len(ada), len(again), len(bob)) == (
        "ada" in receivers,
        "ada" in receivers,
        "bob" in receivers,
    )


@pytest.mark.parametrize("by_http", [True, False], ids=["http", "socket"])
@pytest.mark.parametrize(
    ("read", "receivers"),
    [("public", {"ada", "bob"}), ("user", {"ada", "bob"}), ("owner", {"ada"}), ("none", set())],
)
def test_rule_says_who_is_told(
    app: App,
    trio: tuple[Socket, Socket, Socket],
    read: str,
    receivers: set[str],
    by_http: bool,
) -> None:
    app.backpack.set_rules({"cars": {"read": read}})
    if by_http:
        app.ask("POST /cars", {"n": 1}, actor="ada")
    else:
        app.socket("ada").ask({"action": "create", "collection": "cars", "data": {"n": 1}})

    ada, again, bob = app.heard(*trio)
    assert (len(ada), len(again), len(bob)) == (
        "ada" in receivers,
        "ada" in receivers,
        "bob" in receivers,
    )


def test_writer_who_may_not_read_gets_id_only(app: App) -> None:
    app.backpack.seed({"collections": {"cars": []}, "rules": {"cars": {"read": "none"}}})
    socket = app.socket()

    answer = socket.ask({"action": "create", "collection": "cars", "data": {"secret": 1}})

    assert (set(answer), set(answer["response"])) == ({"action", "collection", "response"}, {"_id"})


def test_delete_reaches_who_could_read_before(app: App) -> None:
    app.backpack.seed({"collections": {"cars": []}, "rules": {"cars": {"read": "owner"}}})
    ada, bob = app.socket("ada"), app.socket("bob")
    record = app.ask("POST /cars", {"n": 1}, actor="ada").json()

    app.ask(f"DELETE /cars/{record['_id']}", actor="ada")

    told, nothing = app.heard(ada, bob)
    assert ([frame["action"] for frame in told], nothing) == (["create", "delete"], [])


def test_changed_rules_hold_for_open_sockets(app: App, trio: tuple[Socket, ...]) -> None:
    app.backpack.set_rules({"cars": {"read": "none"}})
    app.ask("POST /cars", {"n": 1})
    app.backpack.set_rules({})
    app.ask("POST /cars", {"n": 2})

    told = app.heard(*trio)
    assert [[frame["response"]["n"] for frame in frames] for frames in told] == [[2]] * 3


@pytest.mark.parametrize(
    ("action", "rule"),
    [
        ("find", "list"),
        ("getAll", "list"),
        ("getOne", "read"),
        ("create", "create"),
        ("update", "update"),
        ("patch", "update"),
        ("delete", "delete"),
    ],
)
def test_actions_are_under_rules(app: App, action: str, rule: str) -> None:
    app.backpack.seed({"collections": {"cars": [{"n": 1}]}, "rules": {"cars": {rule: "none"}}})
    message = {"action": action, "collection": "cars", "id": "0" * 24, "data": {}}

    answer = app.socket().ask(message)

    assert answer == {
        "action": "error",
        "message": "Unauthorized",
        "code": "forbidden",
        "request": action,
    }


def test_others_record_is_not_there(app: App) -> None:
    app.backpack.seed({"collections": {"notes": []}, "rules": {"notes": {"read": "owner"}}})
    record = app.ask("POST /notes", {"n": 1}, actor="ada").json()
    bob = app.socket("bob")
    name = {"collection": "notes", "id": record["_id"]}

    assert bob.ask({"action": "getOne", **name})["response"] is None
    assert bob.ask({"action": "getAll", "collection": "notes"})["response"] == []
    assert bob.ask({"action": "patch", **name, "data": {}})["code"] == "not_found"


def test_seed_is_not_told(app: App, trio: tuple[Socket, ...]) -> None:
    app.backpack.seed({"collections": {"cars": [{"n": 1}]}})

    assert app.heard(*trio) == [[], [], []]


def test_other_backpack_is_not_told(app: App, deployment: Any) -> None:
    other = App(deployment.create(), deployment.port)
    other.backpack.seed({"collections": {"cars": []}})
    socket, foreign = app.socket(), other.socket()

    other.ask("POST /cars", {"n": 1})

    assert (app.heard(socket), len(other.heard(foreign)[0])) == ([[]], 1)
    other.close()


def test_events_of_a_record_come_in_order(app: App, trio: tuple[Socket, ...]) -> None:
    record = app.ask("POST /cars", {}).json()
    writers = [app.socket("ada") for _ in range(4)]
    app.heard(*trio)
    for n in range(40):
        data = {f"writer{n % 4}": n}
        message = {"action": "patch", "collection": "cars", "id": record["_id"], "data": data}
        writers[n % 4].send(message)
    for writer in writers:
        writer.ask({"action": "getOne", "collection": "cars", "id": record["_id"]})

    told = app.heard(*trio)
    last = app.ask(f"GET /cars/{record['_id']}").json()
    for frames in told:
        # Each writer's own numbers rise, so no state may fall behind one before it.
        states = [[frame["response"].get(f"writer{n}", -1) for n in range(4)] for frame in frames]
        assert all(
            former <= later
            for one, two in pairwise(states)
            for former, later in zip(one, two, strict=True)
        )
        assert frames[-1]["response"] == last
    assert told[0] == told[1] == told[2]


def test_end_of_connection_is_told(app: App, trio: tuple[Socket, Socket, Socket]) -> None:
    ada, again, bob = trio

    bob.close()

    gone = {"action": "close", "userId": app.user_id("bob")}
    assert [ada.receive(), again.receive()] == [gone, gone]


# How it ends


def test_logout_closes_sockets_of_session(app: App) -> None:
    app.backpack.seed({"collections": {"cars": []}})
    one, two = app.socket(), app.socket()
    other_session = app.backpack.login("user@example.com").client.headers["x-backpack-session"]
    offers = ["backpack", f"backpack.session.{other_session}"]
    other = app.connect(subprotocols=offers)

    app.ask("POST /logout")

    assert (one.code(), two.code()) == (4401, 4401)
    assert other.ask({"action": "getAll", "collection": "cars"})["response"] == []


def test_change_of_password_closes_other_sockets(app: App) -> None:
    app.backpack.seed({"collections": {"cars": []}})
    app.user_id("user")
    token = app.backpack.login("user@example.com").client.headers["x-backpack-session"]
    kept = app.connect(subprotocols=["backpack", f"backpack.session.{token}"])
    ended = app.socket()
    body = {"current": "correct horse battery", "new": "battery horse correct"}

    app.ask("PUT /me/password", body, headers={"x-backpack-session": token}).raise_for_status()

    assert ended.code() == 4401
    assert kept.ask({"action": "getAll", "collection": "cars"})["response"] == []


def test_binary_message_closes(socket: Socket) -> None:
    socket.send(b"{}")

    assert socket.code() == 1003


def test_large_message_closes(socket: Socket) -> None:
    socket.send('{"action":"broadcast","x":"' + "x" * 1_048_576 + '"}')

    assert socket.code() == 1009


def test_large_fragmented_message_closes(socket: Socket) -> None:
    with suppress(ConnectionClosed):  # it is closed while the last of them are on their way
        socket.connection.send("x" * 65_536 for _ in range(17))

    assert socket.code() == 1009


def test_message_in_fragments_is_one(app: App, socket: Socket) -> None:
    text = json.dumps({"action": "create", "collection": "cars", "data": {"s": "ä€😀" * 1000}})
    socket.connection.send(text[n : n + 7] for n in range(0, len(text), 7))

    assert socket.receive()["response"]["s"] == "ä€😀" * 1000


def test_large_answer_arrives_whole(app: App, socket: Socket) -> None:
    app.backpack.seed({"collections": {"big": [{"s": "x" * 100_000} for _ in range(60)]}})

    answer = socket.ask({"action": "getAll", "collection": "big"})

    assert [len(record["s"]) for record in answer["response"]] == [100_000] * 60


def test_ping_is_answered(socket: Socket) -> None:
    assert socket.connection.ping(b"12").wait(20)


def test_client_closes(socket: Socket) -> None:
    socket.connection.close(4000, "bye")

    assert socket.code() == 4000


def test_key_alone_is_no_session(app: App) -> None:
    headers = {"authorization": f"key {app.backpack.api_key}"}

    assert app.connect(headers=headers, greeted=False).code() == 4401


def test_status_needs_no_upgrade(app: App) -> None:
    answer: httpx.Response = app.ask("GET /")

    assert answer.json() == {"name": app.backpack.name, "status": "ok"}
