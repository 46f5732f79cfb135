"""The panel's page of requests: what has just been asked, and who heard of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from backpack.testing import TestUser
from tests.browser.panels import Desk, Office, check_access, check_fit, office, panel
from tests.talk import open_socket

if TYPE_CHECKING:
    from playwright.async_api import Locator, Page

__all__ = ["office", "panel"]

PASSWORD = "correct horse"


def row(page: Page, text: str) -> Locator:
    return page.locator("#requests tr").filter(has=page.get_by_text(text))


async def follow(desk: Desk) -> Page:
    """The page, once the backpack keeps for it what it does for nobody else: broadcasts, bodies."""
    from playwright.async_api import expect

    page = await desk.open("requests")
    await expect(page.locator("#said")).not_to_be_empty()
    return page


def subprotocols(user: TestUser) -> tuple[str, str]:
    return "backpack", f"backpack.session.{user.client.headers['x-backpack-session']}"


async def test_requests_show_as_they_come(office: Office) -> None:
    from playwright.async_api import expect

    await office.make("cars", {"n": 1})
    desk = await office.seat()
    page = await follow(desk)
    user = await office.do(office.backpack.register, "ada@example.org", PASSWORD)
    await office.do(user.client.get, "/cars?limit=1")
    await office.do(user.client.get, "/planes")
    await expect(row(page, "/register")).to_contain_text("200")
    await expect(row(page, "/cars?limit=1")).to_contain_text("ada@example.org")
    await expect(row(page, "/planes")).to_contain_text("404")

    await page.get_by_role("button", name="/login").click()
    window = page.get_by_role("dialog")
    await expect(window).to_contain_text("ada@example.org")
    await expect(window).to_contain_text('"password": "***"')
    assert PASSWORD not in await page.content()
    assert user.client.headers["x-backpack-session"] not in await page.content()


async def test_requests_are_filtered_paused_and_cleared(office: Office) -> None:
    from playwright.async_api import expect

    await office.make("cars", {"n": 1})
    user = await office.do(office.backpack.register, "ada@example.org", PASSWORD)
    desk = await office.seat()
    page = await follow(desk)
    shown = page.locator("#requests tr")
    await expect(shown).to_have_count(2)
    await office.do(user.client.get, "/planes")
    await office.do(user.client.post, "/cars", json={"n": 2})
    await expect(row(page, "broadcast")).to_have_count(1)
    await page.get_by_label("Kind").select_option("request")
    await expect(shown).to_have_count(4)
    await page.get_by_label("Method").select_option("POST")
    await expect(shown).to_have_count(3)
    await page.get_by_label("User").fill("ADA@")
    await expect(shown).to_have_count(1)
    await page.get_by_label("User").fill(user.id)
    await expect(shown).to_have_count(1)
    await page.get_by_label("Method").select_option("")
    await page.get_by_label("Status").select_option("4")
    await expect(page.get_by_role("button", name="/planes")).to_be_visible()
    await expect(shown).to_have_count(1)
    await page.get_by_label("Status").select_option("")
    await page.get_by_label("Path or action").fill("CAR")
    await expect(shown).to_have_count(1)

    await page.get_by_role("button", name="Pause").click()
    await office.do(user.client.get, "/cars")
    await expect(page.locator("#said")).to_contain_text("1 more since the pause")
    await expect(shown).to_have_count(1)
    await page.get_by_role("button", name="Go on").click()
    await expect(shown).to_have_count(2)
    await page.get_by_role("button", name="Clear").click()
    await expect(shown).to_have_count(0)


async def test_broadcast_tells_who_received_it(office: Office) -> None:
    from playwright.async_api import expect

    await office.ask("put", "rules", {"notes": {"read": "owner", "update": "owner"}})
    await office.make("notes")
    ada = await office.do(office.backpack.register, "ada@example.org")
    bob = await office.do(office.backpack.register, "bob@example.org")
    sockets = [
        await office.do(open_socket, office.backpack.url, subprotocols=subprotocols(one))
        for one in (ada, bob)
    ]
    desk = await office.seat()
    page = await follow(desk)
    await office.do(ada.client.post, "/notes", json={"text": "secret plans"})
    await page.get_by_role("button", name="create notes").click()
    window = page.get_by_role("dialog")
    await expect(window.get_by_role("row", name="ada@example.org")).to_contain_text("received it")
    await expect(window.get_by_role("row", name="bob@example.org")).to_contain_text("by its rules")
    await page.keyboard.press("Escape")

    await office.do(sockets[1].ask, {"action": "getAll", "collection": "planes"})
    await expect(row(page, "getAll")).to_contain_text("unknown_collection")
    await expect(row(page, "getAll")).to_contain_text("bob@example.org")
    for socket in sockets:
        await office.do(socket.close)


async def test_rule_that_refused_is_named(office: Office) -> None:
    from playwright.async_api import expect

    await office.ask("put", "rules", {"cars": {"list": "none"}})
    await office.make("cars")
    user = await office.do(office.backpack.register, "ada@example.org")
    desk = await office.seat()
    page = await follow(desk)
    await office.do(user.client.get, "/cars")
    await page.get_by_role("button", name="/cars").click()

    told = page.get_by_role("dialog").locator("dl div").filter(has_text="Refused by")
    await expect(told.locator("dd")).to_have_text("the rule cars.list: none, which lets nobody")


async def test_nothing_in_requests_is_markup(office: Office) -> None:
    from playwright.async_api import expect

    desk = await office.seat()
    page = await follow(desk)
    odd = "/<img src=x onerror=alert(1)>"
    await office.do(office.backpack.client.post, odd, json={odd: odd})
    await page.locator("#requests button").click()
    await expect(page.get_by_role("dialog")).to_contain_text("img")
    assert await page.locator("img").count() == 0


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light"), (1600, "dark")])
async def test_requests_fit_and_are_accessible(
    office: Office, tmp_path: Path, width: int, scheme: str
) -> None:
    from playwright.async_api import expect

    await office.make("cars", {"n": 1})
    size = {"width": width, "height": 900}
    desk = await office.seat("ada", viewport=size, color_scheme=scheme)
    page = await follow(desk)
    user = await office.do(office.backpack.register, "ada@example.org")
    await office.do(user.client.post, "/cars", json={"n": 2})
    await office.do(user.client.get, f"/planes?filter={'x' * 300}")
    await expect(page.locator("#requests tr")).to_have_count(5)
    await check_access(page)
    await check_fit(page, tmp_path / f"requests-{width}-{scheme}.png")
    await page.get_by_role("button", name="/cars").click()
    await check_access(page)
    await check_fit(page, tmp_path / f"request-{width}-{scheme}.png")
