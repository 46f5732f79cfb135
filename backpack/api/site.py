"""The frontend host of a backpack over HTTP: a folder's files, the demo app or the welcome page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sanic import Blueprint, HTTPResponse
from sanic.response import file

from ..errors import BackpackError, NotFound, WrongMethod
from ..pages import DEMO_SITE, WELCOME, render_demo, render_welcome
from ..router import ELSEWHERE, SITE, mount
from ..sites import find_file
from ..tenants import Tenant
from .health import report_health
from .request import Request

site = Blueprint("site", url_prefix=mount(SITE))

WELCOME_ASSETS = ("/_backpack/welcome.css", "/_backpack/welcome.js")


@site.get("/healthz", ignore_body=True)
async def healthz(request: Request, **_: Any) -> HTTPResponse:
    return report_health(request)


@site.get(ELSEWHERE, ignore_body=True)
async def page(request: Request, tenant: Tenant, refusal: BackpackError, **_: Any) -> HTTPResponse:
    if request.method not in ("GET", "HEAD"):
        raise WrongMethod("A site answers GET and HEAD only", allowed=("GET", "HEAD"))
    sites: Mapping[str, Path] = request.app.ctx.sites
    if tenant.name in sites:
        return await _send(find_file(sites[tenant.name], request.path))
    is_demo = tenant.name == request.app.ctx.demo
    if not request.path.strip("/"):
        render = render_demo if is_demo else render_welcome
        return render(request, tenant.backpack or await tenant.open())
    if is_demo:
        return await _send(find_file(DEMO_SITE, request.path))
    if request.path in WELCOME_ASSETS:
        return await _send(WELCOME / request.path.rpartition("/")[2])
    raise refusal


async def _send(path: Path) -> HTTPResponse:
    headers = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
    try:
        return await file(path, headers=headers)
    except OSError as exc:  # it may not be read, or a build has just taken it away
        raise NotFound(f"There is no file {path.name}") from exc
