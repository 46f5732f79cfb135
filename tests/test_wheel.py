"""The wheel is whole: installed into an empty environment away from the checkout, it runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from backpack import __version__

ROOT = Path(__file__).parent.parent
PARTS = ("LICENSE", "README.md", "backpack", "pyproject.toml", "sdk", "setup.cfg", "swarm")

pytestmark = pytest.mark.network


def clean_environment() -> dict[str, str]:
    """This process's environment, without what tells Python where packages are."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def run(*command: str | Path, cwd: Path) -> str:
    """What a command says; fails with that when it fails."""
    ended = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env={**clean_environment(), "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an empty environment into which the wheel has been installed."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for part in PARTS:
        copy_part(ROOT / part, source / part)
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, source, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", with_pip=True)
    programs = folder / "venv" / "bin"
    run(programs / "pip", "install", "-q", wheel, cwd=folder)
    shutil.rmtree(source)
    return programs


def copy_part(part: Path, to: Path) -> None:
    if part.is_dir():
        # pip builds where it is told to: what an earlier build left there would get into this one.
        shutil.copytree(part, to, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    else:
        shutil.copy(part, to)


@pytest.fixture
def ready(installed: Path, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The ready file of a sandbox that runs from the wheel."""
    options = ["--port", "0", "--ready-file", "ready.json", "--demo", "--backpack", "my-app"]
    process = subprocess.Popen(
        [installed / "python", "-m", "backpack", "dev", *options],
        cwd=tmp_path,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert any("Backpack is ready" in line for line in process.stdout)
    yield json.loads((tmp_path / "ready.json").read_text("utf-8"))
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("/sdk.js", "dist/backpack.js"),
        ("/sdk.mjs", "dist/backpack.mjs"),
        ("/sdk.d.ts", "index.d.ts"),
    ],
)
def test_wheel_serves_the_sdk(ready: dict[str, str], path: str, file: str) -> None:
    host = ready["admin"].removeprefix("http://")

    answer = httpx.get(f"http://127.0.0.1:{ready['port']}{path}", headers={"host": host})

    assert (answer.status_code, answer.content) == (200, (ROOT / "sdk" / file).read_bytes())


def test_wheel_serves_its_pages(ready: dict[str, str]) -> None:
    url = f"http://127.0.0.1:{ready['port']}"
    pages = {"admin.bkpk.localhost": "/login", "my-app.bkpk.localhost": "/"}

    answers = [
        httpx.get(url + path, headers={"host": host}).status_code for host, path in pages.items()
    ]

    assert answers == [200, 200]


def test_wheel_serves_the_demo(ready: dict[str, str]) -> None:
    files = sorted(file.name for file in (ROOT / "backpack" / "demo" / "site").iterdir())
    url = f"http://127.0.0.1:{ready['port']}"

    answers = [
        httpx.get(f"{url}/{path}", headers={"host": "demo.bkpk.localhost"}).status_code
        for path in ("", *files)
    ]

    assert answers == [200] * (len(files) + 1)


def test_script_is_installed(installed: Path, tmp_path: Path) -> None:
    assert run(installed / "backpack", "--version", cwd=tmp_path) == f"backpack {__version__}\n"


def test_wheel_carries_its_folders(installed: Path, tmp_path: Path) -> None:
    code = "from backpack.assets import folder; print(folder('sdk'), folder('swarm'))"

    sdk, swarm = map(Path, run(installed / "python", "-c", code, cwd=tmp_path).split())

    assert sdk.is_relative_to(installed.parent)
    assert {entry.name for entry in swarm.iterdir()} == {
        entry.name for entry in (ROOT / "swarm").iterdir()
    }


def test_memory_says_what_to_install(installed: Path, tmp_path: Path) -> None:
    ended = subprocess.run(
        [installed / "backpack", "dev", "--memory"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (
        2,
        "backpack: --memory needs more packages: pip install 'backpack-baas[memory]'\n",
    )
