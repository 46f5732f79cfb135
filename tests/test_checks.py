"""The checks of tox.ini that are no tests themselves: layout, types, import directions, SDK."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.services import need

ROOT = Path(__file__).parent.parent
NODE = (20, 19)  # what eslint needs


def commands(environment: str) -> tuple[Path, list[list[str]]]:
    """The folder and the commands of a tox environment."""
    tox = ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini", "utf-8")
    section = tox[f"testenv:{environment}"]
    lines = section["commands"].strip().splitlines()
    return ROOT / section.get("change_dir", "."), [shlex.split(line) for line in lines]


def run_all(environment: str) -> None:
    folder, wanted = commands(environment)
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    for command in wanted:
        ended = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
            check=False,
        )
        assert ended.returncode == 0, f"{shlex.join(command)}\n{ended.stdout}"


@pytest.mark.parametrize(
    ("environment", "program"), [("lint", "ruff"), ("types", "mypy"), ("doors", "lint-imports")]
)
def test_python_passes(environment: str, program: str) -> None:
    found = shutil.which(program) or (Path(sys.executable).parent / program).is_file()
    need(found, f"needs {program}: pip install -e '.[dev]'")

    run_all(environment)


def test_sdk_passes() -> None:
    need(shutil.which("npm"), "needs Node 20.19 or newer with npm: https://nodejs.org/en/download")
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    version = tuple(map(int, re.findall(r"\d+", said)))
    need(version >= NODE, f"needs Node 20.19 or newer, but finds {said.strip()}")

    run_all("sdk")
