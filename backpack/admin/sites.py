"""The frontends of backpacks, over HTTP: deploying, versions, and back to one of them."""

from __future__ import annotations

from sanic import Blueprint, HTTPResponse

from ..api.answers import json
from ..api.request import Request, read_object
from ..errors import Invalid
from ..registry.tokens import DEPLOY
from ..router import ADMIN, mount
from .bearers import panel_or_token
from .guards import by_panel, of_backpack
from .progress import content_of, tell
from .request import acting, driver, holdings

sites = Blueprint("sites", url_prefix=mount(ADMIN))


@sites.get("/api/backpacks/<name:str>/sites", ignore_body=True)
@of_backpack
async def list_versions(request: Request, name: str) -> HTTPResponse:
    return json(await driver(request).sites(name))


@sites.post("/api/backpacks/<name:str>/site", ignore_body=True)
@panel_or_token(DEPLOY)
async def deploy(request: Request, name: str) -> HTTPResponse:
    """Make the zip that is the body the site."""
    content = content_of(request, request.app.ctx.tenants.settings.max_site)
    return await tell(request, holdings(request).deploy(acting(request), name, content))


@sites.post("/api/backpacks/<name:str>/rollback", ignore_body=True)
@of_backpack
@by_panel
async def rollback(request: Request, name: str) -> HTTPResponse:
    version = (await read_object(request)).get("version")
    if not isinstance(version, int | None) or isinstance(version, bool):
        raise Invalid("Not a version", fields={"version": "must be a number"})
    return json(await holdings(request).rollback(acting(request), name, version))
