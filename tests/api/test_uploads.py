"""Files of users: every call, who may make it, and what it answers."""

from __future__ import annotations

import threading
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.deployments import App, not_in_swarm
from tests.forms import FORM, Part, form, send, upload

CAT: Part = ("cat.png", b"a cat", "image/png")


def answered(answer: httpx.Response) -> tuple[int, Any]:
    return answer.status_code, answer.json()


def failed(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def content(app: App, path: str, actor: str = "user") -> tuple[int, bytes]:
    answer = app.ask(f"GET /uploads/{path}", actor=actor)
    return answer.status_code, answer.content


def test_uploaded_file_is_described(app: App) -> None:
    made = upload(app, "cat.png", b"a cat", "image/png")

    assert list(made) == [
        "_id",
        "userId",
        "filename",
        "bucket",
        "size",
        "type",
        "createdAt",
        "updatedAt",
    ]
    assert made == {
        **made,
        "userId": app.user_id("user"),
        "filename": "cat.png",
        "bucket": "b",
        "size": 5,
        "type": "image/png",
        "updatedAt": made["createdAt"],
    }
    assert len(made["_id"]) == 24
    assert content(app, f"{app.user_id('user')}/cat.png") == (200, b"a cat")


@pytest.mark.parametrize(
    "order", ["bucket filename file", "file filename bucket", "filename file bucket"]
)
def test_fields_come_in_any_order(app: App, order: str) -> None:
    parts: dict[str, str | Part] = {"bucket": "photos", "filename": "a.png", "file": CAT}

    answer = send(app, "POST /uploads", *((name, parts[name]) for name in order.split()))

    made = answer.json()
    assert (answer.status_code, made["bucket"], made["filename"]) == (200, "photos", "a.png")
    assert content(app, f"{app.user_id('user')}/a.png") == (200, b"a cat")


def test_bucket_and_filename_may_be_left_out(app: App) -> None:
    made = send(app, "POST /uploads", ("file", CAT)).json()

    assert (made["filename"], made["bucket"], made["type"]) == ("cat.png", "", "image/png")


def test_content_with_parts_of_boundary_is_kept(app: App) -> None:
    tricky = b"\r\n--a-bound\r\n--a-boundary\0\r\n\r\n--\r\r\n" * 3 + b"\r\n--a-boundar"

    upload(app, "tricky", tricky)

    assert content(app, f"{app.user_id('user')}/tricky") == (200, tricky)


def test_empty_file_is_a_file(app: App) -> None:
    made = upload(app, "empty.txt", b"")

    assert made["size"] == 0
    assert content(app, f"{app.user_id('user')}/empty.txt") == (200, b"")


BAD_FORMS: dict[str, tuple[bytes, dict[str, str], int, str]] = {
    "no-form": (b'{"file": 1}', {}, 400, "no_file"),
    "no-file": (form(("filename", "a"), ("bucket", "b")), FORM, 400, "no_file"),
    "nothing-chosen": (form(("filename", "a"), ("file", ("", b""))), FORM, 400, "no_file"),
    "no-name": (
        form(("file", ("", b"x"))).replace(b'; filename=""', b""),
        FORM,
        422,
        "invalid_file",
    ),
    "no-end": (form(("file", CAT))[:-6], FORM, 400, "bad_form"),
    "no-boundary": (form(("file", CAT)), {"content-type": "multipart/form-data"}, 400, "bad_form"),
    "long-boundary": (
        b"",
        {"content-type": f"multipart/form-data; boundary={'x' * 300}"},
        400,
        "bad_form",
    ),
    "other-boundary": (b"--other\r\n\r\n", FORM, 400, "bad_form"),
    "two-files": (form(("file", CAT), ("file", CAT)), FORM, 400, "bad_form"),
    "nameless-part": (form(("x", "y")).replace(b'; name="x"', b""), FORM, 400, "bad_form"),
    "bad-header": (
        form(("file", CAT)).replace(b"content-type", b"content type"),
        FORM,
        400,
        "bad_form",
    ),
    "many-parts": (form(*([("x", "y")] * 101)), FORM, 400, "bad_form"),
    "no-utf8": (
        form(("filename", "a"), ("file", CAT)).replace(b"\r\na\r\n", b"\r\n\xff\r\n"),
        FORM,
        400,
        "bad_form",
    ),
    "long-field": (
        form(("filename", "a"), ("x", "y" * 1_100_000), ("file", CAT)),
        FORM,
        413,
        "body_too_large",
    ),
    "empty": (b"", FORM, 400, "bad_form"),
}


@pytest.mark.parametrize("case", BAD_FORMS)
def test_bad_form_is_refused(app: App, case: str) -> None:
    body, headers, status, code = BAD_FORMS[case]

    answer = app.ask("POST /uploads", content=body, headers=headers)

    assert failed(answer) == (status, code)
    assert app.ask(f"GET /uploads/{app.user_id('user')}").json() == {"records": []}


def test_no_file_is_said_as_promised(app: App) -> None:
    answer = send(app, "POST /uploads", ("filename", "a"), ("bucket", "b"))

    assert answered(answer) == (400, {"message": "no file uploaded", "code": "no_file"})


def test_taken_name_is_refused_and_its_file_untouched(app: App) -> None:
    upload(app, "cat.png", b"first")
    before = app.ask(f"GET /uploads/{app.user_id('user')}").json()

    answer = send(app, "POST /uploads", ("filename", "cat.png"), ("file", CAT))

    assert answered(answer) == (400, {"message": "file already exists", "code": "file_exists"})
    assert content(app, f"{app.user_id('user')}/cat.png") == (200, b"first")
    assert app.ask(f"GET /uploads/{app.user_id('user')}").json() == before


@not_in_swarm  # whose edge answers when it has read on for a while
def test_taken_name_is_refused_before_a_long_file(app: App) -> None:
    upload(app, "cat.png", b"first")
    whole = form(("filename", "cat.png"), ("file", ("x", bytes(3_000_000))))
    head = f"POST /uploads HTTP/1.1\r\nhost: {app.host}\r\ncontent-length: {len(whole)}\r\n"
    for name, value in {**app.headers("user"), **FORM}.items():
        head += f"{name}: {value}\r\n"

    with app.dial() as connection:
        connection.sendall(head.encode() + b"\r\n" + whole[:1_000_000])
        answer = connection.recv(65_536)

    assert answer.startswith(b"HTTP/1.1 400")
    assert b'"file_exists"' in answer


def test_users_have_names_of_their_own(app: App) -> None:
    upload(app, "cat.png", b"of ada", actor="ada")
    upload(app, "cat.png", b"of bob", actor="bob")

    assert content(app, f"{app.user_id('ada')}/cat.png", "bob") == (200, b"of ada")
    assert content(app, f"{app.user_id('bob')}/cat.png", "ada") == (200, b"of bob")


HOSTILE_NAMES = {
    "empty": "",
    "dot": ".",
    "dots": "..",
    "inner-dots": "a..b",
    "path": "../x",
    "slash": "a/b",
    "backslash": "a\\b",
    "nul": "a\0b",
    "newline": "a\nb",
    "tab": "a\tb",
    "delete": "a\x7fb",
    "c1": "a\x85b",
    "line-separator": "a\u2028b",
    "long": "x" * 256,
    "long-in-bytes": "\u00e9" * 128,
}


@pytest.mark.parametrize("case", HOSTILE_NAMES)
def test_hostile_name_is_refused(app: App, case: str) -> None:
    name = HOSTILE_NAMES[case]
    upload(app, "cat.png")

    uploaded = send(app, "POST /uploads", ("filename", name), ("file", CAT))
    renamed = app.ask("PATCH /uploads/cat.png", {"filename": name})

    assert failed(uploaded) == failed(renamed) == (422, "invalid_file")
    assert set(uploaded.json()["fields"]) == {"filename"}
    listed = app.ask(f"GET /uploads/{app.user_id('user')}").json()["records"]
    assert [file["filename"] for file in listed] == ["cat.png"]


@not_in_swarm  # whose edge takes such parts out of a path
def test_path_of_dots_finds_nothing(app: App) -> None:
    finds_nothing(app, "%2e%2e")


@pytest.mark.parametrize(
    "path", ["..%2f..%2fetc%2fpasswd", "%00", "a%5cb", "%ff", "x" * 300, "a%0d%0ab"]
)
def test_hostile_path_finds_nothing(app: App, path: str) -> None:
    finds_nothing(app, path)


def finds_nothing(app: App, path: str) -> None:
    user = app.user_id("user")

    answers = [
        app.ask(f"GET /uploads/{user}/{path}"),
        app.ask(f"DELETE /uploads/{path}"),
        app.ask(f"PATCH /uploads/{path}", {"filename": "x"}),
        send(app, f"PUT /uploads/{path}", ("file", CAT)),
        app.ask(f"GET /uploads/{path}/cat.png"),
    ]

    assert {answer.status_code for answer in answers} == {404}


@pytest.mark.parametrize(
    "name",
    [
        "a b.png",
        "%2e%2e",
        "\u00fc\u4e2d\U0001f600.png",
        "a&b=c?d#e",
        '"quoted".txt',
        "+",
        "-",
        "x" * 255,
        " ",
    ],
)
def test_odd_name_is_kept(app: App, name: str) -> None:
    made = upload(app, name, b"odd")
    path = quote(name, safe="")

    assert made["filename"] == name
    assert content(app, f"{app.user_id('user')}/{path}") == (200, b"odd")
    assert app.ask(f"DELETE /uploads/{path}").json()["deletedRecord"] == made


def test_accents_are_one_name_however_typed(app: App) -> None:
    made = upload(app, "cafe\u0301.txt", b"decomposed")

    again = send(app, "POST /uploads", ("filename", "caf\u00e9.txt"), ("file", CAT))

    assert made["filename"] == "caf\u00e9.txt"
    assert failed(again) == (400, "file_exists")
    for path in ("cafe%CC%81.txt", "caf%C3%A9.txt"):
        assert content(app, f"{app.user_id('user')}/{path}") == (200, b"decomposed")


@pytest.mark.parametrize("bucket", ["x" * 256, "a\nb"])
def test_bad_bucket_is_refused(app: App, bucket: str) -> None:
    answer = send(app, "POST /uploads", ("bucket", bucket), ("filename", "a"), ("file", CAT))

    assert failed(answer) == (422, "invalid_file")


def test_files_are_listed_oldest_first(app: App) -> None:
    made = [upload(app, name) for name in ("z", "a", "m")]
    upload(app, "other", actor="other")

    assert app.ask(f"GET /uploads/{app.user_id('user')}").json() == {"records": made}


def test_unknown_users_list_is_empty(app: App) -> None:
    assert answered(app.ask("GET /uploads/nobody")) == (200, {"records": []})


def test_list_of_many_files_is_whole(app: App) -> None:
    for n in range(205):
        upload(app, f"{n}.txt", b"")

    listed = app.ask(f"GET /uploads/{app.user_id('user')}").json()["records"]
    assert [file["filename"] for file in listed] == [f"{n}.txt" for n in range(205)]


def test_overwritten_file_keeps_its_metadata(app: App) -> None:
    made = upload(app, "cat.png", b"old", "image/png")

    answer = send(app, "PUT /uploads/cat.png", ("file", ("x", b"newer", "image/gif")))

    assert answered(answer) == (200, {"message": "file overwritten"})
    (now,) = app.ask(f"GET /uploads/{app.user_id('user')}").json()["records"]
    assert now == {**made, "size": 5, "type": "image/gif", "updatedAt": now["updatedAt"]}
    assert content(app, f"{app.user_id('user')}/cat.png") == (200, b"newer")


def test_overwriting_needs_a_file(app: App) -> None:
    upload(app, "cat.png", b"old")

    nothing = send(app, "PUT /uploads/cat.png", ("bucket", "b"))
    broken = app.ask("PUT /uploads/cat.png", content=form(("file", CAT))[:-9], headers=FORM)
    unknown = send(app, "PUT /uploads/dog.png", ("file", CAT))

    assert answered(nothing) == (400, {"message": "no file uploaded", "code": "no_file"})
    assert failed(broken) == (400, "bad_form")
    assert answered(unknown) == (404, {"message": "file does not exist", "code": "unknown_file"})
    assert content(app, f"{app.user_id('user')}/cat.png") == (200, b"old")


@pytest.mark.parametrize("kind", ["json", "form"])
def test_file_is_renamed_before_the_answer(app: App, kind: str) -> None:
    made = upload(app, "cat.png", b"a cat")
    changes = {"filename": "dog.png", "bucket": "pets"}

    if kind == "json":
        answer = app.ask("PATCH /uploads/cat.png", changes)
    else:
        answer = send(app, "PATCH /uploads/cat.png", *changes.items())

    record = answer.json()["record"]
    assert answer.json() == {"record": {**made, **changes, "updatedAt": record["updatedAt"]}}
    assert content(app, f"{app.user_id('user')}/dog.png") == (200, b"a cat")
    assert content(app, f"{app.user_id('user')}/cat.png")[0] == 404
    assert app.ask(f"GET /uploads/{app.user_id('user')}").json() == {"records": [record]}


def test_file_may_keep_its_name(app: App) -> None:
    made = upload(app, "cat.png", b"a cat")

    answer = app.ask("PATCH /uploads/cat.png", {"filename": "cat.png", "bucket": "c"})

    record = answer.json()["record"]
    assert record == {**made, "bucket": "c", "updatedAt": record["updatedAt"]}
    assert content(app, f"{app.user_id('user')}/cat.png") == (200, b"a cat")


def test_name_of_another_file_is_refused(app: App) -> None:
    made = [upload(app, "cat.png", b"a cat"), upload(app, "dog.png", b"a dog")]

    answer = app.ask("PATCH /uploads/cat.png", {"filename": "dog.png"})

    assert answered(answer) == (400, {"message": "file already exists", "code": "file_exists"})
    assert app.ask(f"GET /uploads/{app.user_id('user')}").json() == {"records": made}
    assert content(app, f"{app.user_id('user')}/cat.png") == (200, b"a cat")


def test_names_go_around(app: App) -> None:
    upload(app, "a", b"first")
    for old, new in (("a", "b"), ("b", "c"), ("c", "a"), ("a", "b")):
        assert app.ask(f"PATCH /uploads/{old}", {"filename": new}).status_code == 200

    upload(app, "a", b"second")

    assert content(app, f"{app.user_id('user')}/a") == (200, b"second")
    assert content(app, f"{app.user_id('user')}/b") == (200, b"first")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "no_body"),
        (b"[]", 400, "bad_body"),
        (b"{", 400, "bad_json"),
        (b'{"filename": 5}', 422, "invalid_file"),
        (b'{"filename": null}', 422, "invalid_file"),
        (b'{"bucket": {}}', 422, "invalid_file"),
    ],
)
def test_bad_change_is_refused(app: App, body: bytes, status: int, code: str) -> None:
    made = upload(app, "cat.png")

    answer = app.ask("PATCH /uploads/cat.png", content=body)

    assert failed(answer) == (status, code)
    assert app.ask(f"GET /uploads/{app.user_id('user')}").json() == {"records": [made]}


