"""The welcome page in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.visits import Sandbox, watch

if TYPE_CHECKING:
    from playwright.async_api import Browser, Locator, Page

PASSWORD = "correct horse"


async def register(page: Page, sandbox: Sandbox, email: str) -> None:
    await page.goto(sandbox.frontend)
    await page.get_by_label("Email").fill(email)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Register").click()
    await page.get_by_text("Logged in as").wait_for()


async def add_note(page: Page, text: str) -> None:
    await page.get_by_label("A new note").fill(text)
    await page.get_by_role("button", name="Add note").click()
    await note(page, text).wait_for()


def note(page: Page, text: str) -> Locator:
    return page.get_by_role("listitem").filter(has=page.get_by_text(text, exact=True))


async def test_welcome_page_keeps_notes(page: Page, sandbox: Sandbox, email: str) -> None:
    from playwright.async_api import expect

    await register(page, sandbox, email)
    await add_note(page, f"Pack the tent, {email}")
    await add_note(page, f"<img src=x onerror=alert(1)> & co, {email}")
    await page.reload()
    await expect(page.locator("#user")).to_have_text(email)
    await expect(note(page, f"Pack the tent, {email}")).to_have_count(1)
    await expect(note(page, f"<img src=x onerror=alert(1)> & co, {email}")).to_have_count(1)
    assert await page.locator("#list img").count() == 0

    await note(page, f"Pack the tent, {email}").get_by_role("button", name="Delete").click()
    await expect(note(page, f"Pack the tent, {email}")).to_have_count(0)
    (cookie,) = await page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")


async def test_welcome_page_logs_out_and_in(page: Page, sandbox: Sandbox, email: str) -> None:
    from playwright.async_api import expect

    await register(page, sandbox, email)
    await page.get_by_role("button", name="Log out").click()
    await expect(page.get_by_label("Email")).to_be_focused()
    await page.reload()
    await page.get_by_text("Log in", exact=True).click()
    await page.get_by_label("Email").fill(email)
    await page.get_by_label("Password").fill("battery staple")
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_role("alert").first).to_have_text("Wrong email or password")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await expect(page.locator("#user")).to_have_text(email)


async def test_welcome_page_works_by_keyboard(page: Page, sandbox: Sandbox, email: str) -> None:
    from playwright.async_api import expect

    await page.goto(sandbox.frontend)
    await expect(page.get_by_label("Email")).to_be_visible()
    await page.get_by_label("Email").focus()
    for keys in (email, "short"):
        await page.keyboard.type(keys)
        await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    problem = page.get_by_role("alert").first
    await expect(problem).to_have_text("Weak password: password must have at least 8 characters")
    await expect(page.get_by_label("Password")).to_be_focused()
    await expect(page.get_by_label("Password")).to_have_attribute("aria-invalid", "true")
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("A new note")).to_be_focused()
    await page.keyboard.type(f"By hand, {email}")
    await page.keyboard.press("Enter")
    await expect(note(page, f"By hand, {email}")).to_have_count(1)


async def test_welcome_page_says_session_ended(page: Page, sandbox: Sandbox, email: str) -> None:
    from playwright.async_api import expect

    await register(page, sandbox, email)
    await page.context.clear_cookies()
    await page.get_by_label("A new note").fill("Too late")
    await page.get_by_role("button", name="Add note").click()
    await expect(page.get_by_role("alert").first).to_have_text(
        "The session has ended. Log in again."
    )


async def test_pages_copy_what_they_show(browser: Browser, sandbox: Sandbox) -> None:
    from playwright.async_api import expect

    context = await browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = await context.new_page()
    await page.goto(sandbox.frontend)
    copied = {}
    for what in ("backend URL", "API key", "URL for Node", "command"):
        button = page.get_by_role("button", name=f"Copy the {what}")
        await button.click()
        await expect(page.get_by_role("button", name=f"Copied the {what}")).to_have_count(1)
        copied[what] = await page.evaluate("navigator.clipboard.readText()")
    assert copied == {
        "backend URL": sandbox.backend,
        "API key": sandbox.api_key,
        "URL for Node": sandbox.connect,
        "command": f"python -m backpack dev --site {sandbox.name}=./dist",
    }


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light"), (1600, "dark")])
async def test_pages_fit_the_window(
    browser: Browser, sandbox: Sandbox, email: str, tmp_path: Path, width: int, scheme: str
) -> None:
    """Nothing sticks out at the side; a picture of each page is kept in pytest's folder."""
    size = {"width": width, "height": 900}
    page = await browser.new_page(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
    problems = watch(page)
    await register(page, sandbox, email)
    await add_note(page, f"A word without an end: {email}{'x' * 200}")
    await page.screenshot(path=tmp_path / f"welcome-{width}-{scheme}.png", full_page=True)
    assert await page.evaluate("document.documentElement.scrollWidth") == width
    assert problems == []
