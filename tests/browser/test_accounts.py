"""Developers' accounts in a real browser: signing in, inviting, logging out, and what hosted sites
try meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
from playwright.async_api import expect

from tests.browser.panels import check_access, check_fit
from tests.browser.visits import watch
from tests.panel import COOKIE, PASSWORD, PanelServer

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

EMAIL = "ann@example.com"


def link_to(panel: PanelServer) -> str:
    registry = panel.registry
    operator = panel.call(registry.developers.sandbox_operator())
    return f"{panel.host_url('admin')}/open/{panel.call(registry.links.create(operator))}"


async def sign_in(page: Page, panel: PanelServer, email: str = EMAIL) -> None:
    """Sign in by e-mail address and password, with the keyboard."""
    await page.goto(panel.host_url("admin"))
    await page.get_by_label("E-mail address").focus()
    await page.keyboard.type(email)
    await page.keyboard.press("Tab")
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Backpacks")


async def test_link_opens_the_panel_and_gets_a_password(page: Page, panel: PanelServer) -> None:
    await page.goto(link_to(panel))
    await expect(page.get_by_role("button", name="Open")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Backpacks")

    await page.goto(f"{panel.host_url('admin')}/account")
    await page.get_by_label("E-mail address").fill(EMAIL)
    await page.get_by_label("Password").fill("short")
    await page.get_by_role("button", name="Set them").click()
    await expect(page.get_by_role("alert")).to_contain_text("must have at least 8 characters")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Set them").click()
    await expect(page.get_by_text("You can sign in with this now")).to_be_visible()
    await page.get_by_role("button", name="Log out", exact=True).click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    await sign_in(page, panel)


async def test_invited_developer_comes_in(browser: Browser, page: Page, panel: PanelServer) -> None:
    panel.operator("ann")
    await sign_in(page, panel)
    await page.goto(f"{panel.host_url('admin')}/developers")
    await page.get_by_role("button", name="Invite").click()
    await page.get_by_role("button", name="Make a link").click()
    await expect(page.locator("#invitation")).to_be_visible()
    link = await page.locator("#invitation").text_content()

    other = await browser.new_page()
    problems = watch(other)
    await other.goto(str(link))
    await other.get_by_label("E-mail address").fill("bob@example.com")
    await other.get_by_label("Password").fill(PASSWORD)
    await other.get_by_role("button", name="Create the account").click()
    await expect(other.get_by_role("heading", level=1)).to_have_text("Backpacks")

    await page.reload()
    row = page.get_by_role("row").filter(has_text="bob@example.com")
    await row.get_by_role("button", name="Role").click()
    await page.get_by_label("Role", exact=True).select_option("operator")
    await page.get_by_role("button", name="Change", exact=True).click()
    await expect(row).to_contain_text("operator")
    await row.get_by_role("button", name="New password").click()
    await page.get_by_role("button", name="Make a link").click()
    await expect(page.locator("#invitation")).to_contain_text("/reset/")
    await other.goto(str(await page.locator("#invitation").text_content()))
    await other.get_by_label("Password").fill("another fine password")
    await other.get_by_role("button", name="Set the password").click()
    await expect(other.get_by_role("heading", level=1)).to_have_text("Backpacks")
    await row.get_by_role("button", name="Remove").click()
    await page.get_by_role("dialog").get_by_role("button", name="Remove", exact=True).click()
    await expect(row).to_have_count(0)
    await other.goto(panel.host_url("admin"))
    await expect(other.get_by_role("heading", level=1)).to_have_text("Sign in")
    assert problems == []


async def test_sessions_end_one_by_one_and_all(
    browser: Browser, page: Page, panel: PanelServer
) -> None:
    panel.developer("ann")
    other = await browser.new_page()
    await sign_in(page, panel)
    await sign_in(other, panel)
    account = f"{panel.host_url('admin')}/account"
    await page.goto(account)
    rows = page.locator("#sessions tr")
    await expect(rows).to_have_count(3)  # the fixture's too

    ending = rows.filter(has_not=page.get_by_text("This one")).filter(has_text="Chrome")
    await ending.get_by_role("button", name="End").click()
    await expect(rows).to_have_count(2)
    await other.goto(account)
    await expect(other.get_by_role("heading", level=1)).to_have_text("Sign in")

    await page.get_by_role("button", name="Log out everywhere").click()
    await page.get_by_role("dialog").get_by_role("button", name="Log out everywhere").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    assert panel.call(panel.registry.developers.find(EMAIL)) is not None


async def test_password_is_changed(page: Page, panel: PanelServer) -> None:
    panel.developer("ann")
    await sign_in(page, panel)
    await page.goto(f"{panel.host_url('admin')}/account")
    await page.get_by_label("Current password").fill("wrong password")
    await page.get_by_label("New password").fill("another fine password")
    await page.get_by_role("button", name="Change the password").click()
    await expect(page.get_by_role("alert")).to_have_text("Current password is wrong")
    await expect(page.get_by_label("Current password")).to_be_focused()
    await page.get_by_label("Current password").fill(PASSWORD)
    await page.get_by_role("button", name="Change the password").click()
    await expect(page.get_by_text("The password has been changed")).to_be_visible()


async def test_wrong_password_is_told(page: Page, panel: PanelServer) -> None:
    panel.developer("ann")
    await page.goto(f"{panel.host_url('admin')}/account")
    await page.get_by_label("E-mail address").fill(EMAIL)
    await page.get_by_label("Password").fill("wrong password")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_have_text("Wrong email or password")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Your account")


@pytest.mark.parametrize("name", [COOKIE, "backpack"])
@pytest.mark.parametrize("signed_in", [True, False], ids=["signed in", "signed out"])
async def test_hosted_site_cannot_toss_its_session(
    page: Page, panel: PanelServer, name: str, signed_in: bool
) -> None:
    panel.create("shop")
    eve = panel.developer("eve")
    panel.developer("ann")
    if signed_in:
        await sign_in(page, panel)
    await page.goto(panel.host_url("shop"))
    for path in ("/", "/account", "/login"):
        for more in ("", "; secure"):
            cookie = f"{name}={eve.token}; domain=bkpk.localhost; path={path}{more}"
            await page.evaluate("text => (document.cookie = text)", cookie)
            await page.evaluate("text => (document.cookie = text)", f"={cookie}")

    await page.goto(f"{panel.host_url('admin')}/account")
    await expect(page.get_by_role("heading", level=1)).to_have_text(
        "Your account" if signed_in else "Sign in"
    )
    await expect(page.get_by_text("eve@example.com")).to_have_count(0)


FORGED = """
async (admin) => {
  const send = (path, body) =>
    fetch(admin + path, { method: "POST", mode: "no-cors", credentials: "include", body });
  await send("/api/developers/invitations", '{"role": "operator"}');
  await send("/logout");
  const form = document.createElement("form");
  form.method = "post";
  form.action = `${admin}/logout`;
  form.target = "frame";
  document.body.append(form);
  form.submit();
  const socket = new WebSocket(`${admin.replace("http", "ws")}/backpacks/shop/console`);
  const opened = await new Promise((resolve) => {
    socket.onopen = () => resolve("opened");
    socket.onerror = () => resolve("refused");
  });
  const read = await fetch(`${admin}/api/developers`, { credentials: "include" }).then(
    () => "read",
    () => "not read",
  );
  return [opened, read];
}
"""


async def test_hosted_site_cannot_act_as_its_visitor(
    browser: Browser, panel: PanelServer, tmp_path: Path
) -> None:
    panel.create("shop")
    (tmp_path / "index.html").write_text("<!doctype html><iframe name=frame></iframe>", "utf-8")
    panel.app.ctx.sites["shop"] = tmp_path
    panel.operator("ann")
    page = await browser.new_page()
    await sign_in(page, panel)
    # It is of the same site as the panel: the cookie of Ann comes along.
    await page.goto(panel.host_url("shop"))
    outcome = await page.evaluate(FORGED, panel.host_url("admin"))
    await page.goto(f"{panel.host_url('admin')}/account")

    assert outcome == ["refused", "not read"]
    assert panel.call(panel.registry.invitations.list()) == []
    await expect(page.get_by_role("heading", level=1)).to_have_text("Your account")


async def test_link_of_another_site_leads_in(page: Page, panel: PanelServer) -> None:
    panel.developer("ann")
    await sign_in(page, panel)
    await page.goto(panel.host_url("admin").replace("admin.bkpk.localhost", "elsewhere.test"))
    account = f"{panel.host_url('admin')}/account"
    await page.evaluate("url => location.assign(url)", account)

    await expect(page.get_by_role("heading", level=1)).to_have_text("Your account")


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
async def test_pages_are_for_everybody(
    browser: Browser,
    panel: PanelServer,
    tmp_path: Path,
    width: int,
    scheme: Literal["light", "dark"],
) -> None:
    operator = panel.operator("ann")
    panel.developer("somebody-with-a-rather-long-name-who-works-on-many-backpacks")
    asked = operator.ask("POST /api/developers/invitations", {"role": "developer"})
    page = await browser.new_page(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    for url in (f"{panel.host_url('admin')}/login", link_to(panel), asked.json()["url"]):
        await page.goto(url)
        await check_access(page)
        await check_fit(page, tmp_path / "door.png")
    await page.get_by_label("E-mail address").fill("bob@example.com")
    await page.get_by_label("Password").fill("short")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_be_visible()
    await check_access(page)

    await sign_in(page, panel)
    for path, loaded in (("account", "#sessions time"), ("developers", "#developers time")):
        await page.goto(f"{panel.host_url('admin')}/{path}")
        await expect(page.locator(loaded).first).to_be_visible()
        await check_access(page)
        await check_fit(page, tmp_path / f"{path}.png")
    await page.get_by_role("button", name="Invite").click()
    await check_access(page)
    await page.get_by_role("button", name="Make a link").click()
    await expect(page.locator("#invitation")).to_be_visible()
    await check_access(page)
    await check_fit(page, tmp_path / "invited.png")