def test_deleted_file_is_gone(app: App) -> None:
    made = upload(app, "cat.png")

    first, second = (app.ask("DELETE /uploads/cat.png") for _ in range(2))

    assert answered(first) == (200, {"deletedRecord": made, "message": "file deleted"})
    assert answered(second) == (404, {"message": "file does not exist", "code": "unknown_file"})
    assert content(app, f"{app.user_id('user')}/cat.png")[0] == 404
    assert upload(app, "cat.png", b"again")["_id"] > made["_id"]


WRITES = (
    "POST /uploads",
    "PUT /uploads/cat.png",
    "PATCH /uploads/cat.png",
    "DELETE /uploads/cat.png",
)


@pytest.mark.parametrize("call", WRITES)
@pytest.mark.parametrize(
    ("actor", "refusal"),
    [
        ("nokey", (401, {"message": "Check your auth tokens", "code": "bad_key"})),
        ("wrongkey", (401, {"message": "Check your auth tokens", "code": "bad_key"})),
        ("guest", (403, {"message": "Unauthorized", "code": "forbidden"})),
    ],
)
def test_stranger_writes_nothing(app: App, call: str, actor: str, refusal: Any) -> None:
    upload(app, "cat.png", b"a cat")

    answer = send(app, call, ("filename", "x.png"), ("file", CAT), actor=actor)

    assert answered(answer) == refusal
    assert content(app, f"{app.user_id('user')}/cat.png") == (200, b"a cat")


