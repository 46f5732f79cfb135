"""What a SQLite file holds: its schema, which table is which collection and has which indexes.

Documents are not touched here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import orjson

from ..errors import Unavailable
from .base import INTERNAL
from .indexes import FORBIDDEN, Index

SCHEMA = 2  # raised when an older Backpack could not read the file any more

# Numbers are never used again: a read that waited in a queue must not meet another collection.
_CREATE = """CREATE TABLE catalogue(
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    by_id INTEGER NOT NULL
)"""

# What is made of them follows from the number: an index or a table of elements `i`, see `builds`.
_CREATE_INDEXES = """CREATE TABLE indexes(
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    collection INTEGER NOT NULL,
    fields TEXT NOT NULL,
    elements INTEGER NOT NULL,
    state TEXT NOT NULL,
    by_id INTEGER NOT NULL
)"""

_INDEXES = "SELECT collection, number, fields, elements, state, by_id FROM indexes"

# odd: a string in it holds U+0000, where json_extract would end it. It stands before doc, so that
# reading it does not walk through a long document.
_CREATE_TABLE = """CREATE TABLE {name}(
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    odd INTEGER NOT NULL,
    doc TEXT NOT NULL
)"""


@dataclass(frozen=True)
class Table:
    """A collection's table. `by_id`: its ids did not only grow, so `seq` is not their order.

    `indexes`: those it has, and what is forbidden.
    """

    number: int
    by_id: bool
    indexes: tuple[Index, ...] = ()

    @property
    def name(self) -> str:
        return f"c{self.number}"

    @property
    def place(self) -> str:
        """The column that orders by `_id`."""
        return "id" if self.by_id else "seq"

    def behind(self, after: str) -> str:
        """The condition for documents behind the `_id` `after`, whether it is there or not."""
        if self.by_id:
            return f"id>{after}"
        last = f"SELECT seq FROM {self.name} WHERE id<={after} ORDER BY id DESC LIMIT 1"
        return f"seq>ifnull(({last}),0)"

    @property
    def odd(self) -> str:
        """The index of its odd rows; it is there as soon as there is any other."""
        return f"o{self.number}"

    @property
    def made(self) -> Iterator[Index]:
        return (index for index in self.indexes if index.state != FORBIDDEN)


class Catalogue:
    """The collections of an open file, held in memory as they stand in it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._tables: dict[str, Table] = {}
        self._greatest: dict[int, str] = {}

    def open(self) -> None:
        """Make the schema where the file is new; raises Unavailable when its schema is newer."""
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA:
            raise Unavailable(
                f"It was written by a newer Backpack (schema {version}, this one knows {SCHEMA}): "
                "update Backpack",
                code="newer_schema",
            )
        if version < SCHEMA:
            self._connection.execute("BEGIN IMMEDIATE")
            if version < 1:
                self._connection.execute(_CREATE)
            self._connection.execute(_CREATE_INDEXES)
            self._connection.execute(f"PRAGMA user_version={SCHEMA}")
            self._connection.execute("COMMIT")
        self.load()

    def load(self) -> None:
        """Read again what the file says: at the start, and after a transaction was undone."""
        indexes: dict[int, list[Index]] = {}
        for collection, *row in self._connection.execute(f"{_INDEXES} ORDER BY number"):
            indexes.setdefault(collection, []).append(_index(*row))
        rows = self._connection.execute("SELECT name, number, by_id FROM catalogue")
        self._tables = {
            name.decode(): Table(number, bool(by_id), tuple(indexes.get(number, ())))
            for name, number, by_id in rows
        }
        self._greatest.clear()

    def get(self, collection: str) -> Table | None:
        return self._tables.get(collection)

    def listed(self) -> list[str]:
        """The clients' collections in code point order."""
        return sorted(name for name in self._tables if not name.startswith(INTERNAL))

    # What follows is part of a write, inside its transaction.

    def create(self, collection: str) -> Table:
        """A new, empty table; ids of internal collections are of any kind, so those go by id."""
        by_id = collection.startswith(INTERNAL)
        done = self._connection.execute(
            "INSERT INTO catalogue(name, by_id) VALUES(?, ?)", (collection, by_id)
        )
        assert done.lastrowid is not None
        table = self._tables[collection] = Table(done.lastrowid, by_id)
        self._connection.execute(_CREATE_TABLE.format(name=table.name))
        return table

    def drop(self, collection: str) -> bool:
        table = self._tables.pop(collection, None)
        if table is None:
            return False
        self._greatest.pop(table.number, None)
        self._connection.execute("DELETE FROM catalogue WHERE number=?", (table.number,))
        self._connection.execute("DELETE FROM indexes WHERE collection=?", (table.number,))
        self._connection.execute(f"DROP TABLE {table.name}")
        for index in table.made:
            if index.elements:
                self._connection.execute(f"DROP TABLE {index.name}")
        return True

    def greatest(self, table: Table) -> str:
        """The greatest id that was seen in the table, "" for none."""
        known = self._greatest.get(table.number)
        if known is None:
            (found,) = self._connection.execute(f"SELECT max(id) FROM {table.name}").fetchone()
            known = self._greatest[table.number] = (found or b"").decode()
        return known

    def inserted(self, collection: str, table: Table, ids: Iterable[str], greatest: str) -> None:
        """Take note of ids inserted in this order, when the table's greatest was `greatest`."""
        for one in ids:
            if one <= greatest:
                self._connection.execute(
                    "UPDATE catalogue SET by_id=1 WHERE number=?", (table.number,)
                )
                self._tables[collection] = replace(table, by_id=True)
                return
            greatest = one
        self._greatest[table.number] = greatest


def at_snapshot(connection: sqlite3.Connection, table: Table) -> Table | None:
    """The table as this connection's snapshot has it; None when it was dropped before."""
    row = connection.execute(
        "SELECT by_id FROM catalogue WHERE number=?", (table.number,)
    ).fetchone()
    if row is None:
        return None
    found = connection.execute(
        f"{_INDEXES} WHERE collection=? ORDER BY number", (table.number,)
    ).fetchall()
    return Table(table.number, bool(row[0]), tuple(_index(*rest) for _, *rest in found))


def _index(number: int, fields: bytes, elements: int, state: bytes, by_id: int) -> Index:
    pairs = tuple((path, way) for path, way in orjson.loads(fields))
    return Index(number, pairs, bool(elements), state.decode(), bool(by_id))
