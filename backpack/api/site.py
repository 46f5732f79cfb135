"""The frontend host of a backpack over HTTP: a folder's files as they are, the version that was
deployed last, the demo app or the welcome page."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from sanic import Blueprint, HTTPResponse
from sanic.response import file

from ..errors import NotFound, Unavailable, WrongMethod
from ..pages import DEMO_SITE, WELCOME, render_demo, render_welcome
from ..router import ELSEWHERE, SITE, mount
from ..sites import MAX_WHOLE, Site, find_file, find_in
from ..tenants import Tenant
from ..versions import SiteFile, Version
from ..webfiles import content_type, is_immutable
from .conditions import Shown, Span, find_span, is_unchanged, takes_gzip
from .downloads import FileAnswer
from .health import report_health
from .request import Request

site = Blueprint("site", url_prefix=mount(SITE))

WELCOME_ASSETS = ("/_backpack/welcome.css", "/_backpack/welcome.js")

_TRIES = 3  # until a file is found: each deployment meanwhile may take one away

SAFE = {  # of every answer, refusals too
    "x-content-type-options": "nosniff",
    "referrer-policy": "strict-origin-when-cross-origin",
}


@site.get("/healthz", ignore_body=True)
async def healthz(request: Request, **_: Any) -> HTTPResponse:
    return report_health(request)


@site.get("/", name="start", ignore_body=True)
@site.get("/<path:path>", ignore_body=True)
async def page(request: Request, tenant: Tenant, **_: Any) -> HTTPResponse:
    return await _find_answer(request, tenant)


async def _find_answer(request: Request, tenant: Tenant) -> HTTPResponse:
    sites: Mapping[str, Path] = request.app.ctx.sites
    if tenant.name in sites:
        return await _send(find_file(sites[tenant.name], request.path))
    if tenant.site is not None and (await tenant.site.live()).number:
        return await _send_deployed(request, tenant.site)
    is_demo = tenant.name == request.app.ctx.demo
    if not request.path.strip("/"):
        render = render_demo if is_demo else render_welcome
        return await render(request, tenant.backpack or await tenant.open())
    if is_demo:
        return await _send(find_file(DEMO_SITE, request.path))
    if request.path in WELCOME_ASSETS:
        return await _send(WELCOME / request.path.rpartition("/")[2])
    raise NotFound(f"There is no route {request.path}", code="unknown_route")


@site.get(ELSEWHERE, ignore_body=True)
async def elsewhere(request: Request, tenant: Tenant, **_: Any) -> HTTPResponse:
    """What is no path to Sanic, or no method to a site."""
    if request.method not in ("GET", "HEAD"):
        raise WrongMethod("A site answers GET and HEAD only", allowed=("GET", "HEAD"))
    return await _find_answer(request, tenant)


async def _send(path: Path) -> HTTPResponse:
    headers = {"cache-control": "no-store", **SAFE}
    try:
        return await file(path, headers=headers)
    except OSError as exc:  # it may not be read, or a build has just taken it away
        raise NotFound(f"There is no file {path.name}") from exc


async def _send_deployed(request: Request, site: Site) -> HTTPResponse:
    for _ in range(_TRIES):
        version = await site.live()
        path, status = find_in(version, request.path)
        answer = await _answer(request, site, version, path, status)
        if answer is not None:
            return answer
    raise Unavailable("The site is being replaced, try again")


async def _answer(
    request: Request, site: Site, version: Version, path: str, status: int
) -> HTTPResponse | None:
    """The answer by a file of a version; None when that is gone."""
    found = version.files[path]
    headers = {**SAFE, **_headers(path)}
    packed = False
    if found.packed_size is not None:
        headers["vary"] = "accept-encoding"
        # A range is one of the file as it is.
        packed = "range" not in request.headers and takes_gzip(request.headers)
    shown = _shown(found, version, packed)
    if packed:
        headers["content-encoding"] = "gzip"
    if status != 200:
        span = Span(0, shown.size, whole=True)
    else:
        headers.update(shown.headers)
        if is_unchanged(request.headers, shown):
            return HTTPResponse(status=304, headers=headers)
        span = find_span({} if request.method == "HEAD" else request.headers, shown)
        status = 200 if span.whole else 206
    headers.update(span.headers(shown.size))
    if request.method == "HEAD":
        return HTTPResponse(status=status, headers=headers)
    if shown.size > MAX_WHOLE:
        part = await site.part(found, span.start, span.length, packed=packed)
        return FileAnswer(part, status, headers) if part is not None else None
    whole = await site.whole(found, packed=packed)
    if whole is None:
        return None
    body = whole if span.whole else whole[span.start : span.start + span.length]
    return HTTPResponse(body, status=status, headers=headers)


def _shown(file: SiteFile, version: Version, packed: bool) -> Shown:
    if packed:
        return Shown(f'"{file.content}-gzip"', version.since, file.packed_size or 0)
    return Shown(f'"{file.content}"', version.since, file.size)


@lru_cache(maxsize=4_096)
def _headers(path: str) -> Mapping[str, str]:
    """What the name of a file says of it."""
    is_kept = is_immutable(path)
    return {
        "content-type": content_type(path),
        # What may change is kept too, but asked for again each time.
        "cache-control": "public, max-age=31536000, immutable" if is_kept else "no-cache",
    }
