"""Lines over a number of things as SVG, which browsers and code hosts show as it is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

Points = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT = 760, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 250, 40, 50  # margins
_COLOURS = ("#2563eb", "#0891b2", "#7c3aed", "#dc2626", "#ea580c", "#a16207")


@dataclass(frozen=True)
class Axis:
    """From values to places: `low` stands at `start`, `high` at `end`."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool

    def place(self, value: float) -> float:
        low, high, value = (self._scale(one) for one in (self.low, self.high, value))
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def _scale(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value

    def ticks(self) -> list[float]:
        if self.logarithmic:
            first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
            return [10.0**power for power in range(first, last + 1)]
        step = 10 ** math.floor(math.log10(self.high - self.low))
        if (self.high - self.low) / step < 4:
            step /= 2
        return [number * step for number in range(math.ceil(self.high / step) + 1)][:12]


def lines(
    title: str, x_name: str, y_name: str, series: Mapping[str, Points], *, logarithmic: bool
) -> str:
    """A plot of every line of `series`; `logarithmic`: both axes are."""
    xs = [x for points in series.values() for x, _ in points]
    ys = [y for points in series.values() for _, y in points]
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    if logarithmic:
        x_axis = Axis(min(xs), max(xs), _LEFT, right, logarithmic=True)
        low, high = 10 ** math.floor(math.log10(min(ys))), 10 ** math.ceil(math.log10(max(ys)))
        y_axis = Axis(low, high, bottom, _TOP, logarithmic=True)
    else:
        x_axis = Axis(0, max(xs), _LEFT, right, logarithmic=False)
        y_axis = Axis(0, max(ys) * 1.15, bottom, _TOP, logarithmic=False)
    body = [
        *_grid(x_axis, y_axis, right, bottom),
        _text(_LEFT, 22, title, anchor="start", size=15),
        _text((_LEFT + right) / 2, _HEIGHT - 10, x_name),
        _text(_LEFT - 8, _TOP - 8, y_name),
        *_drawn(series, x_axis, y_axis, right),
    ]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(title)}" font-family="sans-serif">'
    )
    ground = f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>'
    return "\n".join([head, ground, *body, "</svg>", ""])


def _grid(x_axis: Axis, y_axis: Axis, right: float, bottom: float) -> Iterator[str]:
    for value in y_axis.ticks():
        y = y_axis.place(value)
        if _TOP - 1 <= y <= bottom + 1:
            yield _stroke([(_LEFT, y), (right, y)], "#e5e7eb", 1)
            yield _text(_LEFT - 8, y + 4, f"{value:,.0f}", anchor="end")
    for value in x_axis.ticks():
        x = x_axis.place(value)
        if _LEFT - 1 <= x <= right + 1:
            yield _stroke([(x, bottom), (x, bottom + 5)], "#6b7280", 1)
            yield _text(x, bottom + 20, f"{value:,.0f}")
    yield _stroke([(_LEFT, _TOP), (_LEFT, bottom), (right, bottom)], "#6b7280", 1)


def _drawn(series: Mapping[str, Points], x_axis: Axis, y_axis: Axis, right: float) -> Iterator[str]:
    """Each line, its points, and its name in a legend beside it."""
    for number, (name, points) in enumerate(series.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        places = [(x_axis.place(x), y_axis.place(y)) for x, y in points]
        yield _stroke(places, colour, 2)
        for x, y in places:
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'
        y = _TOP + 12 + 22 * number
        yield _stroke([(right + 14, y), (right + 32, y)], colour, 3)
        yield _text(right + 38, y + 4, name, anchor="start")


def _stroke(places: Points, colour: str, width: int) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "middle", size: int = 11) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
        f'fill="#374151">{escape(text)}</text>'
    )
