"""The embedded store with its indexes shaken: made and dropped at random while it is asked."""

from __future__ import annotations

import sqlite3
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from backpack.queries import Filter, Query
from backpack.stores import builds
from backpack.stores.base import INTERNAL
from backpack.stores.catalogue import Table
from backpack.stores.durable import DurableStore
from backpack.stores.indexes import PINNED, Index, Wanted, asked_for

_ROOM = 4  # indexes of a collection


class ShakenStore(DurableStore):
    """Before every second read an index that would help it is made, or one that is there goes."""

    def __init__(self, path: Path | None, **options: Any) -> None:
        super().__init__(path, **options)
        self._random = Random(str(path and path.parent.name))

    async def find(self, collection: str, query: Query) -> list[bytes]:
        await self._shake(collection, query)
        return await super().find(collection, query)

    async def count(self, collection: str, filter: Filter) -> int:
        await self._shake(collection, Query(filter))
        return await super().count(collection, filter)

    async def _shake(self, collection: str, query: Query) -> None:
        table = self._catalogue.get(collection)
        if table is None or collection.startswith(INTERNAL) or self._random.random() < 0.5:
            return
        made = list(table.made)
        helpful = asked_for(query, table.indexes)
        if helpful and len(made) < _ROOM:
            change: Any = partial(_make, self._random.choice(helpful))
        elif made:
            change = partial(_drop, self._random.choice(made))
        else:
            return
        await self._upkeep._change(table, change)


def _make(wanted: Wanted, connection: sqlite3.Connection, table: Table) -> None:
    if all(index.wanted != wanted for index in table.made):
        builds.make(connection, table, wanted, PINNED)


def _drop(index: Index, connection: sqlite3.Connection, table: Table) -> None:
    if index in table.indexes:
        builds.drop(connection, index)