@pytest.mark.parametrize("call", WRITES[1:])
def test_others_files_cannot_be_changed(app: App, call: str) -> None:
    upload(app, "cat.png", b"a cat")

    answer = send(app, call, ("filename", "x.png"), ("file", CAT), actor="other")

    assert answered(answer) == (404, {"message": "file does not exist", "code": "unknown_file"})
    assert content(app, f"{app.user_id('user')}/cat.png") == (200, b"a cat")


# Status of GET for: owner, other user, guest with the key, nobody, wrong key.
READERS: dict[str, tuple[tuple[int, int, int, int, int], tuple[int, int, int, int, int]]] = {
    "public": ((200, 200, 200, 200, 401), (200, 200, 200, 401, 401)),
    "user": ((200, 200, 403, 401, 401), (200, 200, 403, 401, 401)),
    "owner": ((200, 404, 403, 401, 401), (200, 403, 403, 401, 401)),
    "none": ((403, 403, 403, 401, 401), (403, 403, 403, 401, 401)),
}


@pytest.mark.parametrize("rule", READERS)
def test_rule_decides_who_reads(app: App, rule: str) -> None:
    upload(app, "cat.png", b"a cat")
    app.backpack.set_rules({"files.read": rule, "files.list": rule})
    actors = ("user", "other", "guest", "nokey", "wrongkey")
    user = app.user_id("user")

    got = [app.ask(f"GET /uploads/{user}/cat.png", actor=actor) for actor in actors]
    headed = [app.ask(f"HEAD /uploads/{user}/cat.png", actor=actor) for actor in actors]
    listed = [app.ask(f"GET /uploads/{user}", actor=actor) for actor in actors]

    reading, listing = READERS[rule]
    assert tuple(answer.status_code for answer in got) == reading
    assert tuple(answer.status_code for answer in headed) == reading
    assert tuple(answer.status_code for answer in listed) == listing
    assert all((answer.content == b"a cat") == (answer.status_code == 200) for answer in got)


