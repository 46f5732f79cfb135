"""How a backpack is, and why, by what Docker says of its services and tasks."""

from __future__ import annotations

from typing import Any

import pytest

from backpack.drivers.swarm_state import Service, _service
from backpack.drivers.swarm_status import state_of

UNPLACED = "no suitable node (scheduling constraints not satisfied on 2 nodes)"


def service(name: str, running: int, reason: str = "") -> Service:
    return Service(name, 1, running, "image", reason)


def test_database_is_named_before_what_needs_it() -> None:
    waiting = service("api", 0, "it has started, and is not healthy yet")
    services = [waiting, service("files", 0, "x"), service("mongo", 0, UNPLACED)]

    assert state_of(services) == ("down", f"mongo: 0 of 1 run, {UNPLACED}")


def test_one_that_others_do_without_is_degraded() -> None:
    services = [service("api", 1), service("files", 0, UNPLACED), service("mongo", 1)]

    assert state_of(services) == ("degraded", f"files: 0 of 1 run, {UNPLACED}")


def task(desired: str, state: str, at: int, error: str = "") -> dict[str, Any]:
    return {
        "ID": "t1",
        "ServiceID": "s1",
        "Spec": {},
        "DesiredState": desired,
        "Status": {"State": state, "Timestamp": f"2026-01-01T00:00:0{at}Z", "Err": error},
    }


@pytest.mark.parametrize(
    ("tasks", "reason"),
    [
        ([task("running", "pending", 1, UNPLACED)], UNPLACED),
        ([task("running", "starting", 1)], "it has started, and is not healthy yet"),
        ([task("running", "preparing", 1)], "its image is being fetched"),
        ([task("running", "assigned", 1)], "it is about to start"),
        ([], "it is about to start"),
        (
            [task("shutdown", "failed", 1, "exit 137"), task("running", "starting", 2)],
            "exit 137",
        ),
        (
            [
                task("shutdown", "shutdown", 2, "its network is gone"),
                task("running", "starting", 1),
            ],
            "it has started, and is not healthy yet",
        ),
    ],
    ids=["unplaced", "starting", "preparing", "assigned", "none", "failed", "ended"],
)
def test_reason_is_what_keeps_tasks_from_running(tasks: list[dict[str, Any]], reason: str) -> None:
    template = {"ContainerSpec": {"Image": "backpack:1"}}
    found = {
        "ID": "s1",
        "Spec": {
            "Name": "bp-shop_api",
            "Mode": {"Replicated": {"Replicas": 1}},
            "TaskTemplate": template,
        },
    }
    for one in tasks:
        one["Spec"] = template

    assert _service("bp-shop", found, tasks).reason == reason
