"""A registry in memory whose clock tests set."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from backpack.registry import Registry
from backpack.settings import Settings

SETTINGS = Settings(dev=True, cheap_passwords=True)
PASSWORD = "correct horse battery"


@dataclass
class Clock:
    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def registry(clock: Clock) -> AsyncIterator[Registry]:
    registry = await Registry.open(None, SETTINGS, clock=clock)
    yield registry
    await registry.close()
