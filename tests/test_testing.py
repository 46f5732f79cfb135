"""The pytest plugin, as a project that installs the package uses it."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import httpx
import pytest

from backpack.errors import Invalid
from backpack.testing import BackpackServer, TestBackpack

SEED = {
    "users": [
        {"email": "ada@example.com"},
        {"email": "bob@example.com", "password": "another one"},
    ],
    "collections": {"cars": [{"n": 1}, {"n": 2}], "empty": []},
    "rules": {"cars": {"list": "public", "read": "public"}},
}


def test_backpack_is_fresh(backpack: TestBackpack) -> None:
    user = backpack.register()

    assert user.client.get("/collections").json() == []
    assert user.client.get("/me").json()["email"] == user.email
    assert backpack.client.get("/me").status_code == 403


def test_users_have_sessions_of_their_own(backpack: TestBackpack) -> None:
    ada, bob = backpack.register(), backpack.register("bob@example.com", "a long password")
    again = backpack.login("bob@example.com", "a long password")

    assert ada.email != bob.email
    assert again.client.get("/me").json()["id"] == bob.id
    again.client.post("/logout")
    assert bob.client.get("/me").status_code == 200


@pytest.mark.backpack(seed=SEED)
def test_marker_seeds(backpack: TestBackpack) -> None:
    cars = backpack.client.get("/cars").json()

    assert [car["n"] for car in cars] == [1, 2]
    assert backpack.login("ada@example.com").client.get("/collections").json() == ["cars", "empty"]
    assert backpack.login("bob@example.com", "another one").client.get("/empty").json() == []


@pytest.mark.backpack(rules={"collections.list": "public"})
def test_marker_sets_rules(backpack: TestBackpack) -> None:
    assert backpack.client.get("/collections").json() == []


def test_seed_from_file_tells_what_it_made(backpack: TestBackpack, tmp_path: Path) -> None:
    file = tmp_path / "seed.json"
    file.write_text(json.dumps(SEED))

    made = backpack.seed(file)

    assert [len(user_id) for user_id in made["users"]] == [24, 24]
    assert made["collections"]["cars"] == backpack.client.get("/cars").json()
    assert backpack.login("ada@example.com").id == made["users"][0]


@pytest.mark.parametrize(
    ("seed", "error"),
    [
        ({"documents": {}}, ValueError),
        ({"rules": {"cars": "open"}}, Invalid),
        ({"users": [{"email": "nobody"}]}, Invalid),
        ({"collections": {"users": []}}, Invalid),
        ({"collections": {"cars": [{"$n": 1}]}}, Invalid),
    ],
    ids=repr,
)
def test_bad_seed_is_refused(
    backpack: TestBackpack, seed: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        backpack.seed(seed)


def test_backpacks_of_one_server_are_apart(backpack_server: BackpackServer) -> None:
    one, other = backpack_server.create(seed=SEED), backpack_server.create()

    assert one.url != other.url
    assert one.api_key != other.api_key
    assert other.register().client.get("/collections").json() == []
    one.close()
    other.close()


def test_hosts_are_for_browsers(backpack: TestBackpack, backpack_server: BackpackServer) -> None:
    port = backpack_server.port

    assert backpack.backend == f"http://{backpack.name}-be.bkpk.localhost:{port}"
    assert backpack.frontend == f"http://{backpack.name}.bkpk.localhost:{port}"
    assert backpack.url == f"http://127.0.0.1:{port}/~{backpack.name}"


def test_stopped_server_is_gone() -> None:
    server = BackpackServer().start()
    address = ("127.0.0.1", server.port)
    assert httpx.get(f"http://127.0.0.1:{server.port}/healthz", verify=False).status_code == 200
    server.stop()

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)
