"""What the load finds wrong in what its sockets have heard."""

from __future__ import annotations

import pytest

from tests.swarm.load import Report


@pytest.mark.parametrize(
    ("heard", "wrong"),
    [
        ([10, 20], []),
        ([20, 30, 10], []),
        ([10], [20]),
        ([10, 20, 20], [20]),
        ([10, 20, 30, 30], [30]),
        ([10, 20, 40], [40]),
    ],
)
def test_answered_writes_are_told_once_and_others_at_most_once(
    heard: list[int], wrong: list[int]
) -> None:
    assert Report(written=[10, 20], unsure=[30]).wrong(heard) == wrong
