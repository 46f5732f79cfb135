"""A served backpack as a process, and as two: how it starts, what they share, how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pymongo
import pytest

from backpack.documents import REVISION, Document
from tests import services
from tests.sandboxes import Ended, command, environment
from tests.services import free_port
from tests.servings import ACCOUNT, KEY, VARIABLES, Serving, wait_for, wait_until

NEW_KEY = "shop-key-2"


@pytest.fixture
def variables(mongo_url: str, redis_url: str) -> Iterator[dict[str, str]]:
    """What a served backpack of its own needs in its environment."""
    name = f"shop-{os.urandom(6).hex()}"
    yield {
        **VARIABLES,
        "BACKPACK_NAME": name,
        "BACKPACK_MONGO_URL": mongo_url,
        "BACKPACK_REDIS_URL": redis_url,
    }
    with pymongo.MongoClient[Document](mongo_url) as client:
        client.drop_database(database(name))


def database(name: str) -> str:
    return f"backpack_{name.replace('-', '_')}"


class Pair:
    """Two processes that serve one backpack."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self.name = variables["BACKPACK_NAME"]
        self.variables = variables
        self.one = Serving(folder, variables)
        self.other = Serving(folder, variables)
        self._folder = folder
        for serving in (self.one, self.other):
            serving.wait_until_well()

    def clients(self, token: str = "", key: str = KEY) -> list[httpx.Client]:
        return [one.client(token, key=key) for one in (self.one, self.other)]

    def operate(self, *arguments: str, stdin: str = "") -> Ended:
        """Run a command of the operator with the environment of the processes."""
        ended = subprocess.run(
            command(*arguments, "--served"),
            cwd=self._folder,
            env={**environment(), **self.variables},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    def close(self) -> None:
        for serving in (self.one, self.other):
            serving.__exit__()


@pytest.fixture
def pair(tmp_path: Path, variables: dict[str, str]) -> Iterator[Pair]:
    pair = Pair(tmp_path, variables)
    yield pair
    pair.close()


@pytest.fixture
def serving(tmp_path: Path, variables: dict[str, str]) -> Iterator[Serving]:
    with Serving(tmp_path, variables) as serving:
        serving.wait_until_well()
        yield serving


def serve(folder: Path, **variables: str) -> Ended:
    """How `serve` ends that cannot start."""
    ended = subprocess.run(
        command("serve"),
        cwd=folder,
        env={**environment(), **VARIABLES, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


AWAY = {
    "BACKPACK_MONGO_URL": "mongodb://127.0.0.1:9/",
    "BACKPACK_REDIS_URL": "redis://127.0.0.1:9/0",
}


@pytest.mark.parametrize(
    ("given", "why"),
    [
        pytest.param(
            {**AWAY, "BACKPACK_NAME": ""},
            "BACKPACK_NAME is not set, nor is BACKPACK_NAME_FILE",
            id="no name",
        ),
        pytest.param(
            {}, "BACKPACK_MONGO_URL is not set, nor is BACKPACK_MONGO_URL_FILE", id="no MongoDB"
        ),
        pytest.param(
            {**AWAY, "BACKPACK_NAME": "admin"},
            "'admin' cannot be the name of a backpack: it is reserved",
            id="bad name",
        ),
        pytest.param(
            {**AWAY, "BACKPACK_API_KEY": "s3cret"},
            "An API key has 8 to 128 letters, digits or any of ._~+/=-",
            id="bad key",
        ),
        pytest.param(
            {**AWAY, "BACKPACK_MONGO_URL": "http://user:s3cret@mongo/"},
            "The URL of the MongoDB server is none such as mongodb://user:password@host:27017/",
            id="bad URL of MongoDB",
        ),
        pytest.param(
            {**AWAY, "BACKPACK_MONGO_URL": "mongodb://user:s3cret/x@mongo/"},
            "The URL of the MongoDB server is none such as mongodb://user:password@host:27017/",
            id="password that is not escaped",
        ),
        pytest.param(
            {**AWAY, "BACKPACK_REDIS_URL": "http://:s3cret@redis/"},
            "The URL of the Redis server is none such as redis://:password@host:6379/0",
            id="bad URL of Redis",
        ),
        pytest.param(
            {**AWAY, "BACKPACK_REDIS_URL": "redis://:s3cret/x@redis/"},
            "The URL of the Redis server is none such as redis://:password@host:6379/0",
            id="password of Redis that is not escaped",
        ),
        pytest.param(
            {"BACKPACK_MONGO_URL_FILE": "nowhere"},
            "BACKPACK_MONGO_URL_FILE: cannot read nowhere: No such file or directory",
            id="no secret file",
        ),
        pytest.param(
            {**AWAY, "BACKPACK_PORT": "70000"},
            "BACKPACK_PORT is '70000', but must be a port from 0 to 65535",
            id="bad port",
        ),
        pytest.param(
            {**AWAY, "BACKPACK_HOST": "192.0.2.1"},
            "'192.0.2.1' is no address of this machine; try --host 127.0.0.1",
            id="bad host",
        ),
    ],
)
def test_refusal_to_start_is_one_line(tmp_path: Path, given: dict[str, str], why: str) -> None:
    ended = serve(tmp_path, **given)

    assert ended == Ended(2, "", f"backpack: {why}\n")
    assert "s3cret" not in ended.err


def test_secrets_come_in_files(tmp_path: Path, variables: dict[str, str]) -> None:
    kept = {}
    for variable in ("BACKPACK_MONGO_URL", "BACKPACK_REDIS_URL", "BACKPACK_API_KEY"):
        file = tmp_path / variable
        file.write_text(variables.pop(variable) + "\n", "utf-8")
        kept[f"{variable}_FILE"] = str(file)

    with Serving(tmp_path, {**variables, **kept}) as serving:
        serving.wait_until_well()
        name = variables["BACKPACK_NAME"]
        assert serving.client().get("/").json() == {"name": name, "status": "ok"}


def test_it_waits_for_its_servers(tmp_path: Path) -> None:
    password = {
        "BACKPACK_MONGO_URL": f"mongodb://ada:s3cret@127.0.0.1:{free_port()}/",
        "BACKPACK_REDIS_URL": f"redis://:s3cret@127.0.0.1:{free_port()}/0",
    }
    with Serving(tmp_path, {**VARIABLES, **password}) as serving:
        assert [serving.health(question)[0] for question in ("", "?self")] == [503, 503]
        client = serving.client()
        answers = [client.get("/cars") for _ in range(2)]
        assert [
            (answer.status_code, answer.json()["message"], answer.headers["retry-after"])
            for answer in answers
        ] == [(503, "MongoDB is away", "1")] * 2
        ended = serving.stop()

    assert (ended.code, ended.out) == (0, "Backpack has stopped\n")
    assert "Not ready: MongoDB is away" in ended.err
    assert "s3cret" not in ended.err
    assert "Traceback" not in ended.err


def test_refused_password_is_told(tmp_path: Path, variables: dict[str, str]) -> None:
    with services.redis(tmp_path, "--requirepass", "s3cret") as redis:
        url = f"redis://:wr0ng@127.0.0.1:{redis.port}/0"
        with Serving(tmp_path, {**variables, "BACKPACK_REDIS_URL": url}) as serving:
            serving.wait_until_ill("Redis refuses the user or the password")
            ended = serving.stop()

    assert "Not ready: Redis refuses the user or the password" in ended.err
    assert "wr0ng" not in ended.err


def test_key_of_the_environment_is_the_first(tmp_path: Path, variables: dict[str, str]) -> None:
    for key in (KEY, NEW_KEY):
        with Serving(tmp_path, {**variables, "BACKPACK_API_KEY": key}) as serving:
            serving.wait_until_well()
            assert serving.client(key=KEY).get("/").status_code == 200
            assert serving.stop().code == 0


def test_only_the_backend_is_served(serving: Serving, variables: dict[str, str]) -> None:
    name = variables["BACKPACK_NAME"]
    hosts = [f"{name}.example.com", "admin.example.com", "other-be.example.com", "127.0.0.1", "x"]

    for host in hosts:
        client = serving.client(host=host)
        answer = client.get("/")
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_host")
        assert client.get(f"/~{name}/").status_code == 404
        assert client.get("/healthz").json() == {"status": "ok"}


def test_start_is_quick_and_small(serving: Serving) -> None:
    process = Path(f"/proc/{serving.process.pid}")
    spent = process.joinpath("stat").read_text().rpartition(")")[2].split()
    cpu = (int(spent[11]) + int(spent[12])) / os.sysconf("SC_CLK_TCK")
    resident = int(process.joinpath("statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    assert cpu <= 1.5  # seconds
    assert resident <= 100_000_000  # bytes


def test_logout_ends_the_session_everywhere(pair: Pair) -> None:
    own_here, own_there = pair.clients(pair.one.log_in())
    assert [own.get("/me").status_code for own in (own_here, own_there)] == [200, 200]

    own_here.post("/logout").raise_for_status()

    assert own_here.get("/me").status_code == 403
    wait_for(own_there, "/me", 403)


def test_collection_of_one_is_the_others(pair: Pair) -> None:
    here, there = pair.clients(pair.one.log_in())

    here.post("/collections", json={"collectionName": "cars"}).raise_for_status()
    car = there.post("/cars", json={"n": 1}).raise_for_status().json()

    assert here.get(f"/cars/{car['_id']}").json() == car


def test_rules_are_in_force_everywhere(pair: Pair) -> None:
    guests = pair.clients()
    rules = {"collections.list": "public"}
    assert [guest.get("/collections").status_code for guest in guests] == [403, 403]

    done = pair.operate("rules", pair.name, "-", stdin=json.dumps(rules))

    assert done == Ended(0, f"The rules of {pair.name} are in force\n", "")
    for guest in guests:
        wait_for(guest, "/collections", 200)
    assert json.loads(pair.operate("rules", pair.name).out) == rules


def test_key_is_changed_everywhere(pair: Pair) -> None:
    old = pair.clients()

    key = pair.operate("key", pair.name, "--rotate", "--now").out.strip()

    for guest in old:
        wait_for(guest, "/", 401)
    assert [guest.get("/").status_code for guest in pair.clients(key=key)] == [200, 200]
    assert pair.operate("key", pair.name).out.strip() == key


def test_lost_change_is_found(pair: Pair, mongo_url: str) -> None:
    with pymongo.MongoClient[Document](mongo_url) as client:
        client[database(pair.name)]["_backpack"].update_one(
            {"_id": pair.name}, {"$set": {"apiKey": NEW_KEY}, "$inc": {REVISION: 1}}
        )

    for guest in pair.clients(key=NEW_KEY):
        wait_for(guest, "/", 200)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        pytest.param(
            ("key", "other"),
            "There is no backpack 'other'; there are: {name}",
            id="another backpack",
        ),
        pytest.param(
            ("rules", "{name}", "nowhere.json"),
            "Cannot read nowhere.json: No such file or directory",
            id="no file",
        ),
    ],
)
def test_operator_is_told_what_is_wrong(
    tmp_path: Path, variables: dict[str, str], arguments: tuple[str, ...], why: str
) -> None:
    name = variables["BACKPACK_NAME"]

    ended = subprocess.run(
        command(*(word.format(name=name) for word in arguments), "--served"),
        cwd=tmp_path,
        env={**environment(), **variables},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (2, f"backpack: {why.format(name=name)}\n")


def test_it_is_ill_before_it_ends(tmp_path: Path, variables: dict[str, str]) -> None:
    with Serving(tmp_path, {**variables, "BACKPACK_DRAIN": "600"}) as serving:
        serving.wait_until_well()
        serving.process.terminate()
        serving.wait_until_ill("Shutting down")

        assert serving.health("?self")[0] == 503
        assert serving.client().get("/").status_code == 200
        assert serving.stop().code == -signal.SIGTERM


def test_it_ends_when_it_has_drained(tmp_path: Path, variables: dict[str, str]) -> None:
    with Serving(tmp_path, {**variables, "BACKPACK_DRAIN": "0.5"}) as serving:
        serving.wait_until_well()

        assert serving.stop() == Ended(0, "Backpack has stopped\n", "")


def test_open_request_is_answered_before_the_end(serving: Serving) -> None:
    body = json.dumps(ACCOUNT).encode()
    head = [
        "POST /register HTTP/1.1",
        f"host: {serving.host}",
        "expect: 100-continue",
        f"content-length: {len(body)}",
        f"authorization: key {KEY}",
    ]

    with socket.create_connection(("127.0.0.1", serving.port), timeout=60) as connection:
        answers = connection.makefile("rb")
        connection.sendall("\r\n".join([*head, "", ""]).encode())
        assert answers.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert answers.readline() == b"\r\n"
        serving.process.terminate()
        wait_until(lambda: not accepts(serving.port))
        connection.sendall(body)
        answer = answers.read()
        answers.close()

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert serving.process.wait(60) == 0


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionError:
        return False
    return True
