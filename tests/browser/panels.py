"""The panel in real browsers: a server, and developers with a browser profile each."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from backpack.testing import TestBackpack
from tests.browser.visits import watch
from tests.panel import COOKIE, PanelClient, PanelServer
from tests.services import need

if TYPE_CHECKING:
    from playwright.async_api import Browser, Locator, Page

_numbers = itertools.count(1)
_SERIOUS = ("serious", "critical")


class Desk:
    """The pages of one developer in one browser profile, on one backpack."""

    def __init__(self, panel: PanelServer, backpack: TestBackpack, page: Page) -> None:
        self.page = page
        self.backpack = backpack
        self.problems = watch(page)
        self.url = f"{panel.host_url('admin')}/backpacks/{backpack.name}"

    async def open(self, path: str) -> Page:
        """Open a page, `data?collection=cars`; returns when it hears of changes."""
        from playwright.async_api import expect

        await self.page.goto(f"{self.url}/{path}")
        await expect(self.page.locator("#connection")).to_have_text("Live")
        return self.page

    async def answer(self, button: str, **fields: str) -> None:
        """Fill in the open window's fields, by their labels with `_` for a space, and press."""
        from playwright.async_api import expect

        window = self.page.get_by_role("dialog")
        for label, text in fields.items():
            await window.get_by_label(label.replace("_", " ")).fill(text)
        await window.get_by_role("button", name=button, exact=True).click()
        await expect(window).to_have_count(0)


class Office:
    """A backpack of a running panel, and the developers who sit before it."""

    def __init__(self, panel: PanelServer, browser: Browser) -> None:
        self.panel = panel
        self.backpack = panel.create(f"shop-{next(_numbers)}")
        self._browser = browser
        self._desks: list[Desk] = []

    async def seat(self, name: str = "ada", *, member: bool = True, **options: Any) -> Desk:
        """A developer with a browser profile of their own, who is a member of the backpack."""
        client = await self.do(self._sign_in, name, member)
        desk = Desk(self.panel, self.backpack, await enter(self._browser, client, **options))
        self._desks.append(desk)
        return desk

    def _sign_in(self, name: str, member: bool) -> Any:
        client = self.panel.developer(name)
        if member:
            self.panel.share(self.backpack.name, client, role="member")
        return client

    async def do(self, call: Any, *values: Any, **named: Any) -> Any:
        """What waits for the server must not stop the browser's events meanwhile."""
        return await asyncio.to_thread(call, *values, **named)

    async def make(self, collection: str, *documents: dict[str, Any]) -> list[str]:
        """Documents of a collection; their ids."""
        await self.ask("post", "collections", {"name": collection})
        ids: list[str] = []
        for start in range(0, len(documents), 1_000):
            some = list(documents[start : start + 1_000])
            made = await self.ask("post", "documents", some, collection=collection)
            ids += [one["_id"] for one in made]
        return ids

    async def ask(self, action: str, model: str, data: Any = None, **more: Any) -> Any:
        """What a console answers: a second pair of eyes on the backpack."""

        async def inside() -> Any:
            async with self.panel.driver.console(self.backpack.name) as console:
                return await console.ask(action, model, data, **more)

        return await self.do(self.panel.call, inside())

    async def documents(self, collection: str) -> list[dict[str, Any]]:
        """All documents of a collection, without their stamps."""
        found = await self.ask("get", "documents", collection=collection, limit=1_000)
        stamps = ("_id", "createdAt", "updatedAt")
        return [
            {name: value for name, value in one.items() if name not in stamps}
            for one in found["items"]
        ]

    async def close(self) -> None:
        broken = [problem for desk in self._desks for problem in desk.problems]
        for desk in self._desks:
            await desk.page.context.close()
        await self.do(self.backpack.close)
        assert broken == []


async def enter(browser: Browser, client: PanelClient, **options: Any) -> Page:
    """A page in a new browser profile, in which that developer is signed in."""
    options = {"viewport": {"width": 1280, "height": 900}, **options}
    context = await browser.new_context(**options)
    await context.add_cookies(
        [
            {
                "name": COOKIE,
                "value": client.token,
                "url": client.origin.replace("http:", "https:"),
                "secure": True,
                "httpOnly": True,
                "sameSite": "Strict",
            }
        ]
    )
    return await context.new_page()


@pytest.fixture(scope="module")
def panel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PanelServer]:
    server = PanelServer(tmp_path_factory.mktemp("panel") / "data")
    server.start()
    yield server
    server.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def office(panel: PanelServer, browser: Browser) -> AsyncIterator[Office]:
    made = Office(panel, browser)
    yield made
    await made.close()


async def check_access(page: Page) -> None:
    """No barrier that axe-core calls serious or critical."""
    need(find_spec("axe_playwright_python"), "needs axe-core: pip install axe-playwright-python")
    from axe_playwright_python.async_playwright import Axe

    found = (await Axe().run(page)).response["violations"]
    assert [
        (one["id"], [node["html"] for node in one["nodes"]])
        for one in found
        if one["impact"] in _SERIOUS
    ] == []


async def check_fit(page: Page, picture: Path) -> None:
    """Nothing sticks out at the side; keeps a picture."""
    size = page.viewport_size
    assert size is not None
    await page.screenshot(path=picture)
    assert await page.evaluate("document.documentElement.scrollWidth") <= size["width"]


def cell(page: Page, text: str) -> Locator:
    return page.get_by_role("gridcell", name=text, exact=True)
