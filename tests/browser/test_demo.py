"""The demo app in real browsers: two people, their rooms, pictures, and a server that goes away."""

from __future__ import annotations

import asyncio
import signal
import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.browser.visits import watch
from tests.sandboxes import Sandbox

if TYPE_CHECKING:
    from playwright.async_api import Browser, Locator, Page, WebSocketRoute

PASSWORD = "correct horse"

Enter = Callable[..., Awaitable["Page"]]


class Demo:
    """A sandbox with the demo app, which can go away and come back at the same address."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sandbox = self._start("0")
        self.url: str = self._sandbox["demo"]["frontend"]

    def _start(self, port: str) -> Sandbox:
        return Sandbox(self._folder, "--demo", "--data", "data", "--port", port)

    def stop(self, by: signal.Signals = signal.SIGTERM) -> None:
        self._sandbox.stop(by)

    def start(self) -> None:
        self._sandbox = self._start(str(self._sandbox.ready["port"]))

    def kill(self) -> None:
        self._sandbox.__exit__()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    demo = Demo(tmp_path_factory.mktemp("demo"))
    yield demo
    demo.kill()


@pytest_asyncio.fixture(loop_scope="session")
async def enter(browser: Browser, demo: Demo, email: str) -> AsyncIterator[Enter]:
    """What registers somebody, each in a browser profile of their own, and opens the Lobby."""
    watched: dict[str, list[str]] = {}

    async def enter(name: str, **options: Any) -> Page:
        options = {"viewport": {"width": 1280, "height": 900}, **options}
        context = await browser.new_context(**options)
        page = await context.new_page()
        watched[name] = watch(page)
        await page.goto(demo.url)
        await register(page, name, email)
        return page

    yield enter
    broken = [
        problem
        for found in watched.values()
        for problem in found
        if not problem.startswith("WebSocket connection to")
    ]
    assert broken == []


async def register(page: Page, name: str, email: str) -> None:
    await page.get_by_text("Register", exact=True).click()
    await page.get_by_label("Email").fill(f"{name.lower()}.{email}")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Register and enter").click()
    await page.get_by_role("heading", name="Lobby").wait_for()
    await online(page)


async def online(page: Page) -> None:
    from playwright.async_api import expect

    await expect(page.locator("#chat")).to_have_attribute("data-connected", "true")
    await expect(page.locator("#here li")).not_to_have_count(0)


async def say(page: Page, text: str) -> None:
    await page.get_by_label("Message", exact=True).fill(text)
    await page.get_by_label("Message", exact=True).press("Enter")


def message(page: Page, text: str) -> Locator:
    return page.locator(".message").filter(has=page.get_by_text(text, exact=True))


async def arrived(page: Page, *texts: str) -> None:
    """Each of the texts is shown once, as a message that has been sent."""
    from playwright.async_api import expect

    for text in texts:
        await expect(message(page, text)).to_have_count(1)
    await expect(page.locator(".letter")).to_have_count(0)


def room(page: Page, name: str) -> Locator:
    return page.get_by_role("navigation").get_by_role("button", name=name)


def picture() -> bytes:
    """A PNG of 8 x 8 red pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checked = kind + data
        return struct.pack("!I", len(data)) + checked + struct.pack("!I", zlib.crc32(checked))

    head = struct.pack("!IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\xc0\x30\x20" * 8) * 8)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


async def test_messages_arrive_change_and_go(enter: Enter, email: str) -> None:
    from playwright.async_api import expect

    ada, grace = await enter("Ada"), await enter("Grace")
    first, second = f"Hello, {email}", f"<img src=x onerror=alert(1)> {email}"
    await say(ada, first)
    await say(ada, second)
    for page in (ada, grace):
        await arrived(page, first, second)
    assert await message(grace, second).locator("img[src=x]").count() == 0

    await message(ada, first).hover()
    await message(ada, first).get_by_role("button", name="Edit").click()
    await say(ada, f"{first}!")
    await arrived(grace, f"{first}!")
    await expect(message(grace, f"{first}!").get_by_text("edited", exact=True)).to_have_count(1)
    await expect(message(grace, f"{first}!").get_by_role("button")).to_have_count(0)

    await message(ada, second).hover()
    await message(ada, second).get_by_role("button", name="Delete").click()
    for page in (ada, grace):
        await expect(message(page, second)).to_have_count(0)
    await ada.reload()
    await arrived(ada, f"{first}!")
    await expect(message(ada, second)).to_have_count(0)


