"""Backpacks of a swarm for the HTTP contract: tests use them one after the other, since it takes
Docker seconds to make one. This process looks after them by way of their databases."""

from __future__ import annotations

import itertools
import json
import secrets
import subprocess
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pymongo
import redis

from backpack import events
from backpack.drivers.deployment import Deployment
from backpack.drivers.stacks import PORT, BackpackSpec, backpack, platform
from backpack.homes import Servers
from backpack.names import new_key
from backpack.testing import BackpackServer, Seed, TestBackpack
from backpack.users import User
from tests.deployments import Shared
from tests.replicas import SETTINGS
from tests.swarm.forwarding import Forwarding
from tests.swarm.lab import Lab, Node
from tests.swarm.web import Edge, until
from tests.talk import open_socket

_NAMES = ("first", "second")
_PASSWORD = "s3cret"
_REPLICAS = 2
_LISTENERS = _REPLICAS + 2  # the APIs, the files, and this process
_DATABASES = {"mongo": 27_017, "redis": 6_379}
_HOW = "?authSource=admin&authMechanism=SCRAM-SHA-256"
_NETWORKS = {"backpack-edge": "10.117.0.0/20", "backpack-admin": "10.117.16.0/20"}
_PATIENCE = 300.0  # seconds until a task runs, on a busy machine
_PAUSE = 0.001  # seconds between two looks at who has heard everything


