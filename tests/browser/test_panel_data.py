"""The panel's page of documents: the grid, the editor, import and export, two developers at it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from backpack.admin.sentences import sentence
from backpack.drivers.base import Console
from backpack.errors import Unavailable
from tests.browser.panels import Desk, Office, cell, check_access, check_fit, office, panel

if TYPE_CHECKING:
    from playwright.async_api import Locator, Page, Route, WebSocketRoute

__all__ = ["office", "panel"]

CARS = [
    {"brand": "Volvo", "price": 9000, "sold": False},
    {"brand": "Saab", "price": 6000, "sold": True, "tags": ["rare"]},
    {"brand": "Fiat", "price": 3000, "engine": {"kw": 51}},
]
XSS = "<img src=x onerror=alert(1)>"


def rows(page: Page) -> Locator:
    return page.locator("#grid tbody tr")


def column(page: Page, name: str) -> Locator:
    return page.get_by_role("columnheader", name=name, exact=True)


async def texts(page: Page, place: int) -> list[str]:
    """What stands in a column of the grid; the first is behind the boxes."""
    return await page.locator(f"#grid tbody tr td:nth-child({place + 1})").all_inner_texts()


async def filter_by(page: Page, text: str) -> None:
    await page.get_by_label("Filter", exact=True).fill(text)
    await page.get_by_role("button", name="Apply").click()


async def open_row(page: Page, text: str) -> None:
    await cell(page, text).click()
    await page.get_by_role("dialog").wait_for()


async def write(page: Page, document: Any) -> None:
    text = document if isinstance(document, str) else json.dumps(document)
    await page.get_by_label("JSON", exact=True).fill(text)


async def test_collections_are_made_counted_and_deleted(office: Office) -> None:
    from playwright.async_api import expect

    desk = await office.seat()
    page = await desk.open("data")
    await page.locator("#first-collection").click()
    await desk.answer("Create", Name="cars")
    await expect(page.get_by_role("heading", name="cars")).to_be_visible()
    await office.make("orders", {"n": 1}, {"n": 2})
    await expect(page.get_by_role("link", name="orders 2")).to_be_visible()
    await office.make("cars", *CARS)
    await expect(page.get_by_role("link", name="cars 3")).to_be_visible()

    await page.get_by_role("button", name="Delete collection").click()
    window = page.get_by_role("dialog")
    await expect(window).to_contain_text("all its 3 documents")
    button = window.get_by_role("button", name="Delete the collection")
    await window.get_by_label("Type cars to confirm").fill("car")
    await expect(button).to_be_disabled()
    await desk.answer("Delete the collection", Type_cars_to_confirm="cars")

    await expect(page.get_by_role("heading", name="orders")).to_be_visible()
    await expect(rows(page)).to_have_count(2)
    assert [one["name"] for one in await office.ask("get", "collections")] == ["orders"]


async def test_rows_do_not_wait_for_the_connection(office: Office) -> None:
    from playwright.async_api import expect

    await office.make("cars", *CARS)
    desk = await office.seat()
    await desk.page.route_web_socket("**/console", lambda _: None)
    await desk.page.goto(f"{desk.url}/data?collection=cars")

    await expect(rows(desk.page)).to_have_count(3)
    await expect(desk.page.get_by_role("link", name="cars 3")).to_be_visible()


async def test_changes_before_the_connection_are_shown(office: Office) -> None:
    from playwright.async_api import expect

    await office.make("cars", *CARS)
    desk = await office.seat()

    async def change(socket: WebSocketRoute) -> None:
        await expect(rows(desk.page)).to_have_count(3)
        await office.make("cars", {"brand": "Lada"})
        socket.connect_to_server()

    await desk.page.route_web_socket("**/console", change)
    await desk.open("data?collection=cars")

    await expect(cell(desk.page, "Lada")).to_be_visible()
    await expect(desk.page.get_by_role("link", name="cars 4")).to_be_visible()


@pytest.mark.parametrize("module", ["data", "console"])
async def test_module_that_is_lost_can_be_loaded_again(office: Office, module: str) -> None:
    from playwright.async_api import expect

    await office.make("cars", *CARS)
    desk = await office.seat()
    page = desk.page
    await page.route(f"**/panel/{module}.js", lambda route: route.abort())
    await page.goto(f"{desk.url}/data?collection=cars")
    await expect(page.get_by_role("alert").first).to_contain_text("lost on the way")
    await page.unroute(f"**/panel/{module}.js")
    desk.problems.clear()  # the browser's own words for it

    await page.get_by_role("button", name="Load it again").click()
    await expect(page.locator("#connection")).to_have_text("Live")
    await expect(rows(page)).to_have_count(3)


async def test_press_before_the_scripts_have_run_is_done(office: Office) -> None:
    from playwright.async_api import expect

    await office.make("cars", *CARS)
    desk = await office.seat()
    page = desk.page
    pressed = asyncio.Event()

    async def hold(route: Route) -> None:
        await pressed.wait()
        await route.continue_()

    await page.route("**/panel/data.js", hold)
    await page.goto(f"{desk.url}/data?collection=cars", wait_until="commit")
    await page.get_by_role("button", name="Add a document").click()
    await page.get_by_role("button", name="Apply").click()
    await expect(rows(page)).to_have_count(0)
    pressed.set()

    await expect(page.get_by_role("dialog")).to_have_count(1)
    await expect(rows(page)).to_have_count(3)
    await expect(page).to_have_url(f"{desk.url}/data?collection=cars")


async def test_window_that_cannot_be_loaded_is_told(office: Office) -> None:
    from playwright.async_api import expect

    await office.make("cars", *CARS)
    desk = await office.seat()
    page = await desk.open("data?collection=cars")
    await page.route("**/panel/transfers.js", lambda route: route.abort())
    await page.get_by_role("button", name="Import", exact=True).click()
    await expect(page.get_by_text("could not be loaded")).to_be_visible()
    await page.get_by_role("button", name="Add a document").click()
    await expect(page.get_by_role("dialog")).to_be_visible()


async def test_first_collection_is_shown_when_the_app_makes_it(office: Office) -> None:
    from playwright.async_api import expect

    desk = await office.seat()
    page = await desk.open("data")
    await expect(page.locator("#none")).to_be_visible()
    await office.make("notes", *CARS)
    await expect(page.get_by_role("heading", name="notes")).to_be_visible()
    await expect(rows(page)).to_have_count(3)
    await expect(page.locator("#none")).to_be_hidden()
    assert page.url.endswith("?collection=notes")


async def test_name_that_no_collection_can_have_is_refused(office: Office) -> None:
    from playwright.async_api import expect

    desk = await office.seat()
    page = await desk.open("data")
    await page.get_by_role("button", name="New collection").first.click()
    await page.get_by_label("Name", exact=True).fill("users")
    await page.get_by_role("button", name="Create").click()

    await expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("is reserved")


async def test_many_documents_are_paged_sorted_and_filtered(office: Office) -> None:
    from playwright.async_api import expect

    await office.make("cars", *({"n": n, "even": n % 2 == 0} for n in range(10_000)))
    desk = await office.seat()
    page = await desk.open("data?collection=cars")
    await expect(rows(page)).to_have_count(50)
    await expect(page.locator(".range")).to_have_text("1 to 50 of 10,000")

    await page.get_by_role("button", name="Next page").click()
    await expect(page.locator(".range")).to_have_text("51 to 100 of 10,000")
    assert (await texts(page, 2))[0] == "50"
    await page.get_by_role("button", name="Last page").click()
    await expect(page.locator(".range")).to_have_text("9,951 to 10,000 of 10,000")

    await column(page, "n").get_by_role("button").click()
    await column(page, "n").get_by_role("button").click()
    await expect(column(page, "n")).to_have_attribute("aria-sort", "descending")
    await expect(page.locator(".range")).to_have_text("1 to 50 of 10,000")
    await expect(rows(page).first.locator("td").nth(2)).to_have_text("9999")
    assert (await texts(page, 2))[:2] == ["9999", "9998"]

    await filter_by(page, "{even: true, n: {$lt: 100}}")
    await expect(page.locator(".range")).to_have_text("1 to 50 of 50")
    await page.locator("select[name=size]").select_option("25")
    await expect(rows(page)).to_have_count(25)
    assert (await texts(page, 2))[:2] == ["98", "96"]

    await page.reload()
    await expect(page.locator(".range")).to_have_text("1 to 50 of 50")
    await expect(column(page, "n")).to_have_attribute("aria-sort", "descending")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"n": }', "Line 1, column 7: a value is missing before “}”"),
        ("{n: {$gt 5}}", 'Line 1, column 10: a colon is missing after "$gt"'),
        ("cars", 'Line 1, column 1: a string stands in quotes: "cars"'),
        ('text: "x"', 'Line 1, column 1: braces are missing: {"text": …}'),
        ('{at: ISODate("2020")}', "Line 1, column 6: ISODate(…) is no JSON; a time is a string"),
        ('"cars"', "A filter is an object"),
        ("{n: {$near: 5}}", "n.$near: $near is no operator here"),
        ('{n: {$regex: "("}}', "n.$regex"),
    ],
)
async def test_filter_says_what_is_wrong(office: Office, text: str, why: str) -> None:
    from playwright.async_api import expect

    await office.make("cars", *CARS)
    desk = await office.seat()
    page = await desk.open("data?collection=cars")
    await filter_by(page, text)

    await expect(page.locator("#filter-problem")).to_contain_text(why)
    await expect(page.get_by_label("Filter", exact=True)).to_have_attribute("aria-invalid", "true")
    await expect(rows(page)).to_have_count(3)
    await filter_by(page, "")
    await expect(page.locator("#filter-problem")).to_have_text("")


async def test_wrong_filter_of_an_address_is_told(office: Office) -> None:
    from playwright.async_api import expect

    await office.make("cars", *CARS)
    desk = await office.seat()
    page = await desk.open("data?collection=cars&filter={brand")
    await expect(page.locator("#filter-problem")).to_contain_text("All documents are shown")
    await expect(page.get_by_label("Filter", exact=True)).to_have_value("{brand")
    await expect(rows(page)).to_have_count(3)


async def test_examples_of_filters_are_filters(office: Office) -> None:
    from playwright.async_api import expect

    await office.make("cars", {"name": "Ada"})
    desk = await office.seat()
    page = await desk.open("data?collection=cars")
    await page.get_by_text("How filters are written").click()
    for example in await page.locator(".example").all():
        await example.click()
        await page.keyboard.press("Enter")
        await expect(page.locator("#grid")).to_be_visible()
        await expect(page.locator("#rows")).to_have_attribute("aria-busy", "false")
        assert await page.locator("#filter-problem").inner_text() == ""


async def test_document_is_added(office: Office) -> None:
    from playwright.async_api import expect

    await office.make("cars")
    desk = await office.seat()
    page = await desk.open("data?collection=cars")
    await page.get_by_role("button", name="Add a document").click()
    await write(page, '{\n  "brand": "Volvo",\n  "price": 9000,\n}')
    await page.get_by_role("button", name="Add", exact=True).click()
    said = page.locator("#json-said")
    await expect(said).to_have_text("Line 4, column 1: there is a comma too many before }")
    selected = "document.querySelector('#json').selectionStart"
    assert await page.evaluate(selected) == 39
    await write(page, {"$brand": 1})
    await page.get_by_role("button", name="Add", exact=True).click()
    await expect(said).to_have_text("Line 1, column 2: a name cannot start with $")
    await write(page, {"brand": "Volvo", "price": 9000})
    await desk.answer("Add")

    await expect(rows(page)).to_have_count(1)
    assert await office.documents("cars") == [{"brand": "Volvo", "price": 9000}]


async def test_document_is_replaced_and_merged(office: Office) -> None:
    from playwright.async_api import expect

    await office.make("cars", CARS[2])
    desk = await office.seat()
    page = await desk.open("data?collection=cars")
    await open_row(page, "Fiat")
    await write(page, {"brand": "Fiat", "price": 2500, "engine": {"kw": 51, "fuel": "petrol"}})
    await desk.answer("Save")
    await expect(page.get_by_role("gridcell", name="2500")).to_be_visible()

    await open_row(page, "Fiat")
    await page.get_by_label("Merge fields into it").check()
    await write(page, {"engine.kw": 60, "price": None, "colour": "red"})
    await desk.answer("Save")
    await expect(page.get_by_role("gridcell", name="red")).to_be_visible()
    assert await office.documents("cars") == [
        {"brand": "Fiat", "engine": {"kw": 60, "fuel": "petrol"}, "colour": "red"}
    ]


async def test_documents_are_deleted(office: Office) -> None:
    from playwright.async_api import expect

    ids = await office.make("cars", *CARS, {"brand": "Lancia"})
    desk = await office.seat()
    page = await desk.open("data?collection=cars")
    await open_row(page, "Lancia")
    await page.get_by_role("button", name="Delete", exact=True).last.click()
    await desk.answer("Delete")
    await expect(rows(page)).to_have_count(3)

    for one in ids[:2]:
        await page.get_by_label(f"Select {one}").check()
    await page.get_by_role("button", name="Delete 2").click()
    await desk.answer("Delete")
    await expect(rows(page)).to_have_count(1)
    assert await office.documents("cars") == [CARS[2]]


async def test_all_that_match_are_deleted(office: Office) -> None:
    from playwright.async_api import expect

    await office.make("cars", *({"n": n, "old": n >= 3} for n in range(1_203)))
    desk = await office.seat()
    page = await desk.open("data?collection=cars&filter={old: true}")
    everything = page.get_by_role("button", name="Delete all 1,200 that match")
    await expect(rows(page)).to_have_count(50)
    await expect(everything).to_have_count(0)
    await page.get_by_label("Select all rows of this page").check()
    await everything.click()
    window = page.get_by_role("dialog")
    await expect(window.get_by_role("button", name="Delete all")).to_be_disabled()
    await desk.answer("Delete all", Type_cars_to_confirm="cars")

    await expect(page.get_by_text("1,200 documents deleted")).to_be_visible()
    await expect(page.get_by_text("No document matches the filter.")).to_be_visible()
    await expect(everything).to_have_count(0)
    assert await office.documents("cars") == [{"n": n, "old": False} for n in range(3)]
    assert await said(office) == 'Deleted 1,200 documents from cars that matched {"old":true}'


async def said(office: Office) -> str:
    """The latest entry of the log."""
    audit = office.panel.registry.audit
    (latest,) = await office.do(office.panel.call, audit.of_backpack(office.backpack.name, limit=1))
    return sentence(latest.action, latest.detail)


async def test_delete_of_all_ends_where_it_is_cancelled(office: Office) -> None:
    from playwright.async_api import expect

    await office.make("cars", *({"n": n} for n in range(1_100)))
    desk = await office.seat()
    page = desk.page

    async def relay(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        async def forward(message: str | bytes) -> None:
            if '"goesOn":true' in str(message):
                await page.get_by_role("button", name="Cancel").click()
            server.send(message)

        socket.on_message(forward)

    await page.route_web_socket("**/console", relay)
    await desk.open("data?collection=cars")
    await page.get_by_label("Select all rows of this page").check()
    await page.get_by_role("button", name="Delete all 1,100").click()
    await desk.answer("Delete all", Type_cars_to_confirm="cars")

    await expect(page.get_by_text("1,000 documents deleted")).to_be_visible()
    assert len(await office.documents("cars")) == 100
    assert await said(office) == "Deleted 1,000 documents from cars, all"


async def test_rows_change_as_the_app_writes(office: Office) -> None:
    from playwright.async_api import expect

    (one, *_) = await office.make("cars", *CARS)
    user = await office.do(office.backpack.register)
    pages = []
    for name in ("ada", "grace"):
        desk = await office.seat(name)
        pages.append(await desk.open("data?collection=cars"))
    made = (await office.do(user.client.post, "/cars", json={"brand": "Lancia"})).json()
    for page in pages:
        await expect(page.locator(f"tr.fresh[data-id='{made['_id']}']")).to_have_count(1)
        await expect(page.get_by_role("link", name="cars 4")).to_be_visible()
    await office.do(user.client.patch, f"/cars/{one}", json={"price": 8500})
    for page in pages:
        await expect(page.locator("td.fresh", has_text="8500")).to_have_count(1)
    await office.do(user.client.delete, f"/cars/{one}")
    for page in pages:
        await expect(page.locator(f"tr[data-id='{one}']")).to_have_count(0)
        await expect(page.locator(".range")).to_have_text("1 to 3 of 3")
        await expect(page.locator(".fresh")).to_have_count(0)


async def test_change_is_marked_without_motion(office: Office) -> None:
    (one, *_) = await office.make("cars", *CARS)
    desk = await office.seat("ada", reduced_motion="reduce")
    page = await desk.open("data?collection=cars")
    await cell(page, "Volvo").wait_for()
    await office.ask("patch", "documents", {"_id": one, "brand": "Lancia"}, collection="cars")
    changed = page.locator("td.fresh", has_text="Lancia")
    style = "cell => [getComputedStyle(cell).animationName, getComputedStyle(cell).backgroundColor]"
    moves, ground = await changed.evaluate(style)
    assert (moves, ground != "rgba(0, 0, 0, 0)") == ("none", True)


async def test_changes_are_held_back(office: Office) -> None:
    from playwright.async_api import expect

    await office.make("cars", *CARS)
    desk = await office.seat()
    page = await desk.open("data?collection=cars")
    await expect(rows(page)).to_have_count(3)
    await page.get_by_label("Follow changes").uncheck()
    await office.ask("post", "documents", {"brand": "Lancia"}, collection="cars")
    await expect(page.locator("#missed")).to_have_text("1 change held back")
    await expect(rows(page)).to_have_count(3)
    await page.get_by_label("Follow changes").check()
    await expect(rows(page)).to_have_count(4)
    await expect(page.locator("#missed")).to_have_text("")


async def test_choice_and_focus_survive_changes(office: Office) -> None:
    from playwright.async_api import expect

    (first, second, _) = await office.make("cars", *CARS)
    desk = await office.seat()
    page = await desk.open("data?collection=cars")
    await page.get_by_label(f"Select {second}").check()
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("ArrowRight")
    focused = page.locator("td:focus")
    await expect(focused).to_have_text("Saab")
    await office.ask("delete", "documents", first, collection="cars")
    await office.ask("patch", "documents", {"_id": second, "new": 1}, collection="cars")
    await expect(column(page, "new")).to_have_count(1)
    await expect(focused).to_have_text("Saab")
    await expect(page.get_by_label(f"Select {second}")).to_be_checked()


async def conflict(office: Office) -> tuple[Desk, Desk]:
    """Two developers before the same document, which the second has changed meanwhile."""
    await office.make("cars", CARS[0])
    desks = [await office.seat("ada"), await office.seat("grace")]
    for desk in desks:
        await desk.open("data?collection=cars")
        await open_row(desk.page, "Volvo")
    await write(desks[0].page, {"brand": "Volvo", "price": 1})
    await write(desks[1].page, {"brand": "Volvo", "price": 8000})
    await desks[1].answer("Save")
    return desks[0], desks[1]


async def test_two_developers_do_not_undo_each_other(office: Office) -> None:
    from playwright.async_api import expect

    ada, _ = await conflict(office)
    warning = ada.page.get_by_label("Changed by somebody else")
    await expect(warning).to_contain_text("price 9000 → 8000")
    await ada.page.get_by_role("button", name="Save").click()
    await expect(warning).to_be_visible()
    await expect(ada.page.get_by_role("dialog")).to_have_count(1)
    assert (await office.documents("cars"))[0]["price"] == 8000

    await ada.page.get_by_role("button", name="Take over the new version").click()
    await expect(ada.page.get_by_label("JSON", exact=True)).to_have_value(
        json.dumps({"brand": "Volvo", "price": 8000}, indent=2)
    )
    await write(ada.page, {"brand": "Volvo", "price": 8001})
    await ada.answer("Save")
    assert await office.documents("cars") == [{"brand": "Volvo", "price": 8001}]


async def test_what_was_seen_may_be_overwritten(office: Office) -> None:
    ada, _ = await conflict(office)
    await ada.page.get_by_role("button", name="Keep what I wrote").click()
    await ada.answer("Save")
    assert await office.documents("cars") == [{"brand": "Volvo", "price": 1}]


async def test_document_that_was_deleted_meanwhile_is_kept(office: Office) -> None:
    from playwright.async_api import expect

    (one,) = await office.make("cars", CARS[0])
    desk = await office.seat()
    page = await desk.open("data?collection=cars")
    await open_row(page, "Volvo")
    await office.ask("delete", "documents", one, collection="cars")
    await expect(page.get_by_label("Changed by somebody else")).to_contain_text("has deleted")
    await page.get_by_role("button", name="Keep it as a new document").click()
    await desk.answer("Add")
    assert await office.documents("cars") == [CARS[0]]


async def test_what_is_written_is_not_lost_by_escape(office: Office) -> None:
    from playwright.async_api import expect

    await office.make("cars", CARS[0])
    desk = await office.seat()
    page = await desk.open("data?collection=cars")
    window = page.get_by_role("dialog")
    await open_row(page, "Volvo")
    await page.keyboard.press("Escape")
    await expect(window).to_have_count(0)

    await open_row(page, "Volvo")
    await write(page, {"brand": "Saab"})
    for _ in range(2):
        await page.keyboard.press("Escape")
        await expect(window.get_by_role("alert").last).to_contain_text("is not saved")
    await page.mouse.click(4, 4)
    await expect(page.get_by_label("JSON", exact=True)).to_have_value('{"brand": "Saab"}')
    await window.get_by_role("button", name="Cancel").click()
    await expect(window).to_have_count(0)


async def test_large_integers_keep_their_digits(office: Office) -> None:
    from playwright.async_api import expect

    large = 2**62 + 1
    await office.make("cars", {"n": large, "name": "one"})
    desk = await office.seat()
    page = await desk.open("data?collection=cars")
    await expect(page.get_by_role("gridcell", name=str(large))).to_be_visible()
    await open_row(page, "one")
    text = await page.get_by_label("JSON", exact=True).input_value()
    await write(page, text.replace("one", "two"))
    await desk.answer("Save")
    assert await office.documents("cars") == [{"n": large, "name": "two"}]


async def import_file(page: Page, name: str, content: str) -> Locator:
    await page.get_by_role("button", name="Import", exact=True).click()
    window = page.get_by_role("dialog")
    await window.get_by_label("File").set_input_files(
        {"name": name, "mimeType": "application/json", "buffer": content.encode()}
    )
    await window.get_by_role("button", name="Import", exact=True).click()
    return window


@pytest.mark.parametrize("indent", [None, 2], ids=["dense", "spread"])
async def test_json_is_imported(office: Office, indent: int | None) -> None:
    from playwright.async_api import expect

    await office.make("cars")
    desk = await office.seat()
    page = await desk.open("data?collection=cars")
    documents = [{"n": n, "text": f'{n} "}}],[{{"'} for n in range(1_200)]
    window = await import_file(page, "cars.json", json.dumps(documents, indent=indent))
    await expect(window.get_by_text("1,200 documents imported.")).to_be_visible()
    await expect(page.get_by_role("link", name="cars 1,200")).to_have_count(1)
    found = await office.ask("get", "documents", collection="cars", sort="-n", limit=1)
    assert found["items"][0]["text"] == documents[-1]["text"]


async def test_lines_that_are_wrong_are_told(office: Office) -> None:
    from playwright.async_api import expect

    await office.make("cars")
    desk = await office.seat()
    page = await desk.open("data?collection=cars")
    lines = ['{"n": 1}', '{"n": 2', "", "[3]", '{"$n": 4}', '{"n": 5}', '{"n": 1' + "0" * 30 + "}"]
    window = await import_file(page, "cars.ndjson", "\n".join(lines))
    alone = window.get_by_role("button", name="Import the 2 good documents alone")
    await expect(alone).to_be_focused()
    told = await window.get_by_label("Refused lines").get_by_role("listitem").all_inner_texts()
    assert [one.partition(":")[0] for one in told] == ["Line 2", "Line 4", "Line 5", "Line 7"]
    assert told[3] == "Line 7: column 7: this integer does not fit into 64 bits"
    assert await office.documents("cars") == []
    await alone.click()
    await expect(window.get_by_text("2 documents imported, 4 lines refused.")).to_be_visible()
    assert [one["n"] for one in await office.documents("cars")] == [1, 5]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "There is nothing in the file."),
        ("[ ]", "There is nothing in the file."),
        ('[{"n": 1},{"n": 2},]', "Line 1: column 1: a value is missing before the end"),
        ('[{"n": 1}', "The file ends inside of its array"),
    ],
)
async def test_import_of_a_broken_file_changes_nothing(
    office: Office, content: str, why: str
) -> None:
    from playwright.async_api import expect

    await office.make("cars")
    desk = await office.seat()
    page = await desk.open("data?collection=cars")
    window = await import_file(page, "cars.json", content)
    await expect(window).to_contain_text(why)
    await window.get_by_role("button", name="Close").first.click()
    assert await office.documents("cars") == []


async def test_import_is_stopped(office: Office) -> None:
    from playwright.async_api import expect

    await office.make("cars")
    desk = await office.seat()
    page = await desk.open("data?collection=cars")
    content = "\n".join(json.dumps({"n": n, "text": "x" * 100}) for n in range(40_000))
    window = await import_file(page, "cars.ndjson", content)
    await window.get_by_text("documents imported").wait_for()
    await window.get_by_role("button", name="Stop").click()
    await expect(window.get_by_role("alert")).to_contain_text("Stopped")
    found = await office.ask("get", "documents", collection="cars", limit=1)
    assert 0 < found["total"] < 40_000


async def export(page: Page, part: str, kind: str) -> str:
    await page.get_by_role("button", name="Export", exact=True).click()
    window = page.get_by_role("dialog")
    await window.get_by_label("Documents").select_option(part)
    await window.get_by_label("Format").select_option(kind)
    async with page.expect_download() as download:
        await window.get_by_role("button", name="Export", exact=True).click()
    made = await download.value
    assert made.suggested_filename == f"cars.{kind}"
    return Path(await made.path()).read_text("utf-8")


async def test_documents_are_exported(office: Office) -> None:
    ids = await office.make("cars", *({"n": n} for n in range(2_500)))
    desk = await office.seat()
    page = await desk.open("data?collection=cars")
    every = json.loads(await export(page, "all", "json"))
    assert [one["n"] for one in every] == list(range(2_500))
    await page.get_by_label(f"Select {ids[1]}").check()
    (chosen,) = (await export(page, "chosen", "ndjson")).splitlines()
    assert json.loads(chosen)["_id"] == ids[1]
    await filter_by(page, "{n: {$gte: 2498}}")
    await page.locator(".range", has_text="of 2").wait_for()
    lines = (await export(page, "filter", "ndjson")).splitlines()
    assert [json.loads(line)["n"] for line in lines] == [2498, 2499]


async def test_export_is_imported_as_it_was(office: Office) -> None:
    from playwright.async_api import expect

    await office.make("cars", *CARS)
    before = (await office.ask("get", "documents", collection="cars"))["items"]
    desk = await office.seat()
    page = await desk.open("data?collection=cars")
    text = await export(page, "all", "json")
    await office.ask("delete", "collections", {"name": "cars"})
    await office.make("cars")
    await page.reload()
    await page.get_by_role("button", name="Import", exact=True).click()
    window = page.get_by_role("dialog")
    await window.get_by_label("File").set_input_files(
        {"name": "cars.json", "mimeType": "application/json", "buffer": text.encode()}
    )
    await window.get_by_label("Keep _id").check()
    await window.get_by_role("button", name="Import", exact=True).click()
    await expect(window.get_by_text("3 documents imported.")).to_be_visible()
    assert (await office.ask("get", "documents", collection="cars"))["items"] == before


async def test_data_is_edited_by_keyboard(office: Office) -> None:
    """No mouse: choose a document, change it, add one, select two and delete them."""
    from playwright.async_api import expect

    await office.make("cars", *CARS)
    desk = await office.seat()
    page = await desk.open("data?collection=cars")
    keyboard = page.keyboard
    await expect(rows(page)).to_have_count(3)
    await page.get_by_label("Select all rows of this page").focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "ArrowDown"):
        await keyboard.press(key)
    await expect(page.locator("td:focus")).to_have_text("Saab")
    await keyboard.press("Enter")
    await expect(page.get_by_label("JSON", exact=True)).to_be_focused()
    await keyboard.press("Control+a")
    await keyboard.type('{\n"brand": "Saab",\n"price": 1}')
    await keyboard.press("Control+Enter")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(page.get_by_role("gridcell", name="1", exact=True)).to_be_visible()
    await expect(page.locator("td:focus")).to_have_text("Saab")

    await keyboard.press(" ")
    await keyboard.press("ArrowUp")
    await keyboard.press(" ")
    await keyboard.press("Delete")
    await expect(page.get_by_role("dialog")).to_contain_text("Delete 2 documents?")
    await keyboard.press("Tab")
    await keyboard.press("Enter")
    await expect(rows(page)).to_have_count(1)
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await keyboard.press("Control+Home")
    await keyboard.press("ArrowRight")
    await keyboard.press("ArrowRight")
    await keyboard.press("Enter")
    await expect(column(page, "brand")).to_have_attribute("aria-sort", "ascending")
    assert await office.documents("cars") == [CARS[2]]


async def test_nothing_in_documents_is_markup(office: Office) -> None:
    from playwright.async_api import expect

    odd = {XSS: XSS, "constructor": 1, "__proto__": {"a": XSS}, "toString": None, "a,b": 1}
    await office.make("cars", odd, {"plain": f"</td><script>{XSS}</script>"})
    desk = await office.seat()
    page = await desk.open("data?collection=cars")
    await expect(rows(page)).to_have_count(2)
    await expect(cell(page, XSS)).to_be_visible()
    await open_row(page, XSS)
    assert json.loads(await page.get_by_label("JSON", exact=True).input_value()) == odd
    await desk.answer("Save")
    await page.get_by_text("Columns", exact=True).click()
    await filter_by(page, json.dumps({XSS: XSS}))
    await expect(page.locator(".range")).to_have_text("1 to 1 of 1")
    assert await page.locator("img").count() == 0
    assert (await office.documents("cars"))[0] == odd


async def test_columns_are_chosen(office: Office) -> None:
    from playwright.async_api import expect

    await office.make("cars", *CARS)
    desk = await office.seat()
    page = await desk.open("data?collection=cars")
    names = ["_id", "brand", "price", "sold", "tags", "engine", "createdAt", "updatedAt"]
    await expect(page.locator("#grid th button")).to_have_text(names)
    await page.get_by_text("Columns", exact=True).click()
    await page.get_by_label("price", exact=True).uncheck()
    await expect(column(page, "price")).to_have_count(0)
    await page.reload()
    await expect(page.locator("#grid th button")).to_have_count(7)


class Away:
    """A driver whose backpacks cannot be reached, as those of a swarm at times."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)

    @asynccontextmanager
    async def console(self, name: str) -> AsyncIterator[Console]:
        raise Unavailable(f"{name} is away")
        yield


