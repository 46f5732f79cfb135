"""Passwords: which may be chosen, their Argon2id hashes, and the threads that make them.

Whose they are, users knows.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, VerifyMismatchError

from .errors import Invalid, Unavailable

MIN_CHARACTERS = 8
MAX_BYTES = 1_024  # of UTF-8

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Cost:
    """What one hash costs; the defaults are OWASP's for Argon2id (Password Storage Cheat Sheet)."""

    memory: int = 19_456  # KiB
    passes: int = 2
    lanes: int = 1


_MOST = Cost(memory=262_144, passes=16, lanes=8)
# A salt of 16 bytes and a digest of 32, in base64 without padding: the last digits carry less.
_HASH = re.compile(
    r"\$argon2id\$v=19\$m=([1-9][0-9]{0,6}),t=([1-9][0-9]?),p=([1-9])"
    r"\$[A-Za-z0-9+/]{21}[AQgw]\$[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]"
)


def check(password: object, field: str = "password") -> str:
    """`password` when it may be chosen; raises Invalid that names `field` otherwise."""
    if not isinstance(password, str):
        why = "must be a string"
    elif len(password) < MIN_CHARACTERS:
        why = f"must have at least {MIN_CHARACTERS} characters"
    elif _encoded(password) is None:
        why = f"must have at most {MAX_BYTES} bytes"
    else:
        return password
    raise Invalid("Weak password", code="weak_password", fields={field: why})


def is_hash(text: object) -> bool:
    """Whether `text` is a hash as `Passwords` makes them, at a cost that a login may have."""
    found = _HASH.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return False
    memory, passes, lanes = map(int, found.groups())
    # Argon2 needs 8 KiB for each lane (RFC 9106, section 3.1).
    return 8 * lanes <= memory <= _MOST.memory and passes <= _MOST.passes and lanes <= _MOST.lanes


class Passwords:
    """Makes and verifies hashes, as many at once as there are cores, off the event loop.

    Up to `waiting` more wait for their turn; beyond that callers get Unavailable.
    """

    def __init__(self, cost: Cost | None = None, *, waiting: int = 64) -> None:
        cost = cost or Cost()
        workers = os.cpu_count() or 1
        self._hasher = PasswordHasher(
            time_cost=cost.passes, memory_cost=cost.memory, parallelism=cost.lanes
        )
        self._nobody = _hash_of_nobody(cost)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="passwords")
        self._room = workers + waiting

    @classmethod
    def cheap(cls) -> Passwords:
        """Hashes in microseconds that protect nothing: for tests only."""
        return cls(Cost(memory=8, passes=1))

    def close(self) -> None:
        """End the threads; who still waits for a turn is cancelled."""
        self._threads.shutdown(cancel_futures=True)

    async def hash(self, password: str) -> str:
        """The hash to be stored for a password that `check` accepted."""
        return await self._run(lambda: self._hasher.hash(password))

    async def verify(self, stored: str | None, password: object) -> bool:
        """Whether `password` is the one that `stored` was made of.

        Without a stored hash (an unknown user), and for what can be nobody's password, it is
        False after the same time.
        """
        encoded = _encoded(password)
        if stored is None or encoded is None:
            stored = self._nobody
        return await self._run(lambda: self._matches(stored, encoded or b""))

    def _matches(self, stored: str, password: bytes) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except VerifyMismatchError:
            return False

    async def _run(self, work: Callable[[], _Result]) -> _Result:
        if not self._room:
            raise Unavailable("Too many logins at once, try again", code="busy")
        self._room -= 1
        try:
            return await asyncio.wrap_future(self._threads.submit(work))
        except Argon2Error as exc:  # it got no memory
            raise Unavailable from exc
        finally:
            self._room += 1


def _encoded(password: object) -> bytes | None:
    """`password` in UTF-8; None when it is no text, or too long to be a password."""
    if not isinstance(password, str) or len(password) > MAX_BYTES:
        return None
    encoded = password.encode(errors="surrogatepass")
    return encoded if len(encoded) <= MAX_BYTES else None


def _hash_of_nobody(cost: Cost) -> str:
    """A hash that no known password has, and that takes as long to verify as a true one.

    Both random parts are as long as PasswordHasher makes them; the form is that of the Argon2
    reference implementation.
    """
    salt, digest = (base64.b64encode(os.urandom(size)).decode().rstrip("=") for size in (16, 32))
    return f"$argon2id$v=19$m={cost.memory},t={cost.passes},p={cost.lanes}${salt}${digest}"
