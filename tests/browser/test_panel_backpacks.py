"""The pages of backpacks as wholes in a browser: list, overview, site, backup, tokens, log."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.admin.test_nodes import Machines
from tests.browser.panels import check_access, check_fit, enter, panel
from tests.browser.visits import watch
from tests.panel import PASSWORD, PanelClient, PanelServer
from tests.zips import Packed, zip_of

if TYPE_CHECKING:
    from playwright.async_api import Browser, Locator, Page, Route, WebSocketRoute

__all__ = ["panel"]

EVIL = '<img src=x onerror="document.title=`evil`">'
_numbers = itertools.count(1)


class Visit:
    """A developer before the panel, in a browser profile of their own, with a backpack."""

    def __init__(self, server: PanelServer, client: PanelClient, page: Page) -> None:
        self.server = server
        self.client = client
        self.page = page
        self.name = f"shop-{next(_numbers)}"
        self.problems = watch(page)

    async def open(self, path: str = "") -> Page:
        """Open a page of the backpack: `/site`, or with two slashes one of the deployment."""
        home = f"/backpacks/{self.name}"
        await self.page.goto(self.client.origin + (path[1:] if path[:2] == "//" else home + path))
        return self.page

    async def do(self, call: Any, *values: Any, **named: Any) -> Any:
        """What waits for the server must not stop the browser's events meanwhile."""
        return await asyncio.to_thread(call, *values, **named)

    async def make(self, name: str | None = None) -> str:
        """Make the backpack, or another one."""
        made = name or self.name
        await self.do(self.client.steps, "POST /api/backpacks", {"name": made})
        return made

    @property
    def window(self) -> Locator:
        return self.page.get_by_role("dialog")

    async def answer(self, button: str, **fields: str) -> None:
        """Fill in the open window's fields, by their labels with `_` for a space, and press."""
        for label, text in fields.items():
            await self.window.get_by_label(label.replace("_", " ")).fill(text)
        await self.window.get_by_role("button", name=button, exact=True).click()

    def row(self, text: str) -> Locator:
        return self.page.get_by_role("row").filter(has_text=text)


async def come(
    server: PanelServer, browser: Browser, role: str = "operator", **options: Any
) -> Visit:
    """A developer who is signed in, in a new browser profile."""
    name = f"{role}{next(_numbers)}"
    client = await asyncio.to_thread(server.developer, name, role)
    return Visit(server, client, await enter(browser, client, **options))


@pytest_asyncio.fixture(loop_scope="session")
async def visit(panel: PanelServer, browser: Browser) -> AsyncIterator[Visit]:
    """An operator with a backpack."""
    made = await come(panel, browser)
    await made.make()
    yield made
    await made.page.context.close()
    assert made.problems == []


def site_of(text: str) -> bytes:
    return zip_of(Packed(b"index.html", text.encode()))


async def shown(visit: Visit, path: str = "/") -> str:
    """What the frontend of the backpack shows."""
    page = await visit.page.context.new_page()
    await page.goto(visit.server.host_url(visit.name) + path)
    text = await page.locator("body").inner_text()
    await page.close()
    return text


async def test_backpack_is_made_and_its_snippet_copied(visit: Visit) -> None:
    from playwright.async_api import expect

    await visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = await visit.open("//")
    made = f"made-{visit.name}"

    await page.get_by_role("button", name="New backpack").click()
    await visit.answer("Create", Name=f"{made} ")
    await expect(visit.window.get_by_role("heading")).to_have_text(f"{made} is ready")
    await expect(visit.window.locator(".steps .done")).to_have_count(3)
    await visit.window.get_by_role("button", name="Copy the snippet").click()
    copied = await page.evaluate("navigator.clipboard.readText()")
    described = (await visit.do(visit.client.ask, f"GET /api/backpacks/{made}")).json()
    assert f'createSdk("{described["backend"]}", "{described["api_key"]}")' in copied
    assert f'<script src="{visit.client.origin}/sdk.js"></script>' in copied
    await expect(visit.row(made).locator(".state")).to_have_text("up")

    await visit.window.get_by_role("link", name="Open it").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(made)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("Shop", "must have up to 41 lower-case letters, digits and hyphens, a letter first"),
        ("admin", "is reserved"),
        ("x--y", "must have letters or digits on both sides of a hyphen"),
        (EVIL, "must have up to 41 lower-case letters, digits and hyphens, a letter first"),
    ],
)
async def test_bad_name_says_what_to_do(visit: Visit, name: str, why: str) -> None:
    from playwright.async_api import expect

    page = await visit.open("//")
    await page.get_by_role("button", name="New backpack").click()
    await visit.answer("Create", Name=name)

    await expect(visit.window.get_by_role("alert")).to_have_text(f"Name {why}")
    await expect(visit.window.locator(".steps")).to_be_hidden()
    await expect(visit.window.get_by_label("Name")).to_have_value(name[:41])
    await expect(visit.window.get_by_label("Name")).to_be_focused()
    await visit.window.get_by_role("button", name="Cancel").click()
    await expect(visit.row(visit.name)).to_have_count(1)
    assert await page.title() == "Backpacks · Backpack"


