"""The pages of the panel that show backpacks and the deployment; what they show comes by JSON and
by the console."""

from __future__ import annotations

from sanic import Blueprint, HTTPResponse

from ..api.request import Request
from ..pages import Address
from ..router import ADMIN, mount
from . import configuration
from .frame import render
from .guards import of_backpack, operator, signed_in
from .request import driver

panel = Blueprint("panel", url_prefix=mount(ADMIN))

_PAGE = "/backpacks/<name:str>"


@panel.get("/", name="start", ignore_body=True)
@signed_in
async def backpacks(request: Request) -> HTTPResponse:
    return await render(request, "backpacks.html.j2", active="backpacks")


@panel.get(_PAGE, ignore_body=True)
@of_backpack
async def overview(request: Request, name: str) -> HTTPResponse:
    described = await driver(request).describe(name)
    return await render(
        request,
        "overview.html.j2",
        active="overview",
        name=name,
        backpack=described,
        admin=Address.of(request).url("admin"),
    )


@panel.get(f"{_PAGE}/site", ignore_body=True)
@of_backpack
async def site(request: Request, name: str) -> HTTPResponse:
    url = Address.of(request).url(name)
    return await render(request, "site.html.j2", active="site", name=name, url=url)


@panel.get(f"{_PAGE}/backup", ignore_body=True)
@of_backpack(owner=True)
async def backup(request: Request, name: str) -> HTTPResponse:
    return await render(request, "backup.html.j2", active="backup", name=name)


@panel.get(f"{_PAGE}/tokens", ignore_body=True)
@of_backpack(owner=True)
async def tokens(request: Request, name: str) -> HTTPResponse:
    admin = Address.of(request).url("admin")
    return await render(request, "tokens.html.j2", active="tokens", name=name, admin=admin)


@panel.get(f"{_PAGE}/log", ignore_body=True)
@of_backpack
async def log_of_backpack(request: Request, name: str) -> HTTPResponse:
    return await render(request, "log.html.j2", active="log", name=name)


@panel.get("/log", ignore_body=True)
@signed_in
async def log(request: Request) -> HTTPResponse:
    return await render(request, "log.html.j2", active="log all")


@panel.get(f"{_PAGE}/settings", ignore_body=True)
@of_backpack
async def settings_of_backpack(request: Request, name: str) -> HTTPResponse:
    limits = configuration.limits(request.app.ctx.tenants.settings)
    return await render(
        request, "backpack_settings.html.j2", active="settings", name=name, limits=limits
    )


@panel.get("/settings", ignore_body=True)
@operator
async def settings(request: Request) -> HTTPResponse:
    groups = configuration.groups(request.app.ctx.tenants.settings)
    return await render(request, "settings.html.j2", active="settings all", groups=groups)
