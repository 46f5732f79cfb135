from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from backpack.errors import BadLogin, Conflict, TooMany
from backpack.throttle import Throttle

MINE, OTHER = "192.0.2.1", "192.0.2.2"


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def throttle(clock: Clock) -> Throttle:
    return Throttle(registrations_per_hour=3, clock=clock)


def fail(throttle: Throttle, account: object = "ann@example.org", address: str = MINE) -> None:
    with pytest.raises(BadLogin), throttle.logging_in(account, address):
        raise BadLogin


def succeed(throttle: Throttle, account: object = "ann@example.org", address: str = MINE) -> None:
    with throttle.logging_in(account, address):
        pass


@contextmanager
def refused() -> Iterator[None]:
    with pytest.raises(TooMany):
        yield


def test_tenth_failure_is_the_last(throttle: Throttle, clock: Clock) -> None:
    for _ in range(10):
        fail(throttle)
        clock.now += 1
    with pytest.raises(TooMany) as caught:
        succeed(throttle)
    assert caught.value.retry_after == 290


def test_window_slides(throttle: Throttle, clock: Clock) -> None:
    for _ in range(10):
        fail(throttle)
        clock.now += 10
    clock.now = 1_299.9
    with refused():
        fail(throttle)
    clock.now = 1_300.0
    fail(throttle)
    with refused():
        fail(throttle)


def test_success_clears_the_pair(throttle: Throttle) -> None:
    for _ in range(9):
        fail(throttle)
    succeed(throttle)
    for _ in range(10):
        fail(throttle)
    with refused():
        succeed(throttle)


def test_successes_do_not_count(throttle: Throttle) -> None:
    for _ in range(200):
        succeed(throttle)


def test_account_is_not_locked_for_others(throttle: Throttle) -> None:
    for last in range(1, 200):
        for _ in range(10):
            fail(throttle, address=f"198.51.100.{last}")
    succeed(throttle, address=OTHER)


def test_address_may_use_its_other_accounts(throttle: Throttle) -> None:
    for _ in range(10):
        fail(throttle, "ann@example.org")
    succeed(throttle, "bob@example.org")


def test_hundredth_failure_of_an_address_is_the_last(throttle: Throttle) -> None:
    for n in range(100):
        fail(throttle, f"user{n}@example.org")
    with refused():
        succeed(throttle, "bob@example.org")
    succeed(throttle, "bob@example.org", OTHER)


def test_success_keeps_the_failures_of_the_address(throttle: Throttle) -> None:
    for n in range(100):
        fail(throttle, f"user{n // 5}@example.org")
        if n % 5 == 4 and n < 99:
            succeed(throttle, f"user{n // 5}@example.org")
    with refused():
        succeed(throttle)


@pytest.mark.parametrize("spelling", ["ann@example.org", " Ann@Example.ORG\n", "ANN@EXAMPLE.ORG"])
def test_spelling_of_the_account_does_not_matter(throttle: Throttle, spelling: str) -> None:
    for n in range(10):
        fail(throttle, spelling if n % 2 else "ann@example.org")
    with refused():
        succeed(throttle)


@pytest.mark.parametrize("account", [None, 7, ["x"], {}, "", "x" * 100_000])
def test_account_may_be_anything(throttle: Throttle, account: object) -> None:
    for _ in range(10):
        fail(throttle, account)
    with refused():
        fail(throttle, account)


@pytest.mark.parametrize(
    "one, other, same",
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("testclient", "testclient", True),
        ("testclient", "", False),
    ],
    ids=["subscriber", "networks", "zones", "mapped", "mapped apart", "names", "unknown"],
)
def test_address_is_a_subscriber(throttle: Throttle, one: str, other: str, same: bool) -> None:
    for _ in range(10):
        fail(throttle, address=one)
    if same:
        with refused():
            succeed(throttle, address=other)
    else:
        succeed(throttle, address=other)


async def outcomes(throttle: Throttle, wrong: list[bool]) -> list[str]:
    """What logins that are all checked before the first is decided end with."""
    decided = asyncio.Event()

    async def login(is_wrong: bool) -> None:
        with throttle.logging_in("ann@example.org", MINE):
            await decided.wait()
            if is_wrong:
                raise BadLogin

    logins = asyncio.gather(*map(login, wrong), return_exceptions=True)
    asyncio.get_running_loop().call_later(0.01, decided.set)
    return [type(outcome).__name__ for outcome in await logins]


async def test_guesses_at_the_same_time_tell_no_more(throttle: Throttle) -> None:
    wrong = [n != 20 for n in range(30)]
    assert await outcomes(throttle, wrong) == ["BadLogin"] * 10 + ["TooMany"] * 20


async def test_right_logins_at_the_same_time_all_pass(throttle: Throttle) -> None:
    assert await outcomes(throttle, [False] * 30) == ["NoneType"] * 30


def test_other_errors_do_not_count(throttle: Throttle) -> None:
    for _ in range(20):
        with pytest.raises(RuntimeError), throttle.logging_in("ann@example.org", MINE):
            raise RuntimeError
    succeed(throttle)


def test_registrations_have_a_limit(throttle: Throttle, clock: Clock) -> None:
    for _ in range(3):
        with throttle.registering(MINE):
            clock.now += 60
    with pytest.raises(TooMany) as caught, throttle.registering(MINE):
        pass
    assert caught.value.retry_after == 3_600 - 180
    with throttle.registering(OTHER):
        pass
    clock.now += 3_600 - 180
    with throttle.registering(MINE):
        pass


def test_failed_registrations_do_not_count(throttle: Throttle) -> None:
    for _ in range(10):
        with pytest.raises(Conflict), throttle.registering(MINE):
            raise Conflict
    with throttle.registering(MINE):
        pass


def test_registrations_at_the_same_time_count(throttle: Throttle) -> None:
    with ExitStack() as running:
        for _ in range(3):
            running.enter_context(throttle.registering(MINE))
        with refused(), throttle.registering(MINE):
            pass


@pytest.mark.parametrize("limit, allowed", [(None, True), (0, False)], ids=["none", "zero"])
def test_registrations_may_be_free_or_closed(limit: int | None, allowed: bool) -> None:
    throttle = Throttle(registrations_per_hour=limit)
    for _ in range(100):
        if allowed:
            with throttle.registering(MINE):
                pass
        else:
            with refused(), throttle.registering(MINE):
                pass


def test_memory_is_bounded(throttle: Throttle, clock: Clock) -> None:
    for n in range(30_000):
        clock.now += 0.001
        fail(throttle, address=f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}")
    assert len(throttle._of_address._times) == len(throttle._of_pair._times) == 20_000
    clock.now += 301
    fail(throttle)
    assert len(throttle._of_address._times) == len(throttle._of_pair._times) == 1


def test_refusals_are_noted_so_many_times(throttle: Throttle, clock: Clock) -> None:
    sources = [f"198.51.{number // 250}.{number % 250}" for number in range(300)]

    assert [throttle.is_noted(MINE) for _ in range(11)] == [True] * 10 + [False]
    assert [throttle.is_noted(source) for source in sources].count(True) == 190
    clock.now += 3_600
    assert throttle.is_noted(MINE)