async def test_deletion_needs_the_name(visit: Visit) -> None:
    from playwright.async_api import expect

    page = await visit.open("//")
    await page.get_by_role("button", name=f"Delete {visit.name}", exact=True).click()
    button = visit.window.get_by_role("button", name="Delete", exact=True)
    await expect(button).to_be_disabled()
    await visit.window.get_by_label("Type").fill(visit.name[:-1])
    await expect(button).to_be_disabled()
    await visit.window.get_by_label("Type").fill(visit.name)
    await button.click()
    await expect(visit.window).to_have_count(0)

    trash = page.get_by_role("region", name="Trash")
    await expect(trash.get_by_role("row").filter(has_text=visit.name)).to_have_count(1)
    await trash.get_by_role("button", name=f"Restore {visit.name}", exact=True).click()
    await expect(trash.get_by_role("row").filter(has_text=visit.name)).to_have_count(0)
    everything = page.get_by_role("region", name="Backpacks", exact=True).last
    await expect(everything.get_by_role("row").filter(has_text=visit.name)).to_have_count(1)


async def test_trash_is_emptied(visit: Visit) -> None:
    from playwright.async_api import expect

    await visit.do(visit.client.steps, f"DELETE /api/backpacks/{visit.name}")
    page = await visit.open("//")
    await page.get_by_role("button", name=f"Delete for good {visit.name}", exact=True).click()
    await visit.answer("Delete for good", Type=visit.name)

    await expect(visit.window).to_have_count(0)
    await expect(visit.row(visit.name)).to_have_count(0)
    names = [one["name"] for one in (await visit.do(visit.client.ask, "GET /api/trash")).json()]
    assert visit.name not in names


async def test_one_of_two_in_the_trash_is_restored(visit: Visit) -> None:
    from playwright.async_api import expect

    key = (await visit.do(visit.client.ask, f"GET /api/backpacks/{visit.name}")).json()["api_key"]
    await visit.do(visit.client.steps, f"DELETE /api/backpacks/{visit.name}")
    await visit.make()
    await visit.do(visit.client.steps, f"DELETE /api/backpacks/{visit.name}")
    page = await visit.open("//")
    rows = page.get_by_role("region", name="Trash").get_by_role("row").filter(has_text=visit.name)

    await expect(rows).to_have_count(2)
    await rows.first.get_by_role("button", name="Restore").click()
    await expect(rows).to_have_count(1)

    restored = await visit.do(visit.client.ask, f"GET /api/backpacks/{visit.name}")
    assert restored.json()["api_key"] == key


async def test_actions_of_a_row_are_in_sight_on_a_phone(
    panel: PanelServer, browser: Browser, tmp_path: Path
) -> None:
    from playwright.async_api import expect

    visit = await come(panel, browser, viewport={"width": 390, "height": 844})
    await visit.make()
    await visit.do(visit.client.steps, f"DELETE /api/backpacks/{visit.name}")
    page = await visit.open("//")
    button = page.get_by_role("button", name=f"Delete for good {visit.name}", exact=True)

    await button.scroll_into_view_if_needed()
    await page.locator("#trash .scroll").evaluate("one => one.scrollTo(0, 0)")
    await expect(button).to_be_in_viewport(ratio=1)
    await expect(page.get_by_role("columnheader", name="State")).to_be_visible()
    await expect(page.get_by_role("columnheader", name="Frontend")).to_have_count(0)
    await check_fit(page, tmp_path / "phone.png")
    await page.context.close()
    assert visit.problems == []


