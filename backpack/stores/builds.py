"""Indexes made and dropped: functions inside a transaction of a connection that may write alone.

Which ones there should be is decided in `indexes`.
"""

from __future__ import annotations

import sqlite3

import orjson

from ..errors import Invalid
from .catalogue import Table
from .indexes import FORBIDDEN, PINNED, Fields, Index, Wanted
from .sql import ARRAY, OBJECT, element, key, location

# Elements of a longer array are not listed: the array stands for them and is looked through. An
# insert of one with 100,000 would hold up the loop for 200 ms.
_LONG_ARRAY = 200

# Of the first documents that have a field, how many may hold an array there.
_SAMPLE = 1_000


def make(connection: sqlite3.Connection, table: Table, wanted: Wanted, state: str) -> None:
    """Make an index; raises Invalid, and changes nothing, where it would be of no use.

    A pinned one is made whatever the documents hold.
    """
    if state != PINNED:
        _check_use(connection, table, wanted)
    index = _register(connection, table, wanted.fields, elements=wanted.elements, state=state)
    connection.execute(f"CREATE INDEX IF NOT EXISTS {table.odd} ON {table.name}(seq) WHERE odd")
    if index.elements:
        _list_elements(connection, table, index)
        return
    terms = [f"{key(path)}{' DESC' if way < 0 else ''}" for path, way in index.fields]
    place = ["id"] if table.by_id else []  # seq is at the end of every index
    connection.execute(f"CREATE INDEX {index.name} ON {table.name}({','.join([*terms, *place])})")
    for path in index.paths[1:]:
        connection.execute(
            f"CREATE INDEX {index.name}u ON {table.name}(seq) "
            f"WHERE {key(path)} IN ({ARRAY},{OBJECT})"
        )


def drop(connection: sqlite3.Connection, index: Index) -> None:
    """Drop an index, or let a path be indexed again."""
    connection.execute("DELETE FROM indexes WHERE number=?", (index.number,))
    if index.elements:
        for name in "iud":
            connection.execute(f"DROP TRIGGER {index.name}{name}")
        connection.execute(f"DROP TABLE {index.name}")
    elif index.state != FORBIDDEN:
        connection.execute(f"DROP INDEX {index.name}")
        connection.execute(f"DROP INDEX IF EXISTS {index.name}u")


def mark(connection: sqlite3.Connection, index: Index, state: str) -> None:
    """Put an index into another state."""
    connection.execute("UPDATE indexes SET state=? WHERE number=?", (state, index.number))


def forbid(connection: sqlite3.Connection, table: Table, path: str) -> None:
    """Drop what indexes there are with `path`, and note that it gets none."""
    for index in table.indexes:
        if index.state == FORBIDDEN and index.paths == (path,):
            return
        if index.state != FORBIDDEN and path in index.paths:
            drop(connection, index)
    _register(connection, table, ((path, 1),), elements=False, state=FORBIDDEN)


def _register(
    connection: sqlite3.Connection, table: Table, fields: Fields, *, elements: bool, state: str
) -> Index:
    done = connection.execute(
        "INSERT INTO indexes(collection, fields, elements, state, by_id) VALUES(?, ?, ?, ?, ?)",
        (table.number, orjson.dumps(fields).decode(), elements, state, table.by_id),
    )
    assert done.lastrowid is not None
    return Index(done.lastrowid, fields, elements, state, table.by_id)


def _check_use(connection: sqlite3.Connection, table: Table, wanted: Wanted) -> None:
    for path, _ in wanted.fields:
        arrays, found = connection.execute(
            f"SELECT ifnull(sum(value={ARRAY}),0),count(*) FROM (SELECT {key(path)} AS value "
            f"FROM {table.name} WHERE value IS NOT NULL LIMIT {_SAMPLE})"
        ).fetchone()
        if not found:
            raise Invalid("no document has the field")
        if len(wanted.fields) > 1 and arrays * 2 > found:
            raise Invalid("too many documents hold arrays there")
        if wanted.elements and not arrays:
            raise Invalid("too many documents match")


def _list_elements(connection: sqlite3.Connection, table: Table, index: Index) -> None:
    """A table of the elements of arrays at a path, kept by triggers.

    Only as deep as one name: further down, an array may hold documents with arrays again.
    """
    at = location(index.paths[0])
    name, source = index.name, table.name
    connection.execute(f"CREATE TABLE {name}(seq INTEGER NOT NULL, k)")
    connection.execute(
        f"INSERT INTO {name} SELECT c.seq,{element('e')} FROM {source} c, json_each(c.doc,{at}) e "
        f"WHERE {_is_array('c.doc', at)} AND {_is_short('c.doc', at)}"
    )
    connection.execute(
        f"INSERT INTO {name} SELECT seq,{ARRAY} FROM {source} "
        f"WHERE {_is_array('doc', at)} AND NOT {_is_short('doc', at)}"
    )
    connection.execute(f"CREATE INDEX {name}k ON {name}(k,seq)")
    connection.execute(f"CREATE INDEX {name}s ON {name}(seq)")
    is_array, was_array = _is_array("new.doc", at), _is_array("old.doc", at)
    fill = (
        f"INSERT INTO {name} SELECT new.seq,{element('e')} FROM json_each(new.doc,{at}) e "
        f"WHERE {is_array} AND {_is_short('new.doc', at)}; "
        f"INSERT INTO {name} SELECT new.seq,{ARRAY} "
        f"WHERE {is_array} AND NOT {_is_short('new.doc', at)};"
    )
    empty = f"DELETE FROM {name} WHERE seq=old.seq;"
    for sign, event, when, do in (
        ("i", "INSERT", is_array, fill),
        ("d", "DELETE", was_array, empty),
        ("u", "UPDATE OF doc", f"{was_array} OR {is_array}", f"{empty} {fill}"),
    ):
        connection.execute(
            f"CREATE TRIGGER {name}{sign} AFTER {event} ON {source} WHEN {when} BEGIN {do} END"
        )


def _is_array(doc: str, at: str) -> str:
    return f"json_type({doc},{at})='array'"


def _is_short(doc: str, at: str) -> str:
    return f"json_array_length({doc},{at})<={_LONG_ARRAY}"
