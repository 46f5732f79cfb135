"""Developers: who they are, what they may do in general, and their passwords.

That one is signed in is the matter of sessions.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .. import passwords
from ..documents import Ids, now
from ..errors import BadLogin, Conflict, Forbidden, Invalid, NotFound
from ..passwords import Passwords
from ..users import WRONG_PASSWORD, check_email, normalise
from .database import Database, Row, Statements
from .rights import Rights

OPERATOR, DEVELOPER = "operator", "developer"
ROLES = (OPERATOR, DEVELOPER)

_ids = Ids()


@dataclass(frozen=True)
class Developer:
    """`email` is None for the operator of a sandbox who has given none."""

    id: str
    email: str | None
    role: str
    created_at: str
    password_hash: str | None = field(repr=False)

    @property
    def name(self) -> str:
        """What the developer is called in lists and in the audit."""
        return self.email or "operator"

    @property
    def is_operator(self) -> bool:
        return self.role == OPERATOR


class Developers:
    """The developers of one deployment; at least one is an operator."""

    def __init__(self, database: Database, passwords: Passwords, rights: Rights) -> None:
        self._database = database
        self._passwords = passwords
        self.rights = rights

    async def get(self, developer_id: str) -> Developer | None:
        return await self._find("id", developer_id)

    async def find(self, email: object) -> Developer | None:
        """The developer of an e-mail address, however it is spelled."""
        address = normalise(email)
        return await self._find("email", address) if address else None

    async def _find(self, column: str, value: str) -> Developer | None:
        row = await self._database.row(f"SELECT * FROM developers WHERE {column} = ?", value)
        return developer_of(row) if row else None

    async def list(self) -> list[Developer]:
        """All developers, who came first first."""
        rows = await self._database.rows("SELECT * FROM developers ORDER BY id")
        return [developer_of(row) for row in rows]

    async def any(self) -> bool:
        return await self._database.row("SELECT 1 FROM developers LIMIT 1") is not None

    async def sandbox_operator(self) -> Developer:
        """The operator that a sandbox's links are for, made where there is none."""
        async with self._database.transaction() as inside:
            row = await inside.row(
                "SELECT * FROM developers WHERE role = ? ORDER BY id LIMIT 1", OPERATOR
            )
            return developer_of(row) if row else await insert(inside, None, None, OPERATOR)

    async def set_up(self, email: object, password: object) -> Developer:
        """The first developer, an operator; raises Invalid, Forbidden when there is one already."""
        address, hashed = await self.check_login(email, password)
        async with self._database.transaction() as inside:
            if await inside.row("SELECT 1 FROM developers LIMIT 1"):
                raise Forbidden("Set-up is done: sign in, or ask an operator for an invitation")
            return await insert(inside, address, hashed, OPERATOR)

    async def check_login(self, email: object, password: object) -> tuple[str, str]:
        """An e-mail address as it is kept, and the hash of a password; raises Invalid."""
        return check_email(email), await self.hash(password)

    async def hash(self, password: object, field: str = "password") -> str:
        """The hash of a password that may be chosen; raises Invalid, about `field`."""
        return await self._passwords.hash(passwords.check(password, field))

    async def verify(self, email: object, password: object) -> Developer:
        """The developer of that e-mail address and password.

        Raises BadLogin otherwise: the same after the same time, whatever is wrong or missing.
        """
        found = await self.find(email)
        right = await self._passwords.verify(found.password_hash if found else None, password)
        if found is None or not right:
            raise BadLogin
        return found

    async def check_password(self, developer: Developer, password: object) -> None:
        """Raises BadLogin unless that is the developer's password."""
        if not await self._passwords.verify(developer.password_hash, password):
            raise BadLogin(WRONG_PASSWORD)

    async def change_password(self, developer: Developer, new: object) -> None:
        """Another password; a link for a new one works no more. Raises Invalid for a weak one,
        BadLogin when it was changed since `developer` was read."""
        hashed = await self.hash(new, "new")
        async with self._database.transaction() as inside:
            changed = await inside.row(
                "UPDATE developers SET password = ? WHERE id = ? AND password IS ? RETURNING id",
                hashed,
                developer.id,
                developer.password_hash,
            )
            if changed is None:
                raise BadLogin(WRONG_PASSWORD)
            await inside.rows("DELETE FROM links WHERE developer = ? AND resets", developer.id)

    async def set_login(self, developer: Developer, email: object, password: object) -> None:
        """An e-mail address and a password for one who has none; raises Invalid, Conflict."""
        address, hashed = await self.check_login(email, password)
        try:
            changed = await self._database.row(
                "UPDATE developers SET email = ?, password = ? "
                "WHERE id = ? AND password IS NULL RETURNING id",
                address,
                hashed,
                developer.id,
            )
        except Conflict as exc:
            raise existing() from exc
        if changed is None:
            raise Conflict("There is a password already: change that")

    async def change_role(self, developer_id: str, role: object) -> None:
        """Another role; raises Invalid, NotFound, and Conflict for the last operator."""
        chosen = check_role(role)
        changed = await self._database.row(
            "UPDATE developers SET role = ?1 WHERE id = ?2 AND (?1 = ?3 OR role <> ?3 "
            "OR (SELECT count(*) FROM developers WHERE role = ?3) > 1) RETURNING id",
            chosen,
            developer_id,
            OPERATOR,
        )
        await self._explain(developer_id, changed)

    async def remove(self, developer_id: str) -> None:
        """Remove a developer with sessions, memberships and tokens; backpacks that nobody else has
        are the operators' then. Raises NotFound, and Conflict for the last operator."""
        removed = await self._database.row(
            "DELETE FROM developers WHERE id = ?1 AND (role <> ?2 "
            "OR (SELECT count(*) FROM developers WHERE role = ?2) > 1) RETURNING id",
            developer_id,
            OPERATOR,
        )
        await self._explain(developer_id, removed)

    async def _explain(self, developer_id: str, done: Row | None) -> None:
        if done is None:
            if await self.get(developer_id) is None:
                raise NotFound("There is no such developer")
            raise Conflict(
                "This is the last operator: make somebody else one first", code="last_operator"
            )
        self.rights.changed()


async def insert(
    inside: Statements, email: str | None, password_hash: str | None, role: str
) -> Developer:
    """A new developer, in a transaction; raises Conflict for an e-mail address that is taken."""
    made = Developer(_ids(), email, role, now(), password_hash)
    try:
        await inside.rows(
            "INSERT INTO developers (id, email, password, role, created_at) VALUES (?, ?, ?, ?, ?)",
            made.id,
            made.email,
            made.password_hash,
            made.role,
            made.created_at,
        )
    except Conflict as exc:
        raise existing() from exc
    return made


def existing() -> Conflict:
    return Conflict(
        "There is a developer of this e-mail address already",
        code="existing_user",
        fields={"email": "has an account already"},
    )


def check_role(role: object) -> str:
    """`role` when it is one; raises Invalid otherwise."""
    if role not in ROLES:
        raise Invalid("Unknown role", fields={"role": f"must be {' or '.join(ROLES)}"})
    return str(role)


def developer_of(row: Row) -> Developer:
    """The developer in a row that has all columns of the table."""
    return Developer(row["id"], row["email"], row["role"], row["created_at"], row["password"])
