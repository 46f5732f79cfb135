"""Who may use which route of the panel, and that every change is noted: rows for every route there
is, so that none can be forgotten."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from backpack.registry.developers import OPERATOR, Developer, insert
from backpack.router import METHODS
from backpack.testing import TestBackpack
from tests.backups import good, packed, sealed
from tests.panel import PASSWORD, PanelClient, PanelServer
from tests.zips import Packed, zip_of

_B = "/api/backpacks/<name>"
_FILE = f"{_B}/files/<user_id>/<filename>"
_PAGE = "/backpacks/<name>"

# Who is let in: `open` for strangers too, `developer` who is signed in, `member` of the backpack,
# its `owner`, `operator`. An operator is all of them.
ACCESS = {
    "GET /healthz": "open",
    "GET /sdk.js": "open",
    "GET /sdk.mjs": "open",
    "GET /sdk.d.ts": "open",
    "GET /static/<path>": "open",
    "GET /~elsewhere": "open",
    "GET /login": "open",
    "POST /login": "open",
    "GET /setup": "open",
    "POST /setup": "open",
    "GET /open/<token>": "open",
    "POST /open/<token>": "open",
    "GET /reset/<token>": "open",
    "POST /reset/<token>": "open",
    "GET /invitations/<token>": "open",
    "POST /invitations/<token>": "open",
    "GET /sites/<stack>/<version>": "open",  # by a token of the swarm's services
    "GET /": "developer",
    "GET /account": "developer",
    "GET /log": "developer",
    "GET /api/log": "developer",
    "GET /api/status": "developer",
    "GET /api/trash": "developer",
    "GET /api/backpacks": "developer",
    "POST /api/backpacks": "developer",
    "POST /api/backups/<name>": "developer",
    "POST /logout": "developer",
    "GET /api/account/sessions": "developer",
    "DELETE /api/account/sessions": "developer",
    "DELETE /api/account/sessions/<session>": "developer",
    "PUT /api/account/login": "developer",
    "PUT /api/account/password": "developer",
    f"GET {_PAGE}": "member",
    f"GET {_PAGE}/console": "member",
    f"GET {_PAGE}/data": "member",
    f"GET {_PAGE}/files": "member",
    f"GET {_PAGE}/log": "member",
    f"GET {_PAGE}/requests": "member",
    f"GET {_PAGE}/rules": "member",
    f"GET {_PAGE}/settings": "member",
    f"GET {_PAGE}/site": "member",
    f"GET {_PAGE}/users": "member",
    f"GET {_B}": "member",
    f"GET {_B}/logs": "member",
    f"GET {_B}/members": "member",
    f"GET {_B}/sites": "member",
    f"GET {_FILE}": "member",
    f"DELETE {_FILE}": "member",
    f"POST {_FILE}": "member",
    f"PUT {_FILE}": "member",
    f"POST {_B}/rollback": "member",
    f"POST {_B}/site": "member",
    f"GET {_PAGE}/backup": "owner",
    f"GET {_PAGE}/tokens": "owner",
    f"DELETE {_B}": "owner",
    f"GET {_B}/backup": "owner",
    f"PATCH {_B}/backup": "owner",
    f"POST {_B}/backup": "owner",
    f"POST {_B}/members": "owner",
    f"DELETE {_B}/members/<member>": "owner",
    f"POST {_B}/purge": "owner",
    f"POST {_B}/restore": "owner",
    f"POST {_B}/scale": "owner",
    f"GET {_B}/tokens": "owner",
    f"POST {_B}/tokens": "owner",
    f"DELETE {_B}/tokens/<token>": "owner",
    "GET /developers": "operator",
    "GET /api/developers": "operator",
    "PUT /api/developers/<developer>": "operator",
    "DELETE /api/developers/<developer>": "operator",
    "POST /api/developers/<developer>/reset": "operator",
    "POST /api/developers/invitations": "operator",
    "DELETE /api/developers/invitations/<invitation>": "operator",
    f"POST {_B}/databases": "operator",
    "GET /settings": "operator",
    "GET /metrics": "operator",  # or by a token
    "GET /nodes": "operator",
    "GET /api/nodes": "operator",
    "POST /api/nodes/<node>/activate": "operator",
    "POST /api/nodes/<node>/drain": "operator",
    "POST /api/nodes/<node>/labels": "operator",
    "POST /api/nodes/join": "operator",
}
GUARDED = {call: who for call, who in ACCESS.items() if who != "open"}
CHANGING = [call for call in GUARDED if not call.startswith("GET ")]
OF_BACKPACK = [call for call, who in GUARDED.items() if who in ("member", "owner")]

# A backup of rules alone.
RULES = packed(
    sealed(
        {name: good()[name] for name in ("manifest.json", "rules.json")},
        **dict.fromkeys(("users", "collections", "documents", "files", "bytes"), 0),
    )
)

_names = itertools.count(1)


def routes(server: PanelServer) -> set[str]:
    """All routes of the admin host, as the table has them."""
    found = set()
    for route in server.app.router.routes:
        role, _, path = route.path.partition("/")
        if role == "~admin":
            for kind in ("str", "path", "int"):
                path = path.replace(f":{kind}>", ">")
            found |= {f"{method} /{path}" for method in set(METHODS) & route.methods}
    return found


def filled(call: str, name: str = "shop") -> str:
    """A call of a route with something in each of its places."""
    call = call.replace("<name>", name).replace("<filename>", "a.txt")
    for place in ("user_id", "session", "member", "token", "developer", "invitation", "node"):
        call = call.replace(f"<{place}>", "0" * 24)
    return call


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PanelServer]:
    server = PanelServer(tmp_path_factory.mktemp("data"))
    server.start()
    server.operator()
    server.create("shop")
    server.share("shop", server.developer("owner"))
    server.share("shop", server.developer("member"), role="member")
    yield server
    server.stop()


def own_origin(call: str, client: PanelClient) -> dict[str, str]:
    # A websocket must come from the panel's pages, whoever asks for it.
    return {"origin": client.origin} if call.endswith("/console") else {}


def test_every_route_has_a_row(server: PanelServer) -> None:
    assert routes(server) == set(ACCESS)


@pytest.mark.parametrize("call", GUARDED)
def test_stranger_is_turned_away(server: PanelServer, call: str) -> None:
    stranger = server.stranger()
    answer = stranger.ask(filled(call), headers=own_origin(call, stranger))
    is_page = call.startswith("GET ") and "/api/" not in call

    if is_page:
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login?next=/")
    else:
        assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in")


@pytest.mark.parametrize("call", OF_BACKPACK)
def test_backpack_of_others_is_not_there(server: PanelServer, call: str) -> None:
    carol = server.developer("carol")
    headers = own_origin(call, carol)
    answer = carol.ask(filled(call), headers=headers)
    missing = carol.ask(filled(call, "missing"), headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_backpack")
    assert answer.text == missing.text.replace("missing", "shop")


@pytest.mark.parametrize("call", [call for call, who in GUARDED.items() if who == "owner"])
def test_member_is_no_owner(server: PanelServer, call: str) -> None:
    answer = server.developer("member").ask(filled(call))

    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize("call", [call for call, who in GUARDED.items() if who == "operator"])
def test_owner_is_no_operator(server: PanelServer, call: str) -> None:
    answer = server.developer("owner").ask(filled(call))

    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        pytest.param({"origin": None}, "bad_origin", id="no origin"),
        pytest.param({"origin": "http://shop.bkpk.localhost"}, "bad_origin", id="hosted site"),
        pytest.param({"x-csrf-token": None}, "bad_csrf", id="no token"),
        pytest.param({"x-csrf-token": "0" * 64}, "bad_csrf", id="wrong token"),
        pytest.param({"authorization": "token x"}, "", id="token of a program"),
    ],
)
@pytest.mark.parametrize("call", CHANGING)
def test_forged_change_is_refused(
    server: PanelServer, call: str, headers: dict[str, str | None], code: str
) -> None:
    before = len(entries(server))
    if not code:
        # It must not stand in for a session where it is none, nor for the page's token.
        headers = {**headers, "x-csrf-token": None, "cookie": None}
    answer = server.operator().ask(filled(call), headers=headers)

    if code:
        assert (answer.status_code, answer.json()["code"]) == (403, code)
    else:
        assert answer.status_code == 401
    added = entries(server)[: len(entries(server)) - before]
    assert [one.action for one in added if one.action != "token.refused"] == []


@pytest.mark.parametrize("site", ["same-site", "cross-site"])
@pytest.mark.parametrize("call", [call for call in GUARDED if call.startswith("GET /api/")])
def test_nothing_is_done_for_other_pages(server: PanelServer, call: str, site: str) -> None:
    answer = server.operator().ask(filled(call), headers={"sec-fetch-site": site})

    assert (answer.status_code, answer.json()["code"]) == (403, "bad_origin")


@pytest.mark.parametrize(
    "call", [call for call in GUARDED if call.startswith("GET ") and "/console" not in call]
)
def test_reading_asks_for_no_token(server: PanelServer, call: str) -> None:
    answer = server.operator().ask(filled(call), headers={"origin": None})

    assert answer.status_code in (200, 404)
    assert answer.status_code == 200 or "<user_id>" in call
    if answer.status_code == 200:
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "call",
    [
        call
        for call in GUARDED
        if call.startswith("GET /") and "/api/" not in call
        if "/console" not in call and call != "GET /metrics"  # these are no pages
    ],
)
def test_page_has_a_strict_policy(server: PanelServer, call: str) -> None:
    answer = server.operator().ask(filled(call))
    policy = dict(
        part.strip().partition(" ")[::2]
        for part in answer.headers["content-security-policy"].split(";")
    )

    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    for inline in ("<script>", "<style", " style=", " onclick="):
        assert inline not in answer.text


def entries(server: PanelServer) -> list[Any]:
    operator = server.operator().developer
    assert operator is not None
    return server.call(server.registry.audit.visible(operator, limit=10_000))


class Scene:
    """A backpack of its own, its owner, and what changes need to be possible."""

    def __init__(self, server: PanelServer) -> None:
        self.server = server
        self.number = next(_names)
        self.name = f"scene-{self.number}"
        self.backpack: TestBackpack = server.create(self.name)
        self.owner = server.developer(f"owner-{self.number}")
        server.share(self.name, self.owner)
        self.path = f"/api/backpacks/{self.name}"

    def zip(self) -> bytes:
        return zip_of(Packed(b"index.html", b"<!doctype html>"))

    def backup(self) -> bytes:
        return self.owner.ask(f"GET {self.path}/backup").content

    def file(self) -> str:
        """The path of a user's file that is there."""
        user = self.backpack.register()
        sent = {"file": ("a.txt", b"text", "text/plain")}
        user.client.post("/uploads", files=sent).raise_for_status()
        return f"{self.path}/files/{user.id}/a.txt"

    def deployed(self, times: int = 1) -> None:
        for _ in range(times):
            self.owner.steps(f"POST {self.path}/site", content=self.zip())

    def gone(self) -> None:
        self.owner.steps(f"DELETE {self.path}")

    def other(self) -> str:
        """The id of another developer, who is a member."""
        other = self.server.developer(f"other-{self.number}")
        self.server.share(self.name, other, role="member")
        assert other.developer is not None
        return other.developer.id


