"""The registry's tables, as numbered steps from one version of its file to the next.

A step that has been released is never changed: files of every version are out there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import Invalid

if TYPE_CHECKING:
    from sqlite_utils import Database
    from sqlite_utils.db import ForeignKey

Migration = Callable[["Database"], None]


def _accounts(db: Database) -> None:
    """Developers, how they get in, and that they are in. Expiries are seconds since 1970."""
    db.create_table(
        "developers",
        {"id": str, "email": str, "password": str, "role": str, "created_at": str},
        pk="id",
        not_null={"role", "created_at"},
    )
    db.table("developers").create_index(["email"], unique=True)
    db.create_table(
        "invitations",
        {"digest": str, "role": str, "invited_by": str, "expires": int},
        pk="digest",
        not_null={"role", "invited_by", "expires"},
    )
    db.create_table(
        "links",
        {"digest": str, "developer": str, "expires": int},
        pk="digest",
        not_null={"developer", "expires"},
        foreign_keys=[_of("links", "developer", "developers.id")],
    )
    db.create_table(
        "sessions",
        {
            "digest": str,
            "developer": str,
            "created": int,
            "used": int,
            "address": str,
            "agent": str,
        },
        pk="digest",
        not_null={"developer", "created", "used"},
        foreign_keys=[_of("sessions", "developer", "developers.id")],
    )
    db.table("sessions").create_index(["developer"])


def _backpacks(db: Database) -> None:
    """Whose backpacks are whose; one without a row is the operators'."""
    db.create_table(
        "backpacks", {"name": str, "created_at": str}, pk="name", not_null={"created_at"}
    )
    db.create_table(
        "members",
        {"backpack": str, "developer": str, "role": str},
        pk=("backpack", "developer"),
        not_null={"role"},
        foreign_keys=[
            _of("members", "backpack", "backpacks.name"),
            _of("members", "developer", "developers.id"),
        ],
    )
    db.table("members").create_index(["developer"])


def _work(db: Database) -> None:
    """What is done to backpacks, by whom, and tokens to do it with."""
    db.create_table(
        "deployments",
        {"id": int, "backpack": str, "version": int, "who": str, "at": str, "size": int},
        pk="id",
        not_null={"backpack", "version", "who", "at", "size"},
    )
    db.table("deployments").create_index(["backpack"])
    db.create_table(
        "tokens",
        {
            "id": str,
            "name": str,
            "backpack": str,
            "scope": str,
            "digest": str,
            "made_by": str,
            "created_at": str,
            "expires": int,
            "revoked": int,
            "used_at": str,
        },
        pk="id",
        not_null={"name", "backpack", "scope", "digest", "made_by", "created_at", "expires"},
        foreign_keys=[_of("tokens", "made_by", "developers.id")],
    )
    db.table("tokens").create_index(["digest"], unique=True)
    db.table("tokens").create_index(["backpack"])
    db.create_table(
        "audit",
        {
            "id": int,
            "at": str,
            "who": str,
            "name": str,
            "action": str,
            "backpack": str,
            "detail": str,
            "address": str,
        },
        pk="id",
        not_null={"at", "name", "action"},
    )
    db.table("audit").create_index(["backpack", "id"])


def _resets(db: Database) -> None:
    """Links that are not a sign-in, but a new password."""
    db.table("links").add_column("resets", int, not_null_default=0)


def _audit_by_who(db: Database) -> None:
    """What somebody has done is found without a look at what everybody has."""
    db.table("audit").create_index(["who", "id"])
    db.table("audit").create_index(["name", "id"])


def _of(table: str, column: str, row: str) -> ForeignKey:
    """Rows of `table` go with the one that their `column` names: that of `row`, a table and its
    key."""
    from sqlite_utils.db import ForeignKey

    other, _, key = row.partition(".")
    return ForeignKey(table, column, other, key, on_delete="CASCADE")


MIGRATIONS: tuple[Migration, ...] = (_accounts, _backpacks, _work, _resets, _audit_by_who)


def migrate(connection: sqlite3.Connection, migrations: tuple[Migration, ...] = MIGRATIONS) -> None:
    """Bring a file to the version that this Backpack knows, each step whole or not at all.

    Raises Invalid for a file of a later one.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(migrations):
        raise Invalid(
            f"The registry was written by a newer Backpack (version {version} of the file, this "
            f"one knows {len(migrations)}): install that one, or choose another --data"
        )
    if version == len(migrations):
        return
    # It takes 0.1 s to import: a start that finds everything as it should be does without.
    from sqlite_utils import Database

    db = Database(connection)
    for number, step in enumerate(migrations[version:], version + 1):
        with db.atomic():
            step(db)
            connection.execute(f"PRAGMA user_version = {number}")
