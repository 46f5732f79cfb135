"""What setup.cfg, tox.ini and the workflow say of the tree holds."""

from __future__ import annotations

import re
from configparser import ConfigParser
from fnmatch import fnmatch
from pathlib import Path

import backpack

ROOT = Path(__file__).parent.parent


def read(name: str) -> ConfigParser:
    parser = ConfigParser(interpolation=None)
    parser.read(ROOT / name, "utf-8")
    return parser


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_every_package_is_listed() -> None:
    found = {path.parent for path in (ROOT / "backpack").rglob("__init__.py")}
    names = {str(path.relative_to(ROOT)).replace("/", ".") for path in found}

    listed = set(lines(read("setup.cfg")["options"]["packages"]))

    assert listed == names | {"backpack.sdk", "backpack.swarm"}


def test_every_file_is_package_data() -> None:
    carried = read("setup.cfg")["options.package_data"]
    missing = []
    for path in sorted((ROOT / "backpack").rglob("*")):
        if path.is_dir() or path.suffix in (".py", ".pyc"):
            continue
        package = next(parent for parent in path.parents if (parent / "__init__.py").is_file())
        name = str(package.relative_to(ROOT)).replace("/", ".")
        inside = str(path.relative_to(package))
        if not any(fnmatch(inside, pattern) for pattern in lines(carried.get(name, ""))):
            missing.append(str(path.relative_to(ROOT)))

    assert missing == []


def test_every_python_is_declared_and_tested() -> None:
    classifiers = read("setup.cfg")["metadata"]["classifiers"]
    versions = re.findall(r"Python :: (3\.\d+)$", classifiers, re.MULTILINE)
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")

    environments = [f"py{version.replace('.', '')}" for version in versions]

    assert environments == ["py311", "py312", "py313"]
    assert re.findall(r"\{env: (\w+)", workflow) == ["lint", "types", "doors", "sdk", *environments]
    assert read("tox.ini")["tox"]["env_list"] == ", ".join(
        ["lint", "types", "doors", "sdk", *environments]
    )


def test_version_has_a_place_in_the_changelog() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")

    assert re.search(rf"^## (Unreleased|\[?{re.escape(backpack.__version__)})", changelog, re.M)
