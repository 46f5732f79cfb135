"""Filters and sorts as SQL: run on bare tables, and compared with the exact matcher."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from random import Random
from typing import Any

import orjson
import pytest

from backpack.documents import Document
from backpack.queries import Compare, Exists, Node, Not, parse_filter
from backpack.stores.sql import (
    UNDECIDED,
    Columns,
    Ordering,
    Predicate,
    key,
    ordering,
    predicate,
)

from . import cases

PLAIN: list[Document] = [
    {"_id": "a", "n": 1, "o": {"x": 1}},
    {"_id": "b", "n": 2.5, "s": "ab", "o": {"x": "a"}},
    {"_id": "c", "n": None, "s": "", "o": 5},
    {"_id": "d", "n": "1", "s": "b"},
    {"_id": "e", "n": True, "o": {}},
    {"_id": "f", "n": False, "s": None},
    {"_id": "g", "n": 2**63 - 1, "s": "ü"},
    {"_id": "h", "n": -0.0, "s": "👋"},
]


class Table:
    """A bare table of documents."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:")
        self.connection.execute(
            "CREATE TABLE c(seq INTEGER PRIMARY KEY, id TEXT, odd INT, doc TEXT)"
        )

    def fill(self, documents: Iterable[Document]) -> None:
        for document in documents:
            encoded = orjson.dumps(document).decode()
            row = (document["_id"], "\\u0000" in encoded, encoded)
            self.connection.execute("INSERT INTO c(id, odd, doc) VALUES(?, ?, ?)", row)

    def ids(self, rest: str, values: dict[str, Any] | None = None, source: str = "c") -> list[str]:
        rows = self.connection.execute(f"SELECT id FROM {source} {rest}", values or {})
        return [row[0] for row in rows]

    def superset(self, condition: Predicate) -> set[str]:
        return set(self.ids(f"WHERE {condition.superset}", condition.values))

    def subset(self, condition: Predicate) -> set[str]:
        return set(self.ids(f"WHERE {condition.subset}", condition.values))


@pytest.fixture
def table() -> Iterator[Table]:
    table = Table()
    yield table
    table.connection.close()


def test_key_is_one_expression() -> None:
    assert key("it's") == (
        "(CASE json_type(doc,'$.\"it''s\"') WHEN 'array' THEN x'ff' WHEN 'object' THEN x'04' "
        "WHEN 'true' THEN x'0801' WHEN 'false' THEN x'0800' "
        "ELSE json_extract(doc,'$.\"it''s\"') END)"
    )
    assert key("_id") == "id"


def test_key_of_values_sorts_by_type(table: Table) -> None:
    values: list[Any] = [None, -1.5, 0, 2**53, 2**53 + 1, "", "a", "ü", "👋", {}, False, True, [1]]
    table.fill([{"_id": str(place), "v": value} for place, value in enumerate(values)])
    ids = table.ids(f"ORDER BY {key('v')}, seq")
    assert ids == [str(place) for place in range(len(values))]


def test_key_sees_arrays_on_the_way(table: Table) -> None:
    documents: list[Document] = [
        {"_id": "at the end", "a": {"b": [1]}},
        {"_id": "on the way", "a": [{"b": 1}]},
        {"_id": "none", "a": {"b": 1}},
        {"_id": "behind", "a": {"b": 1, "c": [1]}},
    ]
    table.fill(documents)
    assert table.ids(f"WHERE {key('a.b')}=x'ff'") == ["at the end", "on the way"]


