"""Behind a proxy: whose word for the scheme and the client's address counts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from backpack.homes import Memory
from backpack.settings import Settings
from backpack.testing import BackpackServer, TestBackpack
from tests.talk import open_socket

ACCOUNT = {"email": "ada@example.com", "password": "correct horse battery"}


def serve(trusted: tuple[str, ...]) -> Iterator[TestBackpack]:
    """A backpack in production's settings, but for the price of a password hash."""
    settings = Settings(
        domain="example.com",
        cheap_passwords=True,
        trusted_proxies=trusted,
        registrations_per_hour=3,
    )
    server = BackpackServer(Memory, settings).start()
    backpack = server.create("shop")
    host = "shop-be.example.com"
    backpack.client.base_url = f"http://127.0.0.1:{server.port}"
    backpack.client.headers["host"] = host
    yield backpack
    backpack.close()
    server.stop()


@pytest.fixture
def behind_proxy() -> Iterator[TestBackpack]:
    yield from serve(("127.0.0.1",))


@pytest.fixture
def in_the_open() -> Iterator[TestBackpack]:
    yield from serve(())


def login_cookie(backpack: TestBackpack, **headers: str) -> str:
    backpack.client.post("/register", json=ACCOUNT).raise_for_status()
    answer = backpack.client.post("/login", json=ACCOUNT, headers=headers).raise_for_status()
    cookie: str = answer.headers["set-cookie"]
    return cookie


def test_https_gets_host_cookie(behind_proxy: TestBackpack) -> None:
    cookie = login_cookie(behind_proxy, **{"x-forwarded-proto": "https"})

    assert cookie.startswith("__Host-backpack_session=")
    assert cookie.endswith("; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax; Secure")
    sent = {"x-forwarded-proto": "https", "cookie": cookie.partition(";")[0]}
    assert behind_proxy.client.get("/me", headers=sent).json()["email"] == "ada@example.com"


@pytest.mark.parametrize("scheme", ["https", "wss"])
def test_socket_by_https_has_host_cookie(behind_proxy: TestBackpack, scheme: str) -> None:
    cookie = login_cookie(behind_proxy, **{"x-forwarded-proto": "https"}).partition(";")[0]
    url, host = str(behind_proxy.client.base_url), behind_proxy.client.headers["host"]
    headers = {
        "cookie": cookie,
        "origin": "https://shop.example.com",
        "x-forwarded-proto": scheme,
    }

    made = open_socket(url, host=host, headers=headers)

    assert made.greeting["action"] == "connection"
    made.close()


@pytest.mark.parametrize(
    ("trusted", "is_https"), [("127.0.0.0/8", True), ("127.0.0.5/8", True), ("10.0.0.0/8", False)]
)
def test_network_of_proxies_is_trusted(trusted: str, is_https: bool) -> None:
    serving = serve((trusted,))
    cookie = login_cookie(next(serving), **{"x-forwarded-proto": "https"})

    assert cookie.startswith("__Host-") is is_https
    assert list(serving) == []


def test_https_cookie_of_plain_name_is_ignored(behind_proxy: TestBackpack) -> None:
    token = login_cookie(behind_proxy).partition(";")[0].partition("=")[2]
    sent = {"x-forwarded-proto": "https", "cookie": f"backpack_session={token}"}

    assert behind_proxy.client.get("/me", headers=sent).status_code == 403


def test_https_frontend_is_allowed(behind_proxy: TestBackpack) -> None:
    def allowed_for(origin: str) -> str | None:
        headers = {"x-forwarded-proto": "https", "origin": origin}
        answer = behind_proxy.client.get("/", headers=headers)
        allowed: str | None = answer.headers.get("access-control-allow-origin")
        return allowed

    assert allowed_for("https://shop.example.com") == "https://shop.example.com"
    assert allowed_for("http://shop.example.com") is None
    assert allowed_for("http://localhost:5173") is None


def test_stranger_cannot_claim_https(in_the_open: TestBackpack) -> None:
    cookie = login_cookie(in_the_open, **{"x-forwarded-proto": "https"})

    assert cookie.startswith("backpack_session=")


def register_from(backpack: TestBackpack, number: int, forwarded: str) -> int:
    account = {**ACCOUNT, "email": f"user{number}@example.com"}
    headers = {"x-forwarded-for": forwarded}
    return backpack.client.post("/register", json=account, headers=headers).status_code


def test_registrations_are_counted_by_client(behind_proxy: TestBackpack) -> None:
    same = [register_from(behind_proxy, n, f"203.0.113.{n}, 198.51.100.7") for n in range(4)]
    other = register_from(behind_proxy, 9, "198.51.100.8")

    assert (same, other) == ([200, 200, 200, 429], 200)


def test_last_of_two_headers_counts(behind_proxy: TestBackpack) -> None:
    def register(n: int) -> int:
        account = {**ACCOUNT, "email": f"user{n}@example.com"}
        # Some proxies add a header of their own below the one that the client sent.
        headers = [("x-forwarded-for", f"203.0.113.{n}"), ("x-forwarded-for", "198.51.100.7")]
        return behind_proxy.client.post("/register", json=account, headers=headers).status_code

    assert [register(n) for n in range(4)] == [200, 200, 200, 429]


def test_one_network_is_one_client(behind_proxy: TestBackpack) -> None:
    same = [register_from(behind_proxy, n, f"2001:db8:1:2::{n}") for n in range(4)]
    mapped = [register_from(behind_proxy, 9, "::ffff:192.0.2.1")]
    mapped += [register_from(behind_proxy, n, "192.0.2.1") for n in (10, 11, 12)]

    assert (same, mapped) == ([200, 200, 200, 429], [200, 200, 200, 429])


def test_stranger_cannot_claim_an_address(in_the_open: TestBackpack) -> None:
    statuses = [register_from(in_the_open, n, f"198.51.100.{n}") for n in range(4)]

    assert statuses == [200, 200, 200, 429]


def test_production_hides_hosts_and_connect_path(in_the_open: TestBackpack) -> None:
    client = in_the_open.client
    unknown = client.get("/", headers={"host": "nobody.example.com"})
    by_path = client.get("/~shop/", headers={"host": "127.0.0.1"})

    assert unknown.json() == {"message": "Nothing is served on this host", "code": "unknown_host"}
    assert by_path.json()["code"] == "unknown_host"
