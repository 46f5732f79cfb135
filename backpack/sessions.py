"""Sessions: tokens with a lifetime that stand for a logged-in user.

Cookies and headers are the matter of api.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Protocol

from .bus import Bus, Message
from .documents import Document
from .errors import BackpackError, Unavailable
from .users import User

TOPIC = "sessions"  # of the bus; messages are {"ended": [digest, ...], "begun"?: a Session}

_TOKEN_BYTES = 32
_TOKEN_LENGTH = 43  # of 32 bytes in base64url
_CACHE_SPAN = 5.0  # seconds that a session is believed without a look at the store
_CACHE_SIZE = 10_000  # sessions
_RENEW_AFTER = 86_400  # seconds
_SWEEP_AFTER = 3_600.0  # seconds
_SWEPT_AT_ONCE = 100  # sessions

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Session:
    """`digest` is the SHA-256 of the token in hex, `created_at` the account's, `expires` in
    seconds since 1970."""

    digest: str
    user_id: str
    email: str
    created_at: str
    expires: int


class SessionStore(Protocol):
    """Where sessions are kept, each as a document with the digest as its `_id`:
    `{"_id", "userId", "email", "createdAt", "expires"}`.

    Writes are durable when the call returns, as far as the engine's are. What has expired may be
    returned or not. Raises Unavailable when the engine is out of reach.
    """

    async def add(self, record: Document) -> None:
        """Keep a new session until its `expires`."""

    async def get(self, digest: str) -> Document | None:
        """The session of that digest; None when there is none."""

    async def replace(self, record: Document) -> bool:
        """Put `record` in place of the session of its `_id`; False, and not kept, if it is gone."""

    async def remove(self, digests: Sequence[str]) -> None:
        """Delete sessions; those that are gone already do not matter."""

    async def of_user(self, user_id: str) -> list[str]:
        """The digests of a user's sessions, in any order; some may have ended."""

    async def sweep(self, now: int, limit: int) -> int:
        """Delete up to `limit` sessions that expired before `now`, seconds since 1970; returns how
        many these were."""


