"""The panel's pages of rules and requests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.panels import Office, check_access, check_fit, office, panel

if TYPE_CHECKING:
    from playwright.async_api import Page

__all__ = ["office", "panel"]


async def choose(page: Page, label: str, value: str) -> None:
    await page.get_by_label(label, exact=True).select_option(value)


async def test_rules_are_changed_as_a_whole(office: Office) -> None:
    from playwright.async_api import expect

    before = {"cars": {"read": "public"}, "cors.origins": ["https://example.com"]}
    await office.ask("put", "rules", before)
    await office.make("cars", {"n": 1})
    desk = await office.seat()
    page = await desk.open("rules")
    await expect(page.get_by_label("cars: read", exact=True)).to_have_value("public")
    await choose(page, "cars: update", "owner")
    await choose(page, "cars: read", "user")
    await choose(page, "cars: post", "member")
    await choose(page, "Read files", "public")
    changes = page.locator("#changes li")
    await expect(changes).to_have_text(
        [
            "cars.update user → owner",
            "cars.read public → user",
            "cars.post user → member",
            "files.read user → public",
        ]
    )
    await expect(page.get_by_role("heading", name="4 changes")).to_be_visible()
    await choose(page, "cars: post", "user")
    await expect(changes).to_have_count(3)
    await page.get_by_role("button", name="Save the rules").click()
    await expect(page.get_by_role("heading", name="Nothing is changed")).to_be_visible()
    assert await office.ask("get", "rules") == {
        "cars": {"update": "owner"},
        "cors.origins": ["https://example.com"],
        "files.read": "public",
    }


async def test_changes_of_rules_are_discarded(office: Office) -> None:
    from playwright.async_api import expect

    await office.make("cars")
    desk = await office.seat()
    page = await desk.open("rules")
    await choose(page, "cars: list", "none")
    await page.get_by_role("button", name="Discard").click()
    await expect(page.get_by_label("cars: list", exact=True)).to_have_value("user")
    await expect(page.get_by_role("button", name="Save the rules")).to_be_disabled()


async def test_wrong_rule_is_told_at_its_place(office: Office) -> None:
    from playwright.async_api import expect

    desk = await office.seat()
    page = await desk.open("rules")
    for name in ("users", "cars"):
        await page.get_by_role("button", name="Another collection").click()
        await desk.answer("Add", Name=name)
        await expect(page.get_by_label(f"{name}: list", exact=True)).to_be_focused()
        await choose(page, f"{name}: create", "none")
    await page.get_by_role("button", name="Save the rules").click()
    await expect(page.get_by_role("row", name="users")).to_contain_text("is reserved")
    await expect(page.locator("#problem")).to_contain_text("Invalid rules")
    await page.get_by_role("button", name="Remove the rules of users").click()
    await page.get_by_role("button", name="Save the rules").click()
    await expect(page.get_by_role("heading", name="Nothing is changed")).to_be_visible()
    assert await office.ask("get", "rules") == {"cars": {"create": "none"}}


async def test_name_that_no_collection_can_have_gets_no_row(office: Office) -> None:
    from playwright.async_api import expect

    desk = await office.seat()
    page = await desk.open("rules")
    await page.get_by_role("button", name="Another collection").click()
    name = page.get_by_label("Name", exact=True)
    await name.fill("my cars!")
    await page.get_by_role("button", name="Add", exact=True).click()
    assert not await name.evaluate("one => one.checkValidity()")
    await desk.answer("Add", Name="my-cars")
    await expect(page.locator("#rule-rows tr")).to_have_count(1)


async def test_rules_of_two_developers_meet(office: Office) -> None:
    from playwright.async_api import expect

    await office.make("cars")
    await office.make("constructor")
    ada, grace = await office.seat("ada"), await office.seat("grace")
    for desk in (ada, grace):
        await desk.open("rules")
    await choose(ada.page, "cars: list", "public")
    await choose(grace.page, "constructor: read", "owner")
    await grace.page.get_by_role("button", name="Save the rules").click()
    await expect(ada.page.get_by_label("constructor: read", exact=True)).to_have_value("owner")
    await expect(ada.page.locator("#problem")).to_contain_text("Somebody else has changed")
    await expect(ada.page.locator("#changes li")).to_have_text(["cars.list user → public"])
    await ada.page.get_by_role("button", name="Save the rules").click()
    await expect(grace.page.get_by_label("cars: list", exact=True)).to_have_value("public")
    assert await office.ask("get", "rules") == {
        "constructor": {"read": "owner"},
        "cars": {"list": "public"},
    }


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light"), (1600, "dark")])
async def test_rules_fit_and_are_accessible(
    office: Office, tmp_path: Path, width: int, scheme: str
) -> None:
    from playwright.async_api import expect

    rules = {
        "cars": {"list": "public", "read": "public", "update": "owner", "delete": "none"},
        "letters": {"create": "public", "read": "none", "list": "none"},
        "rooms": {"post": "member"},
    }
    await office.ask("put", "rules", rules)
    await office.make("cars")
    await office.make("rooms")
    size = {"width": width, "height": 900}
    desk = await office.seat("ada", viewport=size, color_scheme=scheme)
    page = await desk.open("rules")
    await expect(page.locator("#rule-rows tr")).to_have_count(3)
    await choose(page, "cars: create", "none")
    await choose(page, "Read files", "public")
    await check_access(page)
    await check_fit(page, tmp_path / f"rules-{width}-{scheme}.png")
