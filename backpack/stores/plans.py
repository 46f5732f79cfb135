"""How an index answers a query: as SQL, which is not run here.

Two ways. A walk reads an index in the order asked for and stops at the end of the page. A choice
finds by indexes which rows may match, and leaves the rest to a scan of those alone. Rows that SQL
cannot judge (arrays, objects to sort by, strings with NUL) are found apart, so that in most
collections, which have none, SQL is exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..queries import Compare, In, Node, Or, Query
from .catalogue import Table
from .indexes import Index, conjuncts, equal_paths, is_sought
from .sql import ARRAY, OBJECT, UNDECIDED, Seeking, key, ordering, predicate

# Of a choice: SQLite takes 500, and each costs 8 us to prepare.
_MOST_SELECTS = 50


@dataclass(frozen=True)
class Walk:
    """A page read in the order of an index.

    `statement` gives rows (document, whether it matches for sure), among those that are clear, and
    needs a LIMIT; `unclear` gives the `seq` of those that are not. `probe` says whether there are
    any: when not, `clear` is the statement to use, and `number` counts its rows. `covers`: what is
    looked for is found by the index; `bounded`: no row is read in vain, nor sorted.
    """

    index: Index
    statement: str
    clear: str
    number: str
    probe: str
    unclear: str
    values: dict[str, Any]
    exact: bool
    covers: bool
    bounded: bool


@dataclass(frozen=True)
class Choice:
    """Rows that are enough to look at: `rows` is a compound SELECT of their `seq`."""

    indexes: tuple[Index, ...]
    rows: str
    values: dict[str, Any]


def walk(query: Query, table: Table, *, count: bool = False) -> Walk | None:
    """The best walk for `query`; with `count` for the number of matches, in no order."""
    equal = equal_paths(query.filter.tree)
    sought = {part.path for part in _leaves_of(query.filter.tree)}
    found = [
        (grade, index)
        for index in table.made
        if not index.elements and (grade := _grade(index, query, equal, sought, count=count))
    ]
    if not found:
        return None
    grade, index = max(found, key=lambda pair: pair[0])
    return _walk(
        query,
        table,
        index,
        covers=grade[0],
        bounded=grade[0] and grade[2] and index.by_id == table.by_id,
    )


def _grade(
    index: Index, query: Query, equal: set[str], sought: set[str], *, count: bool
) -> tuple[bool, bool, bool] | None:
    """What speaks for a walk along `index`: it covers, is found by a value, settles ties; None when
    its order is another one."""
    rest = list(index.fields)
    seeks: set[str] = set()
    while rest and rest[0][0] in equal:
        seeks.add(rest.pop(0)[0])
    if rest and rest[0][0] in sought:
        seeks.add(rest[0][0])
    parts = list(conjuncts(query.filter.tree))
    covers = seeks >= sought and len(parts) == len(_leaves_of(query.filter.tree))
    if count:
        return (True, True, True) if covers and seeks else None
    wanted = [field for field in query.sort if field[0] not in equal]
    backwards = [(path, -way) for path, way in wanted]
    if not (seeks or wanted) or rest not in (wanted, backwards):
        return None
    return covers, bool(seeks), rest == wanted


def _walk(query: Query, table: Table, index: Index, *, covers: bool, bounded: bool) -> Walk | None:
    wanted = predicate(query.filter.tree, clear=frozenset(index.paths))
    by = ordering(query.sort, table.place)
    if wanted is UNDECIDED:
        return None
    parts = list(_unclear(query, table, index))
    clear = " AND ".join(f"({condition}) IS NOT TRUE" for _, condition in parts)
    page = "1" if query.after is None else table.behind(":after")
    sure = 1 if wanted.exact else wanted.subset
    source = f"{table.name} INDEXED BY {index.name} WHERE {page} AND {wanted.superset}"
    order = f"ORDER BY {by.terms}"
    return Walk(
        index=index,
        statement=f"SELECT doc,{sure} FROM {source} AND {clear} {order}",
        clear=f"SELECT doc,{sure} FROM {source} {order}",
        number=f"SELECT count(*) FROM {source}",
        probe="SELECT " + " OR ".join(f"EXISTS({rows})" for rows, _ in parts),
        unclear=" UNION ALL ".join(rows for rows, _ in parts),
        values={**wanted.values, "after": query.after},
        exact=wanted.exact,
        covers=covers,
        bounded=bounded,
    )


def _unclear(query: Query, table: Table, index: Index) -> Iterator[tuple[str, str]]:
    """The rows that SQL cannot judge, of each kind: a SELECT of their `seq`, and the condition."""
    sorts = {path for path, _ in query.sort} - equal_paths(query.filter.tree)
    first, *others = index.paths
    blobs = [ARRAY, OBJECT] if first in sorts else [ARRAY]
    condition = f"{key(first)} IN ({','.join(blobs)})"
    yield _rows(table, index.name, condition), condition
    for path in others:
        condition = f"{key(path)} IN ({ARRAY},{OBJECT})"
        yield _rows(table, f"{index.name}u", condition), condition
    yield _rows(table, table.odd, "odd"), "odd"


def choices(tree: Node, table: Table) -> list[Choice]:
    """For each condition that has to hold, and has an index, the rows for which it may."""
    if not any(table.made):
        return []
    by_path: dict[str, list[Compare | In]] = {}
    for leaf in _leaves_of(tree):
        by_path.setdefault(leaf.path, []).append(leaf)
    found = [_leaves(leaves, table) for leaves in by_path.values()]
    found += [_either(part, table) for part in conjuncts(tree) if isinstance(part, Or)]
    return [choice for choice in found if choice is not None]


def _leaves(leaves: list[Compare | In], table: Table) -> Choice | None:
    """The rows for which conditions on one and the same path may hold."""
    seeking = Seeking()
    found = _selects(leaves, table, seeking)
    if found is None:
        return None
    indexes, selects = found
    return _choice(table, indexes, selects, seeking)


def _either(part: Or, table: Table) -> Choice | None:
    seeking = Seeking()
    indexes: list[Index] = []
    selects: list[str] = []
    for branch in part.parts:
        leaves = (_selects([leaf], table, seeking) for leaf in _leaves_of(branch))
        found = next(filter(None, leaves), None)
        if found is None:
            return None
        indexes += found[0]
        selects += found[1]
    return _choice(table, indexes, selects, seeking)


def _choice(
    table: Table, indexes: list[Index], selects: list[str], seeking: Seeking
) -> Choice | None:
    rows = dict.fromkeys([*selects, _rows(table, table.odd, "odd")])
    if len(rows) > _MOST_SELECTS:
        return None
    return Choice(tuple(dict.fromkeys(indexes)), " UNION ALL ".join(rows), seeking.values)


def _selects(
    leaves: list[Compare | In], table: Table, seeking: Seeking
) -> tuple[list[Index], list[str]] | None:
    path = leaves[0].path
    having = [index for index in table.made if index.paths[0] == path]
    values = min(
        (index for index in having if not index.elements),
        key=lambda index: len(index.fields),
        default=None,
    )
    expression = key(path)
    if values is None or expression is None:
        return None
    ranges = [seeking.conditions(leaf, expression) for leaf in leaves]
    simple = [told[0] for told in ranges if len(told) == 1]
    conditions = [" AND ".join(simple)] if simple else ranges[0]
    selects = [_rows(table, values.name, condition) for condition in conditions]
    elements = next((index for index in having if index.elements), None)
    if elements is None:
        return [values], [*selects, _rows(table, values.name, f"{expression}={ARRAY}")]
    for condition in [*seeking.conditions(leaves[0], "k"), f"k={ARRAY}"]:
        selects.append(f"SELECT seq FROM {elements.name} WHERE {condition}")
    return [values, elements], selects


def _rows(table: Table, index: str, condition: str) -> str:
    return f"SELECT seq FROM {table.name} INDEXED BY {index} WHERE {condition}"


def _leaves_of(tree: Node) -> list[Compare | In]:
    """The conditions that all have to hold and that an index can find."""
    return [part for part in conjuncts(tree) if isinstance(part, Compare | In) and is_sought(part)]
