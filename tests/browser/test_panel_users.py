"""The panel's pages of users and files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.panels import Office, check_access, check_fit, office, panel
from tests.browser.test_demo import picture

if TYPE_CHECKING:
    from playwright.async_api import FilePayload, Locator, Page

__all__ = ["office", "panel"]

NOBODY = "0" * 24
XSS = "<img src=x onerror=alert(1)>"


def row(page: Page, text: str) -> Locator:
    return page.locator("tbody tr").filter(has_text=text)


async def test_users_are_added_searched_and_deleted(office: Office) -> None:
    from playwright.async_api import expect

    ada = await (await office.seat("ada")).open("users")
    desk = await office.seat("grace")
    page = await desk.open("users")
    await expect(page.locator("#nothing")).to_have_text("Nobody has registered yet.")
    for name in ("alan", "barbara", "edsger"):
        await page.get_by_role("button", name="Add a user").click()
        await desk.answer("Add", **{"E-mail_address": f"{name}@example.org", "Password": name * 3})
    await expect(page.locator("tbody tr")).to_have_count(3)
    await expect(ada.locator("tbody tr.fresh")).not_to_have_count(0)
    await expect(ada.locator("tbody tr")).to_have_count(3)

    await page.get_by_label("Search").fill("BARB")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await page.get_by_label("Search").fill("nobody")
    await expect(page.locator("#nothing")).to_contain_text("No user has this")
    await page.get_by_label("Search").fill("")
    await page.get_by_label("Order").select_option("email")
    await expect(page.locator("tbody th").first).to_have_text("alan@example.org")

    await page.get_by_role("button", name="Delete of alan@example.org").click()
    await desk.answer("Delete the user")
    await expect(page.locator("tbody tr")).to_have_count(2)
    await expect(ada.locator("tbody tr")).to_have_count(2)
    found = await office.ask("get", "users", sort="email")
    assert [one["email"] for one in found["items"]] == ["barbara@example.org", "edsger@example.org"]


@pytest.mark.parametrize(
    ("email", "password", "why"),
    [
        ("ada@example.org", "short", "Password must have at least 8 characters"),
        ("taken@example.org", "correct horse", "E-mail address has an account already"),
    ],
)
async def test_bad_user_is_refused(office: Office, email: str, password: str, why: str) -> None:
    from playwright.async_api import expect

    await office.do(office.backpack.register, "taken@example.org")
    desk = await office.seat()
    page = await desk.open("users")
    await page.get_by_role("button", name="Add a user").click()
    window = page.get_by_role("dialog")
    await window.get_by_label("E-mail address").fill(email)
    await window.get_by_label("Password").fill(password)
    await window.get_by_role("button", name="Add", exact=True).click()
    await expect(window.get_by_role("alert")).to_contain_text(why)


async def test_password_is_set_and_sessions_end(office: Office) -> None:
    from playwright.async_api import expect

    user = await office.do(office.backpack.register, "ada@example.org")
    others = [await office.do(office.backpack.login, "ada@example.org") for _ in range(2)]
    desk = await office.seat()
    page = await desk.open("users")
    await page.get_by_role("button", name="Sessions of ada@example.org").click()
    window = page.get_by_role("dialog")
    await expect(window.get_by_role("listitem")).to_have_count(3)
    await window.get_by_role("button", name="End session").first.click()
    await expect(window.get_by_role("listitem")).to_have_count(2)
    await window.get_by_role("button", name="End all").click()
    await expect(window.get_by_text("Not logged in anywhere")).to_be_visible()
    for one in (user, *others):
        assert (await office.do(one.client.get, "/me")).status_code == 403
    await page.keyboard.press("Escape")

    again = await office.do(office.backpack.login, "ada@example.org")
    await page.get_by_role("button", name="Password of ada@example.org").click()
    await desk.answer("Set the password", Password="another horse")
    assert (await office.do(again.client.get, "/me")).status_code == 403
    await office.do(office.backpack.login, "ada@example.org", "another horse")


async def test_nothing_in_addresses_is_markup(office: Office) -> None:
    from playwright.async_api import expect

    odd = "'`&{x}=|~@example.org"
    await office.do(office.backpack.register, odd)
    desk = await office.seat()
    page = await desk.open("users")
    await expect(page.locator("tbody th")).to_have_text(odd)
    await page.get_by_role("button", name=f"Delete of {odd}").click()
    await expect(page.get_by_role("dialog")).to_contain_text(odd)


def payload(name: str, kind: str, content: bytes) -> FilePayload:
    return {"name": name, "mimeType": kind, "buffer": content}


async def upload(page: Page, *files: tuple[str, str, bytes], email: str = "") -> None:
    from playwright.async_api import expect

    await page.get_by_role("button", name="Upload").click()
    window = page.get_by_role("dialog")
    await window.get_by_label("Files").set_input_files([payload(*one) for one in files])
    await window.get_by_label("For the user").fill(email)
    await window.get_by_role("button", name="Upload", exact=True).click()
    await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_files_are_uploaded_looked_at_and_deleted(office: Office) -> None:
    from playwright.async_api import expect

    user = await office.do(office.backpack.register, "ada@example.org")
    other = await (await office.seat("grace")).open("files")
    desk = await office.seat()
    page = await desk.open("files")
    await expect(page.locator("#nothing")).to_have_text("Nothing has been uploaded yet.")
    await upload(page, ("red.png", "image/png", picture()), email="Ada@example.org")
    await upload(page, ("note.txt", "text/plain", b"Gr\xc3\xbc\xc3\x9fe"), ("b.bin", "", b"\0\1"))
    await expect(page.locator("tbody tr")).to_have_count(3)
    await expect(other.locator("tbody tr")).to_have_count(3)
    await expect(row(page, "red.png")).to_contain_text("ada@example.org")
    await expect(row(page, "note.txt")).to_contain_text("nobody")
    loaded = "img => img.decode().then(() => img.naturalWidth)"
    assert await row(page, "red.png").locator("img").evaluate(loaded) == 8
    got = await office.do(user.client.get, f"/uploads/{user.id}/red.png")
    assert got.content == picture()

    await page.get_by_role("button", name="red.png", exact=True).click()
    await expect(page.get_by_role("dialog").get_by_role("img", name="red.png")).to_be_visible()
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="note.txt", exact=True).click()
    await expect(page.get_by_role("dialog").get_by_text("Grüße")).to_be_visible()
    async with page.expect_download() as download:
        await page.get_by_role("dialog").get_by_role("link", name="Download").click()
    assert Path(await (await download.value).path()).read_bytes() == "Grüße".encode()
    await page.keyboard.press("Escape")

    await page.get_by_role("button", name="nobody").first.click()
    await expect(page.locator("tbody tr")).to_have_count(2)
    await page.get_by_role("button", name="Show all").click()
    await page.get_by_label("Search").fill("NOTE")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await page.get_by_role("button", name="Delete note.txt").click()
    await desk.answer("Delete the file")
    await expect(page.locator("#nothing")).to_have_text("There is no such file.")
    await expect(other.locator("tbody tr")).to_have_count(2)


async def test_upload_that_is_refused_says_why(office: Office) -> None:
    from playwright.async_api import expect

    desk = await office.seat()
    page = await desk.open("files")
    await upload(page, ("a.txt", "text/plain", b"1"))
    await page.get_by_role("button", name="Upload").click()
    window = page.get_by_role("dialog")
    files = [payload("a.txt", "text/plain", b"2"), payload("b.txt", "text/plain", b"3")]
    await window.get_by_label("Files").set_input_files(files)
    await window.get_by_label("For the user").fill("eve@example.org")
    await window.get_by_role("button", name="Upload", exact=True).click()
    await expect(window.get_by_role("alert")).to_have_text("There is no user eve@example.org.")
    await window.get_by_label("For the user").fill("")
    await window.get_by_role("button", name="Upload", exact=True).click()
    await expect(window.get_by_role("listitem").nth(0)).to_contain_text("file already exists")
    await expect(window.get_by_role("listitem").nth(1)).to_contain_text("done")
    await expect(window.get_by_text("1 file uploaded")).to_be_visible()


async def test_files_are_dropped_on_the_page(office: Office) -> None:
    from playwright.async_api import expect

    desk = await office.seat()
    page = await desk.open("files")
    drop = """() => {
        const carried = new DataTransfer();
        carried.items.add(new File(["hello"], "dropped.txt", { type: "text/plain" }));
        const options = { dataTransfer: carried, bubbles: true, cancelable: true };
        document.querySelector("main").dispatchEvent(new DragEvent("drop", options));
    }"""
    await page.evaluate(drop)
    await expect(page.get_by_role("dialog")).to_contain_text("1 file, 5 B")
    await desk.answer("Upload")
    await expect(row(page, "dropped.txt")).to_have_count(1)


async def test_nothing_in_file_names_is_markup(office: Office) -> None:
    from playwright.async_api import expect

    name = f"{XSS} & 100% #?.svg"
    desk = await office.seat()
    page = await desk.open("files")
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    await upload(page, (name, "image/svg+xml", svg))
    await page.get_by_role("button", name=name, exact=True).click()
    await expect(page.get_by_role("dialog").get_by_role("heading")).to_have_text(name)
    assert await page.locator("main img, dialog img").count() == 0
    async with page.expect_download() as download:
        await page.get_by_role("dialog").get_by_role("link", name="Download").click()
    assert Path(await (await download.value).path()).read_bytes() == svg


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light"), (1600, "dark")])
async def test_users_and_files_fit_and_are_accessible(
    office: Office, tmp_path: Path, width: int, scheme: str
) -> None:
    from playwright.async_api import expect

    for name in ("ada", "grace", "radia.perlman.with.a.long.name"):
        await office.do(office.backpack.register, f"{name}@example.org")
    size = {"width": width, "height": 900}
    desk = await office.seat("ada", viewport=size, color_scheme=scheme)
    page = await desk.open("users")
    await expect(page.locator("tbody tr")).to_have_count(3)
    await check_access(page)
    await check_fit(page, tmp_path / f"users-{width}-{scheme}.png")
    await page.get_by_role("button", name="Sessions of ada@example.org").click()
    await expect(page.get_by_text("1 session", exact=True)).to_be_visible()
    await check_access(page)
    await check_fit(page, tmp_path / f"sessions-{width}-{scheme}.png")

    await desk.open("files")
    names = ("red.png", f"{'a name without an end ' * 4}.png", "note.txt")
    await upload(page, *((name, "image/png", picture()) for name in names[:2]))
    await upload(page, (names[2], "text/plain", b"hello"), email="grace@example.org")
    await expect(page.locator("tbody tr")).to_have_count(3)
    await check_access(page)
    await check_fit(page, tmp_path / f"files-{width}-{scheme}.png")
    await page.get_by_role("button", name="red.png", exact=True).click()
    await check_access(page)
    await check_fit(page, tmp_path / f"file-{width}-{scheme}.png")
