"""Tokens for programs that deploy or restore a backpack, over HTTP."""

from __future__ import annotations

from typing import Any

from sanic import Blueprint, HTTPResponse

from ..api.answers import json
from ..api.request import Request, read_object
from ..registry.tokens import Token
from ..router import ADMIN, mount
from .guards import changing, of_backpack
from .request import registry

tokens = Blueprint("tokens", url_prefix=mount(ADMIN))


@tokens.get("/api/backpacks/<name:str>/tokens", ignore_body=True)
@of_backpack(owner=True)
async def list_tokens(request: Request, name: str) -> HTTPResponse:
    known = registry(request)
    makers = {one.id: one.name for one in await known.developers.list()}
    return json(
        [
            {**_shown(token), "made_by": makers.get(token.made_by, "somebody who is gone")}
            for token in await known.tokens.of(name)
        ]
    )


@tokens.post("/api/backpacks/<name:str>/tokens", ignore_body=True)
@of_backpack(owner=True)
@changing("token.create")
async def create_token(request: Request, name: str) -> HTTPResponse:
    """A new token; this answer is the only place that has it."""
    body = await read_object(request)
    secret, made = await registry(request).tokens.create(
        name, body.get("name"), body.get("scope"), body.get("days"), request.ctx.developer
    )
    request.ctx.detail = {"token": made.label, "scope": made.scope}
    return json({**_shown(made), "token": secret})


@tokens.delete("/api/backpacks/<name:str>/tokens/<token:str>", ignore_body=True)
@of_backpack(owner=True)
@changing("token.revoke")
async def revoke_token(request: Request, name: str, token: str) -> HTTPResponse:
    known = registry(request).tokens
    labels = {one.id: one.label for one in await known.of(name)}
    await known.revoke(name, token)
    request.ctx.detail = {"token": labels[token]}
    return json({"id": token})


def _shown(token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.label,
        "scope": token.scope,
        "created_at": token.created_at,
        "expires": token.expires,
        "revoked": token.revoked,
        "used_at": token.used_at,
    }
