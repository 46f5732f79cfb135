"""Served backpacks for tests: real processes of `python -m backpack serve`."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from tests.sandboxes import Ended, command, environment

KEY = "shop-key-1"
ACCOUNT = {"email": "ada@example.org", "password": "correct horse"}
VARIABLES = {
    "BACKPACK_NAME": "shop",
    "BACKPACK_DOMAIN": "example.com",
    "BACKPACK_API_KEY": KEY,
    "BACKPACK_HOST": "127.0.0.1",
    "BACKPACK_PORT": "0",
    "BACKPACK_DRAIN": "0",
}

_PATIENCE = 60.0  # seconds until what must come has come
_PAUSE = 0.02  # seconds between two looks


class Serving:
    """A running `python -m backpack serve`; it accepts connections when the constructor returns."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self._clients: list[httpx.Client] = []
        self._log = folder / f"log-{time.monotonic_ns()}"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command("serve"),
                cwd=folder,
                env={**environment(), **variables},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("Backpack serves "), self.log
        self.host = line.split()[2]
        self.port = int(line.split()[-1])

    @property
    def log(self) -> str:
        return self._log.read_text("utf-8")

    def client(self, token: str = "", *, key: str = KEY, host: str = "") -> httpx.Client:
        """A client with the API key, and logged in with a token; it is closed at the end."""
        headers = {"host": host or self.host, "authorization": f"key {key}"}
        if token:
            headers["x-backpack-session"] = token
        client = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=_PATIENCE
        )
        self._clients.append(client)
        return client

    def health(self, question: str = "") -> tuple[int, dict[str, Any]]:
        """What `/healthz` says to one who asks by address, as proxies do."""
        answer = httpx.get(f"http://127.0.0.1:{self.port}/healthz{question}", timeout=_PATIENCE)
        return answer.status_code, answer.json()

    def wait_until_well(self) -> None:
        wait_until(lambda: self.health() == (200, {"status": "ok"}))

    def wait_until_ill(self, why: str) -> None:
        wait_until(lambda: self.health() == (503, {"message": why, "code": "unavailable"}))

    def log_in(self) -> str:
        """The token of a new session of a user, who is registered when that is not done yet."""
        guest = self.client()
        guest.post("/register", json=ACCOUNT)
        answer = guest.post("/login", json={**ACCOUNT, "token": True}).raise_for_status()
        token: str = answer.json()["token"]
        return token

    def stop(self, by: signal.Signals = signal.SIGTERM) -> Ended:
        """Send a signal and wait for the end."""
        self.process.send_signal(by)
        out, _ = self.process.communicate(timeout=_PATIENCE)
        return Ended(self.process.returncode, out, self.log)

    def __enter__(self) -> Serving:
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


def wait_for(client: httpx.Client, path: str, status: int) -> None:
    """Return when a GET is answered with that status."""
    wait_until(lambda: client.get(path).status_code == status)


def wait_until(condition: Callable[[], bool]) -> None:
    """Return when `condition` holds; fail when it does not come to that."""
    ends = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < ends, "it has not come to that"
        time.sleep(_PAUSE)
