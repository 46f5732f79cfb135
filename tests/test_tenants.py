"""Backpacks by name: made, opened on demand, deleted for good; and their configuration."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backpack.backpacks import Parts
from backpack.drivers.commands import Commands
from backpack.drivers.local import LocalDriver
from backpack.errors import Conflict, Invalid, NotFound, Unavailable
from backpack.homes import Folder, Memory
from backpack.names import check_key, check_name
from backpack.settings import Settings
from backpack.tenants import Tenants

SETTINGS = Settings(dev=True, cheap_passwords=True)


class SlowHome(Memory):
    """A home that deletes when it is let."""

    def __init__(self) -> None:
        super().__init__(SETTINGS)
        self.asked = asyncio.Event()
        self.let = asyncio.Event()

    async def delete(self, name: str) -> None:
        self.asked.set()
        await self.let.wait()


class AwayHome(Memory):
    """A home whose engines are away until they are let come; each look for them takes a while."""

    def __init__(self) -> None:
        super().__init__(SETTINGS)
        self.away = True
        self.looks = 0

    def names(self) -> list[str]:
        return ["shop"]

    async def open(self, name: str) -> Parts:
        self.looks += 1
        await asyncio.sleep(0)
        if self.away:
            raise Unavailable("MongoDB is away")
        return await super().open(name)


@pytest.fixture
async def home() -> SlowHome:
    return SlowHome()


@pytest.fixture
async def tenants(home: SlowHome) -> AsyncIterator[Tenants]:
    tenants = Tenants(SETTINGS, home)
    yield tenants
    await tenants.close()


@pytest.mark.parametrize("name", ["a", "my-app", "a1", "a-1-b", "x" * 41, "bee", "app-been"])
def test_good_name_is_taken(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "A",
        "1a",
        "-a",
        "a-",
        "a--b",
        "a-be",
        "x" * 42,
        "a.b",
        "a_b",
        "\u00e9",
        "a\n",
        "..",
        "a/b",
        "admin",
        "www",
        "traefik",
        "backpack",
    ],
)
def test_bad_name_is_refused(name: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_name(name)

    assert caught.value.code == "bad_name"


@pytest.mark.parametrize(
    "key", ["", "short", "x" * 129, "with space", "new\nline", "k\u00e9y-k\u00e9y-k\u00e9y"]
)
def test_bad_key_is_refused(key: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_key(key)

    assert caught.value.code == "bad_key"


async def test_name_is_taken_once(tenants: Tenants) -> None:
    made = await asyncio.gather(*(tenants.create("shop") for _ in range(5)), return_exceptions=True)

    assert [type(one) for one in made[1:]] == [Conflict] * 4
    assert tenants.names() == ["shop"]


async def test_name_is_free_when_all_is_gone(tenants: Tenants, home: SlowHome) -> None:
    await tenants.create("shop")
    deleting = asyncio.create_task(tenants.delete("shop"))
    await home.asked.wait()

    with pytest.raises(Conflict):
        await tenants.create("shop")
    home.let.set()
    await deleting

    assert (await tenants.create("shop")).name == "shop"


async def test_second_delete_finds_nothing(tenants: Tenants, home: SlowHome) -> None:
    await tenants.create("shop")
    deleting = asyncio.create_task(tenants.delete("shop"))
    await home.asked.wait()

    with pytest.raises(NotFound):
        await tenants.delete("shop")
    home.let.set()
    await deleting

    assert tenants.names() == []


async def test_deleted_backpack_is_not_opened_again(tmp_path: Path) -> None:
    tenants = Tenants(SETTINGS, Folder(tmp_path, SETTINGS))
    await tenants.create("shop")
    found = tenants.get("shop")
    assert found is not None
    await tenants.delete("shop")

    with pytest.raises(Unavailable):
        await found.open()
    await tenants.close()

    assert list((tmp_path / "backpacks").iterdir()) == []


async def test_damaged_backpack_can_be_deleted(tmp_path: Path) -> None:
    folder = tmp_path / "backpacks" / "shop"
    folder.mkdir(parents=True)
    (folder / "documents.sqlite3").write_bytes(b"no database" * 1_000)
    tenants = Tenants(SETTINGS, Folder(tmp_path, SETTINGS))

    await tenants.delete("shop")
    await tenants.close()

    assert not folder.exists()


async def test_rotated_key_works_on_for_a_day(tenants: Tenants) -> None:
    backpack = await tenants.create("shop", "first-key")
    second = await backpack.rotate_key()
    both = [backpack.accepts_key(f"key {key}") for key in ("first-key", second)]
    third = await backpack.rotate_key(now=True)

    assert both == [True, True]
    assert [backpack.accepts_key(f"key {key}") for key in ("first-key", second, third)] == [
        False,
        False,
        True,
    ]


async def test_rotated_key_is_over_after_its_time(
    tenants: Tenants, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backpack.backpacks.KEY_OVERLAP", 0)
    backpack = await tenants.create("shop", "first-key")
    second = await backpack.rotate_key()

    assert [backpack.accepts_key(f"key {key}") for key in ("first-key", second)] == [False, True]
    assert await Commands(tenants, LocalDriver(tenants)).key("shop") == {
        "name": "shop",
        "api_key": second,
        "previous_until": None,
    }


@pytest.mark.parametrize("authorization", ["", "key", "key ", "key \udcff", "key None", "\udcff"])
async def test_no_key_is_no_key(tenants: Tenants, authorization: str) -> None:
    backpack = await tenants.create("shop")

    assert not backpack.accepts_key(authorization)


async def test_config_is_kept(tmp_path: Path) -> None:
    rules = {
        "cars": {"read": "owner"},
        "files.read": "public",
        "cors.origins": ["https://a.example"],
    }
    before = Tenants(SETTINGS, Folder(tmp_path, SETTINGS))
    backpack = await before.create("shop", "first-key")
    await backpack.set_rules(rules)
    second = await backpack.rotate_key()
    await before.close()

    after = Tenants(SETTINGS, Folder(tmp_path, SETTINGS))
    opened = await after.backpack("shop")

    assert (opened.config.api_key, opened.config.previous_key) == (second, "first-key")
    assert opened.config.rules.raw == rules
    assert opened.records.rules == opened.config.rules
    await after.close()


async def test_those_who_wait_share_a_failure() -> None:
    home = AwayHome()
    tenants = Tenants(SETTINGS, home)
    opening = [tenants.backpack("shop") for _ in range(5)]

    failures = await asyncio.gather(*opening, return_exceptions=True)

    assert [str(failure) for failure in failures] == ["MongoDB is away"] * 5
    assert home.looks == 1
    home.away = False
    opened = await asyncio.gather(*(tenants.backpack("shop") for _ in range(5)))
    assert len({id(backpack) for backpack in opened}) == 1
    assert home.looks == 2
    await tenants.close()


async def test_first_key_is_for_the_first_time(tmp_path: Path) -> None:
    keys = []
    for key in ("first-key-1", "other-key-2"):
        (tmp_path / "backpacks" / "shop").mkdir(parents=True, exist_ok=True)
        tenants = Tenants(SETTINGS, Folder(tmp_path, SETTINGS), {"shop": key})
        keys.append((await tenants.backpack("shop")).config.api_key)
        await tenants.close()

    assert keys == ["first-key-1", "first-key-1"]


async def test_origins_of_the_process_are_allowed() -> None:
    settings = Settings(cheap_passwords=True, allowed_origins=("https://www.example.com",))
    tenants = Tenants(settings, Memory(settings))
    shop = await tenants.create("shop")
    origins = ["https://www.example.com", "https://shop.x.test", "https://evil.example"]

    allowed = [shop.allows_origin(origin, "https://shop.x.test") for origin in origins]

    assert allowed == [True, True, False]
    await tenants.close()
