"""Tokens in the place of a developer: what they let a program do, from its command line on."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from backpack import cli
from backpack.registry.audit import Entry
from backpack.registry.tokens import DEPLOY, RESTORE
from backpack.testing import PASSWORD, TestBackpack
from backpack.throttle import REFUSALS_OF_ADDRESS
from tests.backups import good, packed, sealed, zipped
from tests.panel import PanelClient, PanelServer
from tests.sandboxes import Ended

SITE = zipped({"index.html": b"<h1>Shop</h1>"})
BACKUP = packed(sealed(good()))


@pytest.fixture
def server(kept_panel: PanelServer) -> PanelServer:
    kept_panel.create("shop")
    kept_panel.share("shop", kept_panel.developer("ann"))
    return kept_panel


def token(server: PanelServer, scope: str, name: str = "shop", maker: str = "ann") -> str:
    """A token of that scope for a backpack."""
    client = server.developer(maker)
    body = {"name": f"ci-{scope}", "scope": scope, "days": 30}
    answer = client.ask(f"POST /api/backpacks/{name}/tokens", body)
    assert answer.status_code == 200, answer.text
    secret: str = answer.json()["token"]
    return secret


def program(
    server: PanelServer, call: str, content: bytes, authorization: str, **headers: str
) -> httpx.Response:
    """What a program is answered, which has nothing but a token."""
    client = PanelClient(server, None)
    method, _, path = call.partition(" ")
    sent = {"host": client.host, "authorization": authorization, **headers}
    return client.http.request(method, path, content=content, headers=sent)


def result(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return json.loads(answer.text.splitlines()[-1])["result"]


def log(server: PanelServer, name: str = "shop") -> list[Entry]:
    """The audit of a backpack, but for how its tokens came to be."""
    found = server.call(server.registry.audit.of_backpack(name))
    return [one for one in found if not one.action.startswith(("token.create", "token.revoke"))]


def sites(server: PanelServer) -> list[tuple[int, str]]:
    found = server.call(server.driver.sites("shop"))
    return [(one["version"], one["who"]) for one in found]


def test_deploy_token_deploys(server: PanelServer) -> None:
    secret = token(server, DEPLOY)
    made = result(program(server, "POST /api/backpacks/shop/site", SITE, f"token {secret}"))
    known = server.developer("ann").ask("GET /api/backpacks/shop/tokens").json()
    (deployed,) = server.call(server.registry.deployments.of("shop"))
    (noted,) = log(server)

    assert (made["version"], made["who"], made["live"]) == (1, "token ci-deploy", True)
    assert sites(server) == [(1, "token ci-deploy")]
    assert (deployed.version, deployed.who) == (1, "token ci-deploy")
    assert (noted.action, noted.name, noted.who) == (
        "site.deploy",
        "token ci-deploy",
        known[0]["id"],
    )
    assert known[0]["used_at"] is not None
    assert secret not in f"{noted} {known}"


def test_restore_token_replaces(server: PanelServer) -> None:
    secret = token(server, RESTORE)
    key = server.call(server.driver.describe("shop"))["api_key"]

    made = result(program(server, "POST /api/backpacks/shop/backup", BACKUP, f"Token  {secret}"))
    (noted,) = log(server)

    assert (made["documents"], made["api_key"]) == (2, key)
    assert (noted.action, noted.name) == ("backup.replace", "token ci-restore")
    assert noted.detail == {"users": 1, "documents": 2, "files": 1}


def test_backup_does_not_fill_what_has_something(server: PanelServer) -> None:
    authorization = f"token {token(server, RESTORE)}"
    call = "POST /api/backpacks/shop/backup?empty=1"

    first = program(server, call, BACKUP, authorization)
    again = program(server, call, BACKUP, authorization)

    assert result(first)["documents"] == 2
    assert (again.status_code, again.json()["message"]) == (
        422,
        "The backpack 'shop' has users, records or files: they would be lost",
    )


@pytest.mark.parametrize("model", ["users", "uploads"])
def test_backup_does_not_fill_over(server: PanelServer, model: str) -> None:
    async def add() -> None:
        async with server.driver.console("shop") as console:
            if model == "users":
                await console.ask("post", "users", {"email": "a@b.org", "password": PASSWORD})
            else:
                await console.save_file(content(), "a.txt", "text/plain")

    async def content() -> Any:
        yield b"a"

    server.call(add())
    call = "POST /api/backpacks/shop/backup?empty=1"

    assert program(server, call, BACKUP, f"token {token(server, RESTORE)}").status_code == 422


CALLS = {
    "site": "POST /api/backpacks/shop/site",
    "backup": "POST /api/backpacks/shop/backup",
    "promote": "PATCH /api/backpacks/shop/backup",
}
SCOPES = {"site": DEPLOY, "backup": RESTORE, "promote": RESTORE}

Spoil = Callable[[PanelServer, str], str]


def revoked(server: PanelServer, scope: str) -> str:
    secret = token(server, scope)
    ann = server.developer("ann")
    (made,) = ann.ask("GET /api/backpacks/shop/tokens").json()
    ann.ask(f"DELETE /api/backpacks/shop/tokens/{made['id']}").raise_for_status()
    return secret


def expired(server: PanelServer, scope: str) -> str:
    secret = token(server, scope)
    server.call(server.registry._database.rows("UPDATE tokens SET expires = 1"))
    return secret


def orphaned(server: PanelServer, scope: str) -> str:
    secret = token(server, scope)
    ann, bob = server.developer("ann"), server.developer("bob")
    server.share("shop", bob)
    assert ann.developer is not None
    server.call(server.registry.backpacks.remove_member("shop", ann.developer.id))
    return secret


def of_another(server: PanelServer, scope: str) -> str:
    server.create("forum")
    server.share("forum", server.developer("ann"))
    return token(server, scope, "forum")


def of_another_scope(server: PanelServer, scope: str) -> str:
    return token(server, RESTORE if scope == DEPLOY else DEPLOY)


REFUSED: dict[str, tuple[Spoil, int, str, str]] = {
    "unknown": (lambda *_: "bkpk_" + "x" * 43, 401, "bad_token", "There is no such token here"),
    "revoked": (revoked, 401, "bad_token", "The token 'ci-{scope}' has been revoked"),
    "expired": (expired, 401, "bad_token", "The token 'ci-{scope}' has expired"),
    "orphaned": (
        orphaned,
        401,
        "bad_token",
        "Who made the token 'ci-{scope}' may not do this any more",
    ),
    "another backpack": (
        of_another,
        403,
        "bad_scope",
        "The token 'ci-{scope}' is to {scope} forum, not to {scope} shop",
    ),
    "another scope": (
        of_another_scope,
        403,
        "bad_scope",
        "The token 'ci-{other}' is to {other} shop, not to {scope} shop",
    ),
}


@pytest.mark.parametrize(("spoil", "status", "code", "why"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("call", CALLS)
def test_other_tokens_change_nothing(
    server: PanelServer, call: str, spoil: Spoil, status: int, code: str, why: str
) -> None:
    scope = SCOPES[call]
    secret = spoil(server, scope)

    answer = program(server, CALLS[call], SITE, f"token {secret}")

    other = RESTORE if scope == DEPLOY else DEPLOY
    message = why.format(scope=scope, other=other)
    assert (answer.status_code, answer.json()) == (status, {"message": message, "code": code})
    assert sites(server) == []
    assert [one.action for one in log(server)] == ([] if spoil is of_another else ["token.refused"])
    assert secret not in str([log(server), log(server, "forum")])


def test_refusal_is_noted_where_the_token_belongs(server: PanelServer) -> None:
    secret = of_another(server, DEPLOY)
    program(server, CALLS["site"], SITE, f"token {secret}")
    (noted,) = log(server, "forum")

    assert (noted.action, noted.name) == ("token.refused", "token ci-deploy")
    assert noted.detail == {"wanted": "deploy shop"}


@pytest.mark.parametrize(
    ("spoil", "name"),
    [(REFUSED["unknown"][0], "somebody"), (revoked, "token ci-deploy")],
    ids=["unknown", "revoked"],
)
def test_refusals_do_not_fill_the_log(server: PanelServer, spoil: Spoil, name: str) -> None:
    secret = spoil(server, DEPLOY)
    for _ in range(REFUSALS_OF_ADDRESS + 5):
        assert program(server, CALLS["site"], SITE, f"token {secret}").status_code == 401

    noted = log(server)
    assert len(noted) == REFUSALS_OF_ADDRESS
    assert {(one.name, one.action) for one in noted} == {(name, "token.refused")}
    assert noted[0].detail == {"wanted": "deploy shop"}


def test_unknown_token_for_nothing_is_noted(server: PanelServer) -> None:
    program(server, "POST /api/backpacks/none/site", SITE, "token bkpk_wrong")

    noted = server.developer("boss", "operator").ask("GET /api/log").json()["entries"][0]
    assert (noted["action"], noted["backpack"]) == ("token.refused", None)
    assert noted["detail"] == {"wanted": "deploy none"}


def test_token_does_not_tell_what_there_is(server: PanelServer) -> None:
    authorization = f"token {of_another(server, DEPLOY)}"
    there = program(server, "POST /api/backpacks/shop/site", SITE, authorization)
    missing = program(server, "POST /api/backpacks/none/site", SITE, authorization)

    assert there.status_code == missing.status_code == 403
    assert there.text == missing.text.replace("none", "shop")


@pytest.mark.parametrize(
    "call",
    [
        "GET /api/backpacks",
        "GET /api/backpacks/shop",
        "GET /api/backpacks/shop/backup",
        "GET /api/backpacks/shop/sites",
        "GET /api/backpacks/shop/tokens",
        "POST /api/backpacks/shop/tokens",
        "POST /api/backpacks/shop/rollback",
        "DELETE /api/backpacks/shop",
        "POST /api/backups/other",
    ],
)
@pytest.mark.parametrize("scope", [DEPLOY, RESTORE])
def test_token_is_for_nothing_else(server: PanelServer, scope: str, call: str) -> None:
    answer = program(server, call, b"{}", f"token {token(server, scope)}")

    assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in")


def test_session_does_not_help_a_token(server: PanelServer) -> None:
    ann = server.developer("ann")
    headers = {"authorization": "token bkpk_wrong"}
    answer = ann.ask("POST /api/backpacks/shop/site", content=SITE, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (401, "bad_token")
    assert sites(server) == []


@pytest.mark.parametrize("authorization", ["", "token", "Bearer {}", "key {}", "token{}"])
def test_only_tokens_count(server: PanelServer, authorization: str) -> None:
    sent = authorization.format(token(server, DEPLOY))

    assert program(server, CALLS["site"], SITE, sent).json()["code"] == "not_signed_in"


def test_panel_deploys_as_before(server: PanelServer) -> None:
    lines, last = server.developer("ann").steps("POST /api/backpacks/shop/site", content=SITE)
    stranger = server.developer("bob").ask("POST /api/backpacks/shop/site", content=SITE)
    headers = {"x-csrf-token": None}
    forged = server.developer("ann").ask(
        "POST /api/backpacks/shop/site", content=SITE, headers=headers
    )

    assert (lines[-1], last["result"]["who"]) == ("Version 1 is live", "ann@example.com")
    assert (stranger.status_code, forged.status_code) == (404, 403)


def test_upload_that_breaks_off_changes_nothing(server: PanelServer) -> None:
    secret = token(server, DEPLOY)
    host = PanelClient(server, None).host
    head = f"POST /api/backpacks/shop/site HTTP/1.1\r\nhost: {host}\r\n"
    head += f"authorization: token {secret}\r\ncontent-length: {len(SITE)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.sendall(head.encode() + SITE[:50])

    made = result(program(server, CALLS["site"], SITE, f"token {secret}"))

    assert made["version"] == 1
    assert sites(server) == [(1, "token ci-deploy")]


@pytest.fixture
def command(
    server: PanelServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Ended]:
    """Runs a command with a token, which it never says; `--to` names the server."""

    def command(secret: str, *arguments: str | Path) -> Ended:
        monkeypatch.setenv("BACKPACK_TOKEN", secret)
        to = ("--to", server.host_url("admin"))
        code = cli.main([str(argument) for argument in (*arguments, *to)])
        out, err = capsys.readouterr()
        assert secret not in out + err
        return Ended(code, out, err)

    return command


Command = Callable[..., Ended]


def test_command_deploys(
    server: PanelServer, command: Command, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "dist"
    folder.mkdir()
    (folder / "index.html").write_text("<h1>Shop</h1>")
    secret = token(server, DEPLOY)
    with caplog.at_level(logging.DEBUG):
        ended = command(secret, "deploy", folder, "--backpack", "shop")
        refused = command("bkpk_wrong", "deploy", folder, "--backpack", "shop")
    url = server.host_url("shop")
    page = httpx.get(
        f"http://127.0.0.1:{server.port}/", headers={"host": url.removeprefix("http://")}
    )

    assert ended.code == 0
    assert ended.out.splitlines()[-2:] == [
        "Version 1 is live",
        f"shop has a new site: {url}",
    ]
    assert page.text == "<h1>Shop</h1>"
    origin = server.host_url("admin")
    assert refused == Ended(2, "", f"backpack: {origin}: There is no such token here\n")
    assert secret not in caplog.text


def test_command_is_told_why_a_large_site_is_refused(
    server: PanelServer, command: Command, tmp_path: Path
) -> None:
    large = tmp_path / "large.zip"
    large.write_bytes(bytes(30_000_000))

    ended = command("bkpk_wrong", "deploy", large, "--backpack", "shop")

    assert (ended.code, ended.err.partition(": http")[2].partition(": ")[2]) == (
        2,
        "There is no such token here\n",
    )


@pytest.fixture
def sandbox(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A data folder with a backpack `shop` that has something of everything."""
    data, file = tmp_path / "sandbox", tmp_path / "good.tar"
    file.write_bytes(packed(sealed({**good(), "site.zip": SITE})))
    assert cli.main(["import", str(file), "shop", "--data", str(data)]) == 0
    capsys.readouterr()
    return data


