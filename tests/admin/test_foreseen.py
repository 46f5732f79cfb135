"""What pages of a backpack's contents bring along of what they would ask the console first."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from backpack.errors import Unavailable
from tests.panel import PanelClient, PanelServer, panel

__all__ = ["panel"]

XSS = "</script><script>alert(1)</script><!--"


def foreseen(client: PanelClient, path: str) -> list[Any]:
    """Pairs of a message and the data of its answer."""
    html = client.ask(f"GET /backpacks/shop/{path}").text
    (text,) = re.findall(r'<script id="foreseen" type="application/json">(.*?)</script>', html)
    found: list[Any] = json.loads(text)
    return found


def make(panel: PanelServer, **collections: list[dict[str, Any]]) -> None:
    async def inside() -> None:
        async with panel.driver.console("shop") as console:
            for name, documents in collections.items():
                await console.ask("post", "collections", {"name": name})
                await console.ask("post", "documents", documents, collection=name)

    panel.call(inside())


@pytest.fixture
def ada(panel: PanelServer) -> PanelClient:
    panel.create("shop")
    client = panel.developer("ada")
    panel.share("shop", client, role="member")
    return client


def asked(skip: int = 0, **more: str) -> dict[str, Any]:
    """The message of a page of the collection `cars`."""
    page = {"collection": "cars", "skip": skip, "limit": 50}
    return {"action": "get", "model": "documents", **page, **more}


def test_first_documents_come_along(panel: PanelServer, ada: PanelClient) -> None:
    make(panel, cars=[{"n": n} for n in range(120)], orders=[])
    collections, documents = foreseen(ada, "data")
    last = foreseen(ada, "data?collection=cars&page=3&sort=-n")[1]

    assert collections == [
        {"action": "get", "model": "collections"},
        [{"name": "cars", "documents": 120}, {"name": "orders", "documents": 0}],
    ]
    assert documents[0] == asked()
    assert [one["n"] for one in documents[1]["items"]] == list(range(50))
    assert documents[1]["total"] == last[1]["total"] == 120
    assert last[0] == asked(100, sort="-n")
    assert [one["n"] for one in last[1]["items"]] == list(range(19, -1, -1))


@pytest.mark.parametrize(
    "search",
    [
        "collection=none",
        "collection=cars&filter=%7Bn%3A1%7D",
        "collection=cars&page=x",
        "collection=cars&page=-1",
        "collection=cars&page=%C2%B2",
        "collection=cars&sort=a..b",
    ],
)
def test_what_page_knows_alone_is_not_asked(
    panel: PanelServer, ada: PanelClient, search: str
) -> None:
    make(panel, cars=[{"n": 1}])

    assert [message["model"] for message, _ in foreseen(ada, f"data?{search}")] == ["collections"]


@pytest.mark.parametrize(
    ("page", "models"),
    [
        ("users", ["users"]),
        ("files", ["uploads"]),
        ("rules", ["rules", "collections"]),
        ("requests", []),
    ],
)
def test_pages_bring_their_first_answers(ada: PanelClient, page: str, models: list[str]) -> None:
    assert [message["model"] for message, _ in foreseen(ada, page)] == models


def test_nothing_in_answers_is_markup(panel: PanelServer, ada: PanelClient) -> None:
    make(panel, cars=[{"text": XSS, XSS: "\u2028\x00"}])

    ((document,),) = (data["items"] for message, data in foreseen(ada, "data")[1:])
    assert (document["text"], document[XSS]) == (XSS, "\u2028\x00")


def test_large_answers_are_left_to_the_console(panel: PanelServer, ada: PanelClient) -> None:
    make(panel, cars=[{"text": "x" * 300_000}])

    assert foreseen(ada, "data") == []


@pytest.mark.parametrize("failure", ["slow", "away"])
def test_page_comes_without_its_console(
    panel: PanelServer, ada: PanelClient, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    @asynccontextmanager
    async def console(_name: str) -> AsyncIterator[Any]:
        if failure == "away":
            raise Unavailable("The backpack cannot be reached")
        await asyncio.Event().wait()
        yield

    monkeypatch.setattr(panel.driver, "console", console)

    assert foreseen(ada, "data") == []
