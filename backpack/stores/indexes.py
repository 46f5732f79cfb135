"""Which indexes a collection should have: what was asked for, and what follows from it.

Values and counts only: SQL for indexes is in `builds` and `plans`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import Invalid
from ..filters import path_problem
from ..queries import And, Compare, In, Node, Not, Or, Query

AUTOMATIC, PINNED, FORBIDDEN = "automatic", "pinned", "forbidden"

MOST = 8  # indexes of a collection; each makes every write 1 to 5 us dearer
SCANS = 3  # that ask for an index before it is made
_MOST_FIELDS = 2
_LONGEST = 200  # characters of a path; it stands in every statement
_REMEMBERED = 64  # indexes asked for that are counted at once, for each collection
_PERIOD = 1_024  # queries of a collection after which all its counts are halved

Fields = tuple[tuple[str, int], ...]  # as in a sort: (path, 1 or -1)


@dataclass(frozen=True)
class Wanted:
    """An index that could be: of values by `fields`, or of the elements of arrays at one path."""

    fields: Fields
    elements: bool = False


@dataclass(frozen=True)
class Index:
    """An index that is there; or with the state `forbidden`, a path that gets none.

    `by_id`: documents of the same values are in the order of `_id`, not of `seq`.
    """

    number: int
    fields: Fields
    elements: bool
    state: str
    by_id: bool = False

    @property
    def name(self) -> str:
        """What SQLite calls it; for one of elements, the table of these."""
        return f"i{self.number}"

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(path for path, _ in self.fields)

    @property
    def wanted(self) -> Wanted:
        return Wanted(self.fields, self.elements)


def parse_fields(text: str) -> Fields:
    """`brand,-price` as fields; raises Invalid where no index can be made of them."""
    fields = tuple(
        (item.removeprefix("-"), -1 if item[:1] == "-" else 1) for item in text.split(",")
    )
    problem = next(filter(None, (_problem(path) for path, _ in fields)), None)
    if problem is None and len({path for path, _ in fields}) < len(fields):
        problem = "a path is named twice"
    if problem is None and len(fields) > _MOST_FIELDS:
        problem = f"an index has at most {_MOST_FIELDS} paths"
    if problem is not None:
        raise Invalid(f"There can be no index on {text!r}: {problem}", code="bad_index")
    return fields


def _problem(path: str) -> str | None:
    if path == "_id":
        return "_id has one of its own"
    return path_problem(path) or (None if _fits(path) else "its name is too long, or needs escapes")


def _fits(path: str) -> bool:
    return len(path) <= _LONGEST and not any(sign < " " or sign in '"\\' for sign in path)


def written(fields: Fields) -> str:
    """Fields as `parse_fields` reads them."""
    return ",".join(("-" if direction < 0 else "") + path for path, direction in fields)


def conjuncts(node: Node) -> Iterator[Node]:
    """Filters that all have to match for `node` to match, and suffice."""
    if isinstance(node, And):
        for part in node.parts:
            yield from conjuncts(part)
    else:
        yield node


def is_sought(node: Node) -> bool:
    """Whether an index of values finds what `node` may match."""
    match node:
        case Compare(path, _, value):
            return path != "_id" and not isinstance(value, dict | list)
        case In(path, values):
            return path != "_id" and not any(isinstance(value, dict | list) for value in values)
    return False


def equal_paths(tree: Node) -> set[str]:
    """Paths at which every match without arrays has one and the same value."""
    parts = (part for part in conjuncts(tree) if isinstance(part, Compare) and is_sought(part))
    return {part.path for part in parts if part.op == "eq"}


def asked_for(query: Query, there: tuple[Index, ...]) -> list[Wanted]:
    """The indexes that would help `query` beside those that are `there`, the best first."""
    made = {index.wanted for index in _made(there)}
    leading = {index.paths[0] for index in _made(there) if not index.elements}
    return [
        one
        for one in dict.fromkeys(_helpful(query, leading))
        if one not in made and all(_problem(path) is None for path, _ in one.fields)
    ]


def _helpful(query: Query, leading: set[str]) -> Iterator[Wanted]:
    """Indexes for `query`; a value at the paths `leading` can be found by index already."""
    equal = equal_paths(query.filter.tree)
    sort = tuple((path, way) for path, way in query.sort if path not in equal)
    for path in sorted(equal):
        if path not in leading:
            yield Wanted(((path, 1),))
            continue
        if len(sort) == 1:
            yield Wanted(((path, 1), *sort))
        if "." not in path:
            yield Wanted(((path, 1),), elements=True)
    if 0 < len(sort) <= _MOST_FIELDS:
        yield Wanted(sort)
    for path in sorted(_sought_paths(query.filter.tree) - equal):
        if path not in leading:
            yield Wanted(((path, 1),))
        elif "." not in path:
            yield Wanted(((path, 1),), elements=True)


def _sought_paths(node: Node) -> set[str]:
    """The paths of conditions that an index could find the matches of."""
    paths: set[str] = set()
    for part in conjuncts(node):
        if isinstance(part, Or):
            inner = [_sought_paths(one) for one in part.parts]
            paths.update(*inner if all(inner) else ())
        elif isinstance(part, Compare | In) and is_sought(part):
            paths.add(part.path)
    return paths


class Usage:
    """What queries of one collection ask for, as counts that fade; kept in memory only.

    `refused`: indexes that were to be made and were not, each with the reason.
    """

    def __init__(self) -> None:
        self.refused: dict[Wanted, str] = {}
        self._asked: Counter[Wanted] = Counter()
        self._used: Counter[Wanted] = Counter()
        self._queries = 0

    def used(self, index: Index) -> None:
        self._used[index.wanted] += 1
        self._pass()

    def uses(self, index: Index) -> int:
        """Queries that it has answered, or that asked for it before it was there."""
        return self._used[index.wanted]

    def made(self, one: Wanted) -> None:
        """Take note of a new index; one that has to prove itself first would be the next to go."""
        self._used[one] += self._asked.pop(one, 0)

    def scanned(self, query: Query, there: tuple[Index, ...]) -> None:
        """Take note of a query that was slow; it asks for one index at a time."""
        for one in asked_for(query, there):
            if self._may_be(one, there):
                self._asked[one] += 1
                break
        if len(self._asked) > _REMEMBERED:
            self._asked = Counter(dict(self._asked.most_common(_REMEMBERED // 2)))
        self._pass()

    def _pass(self) -> None:
        self._queries += 1
        if self._queries % _PERIOD == 0:
            self.refused.clear()
            for counts in (self._asked, self._used):
                for one in list(counts):
                    counts[one] //= 2
                    if not counts[one]:
                        del counts[one]

    def next(self, there: tuple[Index, ...]) -> tuple[Wanted, Index | None] | None:
        """The index to make now, and the one that goes for it; None when there is nothing to do."""
        for one, count in self._asked.most_common():
            if count < SCANS:
                return None
            if self._may_be(one, there):
                goes = self._to_go(there)
                if len(_made(there)) < MOST:
                    return one, None
                if goes is not None and count > SCANS + 2 * self.uses(goes):
                    return one, goes
        return None

    def _may_be(self, one: Wanted, there: tuple[Index, ...]) -> bool:
        forbidden = {index.paths[0] for index in there if index.state == FORBIDDEN}
        made = {index.wanted for index in _made(there)}
        return (
            one not in made
            and one not in self.refused
            and forbidden.isdisjoint(path for path, _ in one.fields)
        )

    def _to_go(self, there: tuple[Index, ...]) -> Index | None:
        loose = [index for index in there if index.state == AUTOMATIC]
        return min(loose, key=self.uses, default=None)

    def made_room(self, there: tuple[Index, ...]) -> Index | None:
        """The index that goes for one that is pinned; raises Invalid when all are pinned."""
        if len(_made(there)) < MOST:
            return None
        goes = self._to_go(there)
        if goes is None:
            raise Invalid(
                f"A collection has at most {MOST} indexes, and all of them are pinned: "
                "release one first",
                code="too_many_indexes",
            )
        return goes

    def why_slow(self, query: Query, there: tuple[Index, ...]) -> str:
        """Which fields of a slow query have no index, and why; "" when they all have one."""
        has = {path for index in _made(there) for path in index.paths}
        paths = dict.fromkeys([*_all_paths(query.filter.tree), *(path for path, _ in query.sort)])
        lacking = [path for path in paths if path not in has and path != "_id"]
        told = [f"{path} has no index: {self._why(path, there)}" for path in lacking[:3]]
        if not told and paths:
            return (
                "the indexes that there are leave too many documents to look at: "
                "those that match, and those that hold arrays where it sorts"
            )
        return "; ".join(told)

    def _why(self, path: str, there: tuple[Index, ...]) -> str:
        if any(index.state == FORBIDDEN and index.paths[0] == path for index in there):
            return f"it is forbidden, backpack indexes with --release {path} allows it"
        if not _fits(path):
            return "its name is too long, or needs escapes"
        for one, reason in self.refused.items():
            if path in (named for named, _ in one.fields):
                return reason
        asked = [count for one, count in self._asked.items() if one.fields[0][0] == path]
        if not asked:
            return "this kind of condition cannot be answered by one"
        if max(asked) < SCANS:
            return f"one is made after {SCANS} such queries, ask again"
        if len(_made(there)) >= MOST:
            return (
                f"the collection has {MOST} that are used more, "
                f"backpack indexes with --pin {path} puts it first"
            )
        return "it is being made, ask again"


def _made(there: tuple[Index, ...]) -> list[Index]:
    return [index for index in there if index.state != FORBIDDEN]


def _all_paths(node: Node) -> Iterator[str]:
    """The paths that a filter reads, as far as they stand outside of arrays."""
    match node:
        case And(parts) | Or(parts):
            for part in parts:
                yield from _all_paths(part)
        case Not(part):
            yield from _all_paths(part)
        case _:
            yield node.path