@pytest.fixture
def scene(server: PanelServer) -> Iterator[Scene]:
    made = Scene(server)
    yield made
    for client in made.backpack._clients:
        client.close()


def set_login(scene: Scene) -> httpx.Response:
    server = scene.server
    registry = server.registry

    async def without_login() -> Developer:
        async with registry._database.transaction() as inside:
            return await insert(inside, None, None, OPERATOR)

    client = PanelClient(server, server.call(without_login()))
    return client.ask(
        "PUT /api/account/login", {"email": f"o{scene.number}@example.com", "password": PASSWORD}
    )


def revoke_token(scene: Scene) -> httpx.Response:
    asked = {"name": "CI", "scope": "deploy", "days": 30}
    made = scene.owner.ask(f"POST {scene.path}/tokens", asked).json()
    return scene.owner.ask(f"DELETE {scene.path}/tokens/{made['id']}")


def end_session(scene: Scene) -> httpx.Response:
    (session,) = scene.owner.ask("GET /api/account/sessions").json()
    return scene.owner.ask(f"DELETE /api/account/sessions/{session['id']}")


def uninvite(scene: Scene) -> httpx.Response:
    operator = scene.server.operator()
    operator.ask("POST /api/developers/invitations", {"role": "developer"})
    invitation = operator.ask("GET /api/developers").json()["invitations"][0]
    return operator.ask(f"DELETE /api/developers/invitations/{invitation['id']}")


