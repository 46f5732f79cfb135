"""Servers that tell their clients of every write: Backpack, alone or several, and PocketBase.

Each knows how it is started, how clients connect to it, and how a document is posted.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import httpx
from crowd import Opening, Writer, connect, websocket_opening
from load import LOAD_CORE, SERVER_CORE, Process, free_port, server
from peers import PocketBase, Sandbox

COLLECTION = "posts"
SOCKETS_OF_A_USER = 100  # what one may have

_ACCOUNT = "bench{}@example.com"
_PASSWORD = "correct horse battery"
VARIABLES = {
    "BACKPACK_REGISTRATIONS_PER_HOUR": "0",
    "BACKPACK_PING_INTERVAL": "3600",  # bytes that come are to be those of broadcasts
}


def document(size: int) -> bytes:
    """A JSON document of so many bytes."""
    bare = {"title": "A title of some length", "n": 5, "body": ""}
    bare["body"] = "x" * (size - len(json.dumps(bare)))
    return json.dumps(bare).encode()


class Broadcaster(Protocol):
    """Running processes with a collection whose every write they tell of."""

    name: str
    processes: Sequence[Process]

    def clients(self, number: int) -> list[socket.socket]:
        """So many connections to each process, that are told of every write."""

    def writer(self, document: bytes) -> Writer:
        """A client that posts a document."""


def _request(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    sent = {**headers, "content-type": "application/json", "content-length": str(len(body))}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


class Backpack:
    """A process of a backpack, and users of it whose clients are no pages."""

    name = "Backpack"

    def __init__(self, process: Process, port: int, host: str, key: str, users: int) -> None:
        self.processes: Sequence[Process] = [process]
        self._port, self._host = port, host
        self._key = {"host": host, "authorization": f"key {key}"}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
            client.headers.update(self._key)
            self.tokens = [_log_in(client, number) for number in range(users)]
            session = {"x-backpack-session": self.tokens[0]}
            made = {"collectionName": COLLECTION}
            client.post("/collections", json=made, headers=session).raise_for_status()

    def clients(self, number: int) -> list[socket.socket]:
        holders = [self.tokens[place // SOCKETS_OF_A_USER] for place in range(number)]
        openings = [websocket_opening(self._port, self._host, "/", token) for token in holders]
        return [own for own, _ in connect(openings)]

    def writer(self, document: bytes) -> Writer:
        headers = {**self._key, "x-backpack-session": self.tokens[0]}
        return Writer(self._port, _request("POST", f"/{COLLECTION}", headers, document))


class Replicas:
    """Several processes of one backpack; the first is written to."""

    name = "Backpack on MongoDB and Redis"

    def __init__(self, served: Sequence[Backpack]) -> None:
        self.processes: Sequence[Process] = [one.processes[0] for one in served]
        self._served = served

    def clients(self, number: int) -> list[socket.socket]:
        return [own for one in self._served for own in one.clients(number)]

    def writer(self, document: bytes) -> Writer:
        return self._served[0].writer(document)


def _log_in(client: httpx.Client, number: int) -> str:
    account: dict[str, Any] = {"email": _ACCOUNT.format(number), "password": _PASSWORD}
    client.post("/register", json=account)  # on another process it has been done before
    answer = client.post("/login", json={**account, "token": True}).raise_for_status()
    token: str = answer.json()["token"]
    return token


@contextmanager
def sandbox(folder: Path, users: int) -> Iterator[Backpack]:
    """`backpack dev` on SQLite files."""
    os.environ.update(VARIABLES)
    with Sandbox.started(folder) as started:
        facts = started.backpacks[0]
        host = facts["backend"].removeprefix("http://")
        yield Backpack(started.process, started.port, host, facts["api_key"], users)


@contextmanager
def replicas(mongo_wire: Path, number: int, users: int) -> Iterator[Replicas]:
    """So many of `backpack serve`, all on one core; the database and Redis are on the other."""
    redis = shutil.which("redis-server")
    if redis is None:
        raise SystemExit("redis-server is missing: apt-get install redis-server")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        mongo_port, redis_port, key = free_port(), free_port(), "bench-key-1234567890"
        wire = [str(mongo_wire), "-listen", f"127.0.0.1:{mongo_port}", "-dir", str(folder / "db")]
        redis_command = [redis, "--port", str(redis_port), "--save", "", "--appendonly", "no"]
        log = stack.enter_context((folder / "log").open("wb"))  # that database is talkative
        for command, port in ((wire, mongo_port), (redis_command, redis_port)):
            stack.enter_context(server(command, LOAD_CORE, log=log)).wait_for_port(port)
        variables = {
            **VARIABLES,
            "BACKPACK_NAME": "bench",
            "BACKPACK_DOMAIN": "example.com",
            "BACKPACK_API_KEY": key,
            "BACKPACK_MONGO_URL": f"mongodb://127.0.0.1:{mongo_port}/",
            "BACKPACK_REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
            "BACKPACK_FILES": str(folder / "files"),
            "BACKPACK_HOST": "127.0.0.1",
            "BACKPACK_DRAIN": "0",
        }
        command = [sys.executable, "-m", "backpack", "serve"]
        served: list[Backpack] = []
        for port in [free_port() for _ in range(number)]:
            own = {**variables, "BACKPACK_PORT": str(port)}
            process = stack.enter_context(server(command, SERVER_CORE, own))
            process.wait_until(partial(_is_well, port))
            served.append(Backpack(process, port, "bench-be.example.com", key, users))
        yield Replicas(served)


def _is_well(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=5).is_success
    except httpx.TransportError:
        return False


class Events:
    """PocketBase, which is open to everybody; its clients listen to server-sent events."""

    name = "PocketBase"

    def __init__(self, peer: PocketBase) -> None:
        self.processes: Sequence[Process] = [peer.process]
        self._peer = peer
        self._host = {"host": f"127.0.0.1:{peer.port}"}
        peer.make(COLLECTION, 0)

    def clients(self, number: int) -> list[socket.socket]:
        port, path = self._peer.port, "/api/realtime"
        stream = _request("GET", path, {**self._host, "accept": "text/event-stream"})
        opened = connect([Opening(port, stream, b'"}\n\n')] * number)
        for start in range(0, number, 100):
            calls = [self._subscription(path, said) for _, said in opened[start : start + 100]]
            for own, _ in connect([Opening(port, call, b"HTTP/1.1 204") for call in calls]):
                own.close()
        return [own for own, _ in opened]

    def _subscription(self, path: str, said: bytes) -> bytes:
        found = re.search(rb'"clientId":"(\w+)"', said)
        assert found, said
        wanted = {"clientId": found[1].decode(), "subscriptions": [f"{COLLECTION}/*"]}
        return _request("POST", path, self._host, json.dumps(wanted).encode())

    def writer(self, document: bytes) -> Writer:
        call = self._peer.call("POST", f"{COLLECTION}/records", document.decode())
        return Writer(self._peer.port, call)


@contextmanager
def pocketbase(binary: Path, folder: Path) -> Iterator[Events]:
    with PocketBase.started(binary, folder) as peer:
        yield Events(peer)