def test_promote_leaves_users_and_records(
    server: PanelServer, command: Command, sandbox: Path
) -> None:
    with opened(server) as there:
        user = there.register("ada@example.com")
        there.seed({"collections": {"notes": [{"n": 1}]}})
        before = user.client.get("/notes").json()

        ended = command(token(server, RESTORE), "promote", "shop", "--data", sandbox)
        after = user.client.get("/notes").json()
        collections = user.client.get("/collections").json()
        rules = there._backpack.config.rules.raw
    noted = log(server)[0]
    (deployed,) = server.call(server.registry.deployments.of("shop"))

    assert ended.code == 0
    assert ended.out.splitlines()[-1].startswith("shop has been promoted to http://admin.")
    assert after == before
    assert "cars" not in str(collections)
    assert rules == {"cars": {"list": "public", "read": "public"}}
    assert sites(server) == [(1, "token ci-restore")]
    assert (noted.action, noted.name) == ("backup.promote", "token ci-restore")
    assert noted.detail == {"rules": True, "files": 1}
    assert (deployed.version, deployed.who) == (1, "token ci-restore")


@contextmanager
def opened(server: PanelServer) -> Iterator[TestBackpack]:
    """The backpack `shop` as its users see it."""
    assert server._tenants is not None
    there = TestBackpack(server, server.call(server._tenants.backpack("shop")))
    yield there
    for client in there._clients:
        client.close()


