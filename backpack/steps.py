"""What a command says while it goes on: a line for each step as it is done, bytes of what it
makes, and at the end its result. Command line and panel show the same lines."""

from __future__ import annotations

import asyncio
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


def counted(number: int, one: str, several: str | None = None) -> str:
    """`1 file`, `1,200 files`; `several` where that is more than an `s` behind `one`."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"


async def paced(steps: Steps, pause: float) -> AsyncGenerator[str | bytes | Result | None, None]:
    """The steps, and None after each `pause` seconds in which there was none."""
    come: asyncio.Queue[str | bytes | Result | None] = asyncio.Queue()

    async def go() -> None:
        async with aclosing(steps):
            async for step in steps:
                come.put_nowait(step)
                await come.join()  # no faster than they are taken

    work = asyncio.create_task(go())
    work.add_done_callback(lambda _: come.put_nowait(None))
    try:
        while True:
            try:
                async with asyncio.timeout(pause):
                    step = await come.get()
            except TimeoutError:
                yield None
                continue
            if step is None:
                await work
                return
            yield step
            come.task_done()
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


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
