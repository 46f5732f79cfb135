"""What the services of a stack write, as one stream in the order of time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from itertools import chain

from . import docker_cli

_PATIENCE = 5.0  # seconds until what is written already has been read
_WAITING = 500  # lines for a slow reader; it misses what is older


async def read_logs(
    stack: str, services: Sequence[str], tail: int, follow: bool
) -> AsyncGenerator[str, None]:
    """The last `tail` lines of these services together, as `TIME SERVICE LINE`, the oldest first;
    with `follow` those that come from then on too."""
    told = await asyncio.gather(*(_told(stack, service, tail) for service in services))
    for line in sorted(chain.from_iterable(told))[-tail:] if tail else []:
        yield line
    if follow:
        async with aclosing(_follow(stack, services)) as lines:
            async for line in lines:
                yield line


async def _told(stack: str, service: str, tail: int) -> list[str]:
    """What a service has written until now. Docker does not come to an end at times
    (github.com/docker/cli/issues/4678): what has come after a while is all."""
    lines: list[str] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE):
            async for line in _lines(stack, service, tail, follow=False):
                lines.append(line)
    return lines


async def _lines(stack: str, service: str, tail: int, follow: bool) -> AsyncGenerator[str, None]:
    command = docker_cli.read_logs(f"{stack}_{service}", tail=tail, follow=follow)
    async with aclosing(docker_cli.lines(command)) as lines:
        async for line in lines:
            at, _, rest = line.partition(" ")
            yield f"{at} {service} {rest}"


async def _follow(stack: str, services: Sequence[str]) -> AsyncGenerator[str, None]:
    queue: asyncio.Queue[str] = asyncio.Queue(_WAITING)

    async def collect(service: str) -> None:
        async with aclosing(_lines(stack, service, 0, follow=True)) as lines:
            async for line in lines:
                if queue.full():
                    queue.get_nowait()
                queue.put_nowait(line)

    tasks = [asyncio.create_task(collect(service)) for service in services]
    try:
        while True:
            yield await queue.get()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