def test_session_alone_reads(app: App) -> None:
    upload(app, "cat.png", b"a cat")
    call = f"GET /uploads/{app.user_id('user')}/cat.png"
    token = app.token("user")
    session = {"cookie": f"{app.cookie}={token}"}
    wrong = {"authorization": "key wrong"}

    with_cookie = app.ask(call, actor="nokey", headers=session)
    with_token = app.ask(call, actor="nokey", headers={"x-backpack-session": token})
    with_wrong_key = app.ask(call, actor="nokey", headers={**session, **wrong})
    ended = app.ask(call, actor="nokey", headers={"cookie": f"{app.cookie}={'x' * 43}"})

    assert [one.status_code for one in (with_cookie, with_token)] == [200, 200]
    assert [failed(one) for one in (with_wrong_key, ended)] == [(401, "bad_key")] * 2


def test_session_alone_does_nothing_else(app: App) -> None:
    upload(app, "cat.png")
    session = {"x-backpack-session": app.token("user")}

    answers = [
        app.ask(call, actor="nokey", headers=session)
        for call in (f"GET /uploads/{app.user_id('user')}", *WRITES)
    ]

    assert {failed(answer) for answer in answers} == {(401, "bad_key")}


def test_missing_file_tells_no_more(app: App) -> None:
    upload(app, "cat.png")
    app.backpack.set_rules({"files.read": "owner"})

    hidden = app.ask(f"GET /uploads/{app.user_id('user')}/cat.png", actor="other")
    missing = app.ask(f"GET /uploads/{app.user_id('user')}/dog.png", actor="other")

    assert answered(hidden) == answered(missing)
    assert answered(hidden) == (404, {"message": "file does not exist", "code": "unknown_file"})


