"""The page that the README shows works when it is pasted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from tests.browser.test_sdk import call, serve
from tests.browser.visits import Sandbox

if TYPE_CHECKING:
    from playwright.async_api import Page

_README = Path(__file__).parents[2] / "README.md"


_USE = """
  if (socket.readyState !== socket.OPEN) await new Promise((opened) => (socket.onopen = opened));
  await db.createResource("cars", { brand: "Saab" });
</script>
"""


def page_of_readme(sandbox: Sandbox) -> str:
    """The README's page and the script after it, of a running sandbox; at the end a car is made."""
    text = _README.read_text("utf-8")
    page, script = (
        re.search(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        for language in ("html", "js")
    )
    assert page and script
    whole = page[1].removesuffix("</script>\n") + script[1] + _USE
    for shown, real in {
        "http://admin.bkpk.localhost:8000": sandbox.admin,
        "http://my-app-be.bkpk.localhost:8000": sandbox.backend,
        "your API key": sandbox.api_key,
    }.items():
        assert shown in whole
        whole = whole.replace(shown, real)
    return whole


async def test_page_of_readme_works(page: Page, sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(page_of_readme(sandbox), "utf-8")

    with serve(tmp_path) as url:
        async with page.expect_console_message(lambda one: "New" in one.text) as told:
            async with page.expect_console_message(lambda one: one.type == "log") as logged:
                await page.goto(url)
            listed = await logged.value
        assert (await told.value).text == "New: Saab"

    (cars,) = [await argument.json_value() for argument in listed.args]
    assert [(car["brand"], car["price"]) for car in cars] == [("Volvo", 9000)]
    read = """async ({ auth, storage }) => {
        const { id } = await auth.me();
        return (await storage.getFile(id, "volvo.txt")).text();
    }"""
    assert await call(page, sandbox, read) == "Fast and blue"
