"""A developer's first minutes, by the panel alone: from `backpack dev` to a hosted app with its own
users."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from tests.sandboxes import Sandbox

if TYPE_CHECKING:
    from playwright.async_api import Page

_APP = """
<!doctype html>
<html lang="en"><head><title>Guests</title>{head}</head>
<body>
<form id="form"><label>E-mail <input id="email"></label><label>Note <input id="note"></label>
<button>Sign the book</button></form>
<ul id="list"></ul>
<script type="module" src="/assets/app.js"></script>
</body></html>
"""
_SCRIPT = """
const list = document.getElementById("list");
const show = async () => {
  const notes = await db.getCollection("notes");
  list.replaceChildren();
  for (const { text } of notes) list.append(document.createElement("li"), text);
};
document.getElementById("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  await auth.register(document.getElementById("email").value, "correct horse");
  await auth.login(document.getElementById("email").value, "correct horse");
  await db.createNewCollection("notes").catch(() => {});
  await db.createResource("notes", { text: document.getElementById("note").value });
  await show();
});
"""


async def test_panel_leads_to_a_hosted_app(page: Page, tmp_path: Path) -> None:
    from playwright.async_api import expect

    sandbox = await asyncio.to_thread(Sandbox, tmp_path, "--data", tmp_path / "data")
    try:
        (link,) = (line.split()[-1] for line in sandbox.table if line.startswith("sign in"))
        await page.goto(link)
        await page.get_by_role("button", name="Open").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Backpacks")
        await page.wait_for_load_state()  # its scripts have run

        await page.get_by_role("button", name="New backpack").click()
        await page.get_by_label("Name", exact=True).fill("guests")
        await page.get_by_role("button", name="Create").click()
        snippet = await page.get_by_role("dialog").locator("code").inner_text()
        await page.get_by_role("link", name="Open it").click()

        folder = tmp_path / "app" / "dist"
        (folder / "assets").mkdir(parents=True)
        (folder / "index.html").write_text(_APP.format(head=snippet), "utf-8")
        (folder / "assets" / "app.js").write_text(_SCRIPT, "utf-8")
        await page.wait_for_url("**/backpacks/guests")
        await page.get_by_role("link", name="Site", exact=True).click()
        await page.wait_for_url("**/backpacks/guests/site")
        await page.set_input_files("#folder", folder)
        await expect(page.locator("#lines")).to_contain_text("Version 1 is live")

        async with page.context.expect_page() as opened:
            await page.get_by_role("link", name="Open the site").click()
        app = await opened.value
        await app.get_by_label("E-mail").fill("guest@example.com")
        await app.get_by_label("Note").fill("Grüße")
        await app.get_by_role("button", name="Sign the book").click()
        await expect(app.locator("#list")).to_contain_text("Grüße")

        await page.get_by_role("link", name="Users", exact=True).click()
        await expect(page.get_by_text("guest@example.com").first).to_be_visible()
        await page.get_by_role("link", name="Data", exact=True).click()
        await expect(page.get_by_role("gridcell", name="Grüße")).to_be_visible()
    finally:
        await page.context.close()  # before its sockets have nobody to connect to
        await asyncio.to_thread(sandbox.stop)
