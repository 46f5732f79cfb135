"""Rules, files and site of one backpack in another one that is in use."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from backpack import promotions
from backpack.drivers.base import NOBODY
from backpack.drivers.local import LocalDriver
from backpack.errors import Invalid, NotFound, TooLarge
from backpack.homes import Folder
from backpack.settings import Settings
from backpack.steps import finish
from backpack.tenants import Tenants
from tests.backups import (
    MANIFEST,
    USER,
    Entries,
    account,
    blocks,
    line,
    of_file,
    packed,
    sealed,
    zipped,
)
from tests.drivers.contract import exported, gone_through

SETTINGS = Settings(dev=True, cheap_passwords=True, max_upload=100_000)
RULES = {"cars": {"list": "public"}}
COUNTS = {"users": 0, "collections": 0, "documents": 0}


@pytest.fixture
async def driver(tmp_path: Path) -> AsyncIterator[LocalDriver]:
    tenants = Tenants(SETTINGS, Folder(tmp_path, SETTINGS))
    driver = LocalDriver(tenants)
    await finish(driver.create("shop"))
    yield driver
    await tenants.close()


async def blocks_of(driver: LocalDriver, name: str) -> AsyncIterator[bytes]:
    """What `promote` sends of a backpack."""
    async with aclosing(driver.export_backup(name, only=promotions.PARTS)) as steps:
        async for step in steps:
            if isinstance(step, bytes):
                yield step


def part(**more: bytes) -> Entries:
    """The entries of a backup of rules and one file, in part others; without its end."""
    entries = {
        "manifest.json": line({**MANIFEST, "parts": list(promotions.PARTS)}),
        "rules.json": line(RULES),
        **of_file(1, b"content"),
        **more,
    }
    return {name: entries[name] for name in sorted(entries, key=_order)}


def _order(name: str) -> tuple[int, str]:
    places = ("manifest", "rules", "users", "files", "site")
    folder, _, _ = name.rpartition("/")
    return places.index(name.partition("/")[0].partition(".")[0]), folder


async def promote(driver: LocalDriver, archive: bytes) -> Any:
    return await finish(promotions.promote(driver, "shop", "ada", blocks(archive)))


async def test_promotion_carries_rules_files_and_site(driver: LocalDriver) -> None:
    await finish(driver.create("sandbox"))
    async with driver.console("sandbox") as console:
        await console.ask("put", "rules", RULES)
        for user, content in ((NOBODY, b"logo"), (USER, bytes(90_000))):
            await console.save_file(blocks(content), "a.png", "image/png", user)
        await console.ask("post", "users", {"email": "ada@example.org", "password": "x" * 12})
        await console.ask("post", "collections", {"name": "cars"})
        await console.ask("post", "documents", {"n": 1}, collection="cars")
    await finish(driver.deploy("sandbox", "ada", blocks(zipped({"index.html": b"new"}))))

    lines, result = await gone_through(
        promotions.promote(driver, "shop", "bo", blocks_of(driver, "sandbox"))
    )
    there, here = await exported(driver, "sandbox"), await exported(driver, "shop")
    (site,) = await driver.sites("shop")

    assert result == {"name": "shop", "rules": True, "files": 2, "site": site}
    assert "Stored 2 of 2 files" in lines
    assert (site["who"], site["live"]) == ("bo", True)
    assert here["rules.json"] == there["rules.json"]
    contents = [name for name in there if name.endswith(("/content", "site.zip"))]
    assert len(contents) == 3
    assert [here[name] for name in contents] == [there[name] for name in contents]
    assert here["users/000001.ndjson"] == b""
    assert "collections/cars/000001.ndjson" not in here


async def test_promotion_leaves_the_rest(driver: LocalDriver) -> None:
    async with driver.console("shop") as console:
        await console.ask("post", "users", {"email": "ada@example.org", "password": "x" * 12})
        await console.ask("post", "collections", {"name": "cars"})
        await console.ask("post", "documents", {"n": 1}, collection="cars")
        await console.save_file(blocks(b"old"), "a.png", "text/plain", USER)
        await console.save_file(blocks(b"other"), "b.png", "text/plain", USER)
    before = await exported(driver, "shop")

    await promote(driver, packed(sealed(part(), **COUNTS)))
    after = await exported(driver, "shop")
    async with driver.console("shop") as console:
        files = (await console.ask("get", "uploads", userId=USER))["items"]

    for name in ("users/000001.ndjson", "collections/cars/000001.ndjson", "key.json"):
        assert after[name] == before[name]
    assert [(one["filename"], one["size"], one["bucket"]) for one in files] == [
        ("a.png", 7, "b"),
        ("b.png", 5, ""),
    ]


REFUSED: dict[str, tuple[bytes, str]] = {
    "users": (
        packed(sealed(part(**{"users/000001.ndjson": line(account())}), users=1)),
        r"'users/000001\.ndjson': only rules, files, site go into a backpack",
    ),
    "cut off": (packed(sealed(part(), **COUNTS))[:2_000], "ends in the middle"),
    "no end": (packed(part()), r"end\.json is missing"),
    "another seal": (
        packed({**part(), "end.json": line({"seal": "0" * 64})}),
        "it is not as it was written",
    ),
    "files in disorder": (
        packed({"manifest.json": part()["manifest.json"], **of_file(2, b"b"), **of_file(1, b"a")}),
        r"files/000001/file\.json: comes twice, or not in its place",
    ),
    "no content": (
        packed(
            sealed(
                {name: part()[name] for name in part() if not name.endswith(("content", "sha256"))}
            )
        ),
        r"files/000001/file\.json: has no content, or one of another size",
    ),
    "no archive": (b"x" * 2_000, "This is no backup"),
    "nothing": (b"", "ends in the middle"),
    "no manifest": (
        packed(sealed({name: part()[name] for name in part() if name != "manifest.json"})),
        r"manifest\.json is missing",
    ),
    "newer": (
        packed(sealed(part(**{"manifest.json": line({**MANIFEST, "version": 2, "parts": []})}))),
        "update Backpack",
    ),
    "bad rules": (
        packed(sealed(part(**{"rules.json": line({"cars": {"list": "all"}})}))),
        r"rules\.json: Invalid rules: .*cars\.list must be one of",
    ),
    "rules no json": (packed(sealed(part(**{"rules.json": b"{"}))), r"rules\.json: Not valid JSON"),
    "bad file": (
        packed(sealed({**part(), **of_file(1, b"content", userId="../x")})),
        r"files/000001/file\.json: Not a file",
    ),
    "size that lies": (
        packed(sealed({**part(), **of_file(1, b"content", size=8)})),
        r"files/000001/file\.json: has no content, or one of another size",
    ),
    "path": (
        packed(sealed({**part(), "../../etc/passwd": b"x"})),
        "only rules, files, site go into",
    ),
}


@pytest.mark.parametrize(("archive", "why"), REFUSED.values(), ids=REFUSED)
async def test_refused_promotion_changes_nothing(
    driver: LocalDriver, archive: bytes, why: str
) -> None:
    before = await exported(driver, "shop")

    with pytest.raises(Invalid, match=why):
        await promote(driver, archive)

    assert await exported(driver, "shop") == before


async def test_file_over_the_limit_is_refused(driver: LocalDriver) -> None:
    archive = packed(sealed({**part(), **of_file(1, bytes(100_001))}, **COUNTS))

    with pytest.raises(TooLarge):
        await promote(driver, archive)


async def test_promotion_needs_a_backpack(driver: LocalDriver) -> None:
    steps = promotions.promote(driver, "forum", "ada", blocks(packed(sealed(part()))))

    with pytest.raises(NotFound):
        await finish(steps)
