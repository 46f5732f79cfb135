"""What was measured, as values: medians over rounds, and the ratios that were asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from load import Run

Rounds = Mapping[str, Sequence[Run]]  # by the name of who answered: backpack, floor, pocketbase


@dataclass(frozen=True)
class Row:
    """Requests a second for one question. Each ratio is of two runs that followed one another.

    `target_floor`, `target_peer`: the least ratios that are asked for.
    """

    what: str
    rounds: Rounds
    target_floor: float | None = None
    target_peer: float | None = None

    def rate(self, name: str) -> float | None:
        return median(run.rate for run in self.rounds[name]) if self.rounds.get(name) else None

    def cpu_us(self, name: str) -> float | None:
        return median(run.cpu_us for run in self.rounds[name]) if self.rounds.get(name) else None

    def ratio(self, name: str) -> float | None:
        others = self.rounds.get(name)
        if not others:
            return None
        pairs = zip(self.rounds["backpack"], others, strict=True)
        return median(mine.rate / theirs.rate for mine, theirs in pairs)

    def as_json(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "per_second": {name: _rounded(self.rate(name)) for name in self.rounds},
            "cpu_us": {name: _rounded(self.cpu_us(name)) for name in self.rounds},
            "ratio": {"floor": self.ratio("floor"), "pocketbase": self.ratio("pocketbase")},
            "at_least": {"floor": self.target_floor, "pocketbase": self.target_peer},
        }


@dataclass(frozen=True)
class Fact:
    """One figure, such as kB for a further backpack. `bound`: what was asked for, in words."""

    what: str
    value: float
    unit: str
    bound: str = ""

    def as_json(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "value": round(self.value, 3),
            "unit": self.unit,
            "bound": self.bound,
        }


@dataclass
class Results:
    """All of one run; `series` by plot and line: points (x, y)."""

    rows: list[Row] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    series: dict[str, dict[str, list[tuple[float, float]]]] = field(
        default_factory=lambda: defaultdict(dict)
    )

    def add(self, what: str, value: float, unit: str, bound: str = "") -> None:
        self.facts.append(Fact(what, value, unit, bound))

    def point(self, plot: str, line: str, x: float, y: float | None) -> None:
        if y is not None:
            self.series[plot].setdefault(line, []).append((x, y))

    def as_json(self) -> dict[str, Any]:
        return {
            "rows": [row.as_json() for row in self.rows],
            "facts": [fact.as_json() for fact in self.facts],
            "series": self.series,
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
