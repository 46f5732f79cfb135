"""The log of who did what, over HTTP."""

from __future__ import annotations

from dataclasses import asdict

from sanic import Blueprint, HTTPResponse

from ..api.answers import json
from ..api.request import Request
from ..errors import Invalid
from ..router import ADMIN, mount
from .guards import signed_in
from .request import registry
from .sentences import sentence

log = Blueprint("log", url_prefix=mount(ADMIN))

_PAGE = 50  # entries
_MAX_DIGITS = 18  # of an entry's id


@log.get("/api/log", ignore_body=True)
@signed_in
async def entries(request: Request) -> HTTPResponse:
    """Entries that the developer may see, the last first: of `?backpack=`, by `?who=`, before the
    one with the id `?before=`; `text` is what one says in words."""
    found = await registry(request).audit.visible(
        request.ctx.developer,
        backpack=request.args.get("backpack"),
        who=request.args.get("who"),
        before=_before(request.args.get("before")),
        limit=_PAGE + 1,
    )
    shown = [
        {**asdict(entry), "text": sentence(entry.action, entry.detail)} for entry in found[:_PAGE]
    ]
    return json({"entries": shown, "more": len(found) > _PAGE})


def _before(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > _MAX_DIGITS:
        raise Invalid("Not an entry of the log", fields={"before": "must be a number"})
    return int(text)
