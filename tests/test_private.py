"""The private port of `serve`: who gets in, what it binds to, and what is there besides the
console."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pymongo
import pytest

from backpack.documents import Document
from backpack.drivers.remote import PrivatePort
from backpack.errors import BadKey, Conflict, Invalid, NotFound, Unavailable
from backpack.ports import listen
from backpack.steps import Result, Steps
from tests.sandboxes import command, environment
from tests.services import free_port
from tests.servings import VARIABLES, Serving, wait_until

TOKEN = "a-token-of-24-characters"


@pytest.fixture
def variables(mongo_url: str, redis_url: str) -> Iterator[dict[str, str]]:
    name = f"shop-{os.urandom(6).hex()}"
    yield {
        **VARIABLES,
        "BACKPACK_NAME": name,
        "BACKPACK_MONGO_URL": mongo_url,
        "BACKPACK_REDIS_URL": redis_url,
        "BACKPACK_CONSOLE_PORT": str(free_port()),
        "BACKPACK_CONSOLE_TOKEN": TOKEN,
    }
    with pymongo.MongoClient[Document](mongo_url) as client:
        client.drop_database(f"backpack_{name.replace('-', '_')}")


@pytest.fixture
def serving(tmp_path: Path, variables: dict[str, str]) -> Iterator[Serving]:
    with Serving(tmp_path, variables) as serving:
        serving.wait_until_well()
        yield serving


@pytest.fixture
def url(variables: dict[str, str]) -> str:
    return f"http://127.0.0.1:{variables['BACKPACK_CONSOLE_PORT']}"


async def finish(steps: Steps) -> tuple[list[str], bytes, Any]:
    """The lines, the bytes and the result of an action."""
    lines, content, result = list[str](), b"", None
    async for step in steps:
        if isinstance(step, str):
            lines.append(step)
        elif isinstance(step, bytes):
            content += step
        else:
            assert isinstance(step, Result)
            result = step.value
    return lines, content, result


async def blocks(content: bytes) -> AsyncIterator[bytes]:
    yield content


REQUESTS = [
    ("GET", "/"),
    ("GET", "/healthz"),
    ("GET", "/metrics"),
    ("GET", "/backup"),
    ("PUT", "/backup"),
    ("GET", "/uploads/000000000000000000000000/a"),
    ("PUT", "/uploads/000000000000000000000000/a"),
    ("GET", "/nothing/here"),
    ("OPTIONS", "/"),
]


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"key {TOKEN}"],
)
def test_without_token_all_is_refused(serving: Serving, url: str, authorization: str) -> None:
    headers = {"authorization": authorization} if authorization else {}

    answers = [
        httpx.request(method, url + path, headers=headers, content=b"x" if method == "PUT" else b"")
        for method, path in REQUESTS
    ]

    refusal = {"message": "Check your auth tokens", "code": "bad_key"}
    assert [(one.status_code, one.json()) for one in answers] == [(401, refusal)] * len(REQUESTS)


async def test_console_is_refused_without_token(serving: Serving, url: str) -> None:
    with pytest.raises(Unavailable):
        async with PrivatePort(url, "wrong").console():
            pass
    with pytest.raises(BadKey):
        await PrivatePort(url, "wrong").metrics()


def test_token_is_nowhere_in_log(serving: Serving, url: str) -> None:
    httpx.get(url, headers={"authorization": f"Bearer {TOKEN}"})

    ended = serving.stop()

    assert TOKEN not in ended.out + ended.err


def test_public_port_knows_nothing_of_it(serving: Serving) -> None:
    headers = {"host": serving.host, "authorization": f"Bearer {TOKEN}"}

    answer = httpx.get(f"http://127.0.0.1:{serving.port}/metrics", headers=headers)

    assert answer.status_code == 401


def test_health_is_told(serving: Serving, url: str) -> None:
    answer = httpx.get(f"{url}/healthz", headers={"authorization": f"Bearer {TOKEN}"})

    assert answer.json() == {"status": "ok"}


async def test_console_sees_what_other_process_does(
    serving: Serving, url: str, variables: dict[str, str], tmp_path: Path
) -> None:
    other_variables = {**variables, "BACKPACK_CONSOLE_PORT": "0"}
    with Serving(tmp_path, other_variables) as other:
        other.wait_until_well()
        token = other.log_in()
        async with PrivatePort(url, TOKEN).console() as console:
            messages = aiter(console)
            await console.ask("post", "collections", {"name": "cars"})
            wait_until(lambda: other.client(token).get("/cars").status_code == 200)
            made = other.client(token).post("/cars", json={"n": 1}).json()
            while (told := json.loads(await anext(messages)))["model"] != "documents":
                pass
            page = await console.ask("get", "documents", collection="cars")

    assert (told["action"], told["data"]) == ("post", made)
    assert page == {"items": [made], "total": 1}


async def test_console_ends_with_process(serving: Serving, url: str) -> None:
    async with PrivatePort(url, TOKEN).console() as console:
        messages = aiter(console)
        await console.ask("get", "rules")
        serving.stop()

        assert [message async for message in messages] == []
        with pytest.raises(Unavailable):
            await console.ask("get", "rules")


async def test_backup_waits_for_a_process_that_has_just_begun() -> None:
    """Where a process of another node is, is known some moments after it is well."""
    port = free_port()
    filling = finish(PrivatePort(f"http://127.0.0.1:{port}", TOKEN).import_backup(blocks(b"x")))
    task = asyncio.create_task(filling)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(task), 0.2)  # it is refused meanwhile

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = b'{"message":"No","code":"conflict"}'
        writer.write(b"HTTP/1.1 409 Conflict\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", port):
        with pytest.raises(Conflict, match="No"):
            await task


async def test_files_go_both_ways(serving: Serving, url: str) -> None:
    owner = "0" * 24
    async with PrivatePort(url, TOKEN).console() as console:
        saved = await console.save_file(blocks(b"hello" * 100_000), "ä b.txt", "text/plain")
        metadata, read = await console.read_file(owner, "ä b.txt")
        content = b"".join([block async for block in read])
        with pytest.raises(NotFound):
            await console.read_file(owner, "none")

    assert metadata == saved
    assert (metadata["filename"], metadata["size"]) == ("ä b.txt", 500_000)
    assert content == b"hello" * 100_000


async def test_backup_goes_into_another_backpack(
    serving: Serving, url: str, variables: dict[str, str], tmp_path: Path
) -> None:
    port = PrivatePort(url, TOKEN)
    async with port.console() as console:
        await console.ask("post", "collections", {"name": "cars"})
        await console.ask("post", "documents", [{"n": n} for n in range(500)], collection="cars")
        cars = await console.ask("get", "documents", collection="cars", limit=1_000)
    _, archive, counts = await finish(port.export_backup())
    to = {
        **variables,
        "BACKPACK_NAME": f"{variables['BACKPACK_NAME']}-2",
        "BACKPACK_CONSOLE_PORT": str(free_port()),
    }
    with Serving(tmp_path, to) as target:
        target.wait_until_well()
        other = PrivatePort(f"http://127.0.0.1:{to['BACKPACK_CONSOLE_PORT']}", TOKEN)
        lines, _, result = await finish(other.import_backup(blocks(archive)))
        async with other.console() as console:
            copied = await console.ask("get", "documents", collection="cars", limit=1_000)
        with pytest.raises(Invalid) as refused:
            await finish(other.import_backup(blocks(archive)))
        assert target.health() == (200, {"status": "ok"})
    with pymongo.MongoClient[Document](variables["BACKPACK_MONGO_URL"]) as client:
        client.drop_database(f"backpack_{to['BACKPACK_NAME'].replace('-', '_')}")

    assert (counts["documents"], result["documents"]) == (500, 500)
    assert lines[-1].startswith("Imported")
    assert copied == cars
    assert refused.value.code == "backpack_exists"


async def test_damaged_backup_is_refused(serving: Serving, url: str) -> None:
    with pytest.raises(Invalid) as refused:
        await finish(PrivatePort(url, TOKEN).import_backup(blocks(b"no archive")))

    assert refused.value.code == "bad_backup"


async def test_metrics_count_requests(serving: Serving, url: str) -> None:
    client = serving.client()
    for _ in range(3):
        client.get("/collections")
    token = serving.log_in()
    serving.client(token).post("/collections", json={"collectionName": "cars"})
    serving.client(token).post("/cars", json={})

    lines = (await PrivatePort(url, TOKEN).metrics()).splitlines()

    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    name = serving.host.partition("-be.")[0]
    assert values[f'backpack_requests_total{{backpack="{name}",status="4xx"}}'] == "3"
    assert (
        values[f'backpack_request_seconds_bucket{{backpack="{name}",le="+Inf"}}']
        == (values[f'backpack_request_seconds_count{{backpack="{name}"}}'])
    )
    assert values[f'backpack_changes_total{{backpack="{name}"}}'] == "1"
    assert values['backpack_server_up{server="mongodb"}'] == "1"
    assert values['backpack_server_up{server="redis"}'] == "1"
    assert int(values["process_resident_memory_bytes"]) > 10_000_000
    assert float(values["process_cpu_seconds_total"]) > 0


async def test_nobody_answers() -> None:
    port = PrivatePort(f"http://127.0.0.1:{free_port()}", TOKEN)

    with pytest.raises(Unavailable):
        await port.metrics()
    with pytest.raises(Unavailable):
        async with port.console():
            pass


@pytest.mark.parametrize("token", ["", "short"])
def test_port_needs_token(tmp_path: Path, variables: dict[str, str], token: str) -> None:
    wanted = {**variables, "BACKPACK_CONSOLE_TOKEN": token}

    ended = subprocess.run(
        command("serve"),
        cwd=tmp_path,
        env={**environment(), **wanted},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (
        2,
        "backpack: BACKPACK_CONSOLE_PORT is set, so BACKPACK_CONSOLE_TOKEN must be too: to at "
        "least 16 random characters\n",
    )


def test_network_stands_for_the_address_in_it() -> None:
    listener = listen("127.0.0.0/8", 0)
    with listener:
        assert listener.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize("network", ["203.0.113.0/24", "10.0.0.0/x"])
def test_network_without_address_is_refused(network: str) -> None:
    with pytest.raises(Invalid):
        listen(network, 0)


def test_only_the_wanted_address_is_bound(serving: Serving, url: str) -> None:
    port = int(url.rpartition(":")[2])

    with socket.socket() as other:
        other.bind(("127.0.0.2", port))  # it is taken when all addresses are
