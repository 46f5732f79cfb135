"""Tokens that programs deploy or restore a backpack with: named, for one backpack and one purpose,
shown once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from ..documents import Ids, now
from ..errors import Invalid, NotFound
from .backpacks import OWNER
from .database import Database, Row
from .developers import OPERATOR, Developer
from .secret import digest, new_token

DEPLOY, RESTORE = "deploy", "restore"
SCOPES = (DEPLOY, RESTORE)
MAX_DAYS = 365

_MAX_NAME = 100  # characters
_PREFIX = "bkpk_"  # by which leaked ones are found
_ids = Ids()


@dataclass(frozen=True)
class Token:
    """`expires` in seconds since 1970; `made_by` is a developer's id. `used_at`, a time as
    documents have it, is None until it is used."""

    id: str
    label: str
    backpack: str
    scope: str
    made_by: str
    created_at: str
    expires: int
    revoked: bool
    used_at: str | None

    @property
    def name(self) -> str:
        """What the token is called in the audit."""
        return f"token {self.label}"


class Tokens:
    """The tokens of all backpacks. One works as long as its maker owns its backpack."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    async def create(
        self, backpack: str, label: object, scope: object, days: object, made_by: Developer
    ) -> tuple[str, Token]:
        """A new token, which is kept nowhere, and what is known of it; raises Invalid."""
        secret = new_token()
        made = Token(
            id=_ids(),
            label=_check_label(label),
            backpack=backpack,
            scope=_check_scope(scope),
            made_by=made_by.id,
            created_at=now(),
            expires=int(self._clock()) + _check_days(days) * 86_400,
            revoked=False,
            used_at=None,
        )
        await self._database.rows(
            "INSERT INTO tokens (id, name, backpack, scope, digest, made_by, created_at, expires) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            made.id,
            made.label,
            made.backpack,
            made.scope,
            digest(secret),
            made.made_by,
            made.created_at,
            made.expires,
        )
        return _PREFIX + secret, made

    async def use(self, token: str) -> Token | None:
        """What a token is for, and a note that it was used; None when it does not work, or no
        more."""
        row = await self._database.row(
            "UPDATE tokens SET used_at = ?1 WHERE digest = ?2 AND revoked IS NULL AND expires > ?3 "
            "AND (EXISTS (SELECT 1 FROM developers WHERE id = made_by AND role = ?4) OR EXISTS "
            "(SELECT 1 FROM members WHERE backpack = tokens.backpack AND developer = made_by "
            "AND role = ?5)) RETURNING *",
            now(),
            _digest(token),
            self._clock(),
            OPERATOR,
            OWNER,
        )
        return _token(row) if row else None

    async def refusal(self, token: str) -> tuple[Token | None, str]:
        """What is known of a token that does not work, and why it does not, for whoever has it."""
        row = await self._database.row("SELECT * FROM tokens WHERE digest = ?", _digest(token))
        if row is None:
            return None, "There is no such token here"
        known = _token(row)
        if known.revoked:
            return known, f"The token {known.label!r} has been revoked"
        if known.expires <= self._clock():
            return known, f"The token {known.label!r} has expired"
        return known, f"Who made the token {known.label!r} may not do this any more"

    async def of(self, backpack: str) -> list[Token]:
        """The tokens of a backpack, the latest first; also those that work no more."""
        rows = await self._database.rows(
            "SELECT * FROM tokens WHERE backpack = ? ORDER BY id DESC", backpack
        )
        return [_token(row) for row in rows]

    async def revoke(self, backpack: str, token_id: str) -> None:
        """End a token of that backpack; raises NotFound."""
        gone = await self._database.row(
            "UPDATE tokens SET revoked = ? WHERE id = ? AND backpack = ? AND revoked IS NULL "
            "RETURNING id",
            int(self._clock()),
            token_id,
            backpack,
        )
        if gone is None:
            raise NotFound("There is no such token, or it works no more")


def _digest(token: str) -> str:
    return digest(token.removeprefix(_PREFIX)) if token.startswith(_PREFIX) else ""


def _check_label(label: object) -> str:
    text = label.strip() if isinstance(label, str) else ""
    if not 0 < len(text) <= _MAX_NAME or not text.isprintable():
        why = f"must be a name of up to {_MAX_NAME} characters"
        raise Invalid("A token needs a name", fields={"name": why})
    return text


def _check_scope(scope: object) -> str:
    if scope not in SCOPES:
        raise Invalid("Unknown scope", fields={"scope": f"must be {' or '.join(SCOPES)}"})
    return str(scope)


def _check_days(days: object) -> int:
    if not isinstance(days, int) or isinstance(days, bool) or not 1 <= days <= MAX_DAYS:
        why = f"must be a number of days from 1 to {MAX_DAYS}"
        raise Invalid("A token must expire", fields={"days": why})
    return days


def _token(row: Row) -> Token:
    return Token(
        id=row["id"],
        label=row["name"],
        backpack=row["backpack"],
        scope=row["scope"],
        made_by=row["made_by"],
        created_at=row["created_at"],
        expires=row["expires"],
        revoked=row["revoked"] is not None,
        used_at=row["used_at"],
    )