async def test_older_messages_are_read_when_wanted(enter: Enter, email: str) -> None:
    from playwright.async_api import expect

    ada = await enter("Ada")
    texts = [f"line {number}, {email}" for number in range(60)]
    for text in texts:
        await say(ada, text)
    await arrived(ada, texts[-1])
    await ada.reload()
    await arrived(ada, texts[-1])
    await expect(message(ada, texts[-1])).to_be_in_viewport()
    await expect(message(ada, texts[0])).to_have_count(0)

    top = message(ada, texts[10])
    await top.scroll_into_view_if_needed()
    await ada.get_by_role("button", name="Show earlier messages").click()
    await arrived(ada, texts[0])
    await expect(top).to_be_in_viewport()
    await expect(message(ada, texts[-1])).not_to_be_in_viewport()


async def test_people_come_write_and_go(enter: Enter, email: str) -> None:
    from playwright.async_api import expect

    ada, grace = await enter("Ada"), await enter("Grace")
    here = ada.get_by_role("region", name="In this room").get_by_role("listitem")
    grace_here = here.filter(has=ada.get_by_text(f"grace.{email.partition('@')[0]}"))
    await expect(grace_here).to_have_count(1)

    await grace.get_by_label("Message", exact=True).type("Well")
    await expect(ada.locator("#typing")).to_contain_text("is writing")
    await say(grace, f"Well, {email}")
    await arrived(ada, f"Well, {email}")
    await expect(ada.locator("#typing")).to_have_text("")

    await grace.get_by_role("button", name="Log out").click()
    await expect(grace.get_by_label("Email")).to_be_focused()
    await expect(grace_here).to_have_count(0)

    await register(grace, "Radia", email)
    await arrived(grace, f"Well, {email}")
    await expect(grace.locator(".message.own", has_text=email)).to_have_count(0)


async def test_rooms_are_apart(enter: Enter, email: str) -> None:
    from playwright.async_api import expect

    ada, grace = await enter("Ada"), await enter("Grace")
    name = f"Sailing {email.partition('@')[0]}"
    await ada.get_by_role("button", name="New room").click()
    await ada.get_by_label("Name of the new room").fill(name)
    await ada.keyboard.press("Enter")
    await ada.get_by_role("heading", name=name).wait_for()
    await say(ada, f"Ahoy, {email}")
    await arrived(ada, f"Ahoy, {email}")

    elsewhere = ada.get_by_role("region", name="Elsewhere").get_by_role("listitem")
    await expect(elsewhere).to_have_count(1)
    await expect(room(grace, name)).to_contain_text("Join")
    await room(grace, name).click()
    await arrived(grace, f"Ahoy, {email}")
    await room(grace, "Lobby").click()
    await expect(message(grace, f"Ahoy, {email}")).to_have_count(0)
    await say(ada, f"Anybody, {email}?")
    await expect(room(grace, name)).to_contain_text("1 new message")
    await room(grace, name).click()
    await arrived(grace, f"Ahoy, {email}", f"Anybody, {email}?")

    await grace.reload()
    await grace.get_by_role("heading", name=name).wait_for()
    await arrived(grace, f"Ahoy, {email}", f"Anybody, {email}?")


async def test_picture_and_name_reach_others(enter: Enter, email: str) -> None:
    from playwright.async_api import expect

    ada, grace = await enter("Ada"), await enter("Grace")
    await say(ada, f"Look, {email}")
    await ada.get_by_role("button", name="change name and picture").click()
    await ada.get_by_label("Choose a picture").set_input_files(
        {"name": "me.png", "mimeType": "image/png", "buffer": picture()}
    )
    await ada.locator("#portrait img").wait_for()
    await ada.get_by_label("Name", exact=True).fill(f"Lovelace {email}")
    await ada.get_by_role("button", name="Save").click()

    entry = message(grace, f"Look, {email}")
    await expect(entry.get_by_text(f"Lovelace {email}")).to_have_count(1)
    loaded = "img => img.decode().then(() => img.naturalWidth)"
    assert await entry.locator(".avatar img").evaluate(loaded) == 256

    await ada.get_by_role("button", name="change name and picture").click()
    await ada.get_by_label("Choose a picture").set_input_files(
        {"name": "no.png", "mimeType": "image/png", "buffer": b"no picture"}
    )
    await expect(ada.locator("#profile").get_by_role("alert")).to_contain_text("no picture")


