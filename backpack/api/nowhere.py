"""Hosts that nobody has: a 404, which during development says which hosts there are."""

from __future__ import annotations

from typing import Any

from sanic import Blueprint, HTTPResponse

from ..errors import BackpackError, NotFound
from ..router import ELSEWHERE, NOWHERE, mount
from .health import report_health
from .request import Request

nowhere = Blueprint("nowhere", url_prefix=mount(NOWHERE))


@nowhere.get("/healthz", ignore_body=True)
async def healthz(request: Request, **_: Any) -> HTTPResponse:
    return report_health(request)


@nowhere.get(ELSEWHERE, ignore_body=True)
async def elsewhere(request: Request, refusal: BackpackError, **_: Any) -> HTTPResponse:
    raise NotFound(_explain(request), code="unknown_host")


def _explain(request: Request) -> str:
    host = request.headers.get("host", "")
    tenants = request.app.ctx.tenants
    settings = tenants.settings
    if not settings.dev:
        return "Nothing is served on this host"
    port = host.rpartition(":")[2]
    suffix = f":{port}" if port.isdigit() else ""
    hosts = [f"admin.{settings.domain}{suffix}"]
    for name in tenants.names():
        hosts += [f"{name}-be.{settings.domain}{suffix}", f"{name}.{settings.domain}{suffix}"]
    return f"There is nothing on the host {host!r}; there are: {', '.join(hosts[:41])}"
