"""A running sandbox and a real browser; each test gets a profile and accounts of its own."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.browser.visits import Sandbox, watch
from tests.interfaces import unchanged
from tests.services import need

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

_STOP = 20.0  # seconds the sandbox has to end by itself
_PATIENCE = 60_000  # ms until what a page should show counts as missing
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP elsewhere.test 127.0.0.1",
]
_FOLDER = Path(__file__).parent
_emails = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have all tests of this folder share the event loop of the browser."""
    for item in items:
        is_async = inspect.iscoroutinefunction(getattr(item, "function", None))
        if is_async and item.path.is_relative_to(_FOLDER):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.fixture(scope="package")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    folder = tmp_path_factory.mktemp("sandbox")
    ready = folder / "ready.json"
    options = ["--port", "0", "--data", str(folder / "data"), "--ready-file", str(ready)]
    process = subprocess.Popen(
        [sys.executable, "-m", "backpack", "dev", *options], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        said = list(
            itertools.takewhile(lambda line: "Backpack is ready" not in line, process.stdout)
        )
        assert ready.is_file(), "".join(said)
        known = json.loads(ready.read_text("utf-8"))
        yield Sandbox(admin=known["admin"], **known["backpacks"][0])
    finally:
        process.terminate()
        try:
            process.communicate(timeout=_STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """Started once: that takes as long as a test does."""
    need(find_spec("playwright"), "needs Playwright: pip install playwright")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    need(program, "needs a browser: apt-get install chromium")
    from playwright.async_api import async_playwright, expect

    expect.set_options(timeout=_PATIENCE)
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(
            executable_path=program, args=_FLAGS, timeout=_PATIENCE
        )
        yield launched
        await launched.close()


@pytest_asyncio.fixture(loop_scope="session")
async def browser(chromium: Browser) -> AsyncIterator[Browser]:
    """Without any profile of another test."""
    with ExitStack() as stack:
        await asyncio.to_thread(stack.enter_context, unchanged())
        yield chromium
        for context in chromium.contexts:
            await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A page that must have no error of a script and break no content security policy."""
    page = await browser.new_page(viewport={"width": 1280, "height": 900})
    problems = watch(page)
    yield page
    assert problems == []


@pytest.fixture
def email() -> str:
    return f"ada{next(_emails)}@example.org"


@pytest.fixture(scope="package")
def node() -> str:
    found = shutil.which("node")
    need(found, "needs Node 18 or newer: apt-get install nodejs")
    return str(found)


@pytest.fixture
def sdk() -> Path:
    return Path(__file__).parents[2] / "sdk"
