"""The log of who did what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from ..documents import now
from .database import Database
from .developers import Developer


class Actor(Protocol):
    """Who does something: a developer or a token."""

    @property
    def id(self) -> str: ...

    @property
    def name(self) -> str: ...


@dataclass(frozen=True)
class Entry:
    """`name` is what `who` was called then; `detail` says more, with no secrets in it."""

    id: int
    at: str
    who: str | None
    name: str
    action: str
    backpack: str | None
    detail: Mapping[str, Any]
    address: str | None


class Audit:
    """Entries are only ever added; that of a change in pieces says more with each of them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def note(
        self,
        who: Actor | None,
        action: str,
        backpack: str | None = None,
        detail: Mapping[str, Any] | None = None,
        address: str | None = None,
    ) -> int:
        """Add an entry, and answer its id; `action` is such as `site.deploy`, `who` is None for
        somebody unknown."""
        ((entry,),) = await self._database.rows(
            "INSERT INTO audit (at, who, name, action, backpack, detail, address) "
            "VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id",
            now(),
            who.id if who else None,
            who.name if who else "somebody",
            action,
            backpack,
            orjson.dumps(detail or {}).decode(),
            address,
        )
        return int(entry)

    async def say_more(self, entry: int, detail: Mapping[str, Any]) -> None:
        """Put `detail` in place of that of an entry whose change has gone on."""
        text = orjson.dumps(detail).decode()
        await self._database.rows("UPDATE audit SET detail = ? WHERE id = ?", text, entry)

    async def of_backpack(
        self, backpack: str, *, before: int | None = None, limit: int = 100
    ) -> list[Entry]:
        """Entries about one backpack, the last first; `before` is the id of one."""
        conditions = ["backpack = ?1"] if before is None else ["backpack = ?1", "id < ?2"]
        return await self._select(" AND ".join(conditions), backpack, before, limit)

    async def visible(
        self,
        developer: Developer,
        *,
        backpack: str | None = None,
        who: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[Entry]:
        """What a developer may see, the last first: an operator everything, others what is about
        themselves and their backpacks. Where they are given: of one `backpack`, by somebody who
        was called `who`, before the entry with that id."""
        asked = ["1"]
        for condition, value in (
            ("backpack = ?2", backpack),
            ("name = ?3", who),
            ("id < ?4", before),
        ):
            if value is not None:
                asked.append(condition)
        condition = " AND ".join(asked)
        if not developer.is_operator:
            latest = f"SELECT id FROM audit WHERE {{}} AND {condition} ORDER BY id DESC LIMIT ?5"
            own = latest.format("who = ?1")
            # Not what an earlier backpack of the same name was about.
            theirs = latest.format("backpack = backpacks.name AND at >= backpacks.created_at")
            # Of each the latest, by an index: all there are can be millions.
            condition = (
                f"id IN (SELECT id FROM ({own}) UNION ALL SELECT audit.id FROM members "
                "JOIN backpacks ON backpacks.name = members.backpack "
                f"JOIN audit ON audit.id IN ({theirs}) WHERE members.developer = ?1)"
            )
        return await self._select(condition, developer.id, backpack, who, before, limit)

    async def _select(self, condition: str, *values: Any) -> list[Entry]:
        """The entries of a condition; its last value is how many at most."""
        rows = await self._database.rows(
            "SELECT id, at, who, name, action, backpack, detail, address FROM audit "
            f"WHERE {condition} ORDER BY id DESC LIMIT ?{len(values)}",
            *values,
        )
        return [Entry(**{**dict(row), "detail": orjson.loads(row["detail"])}) for row in rows]