class Sessions:
    """The sessions of one backpack.

    A session ends `ttl` seconds after its last use, give or take a day. `clock` tells seconds
    since 1970.
    """

    def __init__(
        self,
        store: SessionStore,
        bus: Bus,
        ttl: int = 2_592_000,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._bus = bus
        self._ttl = ttl
        self._clock = clock
        self._renew_after = min(_RENEW_AFTER, ttl // 2)
        self._swept = clock()
        # digest -> (session, believed from, believed until); the oldest entry first
        self._cache: dict[str, tuple[Session, float, float]] = {}
        # Counts what ended: what was read from the store before that must not get into the cache.
        self._endings = 0
        self._deaf = (bus.listen(TOPIC, self._ended), bus.listen_break(self._forget_all))

    async def close(self) -> None:
        """Stop listening to the bus; store and bus stay their owner's."""
        for stop in self._deaf:
            stop()

    async def create(self, user: User) -> tuple[str, Session]:
        """A new session of `user` and its token: 256 random bits in base64url, kept nowhere."""
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        session = Session(
            digest=_digest(token),
            user_id=user.id,
            email=user.email,
            created_at=user.created_at,
            expires=int(self._clock()) + self._ttl,
        )
        await self._store.add(_record(session))
        with suppress(Unavailable):  # the session is there, whoever hears of it
            await self._bus.send(TOPIC, {"ended": [], "begun": asdict(session)})
        await self._sweep()
        return token, session

    def cached(self, token: str) -> Session | None:
        """The session of a token that was looked up in the last seconds; None says nothing."""
        if len(token) != _TOKEN_LENGTH or not token.isascii():
            return None
        return self._cached(_digest(token))

    def _cached(self, digest: str) -> Session | None:
        entry = self._cache.get(digest)
        # Both ends, since the clock may be set back.
        if entry and entry[1] <= self._clock() < entry[2]:
            return entry[0]
        return None

    async def find(self, token: str) -> Session | None:
        """The session of a token; None when there is none, or it has ended.

        Raises Unavailable when that cannot be known.
        """
        if len(token) != _TOKEN_LENGTH or not token.isascii():
            return None
        return await self._find(_digest(token))

    async def current(self, session: Session) -> Session | None:
        """A session that was found before, as it is now; None when it has ended.

        Raises Unavailable when that cannot be known.
        """
        return await self._find(session.digest)

    async def _find(self, digest: str) -> Session | None:
        if session := self._cached(digest):
            return session
        endings = self._endings
        record = await self._store.get(digest)
        if not record or record["expires"] <= self._clock():
            return None
        session = _session(record)
        if endings == self._endings:
            self._remember(session)
        return session

    def is_due(self, session: Session) -> bool:
        """Whether `renew` would extend a session; most requests need not wait for a no."""
        return session.expires <= int(self._clock()) + self._ttl - self._renew_after

    async def renew(self, session: Session) -> bool:
        """Let a session in use live on; True when it was extended, once a day at most, and the
        client's cookie should be as well."""
        now = int(self._clock())
        if not self.is_due(session):
            return False
        endings = self._endings
        renewed = replace(session, expires=now + self._ttl)
        if not await self._store.replace(_record(renewed)):
            return False
        if endings == self._endings:
            self._remember(renewed)
        return True

    async def end(self, token: str) -> None:
        """End the session of a token, if there is one: at once here and wherever the bus reaches.

        When it raises Unavailable the session may live on; ending it again is safe.
        """
        if len(token) == _TOKEN_LENGTH and token.isascii():
            await self._end([_digest(token)])

    async def end_user(self, user_id: str, keep: str | None = None) -> None:
        """End the sessions of a user, except the one of the digest `keep`; raises as `end` does."""
        digests = await self._store.of_user(user_id)
        await self._end([digest for digest in digests if digest != keep])

    async def of_user(self, user_id: str) -> list[Session]:
        """The sessions of a user that have not ended; the one that lasts longest first."""
        found = [await self._store.get(digest) for digest in await self._store.of_user(user_id)]
        now = self._clock()
        kept = [_session(record) for record in found if record and record["expires"] > now]
        return sorted(kept, key=lambda session: -session.expires)

    async def end_one(self, digest: str) -> bool:
        """End a session that is known by its digest; False when there is none. Raises as `end`
        does."""
        if await self._store.get(digest) is None:
            return False
        await self._end([digest])
        return True

    async def _end(self, digests: list[str]) -> None:
        # Sent even when the store has none: an earlier try may have come that far and no further.
        if digests:
            await self._store.remove(digests)
            self._forget(digests)
            await self._bus.send(TOPIC, {"ended": digests})

    def _ended(self, _seq: str, message: Message) -> None:
        self._forget(message["ended"])

    def _forget(self, digests: Iterable[str]) -> None:
        self._endings += 1
        for digest in digests:
            self._cache.pop(digest, None)

    def _forget_all(self) -> None:
        self._endings += 1
        self._cache.clear()

    def _remember(self, session: Session) -> None:
        now = self._clock()
        self._cache.pop(session.digest, None)
        if len(self._cache) >= _CACHE_SIZE:
            del self._cache[next(iter(self._cache))]
        self._cache[session.digest] = (session, now, min(now + _CACHE_SPAN, session.expires))

    async def _sweep(self) -> None:
        """Rid the store of expired sessions, as only logins make new ones: hourly, or at every
        login while there are many."""
        now = self._clock()
        if now < self._swept + _SWEEP_AFTER:
            return
        self._swept = now
        try:
            if await self._store.sweep(int(now), _SWEPT_AT_ONCE) == _SWEPT_AT_ONCE:
                self._swept = 0.0
        except BackpackError as exc:
            logger.warning("Expired sessions were not swept: %s", exc)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _record(session: Session) -> Document:
    return {
        "_id": session.digest,
        "userId": session.user_id,
        "email": session.email,
        "createdAt": session.created_at,
        "expires": session.expires,
    }


def _session(record: Document) -> Session:
    return Session(
        digest=record["_id"],
        user_id=record["userId"],
        email=record["email"],
        created_at=record["createdAt"],
        expires=record["expires"],
    )
