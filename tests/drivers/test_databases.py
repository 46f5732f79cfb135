"""What is said of the URLs of databases before a backpack is to use them, by servers that are there
and have passwords."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from backpack.drivers.databases import try_urls
from backpack.errors import Invalid
from tests import services
from tests.services import free_port

LOGIN = {"MONGO_INITDB_ROOT_USERNAME": "ada", "MONGO_INITDB_ROOT_PASSWORD": "s3cret"}
HOW = "?authSource=admin&authMechanism=SCRAM-SHA-256"
REFUSED = "has a user or a password that the server refuses"
MONGO = "is none such as mongodb://user:password@host:27017/"
REDIS = "is none such as redis://:password@host:6379/0"

Urls = dict[str, str]


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Urls]:
    def folder(name: str) -> Path:
        return tmp_path_factory.mktemp(name)

    with (
        services.mongo_wire(folder("mongo"), **LOGIN) as mongo,
        services.redis(folder("redis"), "--requirepass", "s3cret") as redis,
    ):
        yield {
            "mongo_url": f"mongodb://ada:s3cret@127.0.0.1:{mongo.port}/{HOW}",
            "redis_url": f"redis://:s3cret@127.0.0.1:{redis.port}/0",
        }


async def tried(urls: Urls) -> list[str]:
    return [line async for line in try_urls("shop", **{"mongo_url": "", "redis_url": "", **urls})]


async def test_servers_that_answer_need_no_word(urls: Urls) -> None:
    assert await tried(urls) == []
    for field, url in urls.items():
        assert await tried({field: url}) == []


@pytest.mark.parametrize(
    ("field", "old", "new", "why"),
    [
        ("mongo_url", "s3cret", "wr0ng", REFUSED),
        ("mongo_url", "ada:", "eve:", REFUSED),
        ("mongo_url", r"ada:s3cret@(.*)\?.*", r"\1", REFUSED),
        ("mongo_url", "ada:s3cret@", "ada:a/b@", MONGO),
        ("mongo_url", "127.0.0.1", "[::1", MONGO),
        ("redis_url", "s3cret", "wr0ng", REFUSED),
        ("redis_url", ":s3cret@", "", REFUSED),
        ("redis_url", ":s3cret@", "eve:s3cret@", REFUSED),
        ("redis_url", "127.0.0.1:", "127.0.0.1:x", REDIS),
    ],
)
async def test_wrong_url_is_refused_without_its_secrets(
    urls: Urls, field: str, old: str, new: str, why: str
) -> None:
    with pytest.raises(Invalid) as caught:
        await tried({**urls, field: re.sub(old, new, urls[field])})

    assert caught.value.fields == {field: why}
    assert why in caught.value.message
    assert not any(word in caught.value.message for word in ("s3cret", "wr0ng", "a/b"))


async def test_all_that_is_wrong_is_said_at_once(urls: Urls) -> None:
    with pytest.raises(Invalid) as caught:
        await tried({field: url.replace("s3cret", "wr0ng") for field, url in urls.items()})

    assert caught.value.fields == {"mongo_url": REFUSED, "redis_url": REFUSED}
    assert caught.value.message == f"The URL of MongoDB {REFUSED}; The URL of Redis {REFUSED}"


async def test_server_that_is_not_there_may_be_elsewhere() -> None:
    port = free_port()
    lines = await tried(
        {"mongo_url": f"mongodb://127.0.0.1:{port}/", "redis_url": f"redis://127.0.0.1:{port}/0"}
    )

    said = "does not answer here; the processes of shop try it themselves"
    assert lines == [f"MongoDB {said}", f"Redis {said}"]
