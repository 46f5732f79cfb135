"""The machines that backpacks run on, over HTTP; for operators."""

from __future__ import annotations

from typing import Any

from sanic import Blueprint, HTTPResponse

from ..api.answers import json
from ..api.request import Request, read_object
from ..errors import Invalid, NotFound
from ..router import ADMIN, mount
from .frame import render
from .guards import changing, check_password, operator
from .request import driver

nodes = Blueprint("nodes", url_prefix=mount(ADMIN))

_ROLES = ("worker", "manager")


def _changing_driver(request: Request) -> Any:
    """The driver, as one that changes nodes; raises NotFound where there is nothing to change."""
    found = driver(request)
    if "node_changes" not in found.capabilities:
        raise NotFound("There is one machine here, and nothing to change about it")
    return found


@nodes.get("/nodes", name="page", ignore_body=True)
@operator
async def page(request: Request) -> HTTPResponse:
    return await render(request, "nodes.html.j2", active="nodes")


@nodes.get("/api/nodes", ignore_body=True)
@operator
async def list_nodes(request: Request) -> HTTPResponse:
    return json(await driver(request).nodes())


@nodes.post("/api/nodes/<node:str>/labels", ignore_body=True)
@operator
@changing("node.label")
async def label(request: Request, node: str) -> HTTPResponse:
    """Give a node a label; with null as its value take it."""
    body = await read_object(request)
    key, value = body.get("key"), body.get("value")
    if not isinstance(key, str) or not isinstance(value, str | None):
        raise Invalid("Not a label", fields={"key": "must be a text, and the value text or null"})
    request.ctx.detail = {"node": node, "key": key, "value": value}
    return json(await _changing_driver(request).label_node(node, key, value))


@nodes.post("/api/nodes/<node:str>/drain", ignore_body=True)
@operator
@changing("node.drain")
async def drain(request: Request, node: str) -> HTTPResponse:
    request.ctx.detail = {"node": node}
    return json(await _changing_driver(request).drain_node(node))


@nodes.post("/api/nodes/<node:str>/activate", ignore_body=True)
@operator
@changing("node.activate")
async def activate(request: Request, node: str) -> HTTPResponse:
    request.ctx.detail = {"node": node}
    return json(await _changing_driver(request).activate_node(node))


@nodes.post("/api/nodes/join", ignore_body=True)
@operator
@changing("node.join_command")
async def join(request: Request) -> HTTPResponse:
    """What to run on another machine; it holds a secret, so the password is asked for again."""
    body = await read_object(request)
    await check_password(request, body.get("password"), "password")
    role = body.get("role", "worker")
    if role not in _ROLES:
        raise Invalid("Unknown role", fields={"role": f"must be {' or '.join(_ROLES)}"})
    request.ctx.detail = {"role": role}
    return json({"command": await _changing_driver(request).join_command(role)})
