"""The HTTP of a backpack: its blueprints, mounted once for all backpacks under their role."""

from __future__ import annotations

from typing import Any

from sanic import Blueprint, HTTPResponse

from ..errors import BackpackError
from ..router import API, ELSEWHERE, mount
from .answers import json
from .auth import auth
from .guards import guarded
from .health import report_health
from .records import records
from .request import Request
from .uploads import uploads

root = Blueprint("root", url_prefix=mount(API))


@root.get("/", ignore_body=True)
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