def after(prepare: Callable[[Scene], Any], change: Callable[[Scene], Any]) -> Callable[..., Any]:
    def both(scene: Scene) -> Any:
        prepare(scene)
        return change(scene)

    return both


Change = Callable[[Scene], Any]

# How each change succeeds, and what the audit calls it.
CHANGES: dict[str, tuple[str, Change]] = {
    "POST /logout": ("session.end", lambda s: s.owner.ask("POST /logout")),
    "DELETE /api/account/sessions": (
        "session.end_all",
        lambda s: s.owner.ask("DELETE /api/account/sessions"),
    ),
    "DELETE /api/account/sessions/<session>": ("session.end", end_session),
    "PUT /api/account/password": (
        "account.password",
        lambda s: s.owner.ask(
            "PUT /api/account/password", {"current": PASSWORD, "new": "another password"}
        ),
    ),
    "PUT /api/account/login": ("account.login", set_login),
    "POST /api/backpacks": (
        "backpack.create",
        lambda s: s.owner.ask("POST /api/backpacks", {"name": f"made-{s.number}"}),
    ),
    "POST /api/backups/<name>": (
        "backup.import",
        lambda s: s.owner.ask(f"POST /api/backups/came-{s.number}", content=s.backup()),
    ),
    f"DELETE {_B}": ("backpack.delete", lambda s: s.owner.ask(f"DELETE {s.path}")),
    f"POST {_B}/restore": (
        "backpack.restore",
        after(Scene.gone, lambda s: s.owner.ask(f"POST {s.path}/restore")),
    ),
    f"POST {_B}/purge": (
        "backpack.purge",
        after(Scene.gone, lambda s: s.owner.ask(f"POST {s.path}/purge")),
    ),
    f"POST {_B}/backup": (
        "backup.replace",
        lambda s: s.owner.ask(f"POST {s.path}/backup", content=s.backup()),
    ),
    f"PATCH {_B}/backup": (
        "backup.promote",
        lambda s: s.owner.ask(f"PATCH {s.path}/backup", content=RULES),
    ),
    f"POST {_B}/site": (
        "site.deploy",
        lambda s: s.owner.ask(f"POST {s.path}/site", content=s.zip()),
    ),
    f"POST {_B}/rollback": (
        "site.rollback",
        after(
            lambda s: s.deployed(2),
            lambda s: s.owner.ask(f"POST {s.path}/rollback", {"version": 1}),
        ),
    ),
    f"POST {_FILE}": (
        "file.create",
        lambda s: s.owner.ask(f"POST {s.file().replace('a.txt', 'b.txt')}", content=b"text"),
    ),
    f"PUT {_FILE}": ("file.replace", lambda s: s.owner.ask(f"PUT {s.file()}", content=b"text")),
    f"DELETE {_FILE}": ("file.delete", lambda s: s.owner.ask(f"DELETE {s.file()}")),
    f"POST {_B}/members": (
        "member.set",
        after(
            Scene.other,
            lambda s: s.owner.ask(
                f"POST {s.path}/members", {"email": f"other-{s.number}@example.com"}
            ),
        ),
    ),
    f"DELETE {_B}/members/<member>": (
        "member.remove",
        lambda s: s.owner.ask(f"DELETE {s.path}/members/{s.other()}"),
    ),
    f"POST {_B}/tokens": (
        "token.create",
        lambda s: s.owner.ask(
            f"POST {s.path}/tokens", {"name": "CI", "scope": "deploy", "days": 30}
        ),
    ),
    f"DELETE {_B}/tokens/<token>": ("token.revoke", revoke_token),
    "POST /api/developers/invitations": (
        "developer.invite",
        lambda s: s.server.operator().ask(
            "POST /api/developers/invitations", {"role": "developer"}
        ),
    ),
    "DELETE /api/developers/invitations/<invitation>": ("developer.uninvite", uninvite),
    "PUT /api/developers/<developer>": (
        "developer.role",
        lambda s: s.server.operator().ask(
            f"PUT /api/developers/{s.other()}", {"role": "developer"}
        ),
    ),
    "POST /api/developers/<developer>/reset": (
        "developer.reset",
        lambda s: s.server.operator().ask(f"POST /api/developers/{s.other()}/reset"),
    ),
    "DELETE /api/developers/<developer>": (
        "developer.remove",
        lambda s: s.server.operator().ask(f"DELETE /api/developers/{s.other()}"),
    ),
}
# What one process cannot do: the swarm's tests have it.
ELSEWHERE = {
    f"POST {_B}/databases",
    f"POST {_B}/scale",
    "POST /api/nodes/<node>/activate",
    "POST /api/nodes/<node>/drain",
    "POST /api/nodes/<node>/labels",
    "POST /api/nodes/join",
}


