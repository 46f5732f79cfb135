"""Random clients on real processes that are killed and started again, and so is Redis.

BACKPACK_CHAOS is how many times as long it runs; BACKPACK_CHAOS_SEED is another run.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import httpx
import pytest

from tests import services
from tests.chaos.clients import PATIENCE, Client, World, channels_of
from tests.chaos.history import History
from tests.sandboxes import Sandbox, command, environment
from tests.services import Service, free_port
from tests.servings import KEY, VARIABLES, Serving

USERS, CLIENTS = 6, 18
LENGTH = int(os.environ.get("BACKPACK_CHAOS", "1"))
TURNS = 60 * LENGTH  # of each client
SEED = os.environ.get("BACKPACK_CHAOS_SEED", "1")
OWN = dict.fromkeys(("list", "read", "create", "update", "delete"), "owner")
RULES = {"diaries": {**OWN, "create": "user"}, "infos": {**OWN, "create": "user"}}
_PAUSE = 0.05  # seconds between two looks
_OUTAGE = 3.0  # seconds that one lasts at most
_LISTEN = "0A"  # a state in /proc/net/tcp
COLLECTIONS = ("cars", "diaries", "messages", "infos", "rooms")


Fault = tuple[Callable[[], None], Callable[[], None]]  # what ends something, what starts it again


class Deployment(Protocol):
    """What the clients talk to. Everything here takes its time and runs in a thread.

    `replicated`: several processes. `urls`: of those that are running.
    """

    replicated: bool
    host: str
    key: str
    urls: list[str]

    def faults(self) -> list[Fault]:
        """What is done in this order while the clients act."""

    def processes(self) -> list[subprocess.Popen[str]]:
        """Those that are running."""

    def operate(self, *arguments: str | Path) -> None:
        """Run a command of the operator."""

    def stop(self) -> list[str]:
        """End by SIGTERM; what the processes have written to their logs in all their lives."""


class InSandbox:
    """A backpack in a sandbox, on SQLite."""

    replicated = False
    key = "chaos-key-1"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._logs: list[str] = []
        self.urls: list[str] = []
        self._start()
        self.host = self._sandbox["my-app"]["backend"].removeprefix("http://")

    def _start(self) -> None:
        mine = ("--data", self._folder / "data", "--backpack", f"my-app={self.key}")
        self._sandbox = Sandbox(self._folder, *mine, "--port", str(self._port))
        self.urls.append(f"http://127.0.0.1:{self._port}")

    def _kill(self) -> None:
        self.urls.clear()
        self._logs.append(self._sandbox.stop(signal.SIGKILL).err)

    def faults(self) -> list[Fault]:
        return [(self._kill, self._start)] * 3

    def processes(self) -> list[subprocess.Popen[str]]:
        return [self._sandbox.process]

    def operate(self, *arguments: str | Path) -> None:
        _run(self._folder, environment(), "rules", "my-app", *arguments, "--data", "data")

    def stop(self) -> list[str]:
        ended = self._sandbox.stop()
        assert ended.code == 0
        return [*self._logs, ended.err]


class Served:
    """Two processes of a backpack on MongoDB and Redis."""

    replicated = True
    key = KEY

    def __init__(self, folder: Path, mongo_url: str, redis: Service) -> None:
        self._folder = folder
        self._redis = redis
        self._variables = {
            **VARIABLES,
            "BACKPACK_NAME": f"chaos-{os.urandom(6).hex()}",
            "BACKPACK_MONGO_URL": mongo_url,
            "BACKPACK_REDIS_URL": f"redis://127.0.0.1:{redis.port}/0",
        }
        self._logs: list[str] = []
        self.urls: list[str] = []
        self._servings: list[Serving] = []
        for _ in range(2):
            self._start()
        self.host = self._servings[0].host

    def _start(self) -> None:
        serving = Serving(self._folder, self._variables)
        serving.wait_until_well()
        self._servings.append(serving)
        self.urls.append(_url(serving))

    def _kill(self) -> None:
        serving = self._servings.pop(0)
        self.urls.remove(_url(serving))
        self._logs.append(serving.stop(signal.SIGKILL).err)

    def _start_redis(self) -> None:
        self._redis.start()
        for serving in self._servings:
            serving.wait_until_well()

    def faults(self) -> list[Fault]:
        redis: Fault = (self._redis.kill, self._start_redis)
        return [(self._kill, self._start), redis, redis]

    def processes(self) -> list[subprocess.Popen[str]]:
        return [serving.process for serving in self._servings]

    def operate(self, *arguments: str | Path) -> None:
        name = self._variables["BACKPACK_NAME"]
        variables = {**environment(), **self._variables}
        _run(self._folder, variables, "rules", "--served", name, *arguments)

    def stop(self) -> list[str]:
        ended = [serving.stop() for serving in self._servings]
        assert [one.code for one in ended] == [0, 0]
        return [*self._logs, *(one.err for one in ended)]


def _url(serving: Serving) -> str:
    return f"http://127.0.0.1:{serving.port}"


def _run(folder: Path, variables: dict[str, str], *arguments: str | Path) -> None:
    ended = subprocess.run(
        command(*arguments), cwd=folder, env=variables, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr


async def run(deployment: Deployment, folder: Path) -> None:
    """Everything that is done to a deployment, and everything that must be true after it."""
    rules = folder / "rules.json"
    rules.write_text(json.dumps(RULES), "utf-8")
    await asyncio.to_thread(deployment.operate, rules)
    history = History(deployment.replicated)
    world = World(deployment.host, deployment.key, history, deployment.urls)
    users = [await log_in(world, number) for number in range(USERS)]
    await make_collections(world, users[0])
    clients = [
        Client(number, *users[number % USERS], world, SEED, resumes=number % 3 != 0)
        for number in range(CLIENTS)
    ]
    await asyncio.gather(*(client.dial() for client in clients))
    started = time.monotonic()

    async with asyncio.TaskGroup() as tasks:
        for client in clients:
            tasks.create_task(client.run(TURNS))
        tasks.create_task(harm(deployment, world))
        tasks.create_task(try_as_guest(world))
    await settle(world, clients)
    await look(world, clients)
    problems = history.problems()
    tell(history, world, time.monotonic() - started)
    await leave_nothing(deployment, clients)

    assert not problems, "\n".join(problems[:20])


async def log_in(world: World, number: int) -> tuple[str, str]:
    """The id and a token of a new user."""
    account = {"email": f"user{number}@example.com", "password": "correct horse"}
    headers = {"host": world.host, "authorization": f"key {world.key}"}
    async with httpx.AsyncClient(base_url=world.urls[0], headers=headers, timeout=PATIENCE) as http:
        (await http.post("/register", json=account)).raise_for_status()
        answer = await http.post("/login", json={**account, "token": True})
        found = answer.raise_for_status().json()
    return found["id"], found["token"]


async def make_collections(world: World, user: tuple[str, str]) -> None:
    headers = {"host": world.host, "authorization": f"key {world.key}"}
    headers["x-backpack-session"] = user[1]
    async with httpx.AsyncClient(base_url=world.urls[0], headers=headers, timeout=PATIENCE) as http:
        for name in COLLECTIONS:
            answer = await http.post("/collections", json={"collectionName": name})
            answer.raise_for_status()


async def harm(deployment: Deployment, world: World) -> None:
    """Kill and start again, at turns that are evenly spread, with some turns between the two.

    While nothing runs there are no turns; then it is started again at once.
    """
    faults = deployment.faults()
    step = CLIENTS * TURNS // (len(faults) + 1)
    for number, (end, start) in enumerate(faults, 1):
        await world.reach(number * step)
        await asyncio.to_thread(end)
        if world.urls:
            # Who is cut off without Redis takes no more turns: it may be that nobody does.
            with suppress(TimeoutError):
                async with asyncio.timeout(_OUTAGE):
                    await world.reach(number * step + step // 3)
        await asyncio.to_thread(start)


async def try_as_guest(world: World) -> None:
    """Who is not logged in changes nothing and hears nothing."""
    headers = {"host": world.host, "authorization": f"key {world.key}"}
    async with httpx.AsyncClient(headers=headers, timeout=PATIENCE) as http:
        for turn in range(0, CLIENTS * TURNS, CLIENTS * TURNS // 20):
            await world.reach(turn)
            for url in tuple(world.urls):
                try:
                    answer = await http.post(f"{url}/cars", json={"w": -1})
                except httpx.TransportError:
                    continue
                if answer.status_code not in (403, 503):
                    world.fault(f"a guest got {answer.status_code} {answer.text}")


async def settle(world: World, clients: list[Client]) -> None:
    """Connect whoever is away, and wait until everybody has heard what there is to hear."""
    for client in clients:
        if not client.is_connected:
            await client.dial()
    marked = await clients[0].ask({"action": "broadcast", "mark": 1})
    assert marked["action"] == "broadcast", marked
    await asyncio.gather(*(client.heard(1) for client in clients))


async def look(world: World, clients: list[Client]) -> None:
    """Note what is there in the end."""
    for client in clients[:USERS]:
        for collection in ("cars", "diaries"):
            for record in await client.get(f"/{collection}"):
                world.history.final[(collection, record["_id"])] = record
        world.history.members[client.user] = await client.members()
        (info,) = await client.get("/infos")
        assert channels_of(info) == world.history.members[client.user]


async def leave_nothing(deployment: Deployment, clients: list[Client]) -> None:
    """When all have gone nobody is there, no connection is left, and the processes end well."""
    last, *others = clients
    await asyncio.gather(*(client.close() for client in others))
    async with asyncio.timeout(PATIENCE):
        # Those who were in a process that was killed are seen for half a minute more.
        while LENGTH > 1 or not deployment.replicated:
            if (await last.ask({"action": "presence"})).get("users") == [last.user]:
                break
            await asyncio.sleep(_PAUSE)
        await last.close()
        while any(connections_of(process) for process in deployment.processes()):
            await asyncio.sleep(_PAUSE)
    for log in await asyncio.to_thread(deployment.stop):
        assert "Traceback" not in log, log
        assert "Task was destroyed" not in log, log


def connections_of(process: subprocess.Popen[str]) -> int:
    """How many TCP connections have come to a process and are not gone."""
    folder = Path(f"/proc/{process.pid}")
    own = {os.readlink(one) for one in (folder / "fd").iterdir() if one.is_symlink()}
    lines = [line.split() for line in (folder / "net/tcp").read_text().splitlines()[1:]]
    mine = [line for line in lines if f"socket:[{line[9]}]" in own]
    ports = {line[1] for line in mine if line[3] == _LISTEN}
    return sum(line[1] in ports for line in mine if line[3] != _LISTEN)


def tell(history: History, world: World, seconds: float) -> None:
    """What the run was, for who runs it with -s."""
    outcomes = Counter(request.outcome for request in history.requests)
    told = sum(len(log.told) for log in history.logs)
    links = sum(len(log.greeted) for log in history.logs)
    reloads = sum(one.frame["action"] == "reload" for log in history.logs for one in log.told)
    print(
        f"{len(history.logs)} clients, {world.turns} turns, {links} connections, {told} frames,"
        f" {reloads} reloads, requests {dict(outcomes)}, {seconds:.1f} s"
    )


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Service]:
    """It keeps every write on disk before it answers."""
    folder = tmp_path / "redis"
    folder.mkdir()
    with services.redis(folder, "--appendonly", "yes", "--appendfsync", "always") as service:
        yield service


async def test_sandbox_killed_again_and_again(tmp_path: Path) -> None:
    await run_and_end(await asyncio.to_thread(InSandbox, tmp_path), tmp_path)


async def test_servers_and_redis_killed(tmp_path: Path, mongo_url: str, redis: Service) -> None:
    await run_and_end(await asyncio.to_thread(Served, tmp_path, mongo_url, redis), tmp_path)


async def run_and_end(deployment: Deployment, folder: Path) -> None:
    try:
        await run(deployment, folder)
    finally:
        for process in deployment.processes():
            process.kill()
            await asyncio.to_thread(process.communicate)
