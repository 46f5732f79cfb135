"""The members of a backpack, over HTTP."""

from __future__ import annotations

from typing import Any

from sanic import Blueprint, HTTPResponse

from ..api.answers import json
from ..api.request import Request, read_object
from ..errors import Invalid
from ..registry.backpacks import MEMBER
from ..router import ADMIN, mount
from .guards import changing, of_backpack
from .request import registry

members = Blueprint("members", url_prefix=mount(ADMIN))


@members.get("/api/backpacks/<name:str>/members", ignore_body=True)
@of_backpack
async def list_members(request: Request, name: str) -> HTTPResponse:
    return json(await _members(request, name))


@members.post("/api/backpacks/<name:str>/members", ignore_body=True)
@of_backpack(owner=True)
@changing("member.set")
async def set_member(request: Request, name: str) -> HTTPResponse:
    """Have the developer of an e-mail address as a member, or change what one is."""
    body = await read_object(request)
    known = registry(request)
    found = await known.developers.find(body.get("email"))
    if found is None:
        raise Invalid(
            "No developer has this e-mail address",
            fields={"email": "is no developer's: an operator can invite them under Developers"},
        )
    role = body.get("role", MEMBER)
    await known.backpacks.set_member(name, found, role, by=request.ctx.developer)
    request.ctx.detail = {"member": found.name, "role": role}
    return json(await _members(request, name))


@members.delete("/api/backpacks/<name:str>/members/<member:str>", ignore_body=True)
@of_backpack(owner=True)
@changing("member.remove")
async def remove_member(request: Request, name: str, member: str) -> HTTPResponse:
    gone = await registry(request).developers.get(member)
    await registry(request).backpacks.remove_member(name, member, by=request.ctx.developer)
    request.ctx.detail = {"member": gone.name if gone else member}
    return json(await _members(request, name))


async def _members(request: Request, name: str) -> list[dict[str, Any]]:
    """`own`: who asks, to whom the backpack is lost with the membership."""
    me = request.ctx.developer
    mine = None if me.is_operator else me.id
    return [
        {
            "id": one.developer.id,
            "name": one.developer.name,
            "role": one.role,
            "own": one.developer.id == mine,
        }
        for one in await registry(request).backpacks.members(name)
    ]
