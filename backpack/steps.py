"""What a command says while it goes on: a line for each step as it is done, and at the end its
result. Command line and panel show the same lines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Result:
    """What comes last, in place of a line: a JSON value."""

    value: Any


Steps = AsyncIterator[str | Result]
Say = Callable[[str], None]


def say_nothing(_line: str) -> None:
    """For whom the result is enough."""


async def finish(steps: Steps, say: Say = say_nothing) -> Any:
    """Go through all steps and return the result; each line goes to `say`."""
    result = None
    async for step in steps:
        if isinstance(step, Result):
            result = step.value
        else:
            say(step)
    return result
