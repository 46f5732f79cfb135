"""A panel that the tests of a module share, and a backpack of it for each of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.panel import PanelServer


@pytest.fixture(scope="module")
def server() -> Iterator[PanelServer]:
    server = PanelServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def shop(server: PanelServer) -> Iterator[Any]:
    made = server.create("shop")
    server.share("shop", server.developer("ann"))
    yield made
    server.call(server.registry.backpacks.remove("shop"))
    made.close()
