"""The page that the README shows works when it is pasted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from tests.browser.test_sdk import serve
from tests.browser.visits import Sandbox

if TYPE_CHECKING:
    from playwright.async_api import Page

_README = Path(__file__).parents[2] / "README.md"


def page_of_readme(sandbox: Sandbox) -> str:
    """The README's page, with the addresses and the key of a running sandbox in their places."""
    found = re.search(r"^```html\n(.*?)^```$", _README.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert found
    page = found[1]
    for shown, real in {
        "http://admin.bkpk.localhost:8000": sandbox.admin,
        "http://my-app-be.bkpk.localhost:8000": sandbox.backend,
        "your API key": sandbox.api_key,
    }.items():
        assert shown in page
        page = page.replace(shown, real)
    return page


async def test_page_of_readme_works(page: Page, sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(page_of_readme(sandbox), "utf-8")

    with serve(tmp_path) as url:
        async with page.expect_console_message(lambda message: message.type == "log") as logged:
            await page.goto(url)
        message = await logged.value

    (cars,) = [await argument.json_value() for argument in message.args]
    assert [(car["brand"], car["price"]) for car in cars] == [("Volvo", 9000)]
