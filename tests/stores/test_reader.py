"""Turns in the threads that all stores of a process share."""

from __future__ import annotations

import asyncio

import pytest

from backpack.errors import Unavailable
from backpack.stores.reader import Threads


async def turns(threads: Threads, *stores: str) -> dict[str, list[asyncio.Task[None]]]:
    """Tasks that wait for a turn each, in this order."""
    waiting: dict[str, list[asyncio.Task[None]]] = {}
    for store in stores:
        waiting.setdefault(store, []).append(asyncio.create_task(threads.turn(store, 60)))
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    return waiting


def had(waiting: dict[str, list[asyncio.Task[None]]]) -> dict[str, int]:
    return {store: sum(task.done() for task in tasks) for store, tasks in waiting.items()}


async def cancel(waiting: dict[str, list[asyncio.Task[None]]]) -> None:
    tasks = [task for tasks in waiting.values() for task in tasks if not task.done()]
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


async def test_no_store_takes_all_threads() -> None:
    threads = Threads()
    waiting = await turns(threads, *"aaaab")
    assert had(waiting) == {"a": 2, "b": 1}
    threads.end("b")
    await asyncio.sleep(0)
    assert had(waiting) == {"a": 2, "b": 1}
    await cancel(waiting)


async def test_next_turn_is_for_who_has_fewest() -> None:
    threads = Threads()
    waiting = await turns(threads, *"aaaabcc")
    assert had(waiting) == {"a": 2, "b": 1, "c": 0}
    threads.end("a")
    await asyncio.sleep(0)
    assert had(waiting) == {"a": 2, "b": 1, "c": 1}
    await cancel(waiting)


async def test_wait_that_is_given_up_holds_nobody_up() -> None:
    threads = Threads()
    first = await turns(threads, *"aab")
    given_up = await turns(threads, *"ccc")
    for task in given_up["c"]:
        task.cancel()
    await asyncio.sleep(0)
    last = await turns(threads, "d")
    threads.end("a")
    await asyncio.sleep(0)
    assert had(last) == {"d": 1}
    for store in "abd":
        threads.end(store)
    assert had(await turns(threads, *"efg")) == {"e": 1, "f": 1, "g": 1}
    assert all(task.done() for tasks in first.values() for task in tasks)


async def test_turn_that_comes_too_late_is_told() -> None:
    threads = Threads()
    await turns(threads, *"aab")
    with pytest.raises(Unavailable, match="Other long queries are running"):
        await threads.turn("c", 0)
    threads.end("b")
    await threads.turn("c", 60)


async def test_turn_that_ends_with_a_wait_is_the_next_ones() -> None:
    threads = Threads()
    await turns(threads, *"aab")
    waiting = await turns(threads, "c", "d")
    waiting["c"][0].cancel()
    threads.end("b")  # before the wait knows that it has ended
    await asyncio.sleep(0)
    assert had({"d": waiting["d"]}) == {"d": 1}
    await asyncio.wait(waiting["c"])
    assert waiting["c"][0].cancelled()
    threads.end("d")
    await threads.turn("e", 60)
