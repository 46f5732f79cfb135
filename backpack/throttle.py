"""Brakes on guessing passwords, on mass registration and on filling the log of who did what, in the
memory of this process."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

from .errors import BadLogin, TooMany

LOGIN_WINDOW = 300.0  # seconds
FAILURES_OF_PAIR = 10  # failed logins of one address on one account
FAILURES_OF_ADDRESS = 100  # failed logins of one address on any account
REGISTRATION_WINDOW = 3_600.0  # seconds
REFUSAL_WINDOW = 3_600.0  # seconds
REFUSALS_OF_ADDRESS = 10  # that are noted of one address
REFUSALS = 200  # that are noted of all


class Throttle:
    """Counts failed logins, registrations and refusals; raises TooMany where there were too many.

    An account is never locked for everybody: that would let anyone keep its owner out.
    `registrations_per_hour`: of one address, None for any number. `clock`: seconds.
    """

    def __init__(
        self,
        *,
        registrations_per_hour: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._of_pair = _Window(FAILURES_OF_PAIR, LOGIN_WINDOW, clock)
        self._of_address = _Window(FAILURES_OF_ADDRESS, LOGIN_WINDOW, clock)
        self._registrations = (
            _Window(registrations_per_hour, REGISTRATION_WINDOW, clock)
            if registrations_per_hour is not None
            else None
        )
        self._refusals_of_address = _Window(REFUSALS_OF_ADDRESS, REFUSAL_WINDOW, clock)
        self._refusals = _Window(REFUSALS, REFUSAL_WINDOW, clock)

    @contextmanager
    def logging_in(self, account: object, address: str) -> Iterator[None]:
        """Around the check of a password: a BadLogin in it counts, a success clears the pair.

        Raises TooMany before the check and, when the limit was reached by others meanwhile, in
        place of its outcome: guesses made at the same time tell no more than ones made in turn.
        """
        source = _source(address)
        pair = (_name(account), source)
        self._check_login(pair, source)
        try:
            yield
        except BadLogin:
            self._check_login(pair, source)
            self._of_pair.add(pair)
            self._of_address.add(source)
            raise
        self._check_login(pair, source)
        self._of_pair.clear(pair)

    def _check_login(self, pair: Hashable, source: str) -> None:
        self._of_pair.check(pair)
        self._of_address.check(source)

    @contextmanager
    def registering(self, address: str) -> Iterator[None]:
        """Around a registration: one that succeeds counts. Raises TooMany before it."""
        if self._registrations is None:
            yield
            return
        source = _source(address)
        self._registrations.check(source)
        # It counts at once, lest many at the same time pass; one that fails is taken back.
        self._registrations.add(source)
        try:
            yield
        except BaseException:
            self._registrations.take_back(source)
            raise

    def is_noted(self, address: str) -> bool:
        """Whether to note one more refusal: nobody shall fill the log by asking again and again."""
        source = _source(address)
        try:
            self._refusals_of_address.check(source)
            self._refusals.check("")
        except TooMany:
            return False
        self._refusals_of_address.add(source)
        self._refusals.add("")
        return True


class _Window:
    """The times of the latest events by key: at most `limit` in `span` seconds."""

    _KEYS = 20_000  # beyond them the key whose last event is the oldest is forgotten

    def __init__(self, limit: int, span: float, clock: Callable[[], float]) -> None:
        self._limit = limit
        self._span = span
        self._clock = clock
        self._times: OrderedDict[Hashable, deque[float]] = OrderedDict()

    def check(self, key: Hashable) -> None:
        """Raise TooMany when the limit is reached."""
        times = self._times.get(key, ())
        if len(times) < self._limit:
            return
        wait = times[0] + self._span - self._clock() if times else self._span
        if wait > 0:
            raise TooMany(retry_after=math.ceil(wait))

    def add(self, key: Hashable) -> None:
        now = self._clock()
        times = self._times.setdefault(key, deque(maxlen=self._limit))
        times.append(now)
        self._times.move_to_end(key)
        self._forget(now)

    def take_back(self, key: Hashable) -> None:
        """Undo the latest `add` of the key."""
        if times := self._times.get(key):
            times.pop()

    def clear(self, key: Hashable) -> None:
        self._times.pop(key, None)

    def _forget(self, now: float) -> None:
        """Drop keys of which nothing counts any more, and those beyond the bound."""
        while self._times:
            key, times = next(iter(self._times.items()))
            if len(self._times) <= self._KEYS and times and times[-1] + self._span > now:
                return
            del self._times[key]


def _name(account: object) -> str:
    """An account as it is counted: however it is spelled, and no longer than an address can be."""
    return account.strip()[:254].lower() if isinstance(account, str) else ""


def _source(address: str) -> str:
    """Where a request comes from: an IPv4 address, or the /64 network of an IPv6 subscriber."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if ip.version == 4:
        return str(ip)
    return str(ip.ipv4_mapped or ipaddress.ip_network((ip, 64), strict=False))
