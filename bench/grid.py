"""The panel's grid of documents in a real browser: how long until the first rows are painted."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import httpx
from peers import Backpack
from results import Results
from scenarios import Bench

from backpack.control import perform

DOCUMENTS = 100_000
TIMES = 11  # that each thing is done; the first one is left out
SCRIPTS = Path(__file__).parent.parent / "backpack" / "admin" / "static"
_PAUSE = 200  # ms in which the browser ends what the page before has left it

# The moment of the frame that shows a row which was not there before, in ms since the navigation.
_WATCH = """() => {
    window.painted = new Promise((resolve) => {
        const isThere = () => document.querySelector("#grid tbody tr:not(.old)");
        const end = () => requestAnimationFrame(() => setTimeout(() => resolve(performance.now())));
        const watcher = new MutationObserver(() => isThere() && (watcher.disconnect(), end()));
        watcher.observe(document, { childList: true, subtree: true });
    });
}"""
_ACT = """(act) => {
    for (const row of document.querySelectorAll("#grid tbody tr")) row.classList.add("old");
    const began = performance.now();
    document.querySelector(act).click();
    (%s)();
    return window.painted.then((at) => at - began);
}"""


def grid(bench: Bench, results: Results) -> None:
    """The panel's grid in Chromium, with 100,000 documents."""
    with bench.sandbox() as sandbox:
        Backpack(sandbox).make("cars", DOCUMENTS)
        name = sandbox.backpacks[0]["name"]
        link = str(perform(sandbox.data, "link", {})["url"])
        url = f"{link.partition('/open/')[0]}/backpacks/{name}/data?collection=cars"
        with _page(link) as page:
            overview = url.rpartition("/")[0]
            _add(results, "first rows after a link", [_link(page, overview) for _ in range(TIMES)])
            kept = [_load(page, url) for _ in range(TIMES)]
            _add(results, "first rows from the address, in a new process", kept)
            new = [_load(page, url, forget=True) for _ in range(TIMES)]
            _add(results, "the same where no file of the panel is kept", new)
            _add(results, "the next page", _acts(page, "button[data-to=next]"))
            _add(results, "the last page", _acts(page, "button[data-to=last]", back="first"))
            filters = [f'{{"n": {{"$gt": {number * 9_000}}}}}' for number in range(TIMES)]
            _add(
                results,
                "the first rows that match a filter",
                [_filter(page, one) for one in filters],
            )
        sent = [_sent(link, file) for file in SCRIPTS.rglob("*.js")]
    results.add("all JavaScript of the panel, compressed", sum(sent) / 1e3, "kB", "<= 80")


def _sent(link: str, script: Path) -> int:
    """Bytes of a script as it is sent to browsers, from where a link is."""
    host = urlsplit(link)
    path = script.relative_to(SCRIPTS).as_posix()
    answer = httpx.get(
        f"http://127.0.0.1:{host.port}/static/{path}",
        headers={"host": host.netloc, "accept-encoding": "gzip"},
    ).raise_for_status()
    return int(answer.headers["content-length"])


def _add(results: Results, what: str, took: list[float]) -> None:
    results.add(f"the grid at 100,000 documents: {what}", median(took[1:]), "ms", "<= 200")


@contextmanager
def _page(link: str) -> Iterator[Any]:
    """A page of a browser on the core that the server does not have, signed in by `link`."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("Chromium is missing: apt-get install chromium")
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(link)
        page.get_by_role("button").first.click()
        page.wait_for_url(lambda url: "/open/" not in url)
        page.add_init_script(f"({_WATCH})()")
        yield page
        browser.close()


def _link(page: Any, overview: str) -> float:
    """From one page of the panel to the next, as a developer goes."""
    page.goto(overview)
    page.wait_for_load_state("networkidle")
    page.get_by_role("link", name="Data", exact=True).click(no_wait_after=True)
    page.wait_for_url("**/data*", wait_until="commit")
    return float(page.evaluate("window.painted"))


def _load(page: Any, url: str, *, forget: bool = False) -> float:
    """From nothing: for the empty page, and so for this one, the browser takes another process."""
    page.goto("about:blank")
    if forget:
        session = page.context.new_cdp_session(page)
        session.send("Network.clearBrowserCache")
        session.detach()
    page.wait_for_timeout(_PAUSE)
    page.goto(url, wait_until="commit")
    return float(page.evaluate("window.painted"))


def _acts(page: Any, press: str, back: str = "") -> list[float]:
    took = []
    for _ in range(TIMES):
        if back:
            _act(page, f"button[data-to={back}]")
        took.append(_act(page, press))
    return took


def _filter(page: Any, text: str) -> float:
    page.fill("#filter", text)
    return _act(page, "#filter-form button")


def _act(page: Any, press: str) -> float:
    """Milliseconds from a press to the frame with the rows that it leads to: all must be new."""
    return float(page.evaluate(_ACT % _WATCH, press))
