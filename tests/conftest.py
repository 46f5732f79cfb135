"""Fixtures of all tests: real services from `services`, what is served from `deployments`."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, settings

from tests.deployments import app, deployment
from tests.services import mongo_url, redis_url

# No test fails because the machine is busy, nor by an example that the last run did not have.
settings.register_profile(
    "backpack", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("backpack")

__all__ = ["app", "deployment", "mongo_url", "redis_url"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say once for each reason how many tests it has skipped."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"{count} skipped: {reason}")
