"""How developers get in and out over HTTP: what is answered, what it leaves, what is not told."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest

from backpack.drivers.swarm_commands import SwarmCommands
from backpack.drivers.swarm_secrets import Keyring
from backpack.errors import NotFound
from backpack.steps import finish
from backpack.throttle import FAILURES_OF_ADDRESS, FAILURES_OF_PAIR
from tests.panel import COOKIE, PASSWORD, SETTINGS, PanelServer

if TYPE_CHECKING:
    from backpack.drivers.swarm import SwarmDriver

SETUP_TOKEN = "a-token-of-the-set-up"
KEYRING = Keyring("secret", "SCRAM-SHA-256")


@pytest.fixture
def fresh() -> Iterator[PanelServer]:
    """A production deployment that nobody has set up."""
    server = PanelServer(settings=replace(SETTINGS, dev=False, setup_token=SETUP_TOKEN))
    server.start()
    yield server
    server.stop()


def link_of(panel: PanelServer) -> str:
    """The path of a fresh one-time link."""
    registry = panel.registry
    operator = panel.call(registry.developers.sandbox_operator())
    return f"/open/{panel.call(registry.links.create(operator))}"


def actions(panel: PanelServer) -> list[tuple[str, str]]:
    """Who did what, the latest last."""
    operator = panel.call(panel.registry.developers.sandbox_operator())
    entries = panel.call(panel.registry.audit.visible(operator))
    return [(entry.name, entry.action) for entry in reversed(entries)]


def test_login_begins_a_session(panel: PanelServer) -> None:
    ann = panel.developer("ann")
    browser = panel.stranger()
    page = browser.ask("GET /login?next=/account")
    answer = browser.enter(
        "/login", email=" ANN@example.com", password=PASSWORD, next="/account?a=1"
    )

    assert page.status_code == 200 and 'value="/account"' in page.text
    assert (answer.status_code, answer.headers["location"]) == (303, "/account?a=1")
    assert re.fullmatch(
        rf"{COOKIE}=[\w-]{{43}}; Path=/; Max-Age=2592000; HttpOnly; SameSite=Strict; Secure",
        answer.headers["set-cookie"],
    )
    assert "ann@example.com" in browser.ask("GET /account").text
    assert browser.token != ann.token
    assert browser.ask("GET /login?next=/developers").headers["location"] == "/developers"


@pytest.mark.parametrize(
    ("email", "password"),
    [
        pytest.param("ann@example.com", "wrong password", id="password"),
        pytest.param("bob@example.com", PASSWORD, id="address"),
        pytest.param("<script>", PASSWORD, id="no address"),
        pytest.param("", "", id="nothing"),
    ],
)
def test_wrong_login_tells_nothing(panel: PanelServer, email: str, password: str) -> None:
    panel.developer("ann")
    answer = panel.stranger().enter("/login", email=email, password=password, next="/log")

    assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)
    assert "Wrong email or password" in answer.text
    assert 'value="/log"' in answer.text
    assert password not in answer.text or not password
    assert "<script" not in answer.text


@pytest.mark.parametrize(
    "target",
    ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:x", "", "/\r\nx: y"],
)
def test_login_leads_nowhere_else(panel: PanelServer, target: str) -> None:
    panel.developer("ann")
    answer = panel.stranger().enter(
        "/login", email="ann@example.com", password=PASSWORD, next=target
    )

    assert (answer.status_code, answer.headers["location"]) == (303, "/")


@pytest.mark.parametrize("path", ["/login", "/setup", "/open/x", "/reset/x", "/invitations/x"])
@pytest.mark.parametrize("origin", [None, "null", "http://shop.bkpk.localhost", "https://a.test"])
def test_foreign_page_signs_nobody_in(panel: PanelServer, path: str, origin: str | None) -> None:
    panel.developer("ann")
    answer = panel.stranger().ask(
        f"POST {path}",
        form={"email": "ann@example.com", "password": PASSWORD},
        headers={"origin": origin, "x-csrf-token": None},
    )

    assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        pytest.param(b'{"email": "a"}', "application/json", id="json"),
        pytest.param(b"\xff\xfe=%ff%fe", "application/x-www-form-urlencoded", id="bytes"),
        pytest.param(b"email=%ff", "application/x-www-form-urlencoded", id="no utf-8"),
        pytest.param(b"a=1&" * 1_000, "application/x-www-form-urlencoded", id="many fields"),
        pytest.param(b"", "", id="nothing"),
    ],
)
def test_rubbish_is_refused(panel: PanelServer, content: bytes, kind: str) -> None:
    answer = panel.stranger().ask("POST /login", content=content, headers={"content-type": kind})

    assert answer.status_code == 400
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize("header", ["user-agent", "cookie", "x-forwarded-for", "sec-fetch-site"])
def test_bytes_in_headers_are_no_matter(panel: PanelServer, header: str) -> None:
    panel.developer("ann")
    browser = panel.stranger()
    answer = browser.ask(
        "POST /login",
        form={"email": "ann@example.com", "password": PASSWORD},
        headers={header: "\udcff\udcfe", "x-csrf-token": None},
    )

    assert answer.status_code == 303


@pytest.mark.parametrize("path", ["/login", "/logout", "/open/x"])
def test_bytes_in_the_origin_are_refused(panel: PanelServer, path: str) -> None:
    answer = panel.operator().ask(f"POST {path}", headers={"origin": "\udcff\udcfe"})

    assert answer.status_code == 403


def test_too_long_form_is_refused(panel: PanelServer) -> None:
    answer = panel.stranger().enter("/login", email="x" * 2_000_000, password="x")

    assert answer.status_code == 413


def test_guessing_at_one_account_is_braked(panel: PanelServer) -> None:
    panel.developer("ann")
    browser = panel.stranger()
    tries = [
        browser.enter("/login", email="ann@example.com", password=f"wrong {n}").status_code
        for n in range(FAILURES_OF_PAIR + 1)
    ]
    right = browser.enter("/login", email="ann@example.com", password=PASSWORD)

    assert tries == [401] * FAILURES_OF_PAIR + [429]
    assert (right.status_code, "set-cookie" in right.headers) == (429, False)
    assert 0 < int(right.headers["retry-after"]) <= 300


def test_guessing_at_many_accounts_is_braked(panel: PanelServer) -> None:
    panel.developer("ann")
    browser = panel.stranger()
    for n in range(FAILURES_OF_ADDRESS):
        browser.enter("/login", email=f"d{n}@example.com", password="wrong password")

    answer = browser.enter("/login", email="ann@example.com", password=PASSWORD)
    assert answer.status_code == 429


def test_link_opens_once(panel: PanelServer) -> None:
    link = link_of(panel)
    first, second = panel.stranger(), panel.stranger()
    pages = [first.ask(f"GET {link}") for _ in range(3)]
    answer = first.enter(link)

    assert [page.status_code for page in pages] == [200] * 3
    assert all("set-cookie" not in page.headers for page in pages)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert first.ask("GET /developers").status_code == 200
    for used in (second.ask(f"GET {link}"), second.enter(link)):
        assert (used.status_code, "set-cookie" in used.headers) == (404, False)
        assert "backpack link" in used.text
    assert actions(panel) == [("operator", "session.begin")]


def test_set_up_makes_the_first_operator_only(fresh: PanelServer) -> None:
    browser = fresh.stranger()
    given = {"token": SETUP_TOKEN, "email": "Ann@example.com", "password": PASSWORD}
    led = browser.ask("GET /login")
    page = browser.ask("GET /setup")
    answer = browser.enter("/setup", **given)

    assert (led.status_code, led.headers["location"]) == (303, "/setup")
    assert page.status_code == 200 and SETUP_TOKEN not in page.text
    assert answer.status_code == 303
    assert "ann@example.com, operator" in browser.ask("GET /account").text
    other = fresh.stranger()
    assert other.ask("GET /setup").status_code == 404
    assert other.enter("/setup", **{**given, "email": "eve@example.com"}).status_code == 404
    assert other.token == ""
    assert other.ask("GET /login").status_code == 200


@pytest.mark.parametrize("token", ["", "x", SETUP_TOKEN[:-1], f"{SETUP_TOKEN}x", "ä"])
def test_wrong_set_up_token_is_refused(fresh: PanelServer, token: str) -> None:
    answer = fresh.stranger().enter(
        "/setup", token=token, email="ann@example.com", password=PASSWORD
    )

    assert answer.status_code == 401
    assert "That is not the set-up token" in answer.text
    assert not fresh.call(fresh.registry.developers.any())


def test_guessing_the_set_up_token_is_braked(fresh: PanelServer) -> None:
    browser = fresh.stranger()
    tries = [
        browser.enter("/setup", token=f"guess {n}", email="a@b.cd", password=PASSWORD).status_code
        for n in range(FAILURES_OF_PAIR + 1)
    ]

    assert tries == [401] * FAILURES_OF_PAIR + [429]


def test_weak_set_up_is_asked_again(fresh: PanelServer) -> None:
    browser = fresh.stranger()
    weak = browser.enter("/setup", token=SETUP_TOKEN, email="ann@example.com", password="short")

    assert weak.status_code == 422
    assert "must have at least 8 characters" in weak.text
    assert 'value="ann@example.com"' in weak.text
    assert SETUP_TOKEN not in weak.text
    assert "short" not in weak.text
    done = browser.enter("/setup", token=SETUP_TOKEN, email="ann@example.com", password=PASSWORD)
    assert done.status_code == 303


def test_sandbox_has_no_set_up(panel: PanelServer) -> None:
    assert panel.stranger().ask("GET /setup").status_code == 404
    answer = panel.stranger().enter("/setup", token="", email="a@b.cd", password=PASSWORD)
    assert answer.status_code == 404


def test_invitation_makes_a_developer_once(panel: PanelServer) -> None:
    operator = panel.operator()
    url = operator.ask("POST /api/developers/invitations", {"role": "developer"}).json()["url"]
    link = url.removeprefix(operator.origin)
    bob = panel.stranger()
    page = bob.ask(f"GET {link}")
    taken = bob.enter(link, email="operator@example.com", password=PASSWORD)
    answer = bob.enter(link, email="bob@example.com", password=PASSWORD)

    assert page.status_code == 200
    assert (taken.status_code, "has an account already" in taken.text) == (422, True)
    assert answer.status_code == 303
    assert "bob@example.com, developer" in bob.ask("GET /account").text
    assert bob.ask("GET /developers").status_code == 403
    for used in (
        panel.stranger().ask(f"GET {link}"),
        panel.stranger().enter(link, email="eve@example.com", password=PASSWORD),
    ):
        assert (used.status_code, "set-cookie" in used.headers) == (404, False)


def test_forgotten_password_is_set_anew_once(panel: PanelServer) -> None:
    operator, bob = panel.operator(), panel.developer("bob")
    assert bob.developer is not None
    made = operator.ask(f"POST /api/developers/{bob.developer.id}/reset").json()["url"]
    link = made.removeprefix(operator.origin)
    browser = panel.stranger()
    page = browser.ask(f"GET {link}")
    weak = browser.enter(link, password="short")
    answer = browser.enter(link, password="another fine password")

    assert (page.status_code, "bob@example.com" in page.text) == (200, True)
    assert (weak.status_code, answer.status_code) == (422, 303)
    assert browser.ask("GET /account").status_code == 200
    assert bob.ask("GET /account").status_code == 303
    for used in (panel.stranger().ask(f"GET {link}"), panel.stranger().enter(link, password="x")):
        assert (used.status_code, "set-cookie" in used.headers) == (404, False)
    assert panel.stranger().ask(f"GET {link.replace('reset', 'open')}").status_code == 404


def test_command_of_a_swarm_lets_the_last_operator_back_in(panel: PanelServer) -> None:
    panel.developer("bob")
    commands = SwarmCommands(
        cast("SwarmDriver", panel.driver), panel.registry, KEYRING, panel.host_url("admin")
    )
    with pytest.raises(NotFound):
        panel.call(finish(commands.perform("link", {})))
    panel.operator("ann")
    url = panel.call(finish(commands.perform("link", {})))["url"]
    browser = panel.stranger()
    answer = browser.enter(url.removeprefix(browser.origin), password="another fine password")

    assert answer.status_code == 303
    assert "ann@example.com, operator" in browser.ask("GET /account").text


def test_tossed_cookies_use_up_no_link(panel: PanelServer) -> None:
    link, browser = link_of(panel), panel.stranger()
    tossed = "; ".join(f"{COOKIE}={number:043d}" for number in range(9))

    refused = browser.ask(f"POST {link}", form={}, headers={"cookie": tossed})

    assert (refused.status_code, actions(panel)) == (400, [])
    assert browser.enter(link).status_code == 303


def test_one_time_link_sets_no_password(panel: PanelServer) -> None:
    link = link_of(panel).replace("open", "reset")

    assert panel.stranger().ask(f"GET {link}").status_code == 404
    assert panel.stranger().enter(link, password=PASSWORD).status_code == 404


def test_session_is_new_at_every_sign_in(panel: PanelServer) -> None:
    panel.developer("ann")
    browser = panel.stranger()
    planted = browser.token = "x" * 43
    browser.enter("/login", email="ann@example.com", password=PASSWORD)
    first = browser.token
    browser.enter("/login", email="ann@example.com", password=PASSWORD)

    assert len({planted, first, browser.token}) == 3
    for token in (planted, first):
        old = panel.stranger()
        old.token = token
        assert old.ask("GET /account").status_code == 303
    assert browser.ask("GET /account").status_code == 200


def test_sign_in_ends_the_session_that_was_planted(panel: PanelServer) -> None:
    eve = panel.developer("eve")
    panel.developer("ann")
    browser = panel.stranger()
    browser.token = eve.token
    browser.enter("/login", email="ann@example.com", password=PASSWORD)

    assert "ann@example.com" in browser.ask("GET /account").text
    assert eve.ask("GET /account").status_code == 303


def test_logout_ends_the_session(panel: PanelServer) -> None:
    ann = panel.developer("ann")
    answer = ann.ask("POST /logout")

    assert answer.status_code == 200
    assert answer.headers["set-cookie"].startswith(f"{COOKIE}=; Path=/; Max-Age=0;")
    assert ann.ask("GET /account").status_code == 303
    assert ann.ask("POST /logout").status_code == 401


def test_link_of_another_site_finds_the_session(panel: PanelServer) -> None:
    cross = {"sec-fetch-site": "cross-site", "cookie": None}
    again = panel.developer("ann").ask("GET /account", headers=cross)
    api = panel.developer("ann").ask("GET /api/account/sessions", headers=cross)

    assert (again.status_code, 'http-equiv="refresh"' in again.text) == (200, True)
    assert api.status_code == 401


def test_plain_host_has_a_plain_cookie() -> None:
    server = PanelServer(settings=replace(SETTINGS, domain="dev.example"))
    server.start()
    try:
        server.developer("ann")
        browser = server.stranger()
        answer = browser.ask(
            "POST /login",
            form={"email": "ann@example.com", "password": PASSWORD},
            headers={"x-csrf-token": None},
        )
        cookie = answer.headers["set-cookie"]
        token = cookie.removeprefix("backpack=").partition(";")[0]
        signed_in = browser.ask("GET /account", headers={"cookie": f"backpack={token}"})
    finally:
        server.stop()

    assert cookie == f"backpack={token}; Path=/; Max-Age=2592000; HttpOnly; SameSite=Strict"
    assert "ann@example.com" in signed_in.text


def test_flood_of_cookies_is_told(panel: PanelServer) -> None:
    ann = panel.developer("ann")
    flood = "; ".join(f"{COOKIE}={n}" for n in range(6))
    answer = ann.ask("GET /account", headers={"cookie": f"{flood}; {ann.cookie}"})

    assert (answer.status_code, answer.json()["code"]) == (400, "two_sessions")


def test_log_does_not_tell_tokens(
    kept_panel: PanelServer, caplog: pytest.LogCaptureFixture
) -> None:
    link = link_of(kept_panel)
    assert kept_panel.path is not None
    with closing(sqlite3.connect(kept_panel.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # nobody else can write
        answer = kept_panel.stranger().enter(link)
        other.execute("ROLLBACK")

    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert "POST /~admin/open/<token:str> failed" in caplog.text
    assert link.rpartition("/")[2] not in caplog.text
    assert kept_panel.stranger().enter(link).status_code == 303


def test_pages_may_load_their_own_only(panel: PanelServer) -> None:
    page = panel.stranger().ask("GET /login")

    assert page.headers["content-security-policy"] == (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "same-origin"
