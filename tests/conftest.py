"""Fixtures of all tests: real services from `services`, what is served from `deployments`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.deployments import app, deployment, end_swarm
from tests.panel import kept_panel, panel
from tests.services import mongo_url, redis_url
from tests.sharing import Parts

# No test fails because the machine is busy, nor by an example that the last run did not have.
settings.register_profile(
    "backpack", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("backpack")

__all__ = ["app", "deployment", "kept_panel", "mongo_url", "panel", "redis_url"]


_API, _SWARM = Path(__file__).parent / "api", Path(__file__).parent / "swarm"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs a swarm takes long, so it is first: at the end all would wait for it."""
    asked = {_function(one) for one in items if _is_of_swarm(one) and one.path.parent == _API}
    items[:] = _asked_of_two([one for one in items if _is_needed(one, asked)])
    for item in items:
        if item.path.is_relative_to(_SWARM) and "lab" in getattr(item, "fixturenames", ()):
            item.add_marker("swarm")
    items.sort(key=_place)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Parts:
    return Parts(config, log)


def _place(item: pytest.Item) -> str:
    """A swarm ends with the last test of its folder, or of its size."""
    is_swarm = item.get_closest_marker("swarm") is not None
    deployment = _deployment(item)
    return f"{'1' if is_swarm else '2' if deployment else '3'} {deployment}"


def _is_needed(item: pytest.Item, asked: set[Any]) -> bool:
    """A swarm's processes have the same servers as two that are no swarm's: these need not be asked
    what the swarm is. A console, and what is told to one, is of the process that serves."""
    if _is_of_swarm(item):
        return _function(item) in asked
    return _deployment(item) != "replicas" or _function(item) not in asked


def _asked_of_two(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """A swarm of one node is asked each test with the first of its values only, where one of two
    nodes is asked all of them."""
    kinds = {_deployment(item) for item in items}
    firsts: set[Any] = set()
    kept = []
    for item in items:
        if _deployment(item) == "swarm-1" and "swarm-2" in kinds:
            if _function(item) in firsts:
                continue
            firsts.add(_function(item))
        kept.append(item)
    return kept


def _function(item: pytest.Item) -> tuple[Path, str]:
    return item.path, getattr(item, "originalname", "")


def _is_of_swarm(item: pytest.Item) -> bool:
    return _deployment(item).startswith("swarm")


def _deployment(item: pytest.Item) -> str:
    """The one that a test of the HTTP contract is asked of, or nothing."""
    callspec = getattr(item, "callspec", None)
    found = callspec.params.get("deployment", "") if callspec else ""
    return str(found)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Have what keeps a processor busy give way to what waits for Docker, and must be in time."""
    if "PYTEST_XDIST_WORKER" in os.environ and os.geteuid() == 0:
        os.setpriority(os.PRIO_PROCESS, 0, 0 if item.get_closest_marker("swarm") else 5)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, None, None]:
    yield
    if _is_of_swarm(item) and (nextitem is None or _deployment(nextitem) != _deployment(item)):
        end_swarm(_deployment(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep what tests log in UTF-8, or no process can send it to the one that prints."""
    report = yield
    report.sections = [
        (name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections
    ]
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say once for each reason how many tests it has skipped."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"{count} skipped: {reason}")
