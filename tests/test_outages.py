"""MongoDB and Redis go away under a served backpack, by a crash or without a word, and come again.

What needs them gets 503 with `retry-after`, everything else goes on, and all recovers by itself.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests import services
from tests.services import Service
from tests.servings import ACCOUNT, VARIABLES, Serving, wait_for, wait_until

Way = tuple[Callable[[Service], None], Callable[[Service], None]]

# How a server goes away, and how it comes again.
CRASH: Way = (Service.kill, Service.start)
SILENCE: Way = (Service.halt, Service.go_on)
ways = pytest.mark.parametrize("way", [CRASH, SILENCE], ids=["crash", "silence"])


@pytest.fixture
def mongo(tmp_path: Path) -> Iterator[Service]:
    folder = tmp_path / "mongo"
    folder.mkdir()
    with services.mongo_wire(folder) as service:
        yield service


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Service]:
    """It keeps every write on disk before it answers, as sessions in production are kept."""
    folder = tmp_path / "redis"
    folder.mkdir()
    with services.redis(folder, "--appendonly", "yes", "--appendfsync", "always") as service:
        yield service


@pytest.fixture
def serving(tmp_path: Path, mongo: Service, redis: Service) -> Iterator[Serving]:
    urls = {
        "BACKPACK_MONGO_URL": f"mongodb://127.0.0.1:{mongo.port}/",
        "BACKPACK_REDIS_URL": f"redis://127.0.0.1:{redis.port}/0",
    }
    with Serving(tmp_path, {**VARIABLES, **urls}) as serving:
        serving.wait_until_well()
        yield serving


@pytest.fixture
def token(serving: Serving) -> str:
    """A session; there is a collection `cars` that guests may read."""
    token = serving.log_in()
    serving.client(token).post("/collections", json={"collectionName": "cars"}).raise_for_status()
    return token


def unavailable(answer: httpx.Response) -> bool:
    return (answer.status_code, answer.json()["code"], answer.headers.get("retry-after")) == (
        503,
        "unavailable",
        "1",
    )


def check_log(serving: Serving) -> None:
    """A few lines tell of an outage, whatever is asked meanwhile."""
    assert "Traceback" not in serving.log
    assert len(serving.log.splitlines()) <= 25


@ways
def test_redis_goes_and_comes(serving: Serving, redis: Service, token: str, way: Way) -> None:
    go, come = way
    guest, user = serving.client(), serving.client(token)
    other = serving.client(serving.log_in())

    go(redis)
    serving.wait_until_ill("Redis is away")
    assert serving.health("?self")[0] == 200

    assert unavailable(other.get("/me"))  # it was not used in the last seconds
    wait_until(lambda: unavailable(user.get("/me")))
    assert unavailable(guest.post("/login", json=ACCOUNT))
    assert guest.post("/register", json={**ACCOUNT, "email": "bob@x.org"}).status_code == 200
    assert guest.get("/").status_code == 200
    check_log(serving)

    come(redis)
    serving.wait_until_well()
    wait_for(user, "/me", 200)
    assert other.get("/me").status_code == 200
    assert guest.post("/login", json=ACCOUNT).status_code == 200


@ways
def test_mongo_goes_and_comes(serving: Serving, mongo: Service, token: str, way: Way) -> None:
    go, come = way
    guest, user = serving.client(), serving.client(token)
    car = user.post("/cars", json={"n": 1}).raise_for_status().json()

    go(mongo)
    serving.wait_until_ill("MongoDB is away")
    assert serving.health("?self")[0] == 200

    answers = [
        user.get("/cars"),
        user.get(f"/cars/{car['_id']}"),
        user.post("/cars", json={"n": 2}),
        user.patch(f"/cars/{car['_id']}", json={"n": 3}),
        user.delete(f"/cars/{car['_id']}"),
        user.get("/collections"),
        guest.post("/login", json=ACCOUNT),
        guest.post("/register", json=ACCOUNT),
    ]
    assert [unavailable(answer) for answer in answers] == [True] * len(answers)
    assert user.get("/me").status_code == 200  # the session is in Redis
    check_log(serving)

    come(mongo)
    serving.wait_until_well()
    wait_for(user, f"/cars/{car['_id']}", 200)
    assert user.patch(f"/cars/{car['_id']}", json={"n": 4}).json()["n"] == 4
    assert guest.post("/login", json=ACCOUNT).status_code == 200


def test_both_come_late(tmp_path: Path, mongo: Service, redis: Service) -> None:
    urls = {
        "BACKPACK_MONGO_URL": f"mongodb://127.0.0.1:{mongo.port}/",
        "BACKPACK_REDIS_URL": f"redis://127.0.0.1:{redis.port}/0",
    }
    mongo.kill()
    redis.kill()
    with Serving(tmp_path, {**VARIABLES, **urls}) as serving:
        serving.wait_until_ill("MongoDB is away")
        assert unavailable(serving.client().get("/"))
        mongo.start()
        serving.wait_until_ill("Redis is away")
        assert unavailable(serving.client().get("/"))
        redis.start()

        serving.wait_until_well()
        assert serving.client().get("/").status_code == 200


def test_nothing_but_503_under_load(
    serving: Serving, mongo: Service, redis: Service, token: str
) -> None:
    answers: Counter[int] = Counter()
    stopped = threading.Event()

    def ask(client: httpx.Client) -> None:
        while not stopped.is_set():
            for path in ("/cars", "/me", "/"):
                answers[client.get(path).status_code] += 1
            answers[client.post("/cars", json={"n": 1}).status_code] += 1

    clients = [serving.client(token) for _ in range(12)]
    threads = [threading.Thread(target=ask, args=[client]) for client in clients]
    for thread in threads:
        thread.start()
    for service, name in ((redis, "Redis"), (mongo, "MongoDB")):
        for go, come in (CRASH, SILENCE):
            go(service)
            serving.wait_until_ill(f"{name} is away")
            come(service)
            serving.wait_until_well()
    stopped.set()
    for thread in threads:
        thread.join()

    # 504: where the machine is busy, a silence lasts as long as a query may take.
    assert set(answers) <= {200, 503, 504}, serving.log
    assert answers[200] > 0
    assert {path: serving.client(token).get(path).status_code for path in ("/cars", "/me")} == {
        "/cars": 200,
        "/me": 200,
    }
    check_log(serving)


def test_it_ends_while_both_are_silent(
    serving: Serving, mongo: Service, redis: Service, token: str
) -> None:
    mongo.halt()
    redis.halt()
    serving.wait_until_ill("MongoDB and Redis are away")

    assert serving.stop().code == 0
    assert json.dumps(token) not in serving.log