async def test_many_backpacks_are_searched(panel: PanelServer, browser: Browser) -> None:
    from playwright.async_api import expect

    visit = await come(panel, browser, "developer")
    names = [f"{visit.name}-{letter}" for letter in "abcdefghijkl"]
    for name in names:
        await visit.make(name)
    page = await visit.open("//")

    await expect(page.locator("#rows tr")).to_have_count(12)
    await page.get_by_label("Search by name").fill("-c")
    await expect(page.locator("#rows tr")).to_have_count(1)
    await expect(page.locator("#found")).to_have_text("1 of 12")

    await page.get_by_role("button", name="Choose a backpack").click()
    await visit.window.get_by_label("Name").fill("-d")
    await visit.window.get_by_label("Name").press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text(names[3])
    assert visit.problems == []


async def test_backpack_is_chosen_by_who_types_faster_than_the_list_loads(visit: Visit) -> None:
    from playwright.async_api import expect

    page = await visit.open("//")
    typed = asyncio.Event()

    async def late(route: Route) -> None:
        await typed.wait()
        await route.continue_()

    await page.route("**/api/backpacks", late)
    await page.get_by_role("button", name="Choose a backpack").click()
    await visit.window.get_by_label("Name").fill(visit.name)
    await visit.window.get_by_label("Name").press("Enter")
    typed.set()
    await expect(page.get_by_role("heading", level=1)).to_have_text(visit.name)


async def test_panel_that_is_away_for_a_moment_is_asked_again(visit: Visit) -> None:
    from playwright.async_api import expect

    page = await visit.open("//")
    asked = 0

    async def answer(route: Route) -> None:
        nonlocal asked
        asked += 1
        if asked > 2:
            await route.continue_()
        else:
            await route.fulfill(status=503, body="no available server")

    await page.route("**/api/backpacks", answer)
    await page.get_by_role("button", name="Choose a backpack").click()
    await expect(visit.window.get_by_role("link", name=visit.name, exact=True)).to_be_visible()
    assert asked == 3


async def test_overview_counts_what_the_app_does(visit: Visit) -> None:
    from playwright.async_api import expect

    page = await visit.open()
    users = page.locator('[data-figure="users"]')
    await expect(users).to_have_text("0")

    described = (await visit.do(visit.client.ask, f"GET /api/backpacks/{visit.name}")).json()
    for number in range(3):
        body = {"email": f"user{number}@example.com", "password": "correct horse"}
        headers = {"authorization": f"key {described['api_key']}"}
        await page.request.post(f"{described['connect']}/register", data=body, headers=headers)

    await expect(users).to_have_text("3")
    await expect(page.locator("#state")).to_have_text("up")
    await expect(page.locator("#services tr")).to_have_count(1)
    await expect(page.locator("#logs")).to_contain_text("frontend is served")


async def test_key_is_rotated(visit: Visit) -> None:
    from playwright.async_api import expect

    page = await visit.open()
    key = page.locator("#api-key")
    before = await key.inner_text()

    await page.get_by_role("button", name="Rotate the key").click()
    await visit.answer("Rotate")
    await expect(key).not_to_have_text(before)
    await expect(page.locator("#key-hint")).to_contain_text("The key before works until")
    after = await key.inner_text()
    assert after in await page.locator("#snippet").inner_text()
    await page.get_by_role("button", name="Rotate the key").click()
    await visit.window.get_by_label("End the key before at once").check()
    await visit.answer("Rotate")
    await expect(key).not_to_have_text(after)
    await page.reload()
    described = (await visit.do(visit.client.ask, f"GET /api/backpacks/{visit.name}")).json()
    await expect(key).to_have_text(described["api_key"])


async def test_key_changes_in_every_window(visit: Visit) -> None:
    from playwright.async_api import expect

    page = await visit.open()
    other = await page.context.new_page()
    await other.goto(page.url)
    key = other.locator("#api-key")
    before = await key.inner_text()
    await page.get_by_role("button", name="Rotate the key").click()
    await visit.answer("Rotate")
    await expect(key).not_to_have_text(before)
    await expect(other.locator("#snippet")).to_contain_text(await key.inner_text())


async def test_origins_are_changed(visit: Visit) -> None:
    from playwright.async_api import expect

    page = await visit.open()
    origins = page.locator("#origins li")
    field = page.get_by_label("Origin", exact=True)
    add = page.locator("#add-origin").get_by_role("button", name="Add")

    for address in ("https://WWW.example.com/", "https://www.example.com/shop"):
        await field.fill(address)
        await add.click()
        await expect(field).to_have_value("")
        await expect(origins.locator("code")).to_have_text("https://www.example.com")
    await field.fill("data:text/plain,shop")
    await add.click()
    await expect(page.locator("#origin-problem")).to_have_text(
        "Origin has 'data:text/plain,shop', which is no origin such as https://www.example.com"
    )
    await expect(field).to_be_focused()
    await page.reload()
    await expect(origins).to_contain_text("https://www.example.com")
    await page.get_by_role("button", name="Remove https://www.example.com").click()
    await expect(origins).to_have_count(0)