@pytest.mark.parametrize(
    "filter",
    [
        {},
        {"n": 1},
        {"n": 1.0},
        {"n": True},
        {"n": None},
        {"n": {"$gt": 1}},
        {"n": {"$gte": 1, "$lt": 3}},
        {"n": {"$lte": 2**63 - 1}},
        {"n": {"$gt": False}},
        {"n": {"$lte": None}},
        {"n": {"$gt": None}},
        {"s": {"$gt": "a"}},
        {"s": {"$lt": "b"}},
        {"s": {"$gte": ""}},
        {"s": {"$exists": True}},
        {"s": {"$exists": False}},
        {"o.x": {"$exists": True}},
        {"o.x": {"$ne": 1}},
        {"n": {"$in": [1, "1", None, False]}},
        {"n": {"$nin": [1, "1", None]}},
        {"n": {"$in": []}},
        {"n": {"$size": 1}},
        {"n": {"$not": {"$gt": 1}}},
        {"$or": [{"n": {"$lt": 2}}, {"s": "b"}, {"o.x": None}]},
        {"$nor": [{"n": 1}, {"s": {"$gt": "a"}}]},
        {"_id": "c"},
        {"_id": {"$gt": "c", "$nin": ["e", 5]}},
        {"_id": {"$lt": 5}},
        {"_id": {"$in": [None, True, {}]}},
    ],
    ids=str,
)
def test_predicate_decides_without_arrays(table: Table, filter: Document) -> None:
    wanted = parse_filter(filter)
    condition = predicate(wanted.tree)
    matching = {document["_id"] for document in PLAIN if wanted.matches(document)}
    table.fill(PLAIN)
    assert table.superset(condition) == matching
    assert table.subset(condition) == matching


@pytest.mark.parametrize("filter", [{}, {"_id": "c"}, {"n": {"$exists": True}}], ids=str)
def test_predicate_is_exact_where_arrays_do_not_matter(filter: Document) -> None:
    assert predicate(parse_filter(filter).tree).exact


@pytest.mark.parametrize("seed", range(6))
def test_predicate_encloses_what_matches(table: Table, seed: int) -> None:
    random = Random(seed)
    documents = cases.documents(random, 40, arrays=seed % 2 == 0)
    table.fill(documents)
    questions = cases.Questions(random, documents, arrays=seed % 2 == 0)
    for case in questions.cases(100):
        wanted = parse_filter(case.filter)
        condition = predicate(wanted.tree)
        matching = {document["_id"] for document in documents if wanted.matches(document)}
        assert table.superset(condition) >= matching, case
        assert table.subset(condition) <= matching, case


@pytest.mark.parametrize(
    "name",
    [
        "it's",
        "a b",
        "--",
        ";",
        "[0]",
        "a]",
        "#",
        "*",
        "ü",
        "👋",
        "0",
        "__proto__",
        "\u2028",
        "\x7f",
    ],
)
def test_predicate_finds_odd_names(table: Table, name: str) -> None:
    table.fill([{"_id": "a", name: 1}, {"_id": "b", "o": {name: 1}}, {"_id": "c"}])
    for path, expected in ((name, {"a"}), (f"o.{name}", {"b"})):
        condition = predicate(Compare(path, "eq", 1))
        assert table.superset(condition) == expected
        assert table.subset(condition) == expected


@pytest.mark.parametrize("name", ['"', "\\", "\n", "\x1f", "a.\t", "\ud800"], ids=ascii)
@pytest.mark.parametrize("node", [Exists, lambda path: Compare(path, "eq", 1)], ids=["there", "eq"])
def test_predicate_leaves_names_out_of_reach(name: str, node: Any) -> None:
    condition = predicate(node(name))
    assert (condition.superset, condition.subset) == ("1", "0")


def test_predicate_leaves_strings_with_nul(table: Table) -> None:
    table.fill([{"_id": "a", "s": "a\0b"}, {"_id": "b", "s": "a"}])
    condition = predicate(Compare("s", "eq", "a"))
    assert table.superset(condition) == {"a", "b"}
    assert table.subset(condition) == {"b"}


def test_predicate_reads_doubles_as_documents_are_read(table: Table) -> None:
    random = Random(3)
    doubles = [random.uniform(-1, 1) * 10.0 ** random.randint(-300, 300) for _ in range(2_000)]
    table.fill([{"_id": repr(value), "n": value} for value in doubles])
    for value in doubles[::40]:
        condition = predicate(Compare("n", "eq", value))
        assert table.subset(condition) == {repr(value)}


