"""What was deployed to backpacks, by whom and when; the versions of a site that are kept, the site
knows."""

from __future__ import annotations

from dataclasses import dataclass

from ..documents import now
from .database import Database


@dataclass(frozen=True)
class Deployment:
    """`who` is the name of a developer or a token, `at` a time as documents have it, `size` in
    bytes."""

    backpack: str
    version: int
    who: str
    at: str
    size: int


class Deployments:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def note(self, backpack: str, version: int, who: str, size: int) -> None:
        await self._database.rows(
            "INSERT INTO deployments (backpack, version, who, at, size) VALUES (?, ?, ?, ?, ?)",
            backpack,
            version,
            who,
            now(),
            size,
        )

    async def of(self, backpack: str, limit: int = 100) -> list[Deployment]:
        """The latest deployments of a backpack, the last first."""
        rows = await self._database.rows(
            "SELECT backpack, version, who, at, size FROM deployments WHERE backpack = ? "
            "ORDER BY id DESC LIMIT ?",
            backpack,
            limit,
        )
        return [Deployment(*row) for row in rows]
