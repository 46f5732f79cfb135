"""What a command says while it goes on: a line for each step as it is done, bytes of what it
makes, and at the end its result. Command line and panel show the same lines."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Result:
    """What comes last, in place of a line: a JSON value."""

    value: Any


Steps = AsyncGenerator[str | bytes | Result, None]
Say = Callable[[str], None]
Take = Callable[[bytes], object]


def say_nothing(_line: str) -> None:
    """For whom the result is enough."""


def take_nothing(_block: bytes) -> None:
    """For commands that make nothing."""


async def finish(steps: Steps, say: Say = say_nothing, take: Take = take_nothing) -> Any:
    """Go through all steps and return the result; each line goes to `say`, bytes to `take`."""
    result = None
    async with aclosing(steps):
        async for step in steps:
            if isinstance(step, Result):
                result = step.value
            elif isinstance(step, bytes):
                take(step)
            else:
                say(step)
    return result