async def test_odd_records_of_others_disturb_nobody(enter: Enter, email: str) -> None:
    """What rules allow, somebody writes: also by other means than this page."""
    from playwright.async_api import expect

    ada, grace = await enter("Ada"), await enter("Grace")
    script = """async () => {
        const { backend, apiKey } = document.body.dataset;
        const { auth, db } = createSdk(backend, apiKey);
        const { id } = await auth.me();
        const [own] = await db.getCollection("profiles", { filter: { userId: id } });
        await db.overwriteResource("profiles", own._id, { name: { a: 1 }, avatar: ".." });
        const [room] = await db.getCollection("rooms");
        const channel = { channelType: "rooms", channelId: room._id };
        await db.createResource("messages", { text: [1, 2], nonce: 5, ...channel });
        await db.createResource("messages", channel);
        await db.createResource("messages", { channelId: { a: 1 } });
        await db.createResource("rooms", {});
    }"""
    await grace.evaluate(script)
    await say(ada, f"Still here, {email}")
    for page in (ada, grace):
        await arrived(page, f"Still here, {email}")
        await page.reload()
        await arrived(page, f"Still here, {email}")
    await expect(message(ada, "1,2")).to_have_count(1)
    await ada.locator("#rooms").get_by_role("button", name="A room").click()
    await expect(ada.get_by_role("heading", name="A room", exact=True)).to_be_visible()


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
async def test_restart_loses_nothing(enter: Enter, demo: Demo, email: str, by: Any) -> None:
    from playwright.async_api import expect

    ada, grace = await enter("Ada"), await enter("Grace")
    before = [f"before {number}, {email}" for number in range(3)]
    away = [f"away {number}, {email}" for number in range(3)]
    after = [f"after {number}, {email}" for number in range(3)]
    for text in before:
        await say(ada, text)
    await arrived(grace, *before)

    demo.stop(by)
    await expect(ada.get_by_role("status")).to_contain_text("Connecting")
    await expect(message(ada, before[-1])).to_be_in_viewport()
    await say(ada, away[0])
    await say(grace, away[1])
    await say(ada, away[2])
    await expect(ada.locator(".letter")).to_have_count(2)
    await expect(ada.locator(".letter").last).to_be_in_viewport(ratio=1)
    demo.start()
    for page in (ada, grace):
        await online(page)
        await arrived(page, *before, *away)
    for text in after:
        await say(grace, text)
    for page in (ada, grace):
        await arrived(page, *before, *away, *after)
        await expect(page.locator(".message", has_text=email)).to_have_count(9)


async def test_offline_browser_catches_up(enter: Enter, email: str) -> None:
    from playwright.async_api import expect

    ada, grace = await enter("Ada"), await enter("Grace")
    texts = [f"missed {number}, {email}" for number in range(3)]
    network = asyncio.Event()
    network.set()
    routes: list[WebSocketRoute] = []

    async def relay(route: WebSocketRoute) -> None:
        await network.wait()
        route.connect_to_server()
        routes.append(route)

    await grace.route_web_socket(lambda _: True, relay)
    await grace.reload()
    await online(grace)
    network.clear()
    await routes[-1].close()
    await expect(grace.get_by_role("status")).to_contain_text("Connecting")
    for text in texts:
        await say(ada, text)
    await arrived(ada, *texts)
    network.set()
    await online(grace)
    await arrived(grace, *texts)
    await expect(grace.locator(".message", has_text=email)).to_have_count(3)


async def test_end_of_session_leads_to_door(enter: Enter) -> None:
    from playwright.async_api import expect

    ada = await enter("Ada")
    second = await ada.context.new_page()
    await second.goto(ada.url)
    await online(second)
    await second.get_by_role("button", name="Log out").click()
    await expect(ada.get_by_role("alert").first).to_have_text(
        "The session has ended. Log in again."
    )
    await expect(ada.get_by_label("Email")).to_be_visible()


async def test_demo_works_by_keyboard(page: Page, demo: Demo, email: str) -> None:
    from playwright.async_api import expect

    await page.goto(demo.url)
    await expect(page.get_by_label("Email")).to_be_visible()
    await page.get_by_label("Email").focus()
    for keys in (email, "short"):
        await page.keyboard.type(keys)
        await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("Password")).to_be_focused()
    await expect(page.get_by_role("alert").first).to_contain_text("at least 8 characters")
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("Message", exact=True)).to_be_focused()
    await online(page)
    await page.keyboard.type(f"By hand, {email}")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("and on")
    await page.keyboard.press("Enter")
    await expect(page.locator(".bubble", has_text=f"By hand, {email}")).to_contain_text("and on")
    await page.get_by_role("button", name="New room").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("Name of the new room")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("button", name="New room")).to_be_focused()


@pytest.mark.parametrize(
    ("width", "scheme"), [(390, "dark"), (820, "light"), (1280, "dark"), (1600, "light")]
)
async def test_demo_fits_the_window(
    enter: Enter, demo: Demo, email: str, tmp_path: Path, width: int, scheme: str
) -> None:
    """Nothing sticks out at the side; a picture of each view is kept in pytest's folder."""
    page = await enter("Ada", viewport={"width": width, "height": 844}, color_scheme=scheme)
    await say(page, f"A word without an end: {email}{'x' * 200}")
    await say(page, f"Short, {email}")
    await arrived(page, f"Short, {email}")
    for view in ("room", "side", "people"):
        await page.locator("#chat").evaluate("(chat, view) => (chat.dataset.view = view)", view)
        await page.screenshot(path=tmp_path / f"{view}-{width}-{scheme}.png")
        size = "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
        assert (view, await page.evaluate(size)) == (view, [width, 844])
