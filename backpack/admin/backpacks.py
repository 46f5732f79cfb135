"""Backpacks as wholes, over HTTP: which there are, how they are, making and deleting them."""

from __future__ import annotations

import asyncio
from typing import Any

from sanic import Blueprint, HTTPResponse

from ..api.answers import json
from ..api.request import Request, read_object
from ..errors import BackpackError, Invalid
from ..pages import Address
from ..router import ADMIN, mount
from .guards import by_panel, of_backpack, operator, signed_in, while_seen
from .progress import tell
from .request import acting, driver, holdings

backpacks = Blueprint("backpacks", url_prefix=mount(ADMIN))

_MAX_NAMES = 100  # whose state one request asks for


@backpacks.get("/api/backpacks", ignore_body=True)
@signed_in
async def list_backpacks(request: Request) -> HTTPResponse:
    address = Address.of(request)
    names = await holdings(request).names(request.ctx.developer)
    return json(
        [{"name": name, "frontend": address.url(name), "role": names[name]} for name in names]
    )


@backpacks.post("/api/backpacks", ignore_body=True)
@signed_in
@by_panel
async def create(request: Request) -> HTTPResponse:
    """`{"name", "mongo_url"?, "redis_url"?}`."""
    body = await read_object(request)
    name, urls = _name(body), _urls(body)
    steps = holdings(request).create(request.ctx.developer, request.client_address, name, **urls)
    return await tell(request, steps)


def _urls(body: dict[str, Any]) -> dict[str, str]:
    urls = {url: body.get(url, "") for url in ("mongo_url", "redis_url")}
    for url, value in urls.items():
        if not isinstance(value, str):
            raise Invalid("A URL must be a text", fields={url: "must be a text"})
    return urls


def _name(body: dict[str, Any]) -> str:
    name = body.get("name")
    if not isinstance(name, str):
        raise Invalid("A backpack needs a name", fields={"name": "must be a text"})
    return name


@backpacks.get("/api/backpacks/<name:str>", ignore_body=True)
@of_backpack
async def describe(request: Request, name: str) -> HTTPResponse:
    return json(await driver(request).describe(name))


@backpacks.delete("/api/backpacks/<name:str>", ignore_body=True)
@of_backpack(owner=True)
@by_panel
async def delete(request: Request, name: str) -> HTTPResponse:
    return await tell(request, holdings(request).delete(acting(request), name))


@backpacks.get("/api/trash", ignore_body=True)
@signed_in
async def trash(request: Request) -> HTTPResponse:
    try:
        found = await holdings(request).trash(request.ctx.developer)
        return json([{**one, "role": role} for one, role in found])
    except Invalid:  # nothing is kept where there is no disk
        return json([])


@backpacks.post("/api/backpacks/<name:str>/restore", ignore_body=True)
@of_backpack(owner=True, deleted=True)
@by_panel
async def restore(request: Request, name: str) -> HTTPResponse:
    """`?deleted_at=` tells which one of that name; without, it is the last."""
    deleted_at = request.args.get("deleted_at")
    return await tell(request, holdings(request).restore(acting(request), name, deleted_at))


@backpacks.post("/api/backpacks/<name:str>/purge", ignore_body=True)
@of_backpack(owner=True, deleted=True)
@by_panel
async def purge(request: Request, name: str) -> HTTPResponse:
    """`?deleted_at=` tells which one of that name; without, it is each."""
    deleted_at = request.args.get("deleted_at")
    return await tell(request, holdings(request).purge(acting(request), name, deleted_at))


@backpacks.get("/api/status", ignore_body=True)
@signed_in
async def statuses(request: Request) -> HTTPResponse:
    """How those of `?names=a,b` are that the developer may see."""
    wanted = request.args.get("names", "").split(",")[:_MAX_NAMES]
    own = await holdings(request).names(request.ctx.developer)
    states = []
    async with asyncio.TaskGroup() as group:
        for name in sorted(set(own).intersection(wanted)):
            states.append(group.create_task(_status(request, name)))
            await asyncio.sleep(0)  # others get a turn: each may have a file to open
    return json([state.result() for state in states])


async def _status(request: Request, name: str) -> Any:
    try:
        found = await driver(request).status(name)
        is_operator = request.ctx.developer.is_operator
        return found if is_operator else {**found, "databases": {}}
    except BackpackError as exc:
        unknown = {"state": "unknown", "reason": exc.message, "services": [], "databases": {}}
        return {"name": name, **unknown}


@backpacks.post("/api/backpacks/<name:str>/scale", ignore_body=True)
@of_backpack(owner=True)
@by_panel
async def scale(request: Request, name: str) -> HTTPResponse:
    replicas = (await read_object(request)).get("replicas")
    if not isinstance(replicas, int) or isinstance(replicas, bool):
        raise Invalid("Not a number of processes", fields={"replicas": "must be a whole number"})
    return await tell(request, holdings(request).scale(acting(request), name, replicas))


@backpacks.post("/api/backpacks/<name:str>/databases", ignore_body=True)
@operator
@by_panel
async def reconnect(request: Request, name: str) -> HTTPResponse:
    """`{"mongo_url"?, "redis_url"?}`."""
    urls = _urls(await read_object(request))
    return await tell(request, holdings(request).reconnect(acting(request), name, **urls))


@backpacks.get("/api/backpacks/<name:str>/logs", ignore_body=True)
@of_backpack
async def logs(request: Request, name: str) -> HTTPResponse:
    """The last lines, and with `?follow=1` those that come."""
    service, follow = request.args.get("service"), request.args.get("follow") == "1"
    lines = driver(request).logs(name, service, follow=follow)
    return await tell(request, while_seen(request, name, lines) if follow else lines)
