"""Backups over HTTP: everything of a backpack as one file, and back from it."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

from sanic import Blueprint, HTTPResponse

from ..api.request import Request
from ..registry.tokens import RESTORE
from ..router import ADMIN, mount
from ..steps import Steps
from .bearers import panel_or_token
from .guards import by_panel, of_backpack, signed_in
from .progress import content_of, tell
from .request import acting, holdings

backups = Blueprint("backups", url_prefix=mount(ADMIN))

_MAX_BACKUP = 1_099_511_627_776  # bytes; how much of it there may be is the stores' matter


@backups.get("/api/backpacks/<name:str>/backup", ignore_body=True)
@of_backpack(owner=True)
async def download(request: Request, name: str) -> HTTPResponse:
    """The file; with `?key=1` the API key is in it."""
    with_key = request.args.get("key") == "1"
    steps = holdings(request).export(acting(request), name, with_key=with_key)
    return await _send(request, steps, f"{name}.tar")


async def _send(request: Request, steps: Steps, filename: str) -> HTTPResponse:
    async with aclosing(steps):
        step = await anext(steps)  # what fails before there is anything has a status of its own
        headers = {
            "cache-control": "no-store",
            "content-disposition": f'attachment; filename="{filename}"',
            "cross-origin-resource-policy": "same-origin",
            "x-content-type-options": "nosniff",
        }
        answer: HTTPResponse = await request.respond(
            content_type="application/x-tar", headers=headers
        )
        try:
            if isinstance(step, bytes):
                await answer.send(step)
            async for step in steps:
                if isinstance(step, bytes):
                    await answer.send(step)
        except Exception:
            # Half a file must not be taken for a whole one.
            transport: Any = request.transport
            transport.abort()
            raise
    return answer


@backups.post("/api/backpacks/<name:str>/backup", ignore_body=True)
@panel_or_token(RESTORE, owner=True)
async def replace(request: Request, name: str) -> HTTPResponse:
    """Put the backup that is the body in the place of all that is in a backpack; with `?empty=1`
    only where there is nothing."""
    content = content_of(request, _MAX_BACKUP)
    is_new = request.args.get("empty") == "1"
    change = holdings(request).fill if is_new else holdings(request).replace
    return await tell(request, change(acting(request), name, content))


@backups.patch("/api/backpacks/<name:str>/backup", ignore_body=True)
@panel_or_token(RESTORE, owner=True)
async def promote(request: Request, name: str) -> HTTPResponse:
    """Put the rules, files and site that are in the body into a backpack, whose users and records
    stay."""
    content = content_of(request, _MAX_BACKUP)
    return await tell(request, holdings(request).promote(acting(request), name, content))


@backups.post("/api/backups/<name:str>", ignore_body=True)
@signed_in
@by_panel
async def import_as_new(request: Request, name: str) -> HTTPResponse:
    """Make a new backpack of the backup that is the body."""
    content = content_of(request, _MAX_BACKUP)
    steps = holdings(request).import_as_new(
        request.ctx.developer, request.client_address, name, content
    )
    return await tell(request, steps)
