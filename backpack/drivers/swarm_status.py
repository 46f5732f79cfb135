"""How a backpack is, judged by what runs of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Literal

from .base import Service as Described
from .base import Status
from .swarm_records import Record
from .swarm_state import Service

State = Literal["up", "degraded", "down"]

_DATABASES = ("mongo", "redis")
_DOING = {
    "making": "It is being made",
    "importing": "It is being filled with a backup",
    "restoring": "It is being restored",
}


def judge(record: Record, services: Sequence[Service]) -> Status:
    """The status of a backpack whose stack has these services."""
    doing = _DOING.get(record.state)
    state, reason = state_of(services)
    if doing:
        state, reason = "down", doing
    return {
        "name": record.name,
        "state": state,
        "reason": reason,
        "services": [_describe(service) for service in services],
        "databases": {
            server: _host(url)
            for server, url in (("MongoDB", record.mongo_url), ("Redis", record.redis_url))
            if url
        },
    }


def _host(url: str) -> str:
    """The servers of a URL, and nothing of how they are logged in to."""
    after_login = url.partition("://")[2].rpartition("@")[2]
    return re.split("[/?]", after_login, maxsplit=1)[0]


def state_of(services: Sequence[Service]) -> tuple[State, str]:
    """How a backpack is whose stack has these services, and why it is not up."""
    if not services:
        return "down", "Its stack is not in the swarm: somebody has removed it"
    ill = [service for service in services if service.running < service.wanted]
    if not ill:
        return "up", ""
    # First what the others need: without its databases no API is healthy.
    first = min(ill, key=lambda service: (service.running > 0, service.name not in _DATABASES))
    reason = f"{first.name}: {first.running} of {first.wanted} run, {first.reason}"
    is_down = any(service.name == "api" and service.running == 0 for service in ill)
    return ("down" if is_down else "degraded"), reason


def _describe(service: Service) -> Described:
    told = asdict(service)
    return {
        "name": told["name"],
        "wanted": told["wanted"],
        "running": told["running"],
        "image": told["image"],
        "reason": told["reason"],
    }
