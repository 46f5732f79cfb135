"""The pages of a backpack's contents, as the server sends them."""

from __future__ import annotations

import re

import pytest

from backpack.admin.contents import PAGES
from backpack.pages import ADMIN_STATIC, static_version
from tests.panel import PanelServer, panel

__all__ = ["panel"]

pytestmark = pytest.mark.parametrize("page", PAGES)


def test_page_is_for_members(panel: PanelServer, page: str) -> None:
    panel.create("shop")
    ada, eve = panel.developer("ada"), panel.developer("eve")
    panel.share("shop", ada, role="member")

    asked = f"GET /backpacks/shop/{page}"
    seen = [who.ask(asked).status_code for who in (ada, eve, panel.stranger())]

    assert seen == [200, 404, 303]


def test_page_loads_what_is_there(panel: PanelServer, page: str) -> None:
    panel.create("shop")
    ada = panel.operator()

    html = ada.ask(f"GET /backpacks/shop/{page}").text
    files = re.findall(r'(?:href|src)="(/static/[^"]+)"', html)

    assert f"/static/{static_version()}/panel/{page}.js" in files
    assert {ada.ask(f"GET {file}").status_code for file in files} == {200}
    assert re.findall(r"<style|style=|<script(?! src=| id=)|\son\w+=", html) == []


def modules_of(name: str) -> set[str]:
    """A module and all that it imports."""
    found: set[str] = set()
    waiting = {name}
    while waiting:
        one = waiting.pop()
        found.add(one)
        text = (ADMIN_STATIC / "panel" / f"{one}.js").read_text("utf-8")
        waiting |= set(re.findall(r'^import .* from "\./(\w+)\.js";', text, re.M)) - found
    return found


def test_page_asks_for_all_modules_at_once(panel: PanelServer, page: str) -> None:
    panel.create("shop")

    html = panel.operator().ask(f"GET /backpacks/shop/{page}").text
    preloaded = re.findall(r'"modulepreload" href="/static/[\w-]+/panel/(\w+)\.js"', html)

    needed = modules_of(page) | modules_of("shell")
    assert sorted(preloaded) == sorted(needed - {page, "shell"})