def test_files_are_no_collection(app: App) -> None:
    upload(app, "cat.png")

    assert app.ask("GET /collections").json() == []
    assert app.ask("GET /_files").status_code == 404
    assert app.ask("GET /uploads").status_code == 405


@not_in_swarm  # which has no such paths
def test_files_are_there_by_path(app: App) -> None:
    upload(app, "cat.png", b"a cat")
    address = f"{app.backpack.url}/uploads/{app.user_id('user')}/cat.png"

    answer = httpx.get(address, headers={"x-backpack-session": app.token("user")})

    assert (answer.status_code, answer.content) == (200, b"a cat")


def test_writers_of_one_name_have_one_winner(app: App) -> None:
    bodies = [bytes([n]) * 300_000 for n in range(6)]
    answers: list[httpx.Response] = []
    app.token("user")

    def write(body: bytes) -> None:
        answers.append(send(app, "POST /uploads", ("file", ("x", body)), ("filename", "one")))

    threads = [threading.Thread(target=write, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answer.status_code for answer in answers) == [200, *[400] * 5]
    assert {one.json()["message"] for one in answers if one.status_code == 400} == {
        "file already exists"
    }
    status, kept = content(app, f"{app.user_id('user')}/one")
    assert (status, kept in bodies) == (200, True)
