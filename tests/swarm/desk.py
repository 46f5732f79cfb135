"""An operator before the panel of a deployment, in a browser that trusts the lab's authority."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.services import need
from tests.swarm.lab import Lab
from tests.swarm.lab.boxes import run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Locator, Page

PATIENCE = 120.0  # seconds until what a page should show counts as missing


class Desk:
    """One browser profile; `entries` are those that the pages have heard of requests."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.url = url
        self.context = context
        self.page: Page = context.new_page()
        self.errors: list[str] = []
        self.entries: list[dict[str, Any]] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda message: self._listen(message.type, message.text))
        self.page.on("websocket", lambda socket: socket.on("framereceived", self._hear))

    def _listen(self, kind: str, text: str) -> None:
        # What is away is away: the pages say so themselves.
        is_of_network = text.startswith(("Failed to load resource", "WebSocket connection to"))
        if kind in ("error", "warning") and not is_of_network:
            self.errors.append(text)

    def _hear(self, frame: str | bytes) -> None:
        message = json.loads(frame)
        if message["type"] == "event" and message["model"] == "requests":
            self.entries += message["data"]["entries"]

    def open(self, path: str = "/") -> Page:
        self.page.goto(f"{self.url}{path}")
        return self.page

    @contextmanager
    def second(self) -> Iterator[Desk]:
        """Another page of the same operator."""
        made = Desk(self.context, self.url)
        try:
            yield made
        finally:
            made.page.close()
        self.errors += made.errors

    @property
    def window(self) -> Locator:
        return self.page.get_by_role("dialog")

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def answer(self, button: str, **fields: str) -> None:
        """Fill in the open window's fields, by their labels with `_` for a space, and press."""
        for label, text in fields.items():
            self.window.get_by_label(label.replace("_", " ")).fill(text)
        self.window.get_by_role("button", name=button, exact=True).click()

    def becomes(self, heading: str) -> None:
        """Return when the open window has this heading."""
        from playwright.sync_api import expect

        try:
            expect(self.window.get_by_role("heading")).to_have_text(heading)
        except AssertionError as exc:
            raise AssertionError(f"not {heading!r} but {self.window.inner_text()!r}") from exc

    def row(self, place: str, text: str) -> Locator:
        """The row of a table's body, by its id, that has a cell with this text."""
        cell = self.page.get_by_text(text, exact=True)
        return self.page.locator(f"#{place} tr").filter(has=cell)


@contextmanager
def browser(lab: Lab, folder: Path) -> Iterator[Browser]:
    """Chromium, for which every host of the lab is its edge; its home is in `folder`."""
    need(find_spec("playwright"), "needs Playwright: pip install playwright")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    need(chromium, "needs a browser: apt-get install chromium")
    need(shutil.which("certutil"), "needs certutil: apt-get install libnss3-tools")
    from playwright.sync_api import expect, sync_playwright

    _trust(folder, lab.acme_root)
    program = folder / "chromium"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(lab.beside(str(chromium)))} "$@"\n')
    program.chmod(0o755)
    expect.set_options(timeout=PATIENCE * 1_000)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=program,
            args=[
                *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
                f"--host-resolver-rules=MAP *.{lab.domain} {lab.edge}",
            ],
            env={"HOME": str(folder), "PATH": os.environ["PATH"]},
            timeout=PATIENCE * 1_000,
        )
        yield launched
        launched.close()


def _trust(home: Path, root: Path) -> None:
    """Have browsers of a home folder trust what a root has signed."""
    known = home / ".pki" / "nssdb"
    known.mkdir(parents=True)
    database = ("-d", f"sql:{known}")
    run("certutil", *database, "-N", "--empty-password")
    run("certutil", *database, "-A", "-n", "lab", "-t", "C,,", "-i", str(root))
