"""What is measured beside one another: Backpack, PocketBase, and Sanic's floor.

Each knows how it is started and filled, and how the same question is put to it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import httpx
from load import Process, Run, free_port, load, server

HERE = Path(__file__).parent
PAGE = 30
LEAST_N = 500  # that the filter asks for
SAMPLE = 5_000  # ids that are asked for in turn: more than any cache of paths holds

_BATCH = 1_000
_ACCOUNT = {"email": "bench@example.com", "password": "correct horse battery"}


def document(n: int) -> dict[str, Any]:
    return {
        "title": f"A title of some length, number {n}",
        "body": "lorem ipsum " * 16,
        "tags": ["a", "b", "c"],
        "n": n,
    }


_STEP = 7_919  # a prime, so that its multiples reach every number below a power of ten


def documents(count: int) -> list[dict[str, Any]]:
    """Documents of n = 0 to `count` - 1, in no order."""
    return [document(place * _STEP % count) for place in range(count)]


class Peer(Protocol):
    """A running server with collections. `requests` are bytes, ready to be sent in turn."""

    name: str
    process: Process
    port: int

    def make(self, collection: str, count: int) -> None:
        """A new collection of so many `documents`."""

    def get_one(self, collection: str) -> list[bytes]: ...

    def get_page(self, collection: str) -> list[bytes]: ...

    def filter(self, collection: str) -> list[bytes]: ...

    def create(self, collection: str, count: int) -> list[bytes]: ...


def spread(ids: Sequence[str]) -> list[str]:
    """At most SAMPLE ids, from everywhere."""
    return list(ids[:: -(-len(ids) // SAMPLE) or 1])


class Floor:
    """Sanic answering a constant."""

    def __init__(self, process: Process, port: int, folder: Path) -> None:
        self.process, self.port, self.folder = process, port, folder

    @classmethod
    @contextmanager
    def started(cls, folder: Path) -> Iterator[Floor]:
        ready = folder / "floor.json"
        with server([sys.executable, str(HERE / "floor.py"), str(ready)]) as process:
            yield cls(process, process.wait_for(ready)["port"], folder)

    def run(self, seconds: int) -> Run:
        call = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n\r\n".encode()
        return load(self.process, self.port, [call], self.folder, seconds=seconds)


class App:
    """A page of one backpack's frontend, whose user has logged in by cookie."""

    def __init__(self, facts: dict[str, str], port: int) -> None:
        self._headers = {
            "Host": facts["backend"].removeprefix("http://"),
            "authorization": f"key {facts['api_key']}",
            "origin": facts["frontend"],
            "content-type": "application/json",
        }
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120)
        self.client.headers.update(self._headers)
        self.post("/register", _ACCOUNT)
        answer = self.post("/login", _ACCOUNT)
        self._headers["cookie"] = answer.headers["set-cookie"].partition(";")[0]
        self.client.headers.update(self._headers)
        self._ids: dict[str, list[str]] = {}

    def post(self, path: str, body: Any) -> httpx.Response:
        return self.client.post(path, json=body).raise_for_status()

    def make(self, collection: str, count: int) -> None:
        self.post("/collections", {"collectionName": collection})
        ids = self._ids[collection] = []
        made = documents(count)
        for start in range(0, count, _BATCH):
            batch = made[start : start + _BATCH]
            ids += [one["_id"] for one in self.post(f"/{collection}", batch).json()]

    def call(self, method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
        length = {"content-length": str(len(body))} if body else {}
        sent = self._headers | headers | length
        head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body

    def get_one(self, collection: str) -> list[bytes]:
        return [self.call("GET", f"/{collection}/{one}") for one in spread(self._ids[collection])]

    def get_page(self, collection: str) -> list[bytes]:
        return [self.call("GET", f"/{collection}?limit={PAGE}")]

    def filter(self, collection: str) -> list[bytes]:
        wanted = quote(json.dumps({"n": {"$gt": LEAST_N}}, separators=(",", ":")))
        return [self.call("GET", f"/{collection}?filter={wanted}&sort=-n&limit={PAGE}")]

    def create(self, collection: str, count: int) -> list[bytes]:
        path = f"/{collection}"
        return [self.call("POST", path, json.dumps(one).encode()) for one in documents(count)]


class Sandbox:
    """`backpack dev` on a folder, with an app for the first of its backpacks."""

    name = "backpack"

    def __init__(self, process: Process, facts: dict[str, Any], data: Path) -> None:
        self.process = process
        self.port: int = facts["port"]
        self.backpacks: list[dict[str, str]] = facts["backpacks"]
        self.data = data
        self.started_mb = process.memory_mb()

    @classmethod
    @contextmanager
    def started(cls, folder: Path, *options: str) -> Iterator[Sandbox]:
        ready, data = folder / "backpack.json", folder / "backpack"
        command = [sys.executable, "-m", "backpack", "dev", "--port", "0", "--data", str(data)]
        with server([*command, "--ready-file", str(ready), *options]) as process:
            yield cls(process, process.wait_for(ready), data)


class Backpack(App):
    name = Sandbox.name

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox.backpacks[0], sandbox.port)
        self.process, self.port = sandbox.process, sandbox.port


