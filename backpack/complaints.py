"""The log of what one cause can bring about many times a second: in few lines."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

_MOST_KINDS = 100


class Complaints:
    """Logs of each kind, and backpack, one line in `span` seconds, and with the next how many were
    left out.

    `clock`: seconds.
    """

    def __init__(
        self,
        logger: logging.Logger,
        *,
        span: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logger = logger
        self._span = span
        self._clock = clock
        # kind and backpack -> when it was logged last, and how many were left out since
        self._kinds: dict[tuple[str, str | None], tuple[float, int]] = {}

    def log(self, kind: str, text: str, backpack: str | None = None) -> None:
        now = self._clock()
        key = (kind, backpack)
        logged, left_out = self._kinds.get(key, (-self._span, 0))
        if now - logged < self._span:
            self._kinds[key] = (logged, left_out + 1)
            return
        if len(self._kinds) >= _MOST_KINDS:
            self._kinds.clear()
        self._kinds[key] = (now, 0)
        more = f"; {left_out} more of these went before" if left_out else ""
        self._logger.error("%s%s", text, more, extra={"backpack": backpack})


def cause_of(exc: Exception) -> str:
    """What is behind an error, in short; "" when nothing is."""
    cause = exc.__cause__
    if cause is None:
        return ""
    text = str(cause) or type(cause).__name__
    return text if len(text) <= 150 else f"{text[:147]}..."
