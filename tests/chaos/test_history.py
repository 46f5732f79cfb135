"""What the checks of a run find, and what they let pass."""

from __future__ import annotations

import pytest

from tests.chaos.history import OK, History, Log, Request, Told

RECORD = ("cars", "1")


def patched(number: int, client: int, started: float, ended: float) -> Request:
    request = Request("patch", "ada", client, 0, started, *RECORD, number=number)
    request.ended, request.outcome = ended, OK
    request.record = {"_id": "1", "w": number}
    return request


def told(at: float, number: int, **more: str) -> Told:
    record = {"_id": "1", "w": number}
    return Told(at, 0, {"action": "patch", "collection": "cars", "response": record, **more})


@pytest.mark.parametrize(
    ("resumes", "first", "second", "is_right"),
    [
        (True, {"seq": "1-0"}, {"seq": "2-0"}, False),
        (True, {"seq": "1-0"}, {"seq": "2-0", "requestId": "0-1"}, False),
        (True, {"seq": "1-0"}, {"requestId": "0-1"}, True),
        (False, {}, {}, False),
        (False, {}, {"requestId": "0-1"}, True),
    ],
)
def test_only_answers_may_tell_of_a_state_that_was_overtaken(
    resumes: bool, first: dict[str, str], second: dict[str, str], is_right: bool
) -> None:
    log = Log(0, "ada", resumes, greeted=[0.0], dialled=[0.0], asked={"0-1"})
    log.told = [told(2.0, 2, **first), told(2.5, 1, **second)]
    history = History(replicated=True, logs=[log])
    history.requests = [patched(1, 0, 1.0, 2.5), patched(2, 1, 1.1, 2.0)]
    history.final[RECORD] = {"_id": "1", "w": 2}

    assert (not history.problems()) is is_right
