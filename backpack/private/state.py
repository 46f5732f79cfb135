"""How the process is: health for whoever looks after it, metrics for Prometheus."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from sanic import Blueprint, HTTPResponse, text

from ..api.health import report_health
from ..api.request import Request
from ..errors import Unavailable
from ..exposition import Exposition
from ..health import Health
from .guard import backpack_of

state = Blueprint("state")


@state.get("/healthz", ignore_body=True)
async def healthz(request: Request, **_: Any) -> HTTPResponse:
    return report_health(request)


@state.get("/metrics", ignore_body=True)
async def metrics(request: Request) -> HTTPResponse:
    health: Health = request.app.ctx.health
    shown = Exposition()
    shown.process()
    for server in ("MongoDB", "Redis"):
        is_up = not health.starting and server not in health.away
        shown.value("server_up", int(is_up), {"server": server.lower()})
    with suppress(Unavailable):  # then it has counted nothing yet
        shown.backpack(await backpack_of(request))
    return text(shown.text(), content_type=Exposition.CONTENT_TYPE)
