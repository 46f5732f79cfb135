"""Logs of a stack, by a `docker` that never comes to an end, as the real one at times."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backpack.drivers import swarm_logs
from backpack.drivers.swarm_logs import read_logs

DOCKER = """#!/bin/sh
for last; do :; done
echo "2026-01-01 of $last"
case $last in *_api) exec sleep 600;; esac
"""


async def test_service_that_does_not_end_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(swarm_logs, "_PATIENCE", 1.0)

    lines = [line async for line in read_logs("bp-a", ["api", "mongo"], tail=5, follow=False)]

    assert lines == ["2026-01-01 api of bp-a_api", "2026-01-01 mongo of bp-a_mongo"]
