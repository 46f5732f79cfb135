"""The admin host over HTTP, as far as it is for everybody: the SDK's files."""

from __future__ import annotations

from typing import Any

from sanic import Blueprint, HTTPResponse
from sanic.response import file

from .. import assets
from ..api.health import report_health
from ..api.request import Request
from ..errors import BackpackError
from ..router import ADMIN, ELSEWHERE, mount
from .guards import find_session, signed_in

admin = Blueprint("admin", url_prefix=mount(ADMIN))

_SDK = {
    "/sdk.js": ("dist/backpack.js", "text/javascript; charset=utf-8"),
    "/sdk.mjs": ("dist/backpack.mjs", "text/javascript; charset=utf-8"),
    "/sdk.d.ts": ("index.d.ts", "text/plain; charset=utf-8"),
}


@admin.get("/healthz", ignore_body=True)
async def healthz(request: Request, **_: Any) -> HTTPResponse:
    return report_health(request)


@admin.get("/sdk.js", name="script", ignore_body=True)
@admin.get("/sdk.mjs", name="module", ignore_body=True)
@admin.get("/sdk.d.ts", name="types", ignore_body=True)
async def sdk(request: Request, **_: Any) -> HTTPResponse:
    path, kind = _SDK["/" + request.path.strip("/")]
    # Frontends of any origin load it, as a script or as a module.
    headers = {
        "access-control-allow-origin": "*",
        "cache-control": "no-cache",
        "cross-origin-resource-policy": "cross-origin",
        "x-content-type-options": "nosniff",
    }
    return await file(
        assets.folder("sdk") / path,
        mime_type=kind,
        headers=headers,
        request_headers=request.headers,
    )


@admin.get(ELSEWHERE, ignore_body=True)
async def elsewhere(request: Request, refusal: BackpackError, **_: Any) -> HTTPResponse | None:
    # Who is signed in sees it in the panel's frame.
    if not hasattr(request.app.ctx, "registry") or await find_session(request) is None:
        raise refusal
    return await _refuse(request, refusal=refusal)


@signed_in
async def _refuse(request: Request, refusal: BackpackError) -> HTTPResponse:
    raise refusal
