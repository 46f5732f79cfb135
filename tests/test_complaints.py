from __future__ import annotations

import logging

import pytest

from backpack.complaints import Complaints, cause_of
from backpack.errors import Unavailable


def test_one_line_of_a_kind_in_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    complaints = Complaints(logging.getLogger("backpack"), clock=lambda: now)

    for now in (0.0, 1.0, 59.0, 60.0, 61.0):
        complaints.log("away", f"at {now:g}")
    complaints.log("slow", "another")

    assert caplog.messages == ["at 0", "at 60; 2 more of these went before", "another"]


def test_kinds_are_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    complaints = Complaints(logging.getLogger("backpack"), clock=lambda: 0.0)

    for number in range(1_000):
        complaints.log(f"kind {number}", "away")

    assert len(complaints._kinds) <= 100
    assert len(caplog.messages) == 1_000


@pytest.mark.parametrize(
    ("cause", "text"),
    [
        (None, ""),
        (OSError("refused"), "refused"),
        (TimeoutError(), "TimeoutError"),
        (OSError("x" * 151), "x" * 147 + "..."),
    ],
    ids=["none", "text", "no text", "long"],
)
def test_cause_is_told_in_short(cause: Exception | None, text: str) -> None:
    failure = Unavailable()
    failure.__cause__ = cause

    assert cause_of(failure) == text
