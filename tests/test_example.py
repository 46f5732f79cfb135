"""The example project works as its README says: its two suites, and its page in a browser."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path

import pytest

import backpack
from backpack import assets
from tests.interfaces import unchanged
from tests.services import need

EXAMPLE = Path(__file__).parent.parent / "examples" / "guestbook"
# Subprocesses use the package that this process uses, installed or not.
ENVIRONMENT = {
    **os.environ,
    "PYTHON": sys.executable,
    "PYTHONPATH": str(Path(backpack.__file__).parent.parent),
    "PYTEST_ADDOPTS": "",  # those of this run are not the example's
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the example outside of this repository, with the SDK installed as npm does it."""
    copy = tmp_path / "guestbook"
    shutil.copytree(EXAMPLE, copy)
    (copy / "node_modules").mkdir()
    (copy / "node_modules" / "backpack-baas").symlink_to(assets.folder("sdk"))
    return copy


def run(command: list[str], folder: Path) -> tuple[int, str]:
    """The exit status of a command and what it said."""
    ended = subprocess.run(
        command,
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    return ended.returncode, ended.stdout


def test_pytest_suite_passes(project: Path) -> None:
    status, said = run([sys.executable, "-m", "pytest", "-p", "backpack.testing"], project)

    assert status == 0, said
    assert " 8 passed" in said


def test_node_suite_passes(project: Path) -> None:
    node = shutil.which("node")
    need(node, "needs Node 18 or newer: apt-get install nodejs")

    status, said = run([str(node), "--test", "tests/guestbook.test.mjs"], project)

    assert status == 0, said
    assert "# pass 5\n" in said


@pytest.fixture
def page_url(project: Path) -> Iterator[str]:
    """The address of the guestbook's page, served by a sandbox with its rules in force."""
    dev = [sys.executable, "-m", "backpack", "dev", "--port", "0", "--ready-file", "ready.json"]
    options = ["--backpack", "guestbook=guestbook-key", "--site", "guestbook=site"]
    sandbox = subprocess.Popen(
        [*dev, *options], cwd=project, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    )
    assert sandbox.stdout is not None
    try:
        said = list(takewhile(lambda line: "Backpack is ready" not in line, sandbox.stdout))
        assert (project / "ready.json").is_file(), "".join(said)
        rules = ["rules", "guestbook", "rules.json"]
        assert run([sys.executable, "-m", "backpack", *rules], project)[0] == 0
        ready = json.loads((project / "ready.json").read_text("utf-8"))
        yield ready["backpacks"][0]["frontend"]
    finally:
        sandbox.terminate()
        sandbox.communicate(timeout=20)


def test_page_is_signed_in_a_browser(page_url: str) -> None:
    need(find_spec("playwright"), "needs Playwright: pip install playwright")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    need(chromium, "needs a browser: apt-get install chromium")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=60_000)  # ms
    with unchanged(), sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"], timeout=60_000
        )
        page = browser.new_page()
        page.goto(page_url)
        page.get_by_label("E-mail address").fill("ada@example.org")
        page.get_by_label("Password").fill("correct horse")
        page.get_by_role("button", name="Log in or register").click()
        page.get_by_label("Your name").fill("Ada")
        page.get_by_label("Entry").fill("Lovely <b>page</b>!")
        page.get_by_role("button", name="Sign").click()
        expect(page.get_by_role("listitem")).to_contain_text(["Lovely <b>page</b>! — Ada"])

        guest = browser.new_context().new_page()
        guest.goto(page_url)
        expect(guest.get_by_role("listitem")).to_contain_text(["Lovely <b>page</b>! — Ada"])
        expect(guest.get_by_role("button", name="Erase")).to_have_count(0)

        page.get_by_role("button", name="Erase").click()
        expect(page.get_by_role("listitem")).to_have_count(0)
        browser.close()
