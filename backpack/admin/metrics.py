"""Metrics of the panel's process and of all that serve backpacks, for Prometheus."""

from __future__ import annotations

import hmac
from typing import Any

from sanic import Blueprint, HTTPResponse, text

from ..api.downloads import HARMLESS
from ..api.request import Request
from ..errors import NotSignedIn
from ..exposition import Exposition
from ..router import ADMIN, mount
from .guards import operator

metrics = Blueprint("metrics", url_prefix=mount(ADMIN))


@metrics.get("/metrics", ignore_body=True)
async def report(request: Request, **_: Any) -> HTTPResponse | None:
    if _has_token(request):
        return await _metrics(request)
    if "authorization" in request.headers:
        raise NotSignedIn  # programs are not led to the sign-in
    return await _for_operators(request)


@operator
async def _for_operators(request: Request, **_: Any) -> HTTPResponse:
    return await _metrics(request)


def _has_token(request: Request) -> bool:
    token: str = request.app.ctx.tenants.settings.metrics_token
    sent = request.headers.get("authorization", "").encode(errors="surrogateescape")
    return bool(token) and hmac.compare_digest(sent, f"Bearer {token}".encode())


async def _metrics(request: Request) -> HTTPResponse:
    shown = Exposition()
    shown.process()
    shown.value("backpacks", len(request.app.ctx.driver.names()))
    for backpack in request.app.ctx.tenants.opened():
        shown.backpack(backpack)
    up: dict[str, bool] = {}
    for measured in await request.app.ctx.driver.metrics():
        name, service = measured["backpack"], measured["service"]
        up[name] = up.get(name, False) or bool(measured["pages"])
        for address, page in measured["pages"].items():
            shown.add(page, {"backpack": name, "service": service, "address": address})
    for name, is_up in up.items():
        shown.value("up", int(is_up), {"backpack": name})
    return text(shown.text(), headers=HARMLESS, content_type=Exposition.CONTENT_TYPE)
