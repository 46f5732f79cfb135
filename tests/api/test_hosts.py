"""From the Host header to a role and a backpack."""

from __future__ import annotations

import httpx
import pytest

from backpack.testing import BackpackServer, TestBackpack


def get(server: BackpackServer, host: str, path: str = "/", method: str = "GET") -> httpx.Response:
    return httpx.request(
        method, f"http://127.0.0.1:{server.port}{path}", headers={"host": host}, verify=False
    )


@pytest.mark.parametrize(
    "host",
    [
        "{name}-be.bkpk.localhost",
        "{name}-be.bkpk.localhost:1234",
        "{NAME}-BE.BKPK.LOCALHOST",
        "{name}-be.bkpk.localhost.",
        "{name}.bkpk.localhost",
        "admin.bkpk.localhost",
        "nobody.bkpk.localhost",
        "127.0.0.1",
        "[::1]:80",
        "x.example",
    ],
)
def test_healthz_answers_on_every_host(
    backpack: TestBackpack, backpack_server: BackpackServer, host: str
) -> None:
    host = host.format(name=backpack.name, NAME=backpack.name.upper())

    answer = get(backpack_server, host, "/healthz")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    "host",
    [
        "nobody-be.bkpk.localhost",
        "bkpk.localhost",
        "localhost",
        "127.0.0.1",
        "x.{name}-be.bkpk.localhost",
        "-be.bkpk.localhost",
        "{name}-be.example.com",
        "{name}-be-be.bkpk.localhost",
        "{name}-bebkpk.localhost",
        "evil.example",
        "\x7f",
        "[",
        "a:b:c",
        "user@{name}-be.bkpk.localhost",
        "{name}-be.bkpk.localhost@evil.example",
        "{name}-be.bkpk.localhost:800000",
        "{name}-be.bkpk.localhost,other-be.bkpk.localhost",
        "{name}-be%2ebkpk.localhost",
        "{name}_be.bkpk.localhost",
    ],
    ids=repr,
)
def test_unknown_host_tells_known_ones(
    backpack: TestBackpack, backpack_server: BackpackServer, host: str
) -> None:
    answer = get(backpack_server, host.format(name=backpack.name))

    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_host")
    assert f"{backpack.name}-be.bkpk.localhost" in answer.json()["message"]


def test_connect_path_reaches_backend(
    backpack: TestBackpack, backpack_server: BackpackServer
) -> None:
    headers = {"authorization": f"key {backpack.api_key}"}
    paths = [f"/~{backpack.name}", f"/~{backpack.name}/", f"//~{backpack.name}//"]
    base = f"http://127.0.0.1:{backpack_server.port}"

    answers = [httpx.get(base + path, headers=headers, verify=False).json() for path in paths]

    assert answers == [{"name": backpack.name, "status": "ok"}] * 3


@pytest.mark.parametrize("host", ["evil.example", "admin.bkpk.localhost", "bkpk.localhost"])
def test_connect_path_needs_an_address(
    backpack: TestBackpack, backpack_server: BackpackServer, host: str
) -> None:
    assert get(backpack_server, host, f"/~{backpack.name}/").status_code == 404


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3:80", "[::1]", "LOCALHOST:1"])
def test_connect_path_knows_addresses(
    backpack: TestBackpack, backpack_server: BackpackServer, host: str
) -> None:
    assert get(backpack_server, host, f"/~{backpack.name}/healthz").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/~nobody/",
        "/~",
        "/~/",
        "/~{name}%2Fhealthz",
        "/%7E{name}/healthz",
        "/x/~{name}/healthz",
        "/~{name}x/healthz",
        "/~~{name}/healthz",
        "/~../~{name}/healthz",
        "/~elsewhere",
        "/~api/healthz",
        "/~admin/",
    ],
)
def test_other_connect_paths_are_404(
    backpack: TestBackpack, backpack_server: BackpackServer, path: str
) -> None:
    answer = get(backpack_server, "127.0.0.1", path.format(name=backpack.name))

    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_host")


@pytest.mark.parametrize(
    "path",
    [
        "/~{name}/%2e%2e/%2e%2e/healthz",
        "/~{name}/~{name}/healthz",
        "/~{name}/~elsewhere",
        "/~{name}/~admin",
        "/~{name}/healthz%2F",
        "/~{name}/healthz/..",
    ],
)
def test_connect_path_leads_nowhere_else(
    backpack: TestBackpack, backpack_server: BackpackServer, path: str
) -> None:
    assert get(backpack_server, "127.0.0.1", path.format(name=backpack.name)).status_code == 401


@pytest.mark.parametrize("path", ["/~api/", "/~site/", "/~admin/sdk.js", "/~elsewhere", "/~"])
@pytest.mark.parametrize("label", ["admin", "{name}", "{name}-be"])
def test_inner_paths_are_unknown(
    backpack: TestBackpack, backpack_server: BackpackServer, label: str, path: str
) -> None:
    answer = get(backpack_server, f"{label}.bkpk.localhost".format(name=backpack.name), path)

    assert answer.status_code == (401 if label.endswith("-be") else 404)


@pytest.mark.parametrize("path", ["/sdk.js", "/sdk.mjs", "/sdk.d.ts"])
def test_sdk_is_served_to_all_origins(backpack_server: BackpackServer, path: str) -> None:
    answer = get(backpack_server, "admin.bkpk.localhost", path)

    assert answer.status_code == 200
    assert "createSdk" in answer.text
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    "path", ["/sdk.py", "/static/../app.py", "/static/%2e%2e/routes.py", "/nope"]
)
def test_admin_host_serves_nothing_else(backpack_server: BackpackServer, path: str) -> None:
    assert get(backpack_server, "admin.bkpk.localhost", path).status_code == 404


def test_deleted_backpack_is_gone(backpack_server: BackpackServer) -> None:
    made = backpack_server.create("short-lived")
    made.close()

    assert get(backpack_server, "short-lived-be.bkpk.localhost").json()["code"] == "unknown_host"
    assert get(backpack_server, "short-lived.bkpk.localhost").json()["code"] == "unknown_host"


def test_made_again_backpack_is_empty(backpack_server: BackpackServer) -> None:
    first = backpack_server.create("twice", seed={"collections": {"cars": [{"n": 1}]}})
    first.close()
    second = backpack_server.create("twice")

    collections = second.register().client.get("/collections").json()
    second.close()

    assert collections == []
    assert first.api_key != second.api_key