def test_predicate_reads_columns_as_expressions(table: Table) -> None:
    random = Random(7)
    documents = cases.documents(random, 40, arrays=True)
    table.fill(documents)
    for case in cases.Questions(random, documents, arrays=True).cases(200):
        tree = parse_filter(case.filter).tree
        columns = Columns()
        inline, written = predicate(tree), predicate(tree, columns)
        by, places = ordering(case.sort, "seq"), ordering(case.sort, "seq", columns)
        source = f"(SELECT {','.join(['seq', 'id', 'odd', *columns.terms])} FROM c)"
        for one, other in (
            (inline.superset, written.superset),
            (inline.subset, written.subset),
            (f"{inline.narrow} AND {by.plain}", f"{written.narrow} AND {places.plain}"),
        ):
            assert table.ids(f"WHERE {one} ORDER BY {by.terms}", inline.values) == table.ids(
                f"WHERE {other} ORDER BY {places.terms}", written.values, source
            ), case


def test_predicate_reads_each_column_once() -> None:
    columns = Columns()
    condition = predicate(parse_filter({"n": {"$gt": 1, "$lt": 5}}).tree, columns)
    by = ordering((("n", -1),), "seq", columns)
    assert columns.terms == [f"{key('n')} AS k0"]
    assert condition.subset == "((((k0>:v0 AND k0<'')) AND (k0<:v1)) AND NOT odd)"
    assert by.terms == "k0 DESC,seq"


@pytest.mark.parametrize(
    ("filter", "narrow"),
    [
        pytest.param({"n": 1}, "1", id="none"),
        pytest.param({"_id": "a", "n": 1}, "(id IN (:v0))", id="beside another"),
        pytest.param(
            {"$and": [{"n": 1}, {"$and": [{"_id": {"$gt": "a"}}]}]},
            "((id>:v1 AND id<x''))",
            id="deep",
        ),
        pytest.param({"$or": [{"_id": "a"}, {"n": 1}]}, "1", id="not alone"),
        pytest.param(
            {"$or": [{"_id": "a"}, {"_id": "b"}]}, "((id IN (:v0)) OR (id IN (:v1)))", id="either"
        ),
    ],
)
def test_predicate_is_narrowed_by_id(filter: Document, narrow: str) -> None:
    assert predicate(parse_filter(filter).tree, Columns()).narrow == narrow


def test_predicate_gives_up_on_long_filters() -> None:
    tree: Node = parse_filter({"$or": [{f"field{n}": {"$gt": n}} for n in range(50)]}).tree
    assert predicate(tree) is UNDECIDED
    assert predicate(Not(tree)) is UNDECIDED


def test_predicate_takes_long_lists() -> None:
    values = [f"{n:024x}" for n in range(1_000)]
    assert predicate(parse_filter({"_id": {"$in": values}}).tree).exact


def test_ordering_ends_with_the_id() -> None:
    n, s = key("n"), key("s")
    assert ordering((("n", -1), ("s", 1)), "seq") == Ordering(
        f"{n} DESC,{s},seq",
        f"({n} IN (x'ff',x'04') OR {s} IN (x'ff',x'04') OR odd) IS NOT TRUE",
    )


@pytest.mark.parametrize(
    ("sort", "terms"),
    [
        pytest.param((), "seq", id="none"),
        pytest.param((("_id", 1),), "seq", id="up"),
        pytest.param((("_id", -1),), "seq DESC", id="down"),
    ],
)
def test_ordering_by_id_is_exact(sort: cases.Sort, terms: str) -> None:
    assert ordering(sort, "seq") == Ordering(terms, "1")


def test_ordering_leaves_names_out_of_reach() -> None:
    assert ordering((("n", 1), ('"', 1)), "id") == Ordering("id", "0")