async def test_origins_of_two_developers_meet(visit: Visit) -> None:
    from playwright.async_api import expect

    other = "https://other.example.com"

    async def change_first() -> None:
        async with visit.server.driver.console(visit.name) as console:
            await console.ask("put", "rules", {"cors.origins": [other]})

    async def relay(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        is_first = True

        async def forward(message: str | bytes) -> None:
            nonlocal is_first
            if '"put"' in str(message) and is_first:
                is_first = False
                await visit.do(visit.server.call, change_first())
            server.send(message)

        socket.on_message(forward)

    await visit.page.route_web_socket("**/console", relay)
    page = await visit.open()
    await page.get_by_label("Origin", exact=True).fill("https://www.example.com")
    await page.locator("#add-origin").get_by_role("button", name="Add").click()

    await expect(page.locator("#origins code")).to_have_text([other, "https://www.example.com"])


async def test_members_come_and_go(visit: Visit, browser: Browser) -> None:
    from playwright.async_api import expect

    other = await come(visit.server, browser, "developer")
    email = other.client.developer.email if other.client.developer else ""
    answer = await other.page.goto(f"{other.client.origin}/backpacks/{visit.name}")
    assert answer is not None
    assert answer.status == 404

    page = await visit.open()
    form = page.locator("#add-member")
    await form.get_by_label("E-mail").fill("nobody@example.com")
    await form.get_by_role("button", name="Add").click()
    await expect(page.locator("#member-problem")).to_have_text(
        "E-mail is no developer's: an operator can invite them under Developers"
    )
    await form.get_by_label("E-mail").fill(str(email))
    await form.get_by_role("button", name="Add").click()
    member = page.locator("#members li").filter(has_text=str(email))
    await expect(member.locator(".tag")).to_have_text("member")

    seen = await other.page.goto(f"{other.client.origin}/backpacks/{visit.name}")
    assert seen is not None
    assert seen.status == 200
    await expect(other.page.locator("#add-member")).to_have_count(0)
    await expect(other.page.get_by_role("link", name="Tokens")).to_have_count(0)
    await other.page.goto(f"{other.client.origin}/backpacks/{visit.name}/site")
    await expect(other.page.get_by_role("link", name="token")).to_have_count(0)
    await other.page.goto(f"{other.client.origin}/backpacks/{visit.name}/tokens")
    await expect(other.page.get_by_role("heading", level=1)).to_have_text("Not for you")
    await other.page.goto(f"{other.client.origin}/")
    await expect(other.row(visit.name)).to_have_count(1)
    await expect(other.row(visit.name).get_by_role("button")).to_have_count(0)

    await member.get_by_role("button", name="Remove").click()
    await visit.answer("Remove")
    await expect(member).to_have_count(0)


async def test_owner_who_leaves_is_told(panel: PanelServer, browser: Browser) -> None:
    from playwright.async_api import expect

    visit = await come(panel, browser, "developer")
    await visit.make()
    other = await asyncio.to_thread(panel.developer, f"heir{next(_numbers)}")
    page = await visit.open()
    own = page.locator("#members li").filter(has_text="developer")

    await own.get_by_role("button", name="Remove").click()
    await expect(visit.window).to_contain_text("You lose access")
    await visit.answer("Remove")
    await expect(visit.window).to_contain_text("last owner")
    await asyncio.to_thread(panel.share, visit.name, other)
    await visit.answer("Remove")

    await expect(page.get_by_role("heading", level=1)).to_have_text("Backpacks")
    await page.context.close()
    assert visit.problems == []


async def test_site_is_deployed_by_zip_and_rolled_back(visit: Visit, tmp_path: Path) -> None:
    from playwright.async_api import expect

    page = await visit.open("/site")
    await expect(page.locator("#versions")).to_contain_text("Nothing has been deployed")
    for number in (1, 2):
        file = tmp_path / f"site-{number}.zip"
        file.write_bytes(site_of(f"<h1>Version {number}</h1>"))
        await page.set_input_files("#zip", file)
        await expect(page.locator("#lines")).to_contain_text(f"Version {number} is live")
    await expect(page.locator("#versions tr")).to_have_count(2)
    assert await shown(visit) == "Version 2"

    await page.get_by_role("button", name="Roll back to version 1").click()
    await expect(visit.row("live").get_by_role("rowheader")).to_have_text("1")
    assert await shown(visit) == "Version 1"


async def test_site_is_deployed_by_folder(visit: Visit, tmp_path: Path) -> None:
    from playwright.async_api import expect

    folder = tmp_path / "dist"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text('<script src="/assets/grüße.js"></script><p id="p">-')
    script = "document.addEventListener('DOMContentLoaded', () => p.textContent = 'Grüße')"
    (folder / "assets" / "grüße.js").write_text(script, "utf-8")
    for number in range(70):
        (folder / "assets" / f"{number}.txt").write_text(f"Text {number}")
    page = await visit.open("/site")

    await page.set_input_files("#folder", folder)

    await expect(page.locator("#lines")).to_contain_text("Version 1 is live")
    assert await shown(visit) == "Grüße"
    for number in (0, 31, 32, 69):
        assert await shown(visit, f"/assets/{number}.txt") == f"Text {number}"


async def test_dropped_zip_is_deployed(visit: Visit) -> None:
    from playwright.async_api import expect

    page = await visit.open("/site")
    await expect(page.locator("#versions")).to_contain_text("Nothing has been deployed")
    transfer = await page.evaluate_handle(
        """bytes => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([new Uint8Array(bytes)], "site.zip"));
          return transfer;
        }""",
        list(site_of("Dropped")),
    )
    for kind in ("dragenter", "dragover", "drop"):  # beside the box
        await page.dispatch_event("#versions", kind, {"dataTransfer": transfer})

    await expect(page.locator("#lines")).to_contain_text("Version 1 is live")
    assert await shown(visit) == "Dropped"


async def test_bad_zip_leaves_the_site(visit: Visit, tmp_path: Path) -> None:
    from playwright.async_api import expect

    await visit.do(
        visit.client.steps, f"POST /api/backpacks/{visit.name}/site", content=site_of("Still here")
    )
    file = tmp_path / f"{EVIL.replace('/', '')}.zip"
    file.write_bytes(zip_of(Packed(EVIL.encode() + b"/about.html", b"x")))
    page = await visit.open("/site")

    await page.set_input_files("#zip", file)

    await expect(page.locator("#lines .failed")).to_contain_text("index.html")
    await expect(page.get_by_label("Nothing has changed")).to_have_count(1)
    await expect(page.locator(".toast.bad")).to_have_count(1)
    await page.get_by_role("button", name="Close the message").click()
    await expect(page.locator(".toast")).to_have_count(0)
    await expect(page.get_by_role("button", name="Choose a zip")).to_be_enabled()
    assert await shown(visit) == "Still here"


async def test_backup_goes_and_comes_back(visit: Visit, tmp_path: Path) -> None:
    from playwright.async_api import expect

    await visit.do(
        visit.client.steps, f"POST /api/backpacks/{visit.name}/site", content=site_of("Before")
    )
    page = await visit.open("/backup")
    async with page.expect_download() as download:
        await page.get_by_role("button", name="Download").click()
    file = tmp_path / "backup.tar"
    await (await download.value).save_as(file)
    await visit.do(
        visit.client.steps, f"POST /api/backpacks/{visit.name}/site", content=site_of("After")
    )

    await page.get_by_role("button", name="Replace what is in").click()
    await visit.window.get_by_label("Backup").set_input_files(file)
    await visit.answer("Replace", Type=visit.name)
    await expect(page.locator(".toast")).to_contain_text("as the backup has it")
    assert await shown(visit) == "Before"

    copy = f"copy-{visit.name}"
    await page.get_by_role("button", name="As a new backpack").click()
    await visit.window.get_by_label("Backup").set_input_files(file)
    await visit.answer("Import", Name=copy)
    await expect(visit.window.locator(".steps .done").last).to_contain_text("Imported")
    await expect(visit.window.get_by_role("heading")).to_have_text(f"{copy} is ready")
    await visit.window.get_by_role("link", name="Open it").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(copy)


async def test_no_backup_changes_nothing(visit: Visit, tmp_path: Path) -> None:
    from playwright.async_api import expect

    file = tmp_path / "backup.tar"
    file.write_bytes(b"no backup")
    page = await visit.open("//")
    await page.get_by_role("button", name="From a backup").click()
    await visit.window.get_by_label("Backup").set_input_files(file)
    await visit.answer("Import", Name=f"copy-{visit.name}")

    await expect(visit.window.get_by_role("alert")).to_contain_text("backup")
    await visit.window.get_by_role("button", name="Cancel").click()
    await expect(visit.row(f"copy-{visit.name}")).to_have_count(0)


async def test_token_is_shown_once(visit: Visit) -> None:
    from playwright.async_api import expect

    page = await visit.open("/tokens")
    await expect(page.locator("#tokens")).to_contain_text("There are no tokens")
    await page.get_by_role("button", name="New token").click()
    await visit.answer("Make the token", Name=EVIL, Days="0")
    days = visit.window.get_by_label("Days")
    assert not await days.evaluate("one => one.checkValidity()")
    await visit.answer("Make the token", Days="30")

    secret = await visit.window.locator("#secret").inner_text()
    assert secret.startswith("bkpk_")
    assert (await visit.do(visit.server.call, visit.server.registry.tokens.use(secret))) is not None
    await page.keyboard.press("Escape")
    await page.reload()
    await expect(visit.row(EVIL)).to_have_count(1)
    assert secret not in await page.content()
    await page.get_by_role("button", name="Revoke").click()
    await visit.answer("Revoke")
    await expect(visit.row("revoked")).to_have_count(1)
    assert (await visit.do(visit.server.call, visit.server.registry.tokens.use(secret))) is None
    assert await page.locator("img").count() == 0


async def test_log_is_filtered_and_paged(visit: Visit) -> None:
    from playwright.async_api import expect

    developer = visit.client.developer
    assert developer is not None

    async def fill() -> None:
        for number in range(60):
            detail = {"field": EVIL, "number": number}
            await visit.server.registry.audit.note(developer, "test.note", EVIL, detail)

    await visit.do(visit.server.call, fill())
    page = await visit.open("//log")
    rows = page.locator("#entries tr")
    await expect(rows).to_have_count(50)
    await page.get_by_role("button", name="Show older ones").click()
    await expect(rows.nth(55)).to_be_visible()

    await page.get_by_label("Backpack", exact=True).fill(visit.name)
    await page.get_by_role("button", name="Filter").click()
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("Created the backpack")
    await rows.get_by_text("Details").click()
    await expect(rows.locator("dd").first).to_have_text("backpack.create")
    await page.get_by_label("Backpack", exact=True).fill(EVIL)
    await page.get_by_label("Who").fill(developer.name)
    await page.get_by_role("button", name="Filter").click()
    await expect(rows).to_have_count(50)
    assert await page.locator("img").count() == 0

    await visit.open("/log")
    await expect(rows).to_have_count(1)


async def test_settings_end_a_backpack(visit: Visit) -> None:
    from playwright.async_api import expect

    page = await visit.open("/settings")
    await expect(page.locator("#indexes")).to_contain_text("There are none yet")
    await page.get_by_role("button", name=f"Delete {visit.name}").click()
    await visit.answer("Delete", Type=visit.name)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Backpacks")
    await expect(
        page.get_by_role("region", name="Trash").get_by_role("row").filter(has_text=visit.name)
    ).to_have_count(1)


async def test_main_path_works_by_keyboard(visit: Visit) -> None:
    from playwright.async_api import expect

    page = await visit.open("//")
    await expect(visit.row(visit.name)).to_have_count(1)
    made = f"by-hand-{visit.name}"
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    await page.keyboard.press("Enter")
    for _ in range(2):
        await page.keyboard.press("Tab")
    await expect(page.get_by_role("button", name="New backpack")).to_be_focused()
    await page.keyboard.press("Enter")
    await page.keyboard.type(made)
    await page.keyboard.press("Enter")
    await expect(visit.window.get_by_role("link", name="Open it")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text(made)

    await page.get_by_role("link", name="Site", exact=True).focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Site")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await page.get_by_role("button", name="Choose a backpack").focus()
    await page.keyboard.press("Enter")
    await expect(visit.window.get_by_role("link", name=visit.name, exact=True)).to_be_visible()
    await page.keyboard.type(visit.name)
    for _ in range(2):  # what is typed goes first
        await page.keyboard.press("Escape")
    await expect(visit.window).to_have_count(0)
    await expect(page.get_by_role("button", name="Choose a backpack")).to_be_focused()


async def test_small_windows_have_a_menu(panel: PanelServer, browser: Browser) -> None:
    from playwright.async_api import expect

    visit = await come(panel, browser, viewport={"width": 390, "height": 844})
    await visit.make()
    page = await visit.open()
    await expect(page.get_by_role("link", name="Site", exact=True)).to_be_hidden()
    await page.get_by_role("button", name="Menu").click()
    await page.get_by_role("link", name="Site", exact=True).click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Site")
    await page.get_by_role("button", name="Menu").click()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("link", name="Site", exact=True)).to_be_hidden()
    await page.get_by_role("button", name="Menu").click()
    await page.get_by_role("button", name="Log out").click()
    await page.wait_for_url("**/login*")
    assert visit.problems == []


async def test_operators_choose_databases(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    from playwright.async_api import expect

    server = PanelServer()
    await asyncio.to_thread(server.start)
    driver = server.app.ctx.driver = Machines(server.driver)
    monkeypatch.setattr(server.panel.holdings, "_driver", driver)
    ann = await come(server, browser, "developer")
    await (await ann.open("//")).get_by_role("button", name="New backpack").click()
    await expect(ann.window.get_by_text("Databases of your own")).to_have_count(0)

    visit = await come(server, browser)
    page = await visit.open("//")
    await page.get_by_role("button", name="New backpack").click()
    await visit.window.get_by_text("Databases of your own").click()
    await visit.answer("Create", Name="shop", MongoDB_URL="http://example.com")
    await expect(visit.window.get_by_role("alert")).to_have_text(
        "MongoDB URL must begin with mongodb:// or mongodb+srv://"
    )
    await expect(visit.window.get_by_label("MongoDB URL")).to_be_focused()
    await check_access(page)
    await visit.answer("Create", MongoDB_URL="mongodb://ada:s3cret@example.com")
    await expect(visit.window.get_by_role("heading")).to_have_text("shop is ready")
    assert driver.urls == [("mongodb://ada:s3cret@example.com", "")]

    await visit.window.get_by_role("link", name="Open it").click()
    await expect(page.locator("#databases")).to_have_text("MongoDB is at db.example.com.")
    await page.get_by_role("button", name="Change the URLs").click()
    await expect(visit.window.get_by_label("Redis URL")).to_have_count(0)
    await check_access(page)
    await visit.answer("Change", MongoDB_URL="db.example.com")
    await expect(visit.window.get_by_role("alert")).to_have_text(
        "MongoDB URL must begin with mongodb:// or mongodb+srv://"
    )
    await visit.answer("Change", MongoDB_URL="mongodb://ada:n3w@example.com")
    await expect(visit.window).to_have_count(0)
    assert driver.urls[1:] == [("mongodb://ada:n3w@example.com", "")]
    assert ann.problems == visit.problems == []
    await asyncio.to_thread(server.stop)


async def test_nodes_are_labelled_and_drained(browser: Browser, tmp_path: Path) -> None:
    from playwright.async_api import expect

    server = PanelServer()
    await asyncio.to_thread(server.start)
    server.app.ctx.driver = Machines(server.driver)
    visit = await come(server, browser)
    page = await visit.open("//nodes")
    node = page.locator("#nodes tr")
    await expect(node).to_contain_text("<b>one</b>")
    await check_access(page)

    await page.get_by_role("button", name="Add a label").click()
    await visit.answer("Add", Key="disk", Value=EVIL)
    await expect(node.locator(".labels")).to_contain_text(f"disk={EVIL}")
    await page.get_by_role("button", name="Remove the label disk").click()
    await expect(node.locator(".labels .tag")).to_have_count(0)

    await page.get_by_role("button", name="Drain").click()
    await visit.answer("Drain")
    await expect(node.locator(".state")).to_have_text("ready, drain")
    await page.get_by_role("button", name="Activate").click()
    await expect(node.locator(".state")).to_have_text("ready")

    await page.get_by_role("button", name="Add a node").click()
    await visit.answer("Show the command", password="wrong")
    await expect(visit.window.get_by_role("alert")).to_contain_text("password")
    await visit.answer("Show the command", password=PASSWORD)
    await expect(visit.window.locator("code")).to_contain_text("secret-of-worker")
    await check_fit(page, tmp_path / "nodes.png")
    assert await page.locator("img").count() == 0
    assert visit.problems == []
    await page.context.close()
    await asyncio.to_thread(server.stop)


async def test_processes_are_scaled_where_they_can_be(browser: Browser) -> None:
    from playwright.async_api import expect

    server = PanelServer()
    await asyncio.to_thread(server.start)
    visit = await come(server, browser)
    await visit.make()
    page = await visit.open()
    await expect(page.locator("#services tr")).to_have_count(1)
    await expect(page.get_by_role("button", name="Change the number")).to_have_count(0)

    server.app.ctx.driver = Machines(server.driver)
    await page.reload()
    await expect(page.locator("#services .state")).to_have_text("up")
    await page.get_by_role("button", name="Change the number").click()
    await expect(visit.window.get_by_label("Processes")).to_have_value("1")
    await visit.answer("Change", Processes="3")
    await expect(visit.window.locator(".failed")).to_contain_text("One process")
    assert visit.problems == []
    await page.context.close()
    await asyncio.to_thread(server.stop)


async def test_page_of_an_ended_session_leads_to_sign_in(
    panel: PanelServer, browser: Browser
) -> None:
    from playwright.async_api import expect

    visit = await come(panel, browser)
    await visit.make()
    page = await visit.open("?part=1")
    await expect(page.locator('[data-figure="users"]')).to_have_text("0")
    developer = visit.client.developer
    assert developer is not None

    await visit.do(panel.call, panel.registry.sessions.end_all(developer))

    await page.wait_for_url(f"**/login?next=*{visit.name}%3Fpart%3D1")
    await page.context.close()


@pytest.mark.parametrize("how", ["deleted", "unshared"])
async def test_page_of_a_backpack_that_has_gone_says_so(
    panel: PanelServer, browser: Browser, how: str
) -> None:
    from playwright.async_api import expect

    owner = await come(panel, browser)
    await owner.make()
    visit = await come(panel, browser, "developer")
    visit.name = owner.name
    member = visit.client.developer
    assert member is not None
    await visit.do(panel.share, owner.name, visit.client, role="member")
    page = await visit.open("/data")
    await page.locator("#first-collection").click()

    home = f"/api/backpacks/{owner.name}"
    if how == "deleted":
        await visit.do(owner.client.steps, f"DELETE {home}")
    else:
        await visit.do(owner.client.ask, f"DELETE {home}/members/{member.id}")
    told = "has been deleted, or is not shared with you any more"
    await expect(page.locator("#content")).to_contain_text(told)
    await visit.answer("Create", Name="cars")
    await expect(visit.window.get_by_role("alert")).to_contain_text(told)
    await visit.window.get_by_role("button", name="Cancel").click()
    await page.locator("#content").get_by_role("link", name="Backpacks").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Backpacks")
    await page.context.close()
    await owner.page.context.close()


PAGES = {
    "backpacks": "//",
    "overview": "",
    "site": "/site",
    "backup": "/backup",
    "tokens": "/tokens",
    "log": "//log",
    "settings": "/settings",
    "deployment": "//settings",
    "nodes": "//nodes",
}


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
async def test_pages_are_accessible(
    panel: PanelServer, browser: Browser, tmp_path: Path, width: int, scheme: str
) -> None:
    """Each page has no barrier and fits the window; a picture is kept in pytest's folder."""
    from playwright.async_api import expect

    size = {"width": width, "height": 900}
    visit = await come(panel, browser, viewport=size, color_scheme=scheme)
    await visit.make()
    gone = await visit.make(f"gone-{visit.name}")
    await visit.do(visit.client.steps, f"DELETE /api/backpacks/{gone}")
    home = f"/api/backpacks/{visit.name}"
    for number in (1, 2):
        await visit.do(visit.client.steps, f"POST {home}/site", content=site_of(str(number)))
    body = {"name": "x" * 60, "scope": "deploy", "days": 3}
    await visit.do(visit.client.ask, f"POST {home}/tokens", body)
    for name, path in PAGES.items():
        page = await visit.open(path)
        await page.wait_for_load_state("networkidle") if name != "overview" else None
        await expect(page.get_by_text("Loading…").filter(visible=True)).to_have_count(0)
        await check_access(page)
        await check_fit(page, tmp_path / f"{name}-{width}-{scheme}.png")
    page = await visit.open("//")
    await page.get_by_role("button", name="New backpack").click()
    await check_access(page)
    await visit.answer("Create", Name="Wrong")
    await expect(visit.window.get_by_role("alert")).to_contain_text("lower-case letters")
    await check_access(page)
    await check_fit(page, tmp_path / f"window-{width}-{scheme}.png")
    assert visit.problems == []