async def test_page_is_filled_when_its_backpack_is_back(office: Office) -> None:
    from playwright.async_api import expect

    await office.make("cars", *CARS)
    desk = await office.seat()
    known = office.panel.app.ctx.driver
    office.panel.app.ctx.driver = Away(known)
    try:
        async with desk.page.expect_event("websocket"):
            url = f"{office.panel.host_url('admin')}/backpacks/{office.backpack.name}/data"
            await desk.page.goto(url)
        async with desk.page.expect_event("websocket"):
            pass  # the one before was refused
        await expect(desk.page.locator("#connection")).to_have_text("Connecting")
        await expect(desk.page.locator("#none")).to_be_hidden()
        await expect(desk.page.locator(".toast")).to_have_count(0)
    finally:
        office.panel.app.ctx.driver = known

    await expect(cell(desk.page, "Volvo")).to_be_visible()
    refused = [one for one in desk.problems if one.startswith("WebSocket connection to")]
    assert desk.problems == refused
    desk.problems.clear()


async def test_other_developers_see_nothing(office: Office) -> None:
    from playwright.async_api import expect

    await office.make("cars", *CARS)
    eve = await office.seat("eve", member=False)
    answer = await eve.page.goto(
        f"{office.panel.host_url('admin')}/backpacks/{office.backpack.name}/data"
    )
    assert answer is not None
    assert answer.status == 404
    await expect(eve.page.get_by_text("Volvo")).to_have_count(0)


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light"), (1600, "dark")])
async def test_data_fits_and_is_accessible(
    office: Office, tmp_path: Path, width: int, scheme: str
) -> None:
    from playwright.async_api import expect

    long = {"text": "x" * 500, "list": list(range(200)), "none": None, "empty": ""}
    await office.make("cars", *CARS, long)
    await office.make("a-collection-with-a-name-as-long-as-names-may-be-in-a-backpack-x")
    size = {"width": width, "height": 900}
    desk = await office.seat("ada", viewport=size, color_scheme=scheme)
    page = await desk.open("data?collection=cars")
    await expect(rows(page)).to_have_count(4)
    await check_access(page)
    await check_fit(page, tmp_path / f"data-{width}-{scheme}.png")
    await open_row(page, "Saab")
    await check_access(page)
    await check_fit(page, tmp_path / f"document-{width}-{scheme}.png")
