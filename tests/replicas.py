"""Processes that serve the same backpacks on one MongoDB and one Redis, for the HTTP contract.

Each is what `python -m backpack serve` runs, but for many backpacks in turn: a process for every
test would take a second of the machine. The module itself is the program that is run.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from backpack import process
from backpack.app import create_backend
from backpack.health import Health
from backpack.homes import Servers
from backpack.redis_bus import RedisBus
from backpack.server import Server
from backpack.settings import Settings
from backpack.tenants import Tenants
from tests.sandboxes import environment

# Queries have as long as they need on a machine that has much else to do.
SETTINGS = Settings(dev=True, cheap_passwords=True, registrations_per_hour=0, query_deadline=60.0)


class Replica:
    """A test's side of such a process: one line of JSON asks, one answers."""

    def __init__(self, mongo_url: str, redis_url: str, files: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.replicas", mongo_url, redis_url, str(files)],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lock = threading.Lock()
        self.port: int = self._answer()

    def open(self, name: str) -> None:
        """Serve a backpack that is there."""
        self._ask("open", name)

    def catch_up(self) -> None:
        """Return when the process has heard all that was sent on its backpacks' buses so far."""
        self._ask("catch_up", "")

    def close(self, name: str) -> None:
        """Let go of a backpack."""
        self._ask("close", name)

    def stop(self) -> None:
        self._process.communicate(timeout=30)
        assert self._process.returncode == 0

    def _ask(self, *words: str) -> Any:
        with self._lock:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(words) + "\n")
            self._process.stdin.flush()
            return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


class _Kept(Servers):
    """Others delete what is in the databases; to delete a backpack here is to let go of it."""

    async def delete(self, name: str) -> None:
        return None


async def _open(tenants: Tenants, name: str) -> None:
    await tenants.create(name)


async def _close(tenants: Tenants, name: str) -> None:
    await tenants.delete(name)


async def _catch_up(tenants: Tenants, _: str) -> None:
    for name in tenants.names():
        bus = (await tenants.backpack(name)).bus
        assert isinstance(bus, RedisBus)
        newest = await bus._newest() or "0-0"
        while _order(bus.position) < _order(newest):
            await asyncio.sleep(0)


def _order(seq: str) -> list[int]:
    return [int(number) for number in seq.split("-")]


_ANSWERS = {"open": _open, "close": _close, "catch_up": _catch_up}


async def _main(mongo_url: str, redis_url: str, files: str) -> None:
    tenants = Tenants(SETTINGS, _Kept(SETTINGS, mongo_url, redis_url, Path(files)))
    server = Server(create_backend(tenants, Health()))
    await server.start("127.0.0.1", 0)
    print(server.port, flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        word, name = json.loads(line)
        await _ANSWERS[word](tenants, name)
        print("null", flush=True)
    await server.stop()
    await tenants.close()


if __name__ == "__main__":
    process.run(_main(*sys.argv[1:]), SETTINGS)
