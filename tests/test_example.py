"""The example project works as its README says: its two suites, and its page in a browser."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import backpack
from backpack import assets
from tests.services import need

EXAMPLE = Path(__file__).parent.parent / "examples" / "guestbook"
# Subprocesses use the package that this process uses, installed or not.
ENVIRONMENT = {
    **os.environ,
    "PYTHON": sys.executable,
    "PYTHONPATH": str(Path(backpack.__file__).parent.parent),
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the example outside of this repository, with the SDK installed as npm does it."""
    copy = tmp_path / "guestbook"
    shutil.copytree(EXAMPLE, copy)
    (copy / "node_modules").mkdir()
    (copy / "node_modules" / "backpack-baas").symlink_to(assets.folder("sdk"))
    return copy


def run(command: list[str], folder: Path) -> tuple[int, str]:
    """The exit status of a command and what it said."""
    ended = subprocess.run(
        command,
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    return ended.returncode, ended.stdout


def test_pytest_suite_passes(project: Path) -> None:
    status, said = run([sys.executable, "-m", "pytest", "-p", "backpack.testing"], project)

    assert status == 0, said
    assert " 8 passed" in said


def test_node_suite_passes(project: Path) -> None:
    node = shutil.which("node")
    need(node, "needs Node 18 or newer: apt-get install nodejs")

    status, said = run([str(node), "--test", "tests/guestbook.test.mjs"], project)

    assert status == 0, said
    assert "# pass 5\n" in said
