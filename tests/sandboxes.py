"""Sandboxes for tests: real processes of `python -m backpack dev`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

import backpack

_PATIENCE = 30.0  # seconds until an answer, and until a stopped sandbox has ended


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


def command(*arguments: str | Path) -> list[str]:
    """The command line of `python -m backpack`."""
    return [sys.executable, "-m", "backpack", *map(str, arguments)]


def environment() -> dict[str, str]:
    """The environment of a process that uses the same package as this one."""
    return {**os.environ, "PYTHONPATH": str(Path(backpack.__file__).parent.parent)}


class Sandbox:
    """A running `python -m backpack dev` on a free port, ready when the constructor returns.

    `ready` is what its ready file says, `table` what it has printed by then.
    """

    def __init__(self, folder: Path, *arguments: str | Path) -> None:
        ready = folder / f"ready-{os.urandom(4).hex()}.json"
        self.process = subprocess.Popen(
            command("dev", "--port", "0", "--ready-file", ready, *arguments),
            cwd=folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.table = self._read_until_ready()
        self.ready: dict[str, Any] = json.loads(ready.read_text("utf-8"))

    def _read_until_ready(self) -> list[str]:
        assert self.process.stdout is not None
        lines: list[str] = []
        for line in self.process.stdout:
            if line == "Backpack is ready\n":
                return lines
            lines.append(line.rstrip("\n"))
        raise AssertionError(f"it did not start: {self.process.communicate()[1]}")

    @property
    def names(self) -> list[str]:
        return [backpack["name"] for backpack in self.ready["backpacks"]]

    def __getitem__(self, name: str) -> dict[str, str]:
        """The ready file's entry of a backpack."""
        (found,) = (one for one in self.ready["backpacks"] if one["name"] == name)
        return dict(found)

    def get(self, host: str, path: str = "/") -> httpx.Response:
        """What `host`, such as `admin` or `my-app-be`, answers to a GET."""
        url = f"http://127.0.0.1:{self.ready['port']}{path}"
        headers = {"host": f"{host}.{self.ready['domain']}"}
        return httpx.get(url, headers=headers, timeout=_PATIENCE)

    def client(self, name: str = "my-app", **headers: str) -> httpx.Client:
        """A client of a backpack, with its API key."""
        described = self[name]
        headers = {"authorization": f"key {described['api_key']}", **headers}
        return httpx.Client(base_url=described["connect"], headers=headers, timeout=_PATIENCE)

    def stop(self, by: signal.Signals = signal.SIGTERM) -> Ended:
        """Send a signal and wait for the end."""
        self.process.send_signal(by)
        out, err = self.process.communicate(timeout=_PATIENCE)
        return Ended(self.process.returncode, out, err)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