class Pool:
    """The edge of a lab, and two backpacks behind it, whose data are on one node each where there
    are several."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self._lab = lab
        self._folder = folder
        self._free: list[tuple[Stacked, Future[None]]] = []
        self._stack = ExitStack()
        self._emptying = self._stack.enter_context(ThreadPoolExecutor(len(_NAMES)))
        self.port = 0  # the tests' own; nobody serves there

    def start(self) -> None:
        lab = self._lab
        for name, subnet in _NETWORKS.items():
            lab.docker("network", "create", "--driver", "overlay", "--subnet", subnet, name)
        self._secret("backpack_secret", "s3cret")
        deployment = Deployment(
            lab.domain,
            acme_server=lab.acme_url,
            acme_root=lab.acme_ca.read_text("utf-8"),
            vip=False,
            health_interval=5,
            drain=0.0,
            settings={"registrations_per_hour": "0"},
        )
        self._deploy("backpack", platform(deployment))
        nodes = lab.docker("node", "ls", "--format", "{{.ID}}").split()
        for name, node in zip(_NAMES, itertools.cycle(nodes)):
            spec = BackpackSpec(name, replicas=_REPLICAS, node=node)
            for kind, value in _secrets().items():
                self._secret(f"{spec.stack}_{kind}", value)
            self._deploy(spec.stack, backpack(deployment, spec))
        edge = Edge(lab)
        for name in _NAMES:
            served = Stacked(self, lab, edge, name, self._folder / name)
            served.start()
            self._stack.callback(served.stop)
            self.release(served)

    def _secret(self, name: str, value: str) -> None:
        self._tell(value, "secret", "create", name, "-")

    def _deploy(self, stack: str, text: str) -> None:
        quick = ("--detach=true", "--resolve-image", "never")
        self._tell(text, "stack", "deploy", *quick, "--compose-file", "-", stack)

    def _tell(self, text: str, *words: str) -> None:
        command = ["docker", "--host", self._lab.docker_host, *words]
        subprocess.run(command, input=text, text=True, check=True, capture_output=True)

    def stop(self) -> None:
        with self._stack:
            for _, emptied in self._free:
                emptied.result(_PATIENCE)

    def create(self, name: str | None = None, *, seed: Seed | None = None) -> TestBackpack:
        """An empty backpack; its name is its own."""
        served, emptied = self._free.pop(0)
        emptied.result(_PATIENCE)
        return served.create(seed=seed)

    def release(self, served: Stacked) -> None:
        """Empty a backpack, and have it for the next test but one."""
        self._free.append((served, self._emptying.submit(served.empty)))


class Stacked(Shared):
    """One backpack of the swarm, which is emptied for each test."""

    def __init__(self, pool: Pool, lab: Lab, edge: Edge, name: str, folder: Path) -> None:
        self._pool = pool
        self._edge = edge
        self._label = name
        self._backend = f"{name}-be.{lab.domain}"
        mongo, cache = (
            _forward(lab, f"bp-{name}_{part}", port)[0] for part, port in _DATABASES.items()
        )
        self._processes = _forward(lab, f"bp-{name}_api", PORT, _REPLICAS)
        self._forwardings = (mongo, cache, *self._processes)
        redis_url = f"redis://:{_PASSWORD}@127.0.0.1:{cache.port}/0"
        mongo_url = f"mongodb://backpack:{_PASSWORD}@127.0.0.1:{mongo.port}/{_HOW}"
        super().__init__(
            lambda settings: Servers(settings, mongo_url, redis_url, folder),
            replace(SETTINGS, domain=lab.domain),
        )
        self._redis = redis.Redis.from_url(redis_url)
        self._mongo: pymongo.MongoClient[Any] = pymongo.MongoClient(mongo_url)
        self.addresses = [f"https://{lab.edge}"]
        self.trust = edge.trust

    def start(self) -> BackpackServer:
        until(self._has_databases, "databases answer", _PATIENCE)
        super().start()
        assert self._tenants is not None
        self._backpack = BackpackServer.call(self, self._tenants.create(self._label))
        self._edge.until_answers(self._backend, patience=_PATIENCE)
        until(lambda: self._listeners() == _LISTENERS, "all processes run", _PATIENCE)
        return self

    def _has_databases(self) -> bool:
        with suppress(pymongo.errors.PyMongoError, redis.RedisError):
            self._mongo.admin.command("ping")
            return bool(self._redis.ping())
        return False

    def stop(self) -> None:
        super().stop()
        self._redis.close()
        self._mongo.close()
        for forwarding in self._forwardings:
            forwarding.stop()

    def create(self, name: str | None = None, *, seed: Seed | None = None) -> TestBackpack:
        """The backpack, which has been emptied."""
        made = TestBackpack(self, self._backpack)
        if seed is not None:
            made.seed(seed)
        return made

    def delete(self, name: str) -> None:
        self._pool.release(self)

    def empty(self) -> None:
        """Make the backpack as if it were new; nobody of the last test is there any more."""
        if self.had_sockets:
            self._wait_until_ends_are_told()
            self.had_sockets = False
        for collection in BackpackServer.call(self, self._backpack.store.collections()):
            BackpackServer.call(self, self._backpack.delete_collection(collection))
        database = self._mongo[f"backpack_{self._label}"]
        for collection in database.list_collection_names():
            if collection != "_backpack":  # with the indexes that its processes have made
                database[collection].delete_many({})
        bus = f"{self._label}:bus".encode()
        for key in self._redis.scan_iter(f"{self._label}:*"):
            if key != bus:
                self._redis.delete(key)
        first = {"apiKey": new_key(), "previousKey": None, "previousUntil": 0.0, "rules": "{}"}
        self.call(self._backpack._change_config(first))

    def _wait_until_ends_are_told(self) -> None:
        """Return when all have heard of all sockets that have ended.

        Each process tells of the ends in their order. So there is one more, in each process.
        """
        ended = {secrets.token_hex(12): threading.Event() for _ in self._processes}

        def hear(_seq: str, event: events.Event) -> None:
            message = json.loads(event.text)
            if message["action"] == "close" and message.get("userId") in ended:
                ended[message["userId"]].set()

        stop_hearing = self._backpack.hub.overhear(hear)
        for process, user in zip(self._processes, ended, strict=True):
            known = User(user, f"{user}@example.com", "2020-01-01T00:00:00.000Z", "")
            token, _ = BackpackServer.call(self, self._backpack.sessions.create(known))
            offers = ["backpack", f"backpack.session.{token}"]
            address = f"http://127.0.0.1:{process.port}/"
            open_socket(address, host=self._backend, subprotocols=offers).close()
        assert all(event.wait(_PATIENCE) for event in ended.values())
        stop_hearing()
        while BackpackServer.call(self, self._backpack.hub.presence.users(None)):
            time.sleep(_PAUSE)

    def catch_up(self) -> None:
        """Return when every process has heard all that was sent on the bus so far: each waits for
        more."""
        ends = time.monotonic() + _PATIENCE
        while (found := self._listeners()) < _LISTENERS:
            assert time.monotonic() < ends, "a process has stopped listening"
            time.sleep(_PAUSE)
        assert found == _LISTENERS, self._redis.client_list()

    def _listeners(self) -> int:
        """How many processes wait for the next message of the bus."""
        clients = self._redis.client_list()
        return sum(one["cmd"] == "xread" and "b" in one["flags"] for one in clients)

    def host_url(self, label: str) -> str:
        assert self._tenants is not None
        return f"https://{label}.{self._tenants.settings.domain}"


def _secrets() -> dict[str, str]:
    return {
        "api_key": new_key(),
        "console_token": "console-token-of-the-contract",
        "site_token": "site-token",
        "mongo_password": _PASSWORD,
        "redis_conf": f"requirepass {_PASSWORD}\n",
        "mongo_url": f"mongodb://backpack:{_PASSWORD}@mongo:27017/{_HOW}",
        "redis_url": f"redis://:{_PASSWORD}@redis:6379/0",
    }


def _forward(lab: Lab, service: str, port: int, tasks: int = 1) -> list[Forwarding]:
    """A port of each container of a service, as soon as these run."""

    def find() -> list[tuple[Node, str]]:
        chosen = ("--filter", f"label=com.docker.swarm.service.name={service}")
        found = [
            (node, container)
            for node in lab.nodes
            for container in lab.docker("ps", "--quiet", *chosen, node=node).split()
        ]
        return found if len(found) == tasks else []

    found = until(find, f"{service} runs", _PATIENCE)
    return [Forwarding(lab, node, container, port) for node, container in found]
