"""Sessions of developers at the panel: tokens with a lifetime, of which only digests are kept."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import BadLogin
from .database import Database
from .developers import Developer, developer_of
from .rights import Rights
from .secret import digest, new_token

LIFETIME = 30 * 86_400  # seconds from the sign-in, used or not
IDLE = 7 * 86_400  # seconds without use
_NOTE_AFTER = 60  # seconds between two notes of the last use

_MAX_AGENT = 200  # characters of a browser's description of itself


@dataclass(frozen=True)
class Session:
    """`created` and `used` in seconds since 1970; `agent` is what the browser called itself."""

    digest: str
    developer: Developer
    created: int
    used: int
    address: str
    agent: str

    @property
    def id(self) -> str:
        """What the session is ended by; its token cannot be found from it."""
        return self.digest[:24]


class Sessions:
    """All sessions; each ends `IDLE` after its last use, and `LIFETIME` after its beginning."""

    def __init__(
        self, database: Database, rights: Rights, clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._rights = rights
        self._clock = clock

    async def create(self, developer: Developer, address: str = "", agent: str = "") -> str:
        """The token of a new session; raises BadLogin when the developer is not as `developer` was
        read: a change of the password has ended all sessions, and must not miss this one."""
        token, now = new_token(), int(self._clock())
        await self._database.rows(
            "DELETE FROM sessions WHERE created <= ? OR used <= ?", now - LIFETIME, now - IDLE
        )
        made = await self._database.row(
            "INSERT INTO sessions (digest, developer, created, used, address, agent) "
            "SELECT ?, id, ?, ?, ?, ? FROM developers WHERE id = ? AND password IS ? "
            "RETURNING digest",
            digest(token),
            now,
            now,
            address,
            agent[:_MAX_AGENT].encode(errors="replace").decode(),
            developer.id,
            developer.password_hash,
        )
        if made is None:
            raise BadLogin
        return token

    async def find(self, token: object) -> Session | None:
        """The session of a token; None when there is none, or none any more. It counts as use."""
        found = await self.get(digest(token))
        if found is not None and found.used + _NOTE_AFTER <= self._clock():
            await self._database.rows(
                "UPDATE sessions SET used = ? WHERE digest = ?", int(self._clock()), found.digest
            )
        return found

    async def get(self, session_digest: str) -> Session | None:
        """The session of that digest; None when it has ended."""
        found = await self._select("sessions.digest = ?", session_digest)
        return found[0] if found else None

    async def of(self, developer: Developer) -> list[Session]:
        """The sessions of a developer, the latest used first."""
        return await self._select("developer = ?", developer.id)

    async def _select(self, condition: str, value: str) -> list[Session]:
        now = int(self._clock())
        rows = await self._database.rows(
            "SELECT developers.*, digest, created, used, address, agent FROM sessions "
            f"JOIN developers ON developers.id = developer WHERE {condition} "
            "AND created > ? AND used > ? ORDER BY used DESC, created DESC",
            value,
            now - LIFETIME,
            now - IDLE,
        )
        return [
            Session(
                row["digest"],
                developer_of(row),
                row["created"],
                row["used"],
                row["address"],
                row["agent"],
            )
            for row in rows
        ]

    async def end(self, token: object) -> None:
        """End the session of a token, if there is one."""
        await self._database.rows("DELETE FROM sessions WHERE digest = ?", digest(token))
        self._rights.changed()

    async def end_one(self, developer: Developer, session_id: str) -> bool:
        """End that session of a developer; whether there was one."""
        gone = await self._database.row(
            "DELETE FROM sessions WHERE developer = ? AND substr(digest, 1, 24) = ? "
            "RETURNING digest",
            developer.id,
            session_id,
        )
        self._rights.changed()
        return gone is not None

    async def end_all(self, developer: Developer, keep: Session | None = None) -> None:
        """End all sessions of a developer but `keep`."""
        await self._database.rows(
            "DELETE FROM sessions WHERE developer = ? AND digest <> ?",
            developer.id,
            keep.digest if keep else "",
        )
        self._rights.changed()


def csrf_token(session_token: str) -> str:
    """What the pages of a session send with every change; the session cannot be found from it."""
    return hmac.new(session_token.encode(), b"csrf", hashlib.sha256).hexdigest()
