"""Whose backpacks are whose: owners, members, and the operators, who see all."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ..documents import now
from ..errors import Conflict, Invalid, NotFound
from .database import Database, Statements
from .developers import Developer, developer_of
from .rights import Rights

OWNER, MEMBER = "owner", "member"


@dataclass(frozen=True)
class Member:
    """A developer, and as what: `owner` or `member`."""

    developer: Developer
    role: str


class Backpacks:
    """The rights on backpacks. One that is not known here is the operators' alone; one in the trash
    keeps its members, since it may come back."""

    def __init__(self, database: Database, rights: Rights) -> None:
        self._database = database
        self._rights = rights

    async def add(self, name: str, owner: Developer) -> bool:
        """Note a backpack that is about to be made, and whose it is; whether it was not known.

        Raises Conflict for one that is somebody else's, maybe in the trash.
        """
        async with self._database.transaction() as inside:
            known = await inside.row("SELECT 1 FROM backpacks WHERE name = ?", name)
            if known is None:
                await _insert(inside, name, owner)
                return True
        if await self.role(owner, name) != OWNER:
            raise Conflict(f"There is a backpack {name!r} already", code="backpack_exists")
        return False

    async def give(self, name: str, owner: Developer) -> None:
        """Note a backpack that was made in the place of one that is gone for good."""
        async with self._database.transaction() as inside:
            await _delete(inside, name)
            await _insert(inside, name, owner)
        self._rights.changed()

    async def remove(self, name: str) -> None:
        """Forget a backpack that is gone for good, with its members and tokens."""
        async with self._database.transaction() as inside:
            await _delete(inside, name)
        self._rights.changed()

    async def settle(self, there: Collection[str]) -> None:
        """Forget all backpacks that are gone for good: who makes one of the same name must not
        find the members of the one before. `there`: those that run, or are in the trash."""
        known = await self._database.rows(
            "SELECT name FROM backpacks UNION SELECT backpack FROM tokens"
        )
        for (name,) in known:
            if name not in there:
                await self.remove(name)

    async def of(self, developer: Developer) -> dict[str, str]:
        """The names of the backpacks that a developer is a member of, and as what."""
        rows = await self._database.rows(
            "SELECT backpack, role FROM members WHERE developer = ?", developer.id
        )
        return dict(map(tuple, rows))

    async def visible(self, developer: Developer, names: Collection[str]) -> dict[str, str]:
        """Those of `names` that a developer may see, in their order, and as what."""
        if developer.is_operator:
            return dict.fromkeys(names, OWNER)
        own = await self.of(developer)
        return {name: own[name] for name in names if name in own}

    async def role(self, developer: Developer, name: str) -> str | None:
        """What a developer is to a backpack: an operator is an owner of all, None may not know that
        it is there."""
        if developer.is_operator:
            return OWNER
        row = await self._database.row(
            "SELECT role FROM members WHERE backpack = ? AND developer = ?", name, developer.id
        )
        return row["role"] if row else None

    async def members(self, name: str) -> list[Member]:
        """The members of a backpack, owners first."""
        rows = await self._database.rows(
            "SELECT developers.*, members.role AS membership FROM members "
            "JOIN developers ON developers.id = developer WHERE backpack = ? "
            "ORDER BY members.role DESC, developers.id",
            name,
        )
        return [Member(developer_of(row), row["membership"]) for row in rows]

    async def set_member(
        self, name: str, developer: Developer, role: object, *, by: Developer | None = None
    ) -> None:
        """Have a developer as a member, or as another kind of one; raises Invalid.

        `by` is who wants it: of an owner raises Conflict where no owner would be left.
        """
        if role not in (OWNER, MEMBER):
            raise Invalid("Unknown role", fields={"role": f"must be {OWNER} or {MEMBER}"})
        async with self._database.transaction() as inside:
            await inside.rows(
                "INSERT OR IGNORE INTO backpacks (name, created_at) VALUES (?, ?)", name, now()
            )
            await inside.rows(
                "INSERT INTO members (backpack, developer, role) VALUES (?, ?, ?) "
                "ON CONFLICT DO UPDATE SET role = excluded.role",
                name,
                developer.id,
                role,
            )
            await _check_owned(inside, name, by)
        self._rights.changed()

    async def remove_member(
        self, name: str, developer_id: str, *, by: Developer | None = None
    ) -> None:
        """End a membership; without an owner a backpack is the operators'. Raises NotFound, and
        Conflict as `set_member` does."""
        async with self._database.transaction() as inside:
            gone = await inside.row(
                "DELETE FROM members WHERE backpack = ? AND developer = ? RETURNING role",
                name,
                developer_id,
            )
            if gone is None:
                raise NotFound("There is no such member")
            await _check_owned(inside, name, by)
        self._rights.changed()


async def _check_owned(inside: Statements, name: str, by: Developer | None) -> None:
    """Nobody gives a backpack away to the operators by mistake."""
    if by is None or by.is_operator:
        return
    owner = await inside.row("SELECT 1 FROM members WHERE backpack = ? AND role = ?", name, OWNER)
    if owner is None:
        raise Conflict(
            "This is the last owner: make somebody else one first, or ask an operator",
            code="last_owner",
        )


async def _insert(inside: Statements, name: str, owner: Developer) -> None:
    await inside.rows("INSERT INTO backpacks (name, created_at) VALUES (?, ?)", name, now())
    await inside.rows(
        "INSERT INTO members (backpack, developer, role) VALUES (?, ?, ?)", name, owner.id, OWNER
    )


async def _delete(inside: Statements, name: str) -> None:
    """Members go with their backpack; tokens there may be of one that has no members."""
    await inside.rows("DELETE FROM backpacks WHERE name = ?", name)
    await inside.rows("DELETE FROM tokens WHERE backpack = ?", name)
