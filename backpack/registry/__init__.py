"""The registry of a deployment: its developers, what is theirs, and what they have done."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ..passwords import Passwords
from ..settings import Settings
from .audit import Audit
from .backpacks import Backpacks
from .database import Database
from .deployments import Deployments
from .developers import Developers
from .invitations import Invitations, Links
from .rights import Rights
from .sessions import Sessions
from .tokens import Tokens

FILE = "registry.sqlite3"  # in the data folder


class Registry:
    """The opened registry. `clock` tells seconds since 1970."""

    def __init__(
        self, database: Database, passwords: Passwords, clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._passwords = passwords
        self.rights = Rights()
        self.developers = Developers(database, passwords, self.rights)
        self.invitations = Invitations(database, self.developers, clock)
        self.links = Links(database, self.developers, clock)
        self.sessions = Sessions(database, self.rights, clock)
        self.backpacks = Backpacks(database, self.rights)
        self.deployments = Deployments(database)
        self.tokens = Tokens(database, clock)
        self.audit = Audit(database)

    @classmethod
    async def open(
        cls, path: Path | None, settings: Settings, *, clock: Callable[[], float] = time.time
    ) -> Registry:
        """The registry in the file `path`, made or upgraded as needed; with None one in memory.

        Raises Invalid for the file of a newer Backpack, NoSpace, Unavailable.
        """
        database = await Database.open(path, settings.synchronous)
        cheap = settings.cheap_passwords
        return cls(database, Passwords.cheap() if cheap else Passwords(), clock)

    async def close(self) -> None:
        self._passwords.close()
        await self._database.close()
