"""Databases of one's own: whether a backpack can use the servers that their URLs name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from ..errors import Invalid, Refused, Unavailable
from ..homes.servers import ask_mongo, ask_redis
from .swarm_records import Record


def check_urls(mongo_url: str, redis_url: str) -> None:
    """Raises Invalid for what cannot be a server's URL; it may hold a password, so it is not
    told."""
    kinds = {
        "mongo_url": ("MongoDB", mongo_url, ("mongodb://", "mongodb+srv://")),
        "redis_url": ("Redis", redis_url, ("redis://", "rediss://")),
    }
    for field, (server, url, schemes) in kinds.items():
        if url and not (url.startswith(schemes) and url.isprintable() and " " not in url):
            why = f"must begin with {' or '.join(schemes)}"
            raise Invalid(f"The URL of {server} {why}", fields={field: why})


def check_external(record: Record, mongo_url: str, redis_url: str) -> None:
    """Raises Invalid where there is no URL, or one for a database that is the stack's own: its
    data would not come along."""
    if not mongo_url and not redis_url:
        raise Invalid("Say the URL of MongoDB, of Redis, or both")
    given = {
        "mongo_url": ("MongoDB", mongo_url, record.mongo_url),
        "redis_url": ("Redis", redis_url, record.redis_url),
    }
    for field, (server, url, had) in given.items():
        if url and not had:
            why = f"{record.name} has a {server} in its own stack, which has no URL to change"
            raise Invalid(why, fields={field: "must be empty"})


async def try_urls(name: str, mongo_url: str, redis_url: str) -> AsyncGenerator[str, None]:
    """Ask the servers first. Says which of them do not answer here: the nodes that the backpack
    runs on may reach them all the same. Raises Invalid for URLs that cannot be read or that their
    servers refuse."""
    asked = {}
    if mongo_url:
        asked["MongoDB", "mongo_url"] = ask_mongo(mongo_url, name)
    if redis_url:
        asked["Redis", "redis_url"] = ask_redis(redis_url)
    answers = await asyncio.gather(*asked.values(), return_exceptions=True)
    said: list[str] = []
    wrong: dict[str, str] = {}
    for (server, field), answer in zip(asked, answers, strict=True):
        if isinstance(answer, Invalid):
            said.append(answer.message)
            wrong.update(answer.fields or {})
        elif isinstance(answer, Refused):
            wrong[field] = "has a user or a password that the server refuses"
            said.append(f"The URL of {server} {wrong[field]}")
        elif isinstance(answer, Unavailable):
            yield f"{server} does not answer here; the processes of {name} try it themselves"
        elif answer is not None:
            raise answer
    if said:
        raise Invalid("; ".join(said), fields=wrong)
