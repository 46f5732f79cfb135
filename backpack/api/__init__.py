"""The HTTP of a backpack: its blueprints, mounted once for all backpacks under their role."""

from __future__ import annotations

from typing import Any

from sanic import Blueprint, HTTPResponse

from ..errors import BackpackError
from ..router import API, ELSEWHERE, mount
from ..tenants import Tenant
from .answers import json
from .auth import auth
from .guards import guarded
from .handshake import is_upgrade
from .health import report_health
from .records import records
from .request import Request
from .upgrade import upgrade
from .uploads import uploads

root = Blueprint("root", url_prefix=mount(API))


async def front(request: Request, tenant: Tenant, by_path: bool) -> HTTPResponse | None:
    if is_upgrade(request):
        await upgrade(request, tenant, by_path)
        return None
    return await status(request, tenant=tenant, by_path=by_path)


# Sanic takes no answer for a fault, but of a handler that is marked so.
front.is_websocket = True  # type: ignore[attr-defined]
root.add_route(front, "/", methods=["GET"], ignore_body=True)


@guarded
async def status(request: Request) -> HTTPResponse:
    return json({"name": request.backpack.name, "status": "ok"})


@root.get("/healthz", ignore_body=True)
async def healthz(request: Request, **_: Any) -> HTTPResponse:
    return report_health(request)


@root.get(ELSEWHERE, ignore_body=True)
@guarded
async def elsewhere(request: Request, refusal: BackpackError) -> HTTPResponse:
    raise refusal


BLUEPRINTS = (root, auth, uploads, records)
