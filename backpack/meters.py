"""What a process counts of one backpack's requests, from its start on."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict

# Seconds: the upper bounds of the classes that requests are counted in, and one without a bound.
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Meters:
    """Counts by status, by duration, and of websocket messages."""

    def __init__(self) -> None:
        self.statuses: defaultdict[int, int] = defaultdict(int)
        self.durations = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0  # of all requests together
        self.messages = 0

    def request(self, status: int, seconds: float) -> None:
        self.statuses[status] += 1
        self.durations[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds

    @property
    def requests(self) -> int:
        return sum(self.durations)
