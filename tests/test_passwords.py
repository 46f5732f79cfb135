from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from statistics import median

import pytest
from argon2 import extract_parameters
from argon2.low_level import Type

from backpack import passwords
from backpack.errors import Invalid, Unavailable
from backpack.passwords import Cost, Passwords


@pytest.fixture
def cheap() -> Iterator[Passwords]:
    cheap = Passwords.cheap()
    yield cheap
    cheap.close()


@pytest.mark.parametrize(
    "password",
    ["12345678", "        ", "pässwörter", "x" * 1_024, "é" * 512, "\0" * 8, "😀" * 8],
    ids=["eight", "spaces", "umlauts", "longest", "longest in bytes", "NUL", "emoji"],
)
async def test_password_is_accepted(cheap: Passwords, password: str) -> None:
    assert passwords.check(password) == password
    stored = await cheap.hash(password)
    assert await cheap.verify(stored, password)
    assert not await cheap.verify(stored, password + "x")
    assert not await cheap.verify(stored, password[:-1])


@pytest.mark.parametrize(
    "password, why",
    [
        (None, "must be a string"),
        (12345678, "must be a string"),
        (["12345678"], "must be a string"),
        (b"12345678", "must be a string"),
        ("", "must have at least 8 characters"),
        ("1234567", "must have at least 8 characters"),
        ("x" * 1_025, "must have at most 1024 bytes"),
        ("é" * 513, "must have at most 1024 bytes"),
    ],
    ids=["missing", "number", "array", "bytes", "empty", "seven", "too long", "too many bytes"],
)
def test_weak_password_is_refused(password: object, why: str) -> None:
    with pytest.raises(Invalid) as caught:
        passwords.check(password, "new")
    error = caught.value
    assert (error.message, error.code, error.fields) == (
        "Weak password",
        "weak_password",
        {"new": why},
    )


@pytest.mark.parametrize(
    "password",
    [None, 7, [], {"$ne": ""}, "", "x" * 1_025, "é" * 600, "x" * 1_000_000, "\ud800" * 8],
    ids=["none", "number", "array", "object", "empty", "long", "bytes", "huge", "surrogates"],
)
async def test_impossible_password_is_wrong(cheap: Passwords, password: object) -> None:
    stored = await cheap.hash("correct horse")
    assert not await cheap.verify(stored, password)
    assert not await cheap.verify(None, password)


async def test_unknown_user_has_no_password(cheap: Passwords) -> None:
    assert not await cheap.verify(None, "correct horse")
    assert not await cheap.verify(None, "")


async def test_hashes_are_salted_argon2id() -> None:
    true = Passwords()
    one, two = await asyncio.gather(true.hash("correct horse"), true.hash("correct horse"))
    true.close()
    assert one != two
    found = extract_parameters(one)
    assert (found.type, found.memory_cost, found.time_cost, found.parallelism) == (
        Type.ID,
        19_456,
        2,
        1,
    )
    assert (found.salt_len, found.hash_len) == (16, 32)


async def test_hash_of_nobody_is_like_a_true_one(cheap: Passwords) -> None:
    assert extract_parameters(cheap._nobody) == extract_parameters(
        await cheap.hash("correct horse")
    )


async def test_failures_take_the_same_time() -> None:
    costly = Passwords(Cost(memory=4_096, passes=1))
    stored = await costly.hash("correct horse")
    cases = [(stored, "wrong one"), (None, "correct horse"), (stored, None), (stored, "x" * 9_999)]
    spent: list[list[float]] = [[] for _ in cases]
    for _ in range(25):
        for case, times in zip(cases, spent, strict=True):
            began = time.process_time()  # of all threads, and of nobody else's load
            assert not await costly.verify(*case)
            times.append(time.process_time() - began)
    costly.close()
    # Not the fastest: on a busy machine one case alone may have the one quiet moment.
    usual = [median(times) for times in spent]
    assert max(usual) < 2 * min(usual)


async def test_queue_is_bounded_and_recovers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    small = Passwords(Cost(memory=8, passes=1), waiting=3)
    results = await asyncio.gather(
        *(small.hash("correct horse") for _ in range(20)), return_exceptions=True
    )
    assert [type(result) for result in results] == [str] * 5 + [Unavailable] * 15
    assert await small.verify(str(results[0]), "correct horse")
    small.close()


async def test_callers_that_leave_give_up_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    small = Passwords(Cost(memory=8, passes=1), waiting=1)
    free = threading.Event()
    small._threads.submit(free.wait)
    for _ in range(10):
        waiting = asyncio.create_task(small.hash("correct horse"))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
    free.set()
    assert await small.hash("correct horse")
    small.close()


async def test_loop_runs_on_while_hashing() -> None:
    true = Passwords()
    hashing = asyncio.gather(*(true.hash("correct horse") for _ in range(8)))
    turns = 0
    while not hashing.done():
        turns += 1
        await asyncio.sleep(0)
    true.close()
    assert turns > 8


async def test_failure_of_argon2_is_unavailable() -> None:
    broken = Passwords(Cost(memory=1))
    with pytest.raises(Unavailable):
        await broken.hash("correct horse")
    broken.close()


def test_close_ends_the_threads(cheap: Passwords) -> None:
    before = set(threading.enumerate())
    asyncio.run(cheap.hash("correct horse"))
    started = set(threading.enumerate()) - before
    cheap.close()
    assert started
    assert not any(thread.is_alive() for thread in started)