class PocketBase:
    """PocketBase with one collection's fields and rules that let everybody do everything."""

    name = "pocketbase"

    _FIELDS = (
        {"name": "title", "type": "text"},
        {"name": "body", "type": "text"},
        {"name": "tags", "type": "json"},
        {"name": "n", "type": "number"},
        {"name": "createdAt", "type": "autodate", "onCreate": True},
    )

    def __init__(self, process: Process, port: int, folder: Path) -> None:
        self.process, self.port, self._folder = process, port, folder
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{port}/api", timeout=120)
        login = {"identity": _ACCOUNT["email"], "password": _ACCOUNT["password"]}
        answer = self._client.post("/collections/_superusers/auth-with-password", json=login)
        self._client.headers["authorization"] = answer.raise_for_status().json()["token"]

    @classmethod
    @contextmanager
    def started(cls, binary: Path, folder: Path) -> Iterator[PocketBase]:
        port, data = free_port(), ["--dir", str(folder / "pocketbase")]
        account = [_ACCOUNT["email"], _ACCOUNT["password"]]
        upsert = [str(binary), "superuser", "upsert", *account, *data]
        subprocess.run(upsert, check=True, stdout=subprocess.DEVNULL)
        with server([str(binary), "serve", "--http", f"127.0.0.1:{port}", *data]) as process:
            process.wait_for_port(port)
            yield cls(process, port, folder)

    def make(self, collection: str, count: int) -> None:
        actions = ("list", "view", "create", "update", "delete")
        rules = {f"{action}Rule": "" for action in actions}
        body = {"name": collection, "type": "base", "fields": self._FIELDS, **rules}
        self._client.post("/collections", json=body).raise_for_status()
        if count:
            calls = self.create(collection, count)
            load(self.process, self.port, calls, self._folder, connections=16, count=count)

    def call(self, method: str, path: str, body: str = "") -> bytes:
        length = f"content-length: {len(body)}\r\n" if body else ""
        head = f"Host: 127.0.0.1:{self.port}\r\ncontent-type: application/json\r\n{length}"
        path = f"/api/collections/{path}"
        return f"{method} {path} HTTP/1.1\r\n{head}\r\n{body}".encode()

    def get_one(self, collection: str) -> list[bytes]:
        ids: list[str] = []
        for page in range(1, 6):
            query: dict[str, str | int] = {
                "perPage": 1_000,
                "page": page,
                "fields": "id",
                "skipTotal": 1,
            }
            answer = self._client.get(f"/collections/{collection}/records", params=query)
            ids += [item["id"] for item in answer.raise_for_status().json()["items"]]
        return [self.call("GET", f"{collection}/records/{one}") for one in spread(ids)]

    def get_page(self, collection: str) -> list[bytes]:
        return [self.call("GET", f"{collection}/records?perPage={PAGE}&skipTotal=1")]

    def filter(self, collection: str) -> list[bytes]:
        query = f"filter={quote(f'(n>{LEAST_N})')}&sort=-n&perPage={PAGE}&skipTotal=1"
        return [self.call("GET", f"{collection}/records?{query}")]

    def create(self, collection: str, count: int) -> list[bytes]:
        path = f"{collection}/records"
        return [self.call("POST", path, json.dumps(one)) for one in documents(count)]