def test_every_change_is_made_below() -> None:
    assert set(CHANGES) | ELSEWHERE == set(CHANGING)


@pytest.mark.parametrize(("action", "change"), CHANGES.values(), ids=CHANGES)
def test_change_is_noted(server: PanelServer, scene: Scene, action: str, change: Change) -> None:
    before = {entry.id for entry in entries(server)}
    answer = change(scene)

    assert answer.status_code == 200, answer.text
    assert '"error"' not in answer.text
    added = [entry for entry in entries(server) if entry.id not in before]
    assert added[0].action == action
    assert added[0].address == "127.0.0.1"
    assert added[0].name.endswith("@example.com") or added[0].action == "account.login"
    if "/backpacks" in f"{answer.request.url}":
        made = f"made-{scene.number}" if action == "backpack.create" else scene.name
        assert added[0].backpack == made


def test_audit_holds_no_secrets(
    server: PanelServer, scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    asked = {"name": "CI", "scope": "deploy", "days": 30}
    token = scene.owner.ask(f"POST {scene.path}/tokens", asked).json()["token"]
    operator = server.operator()
    url = operator.ask("POST /api/developers/invitations", {"role": "developer"}).json()["url"]
    new = "a password of some length"
    scene.owner.ask("PUT /api/account/password", {"current": PASSWORD, "new": new})
    key = scene.backpack.api_key
    scene.owner.ask(f"GET {scene.path}/backup?key=1")
    browser = server.stranger()
    browser.enter(url.removeprefix(operator.origin), email="late@example.com", password=new)

    told = str(entries(server)) + caplog.text
    secrets = [token, url.rpartition("/")[2], new, PASSWORD, key, browser.token, scene.owner.token]
    assert [secret for secret in secrets if secret in told] == []


def test_log_of_the_audit_shows_own_backpacks_only(server: PanelServer, scene: Scene) -> None:
    scene.deployed()
    carol = server.developer("carol").ask("GET /api/log").text
    owner = scene.owner.ask("GET /api/log").text

    assert scene.name not in carol
    assert scene.name in owner


def test_lists_show_own_backpacks_only(server: PanelServer, scene: Scene) -> None:
    carol = server.developer("carol")
    scene.gone()

    assert carol.ask("GET /api/backpacks").json() == []
    assert carol.ask("GET /api/trash").json() == []
    assert carol.ask("GET /api/status?names=shop").json() == []
    assert [one["name"] for one in scene.owner.ask("GET /api/trash").json()] == [scene.name]


def test_name_in_the_trash_is_kept_for_its_owner(server: PanelServer, scene: Scene) -> None:
    scene.gone()
    carol = server.developer("carol")
    made = carol.ask("POST /api/backpacks", {"name": scene.name})

    assert (made.status_code, made.json()["code"]) == (422, "backpack_exists")
    assert carol.ask(f"POST {scene.path}/restore").status_code == 404
