"""How developers get in without a password: invitations, and the one-time links of a sandbox.

Each token works once, until it expires.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..errors import NotFound
from .database import Database, Row, Statements
from .developers import Developer, Developers, check_role, developer_of, insert
from .secret import digest, new_token

INVITATION_TTL = 7 * 86_400  # seconds
LINK_TTL = 86_400  # seconds

Clock = Callable[[], float]


@dataclass(frozen=True)
class Invitation:
    """`id` is what it is revoked by; `expires` in seconds since 1970."""

    id: str
    role: str
    invited_by: str
    expires: int


class Invitations:
    """Open invitations to become a developer."""

    def __init__(
        self, database: Database, developers: Developers, clock: Clock = time.time
    ) -> None:
        self._database = database
        self._developers = developers
        self._clock = clock

    async def create(self, role: object, invited_by: Developer) -> str:
        """The token of a new invitation; raises Invalid for an unknown role."""
        token = new_token()
        await self._database.rows(
            "INSERT INTO invitations (digest, role, invited_by, expires) VALUES (?, ?, ?, ?)",
            digest(token),
            check_role(role),
            invited_by.name,
            int(self._clock()) + INVITATION_TTL,
        )
        return token

    async def find(self, token: object) -> Invitation | None:
        """The open invitation of a token; None when it is used, revoked or expired."""
        row = await self._database.row(
            "SELECT * FROM invitations WHERE digest = ? AND expires > ?",
            digest(token),
            self._clock(),
        )
        return _invitation(row) if row else None

    async def list(self) -> list[Invitation]:
        """Those that are open, and end first first."""
        rows = await self._database.rows(
            "SELECT * FROM invitations WHERE expires > ? ORDER BY expires", self._clock()
        )
        return [_invitation(row) for row in rows]

    async def accept(self, token: object, email: object, password: object) -> Developer:
        """The developer that an invitation makes.

        Raises NotFound for one that is not open, Invalid, and Conflict for an e-mail address that
        has an account: the invitation is open still.
        """
        if await self.find(token) is None:  # a hash costs too much to make it for anybody
            raise _unknown()
        address, hashed = await self._developers.check_login(email, password)
        async with self._database.transaction() as inside:
            row = await inside.row(
                "DELETE FROM invitations WHERE digest = ? AND expires > ? RETURNING role",
                digest(token),
                self._clock(),
            )
            if row is None:
                raise _unknown()
            return await insert(inside, address, hashed, row["role"])

    async def revoke(self, invitation_id: str) -> None:
        """End an invitation; raises NotFound."""
        gone = await self._database.row(
            "DELETE FROM invitations WHERE digest = ? RETURNING digest", invitation_id
        )
        if gone is None:
            raise _unknown()


class Links:
    """One-time links: whoever has the token is that developer, once, or chooses a new password for
    that developer."""

    def __init__(
        self, database: Database, developers: Developers, clock: Clock = time.time
    ) -> None:
        self._database = database
        self._developers = developers
        self._clock = clock

    async def create(self, developer: Developer, *, resets: bool = False) -> str:
        """The token of a new link, in place of the one before; with `resets` it is for a new
        password."""
        token = new_token()
        async with self._database.transaction() as inside:
            await inside.rows("DELETE FROM links WHERE developer = ?", developer.id)
            await inside.rows(
                "INSERT INTO links (digest, developer, expires, resets) VALUES (?, ?, ?, ?)",
                digest(token),
                developer.id,
                int(self._clock()) + LINK_TTL,
                resets,
            )
        return token

    async def find(self, token: object, *, resets: bool = False) -> Developer | None:
        """Whose link that kind of token is; None where it does not work. It is not used up by
        that."""
        row = await self._database.row(
            "SELECT developers.* FROM links JOIN developers ON developers.id = developer "
            "WHERE digest = ? AND expires > ? AND resets = ?",
            digest(token),
            self._clock(),
            resets,
        )
        return developer_of(row) if row else None

    async def use(self, token: object) -> Developer:
        """The developer whose link it is, which works no more; raises NotFound."""
        async with self._database.transaction() as inside:
            return await self._take(inside, token, resets=False)

    async def reset(self, token: object, password: object) -> Developer:
        """The same for a link that is for a new password, which it sets; all sessions end. Raises
        Invalid for a weak one: then the link works still."""
        if await self.find(token, resets=True) is None:  # a hash costs too much for anybody
            raise _used_link()
        hashed = await self._developers.hash(password)
        async with self._database.transaction() as inside:
            found = await self._take(inside, token, resets=True)
            await inside.rows("UPDATE developers SET password = ? WHERE id = ?", hashed, found.id)
            await inside.rows("DELETE FROM sessions WHERE developer = ?", found.id)
        self._developers.rights.changed()
        return replace(found, password_hash=hashed)

    async def _take(self, inside: Statements, token: object, *, resets: bool) -> Developer:
        used = await inside.row(
            "DELETE FROM links WHERE digest = ? AND expires > ? AND resets = ? RETURNING developer",
            digest(token),
            self._clock(),
            resets,
        )
        if used is None:
            raise _used_link()
        row = await inside.row("SELECT * FROM developers WHERE id = ?", used["developer"])
        assert row is not None  # a link goes with its developer
        return developer_of(row)


def _used_link() -> NotFound:
    return NotFound("This link has been used, or is too old: ask for a fresh one")


def _unknown() -> NotFound:
    return NotFound(
        "This invitation has been used, withdrawn, or is too old: ask an operator for another"
    )


def _invitation(row: Row) -> Invitation:
    return Invitation(row["digest"], row["role"], row["invited_by"], row["expires"])