def test_promote_with_data_carries_everything(
    server: PanelServer, command: Command, sandbox: Path
) -> None:
    secret = token(server, RESTORE)
    asked = ("promote", "shop", "--data", sandbox, "--with-data")

    first, again = command(secret, *asked), command(secret, *asked)
    replaced = command(secret, *asked, "--replace")
    with opened(server) as there:
        cars = there.client.get("/cars").json()

    assert [first.code, again.code, replaced.code] == [0, 2, 0]
    assert "has users, records or files: they would be lost" in again.err
    assert [one["n"] for one in cars] == [1, 2]
    assert [version for version, _ in sites(server)] == [1]


def test_promote_tells_what_is_wrong(server: PanelServer, command: Command, sandbox: Path) -> None:
    secret = token(server, DEPLOY)
    wrong_scope = command(secret, "promote", "shop", "--data", sandbox)
    unknown = command(secret, "promote", "none", "--data", sandbox)
    alone = command(secret, "promote", "shop", "--data", sandbox, "--replace")

    origin = server.host_url("admin")
    assert [ended.err for ended in (wrong_scope, unknown, alone)] == [
        f"backpack: {origin}: The token 'ci-deploy' is to deploy shop, not to restore shop\n",
        "backpack: There is no backpack 'none'; there are: shop\n",
        "backpack: --replace goes with --with-data\n",
    ]
