"""The HTML pages that Backpack itself shows: how one is answered, and those of a backpack without a
site, the welcome page and the demo app's."""

from __future__ import annotations

import asyncio
import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sanic import HTTPResponse, html

from .api.request import Request
from .backpacks import Backpack

_PACKAGE = Path(__file__).parent
WELCOME = _PACKAGE / "welcome"
DEMO_SITE = _PACKAGE / "demo" / "site"
ADMIN_STATIC = _PACKAGE / "admin" / "static"

_IMPORT = re.compile(r'^import .* from "\./(\w+)\.js";$', re.M)


@dataclass(frozen=True)
class Address:
    """Where the deployment is reached, as this request reached it.

    `port` has its colon, or is empty.
    """

    scheme: str
    domain: str
    port: str

    @classmethod
    def of(cls, request: Request) -> Address:
        port = request.headers.get("host", "").rpartition(":")[2]
        settings = request.app.ctx.tenants.settings
        return cls(request.public_scheme, settings.domain, f":{port}" if port.isdigit() else "")

    def url(self, label: str) -> str:
        return f"{self.scheme}://{label}.{self.domain}{self.port}"

    def connect(self, name: str) -> str:
        """The backend of a sandbox without its host name, which few programs resolve."""
        return f"{self.scheme}://127.0.0.1{self.port}/~{name}"


async def render_welcome(request: Request, backpack: Backpack) -> HTTPResponse:
    """The page that a frontend host shows while it has no site: a small app on the SDK."""
    address = Address.of(request)
    admin, backend = address.url("admin"), address.url(f"{backpack.name}-be")
    return await render_page(
        WELCOME / "index.html.j2",
        f"default-src 'none'; script-src 'self' {admin}; style-src 'self' {admin}; "
        f"img-src 'self' data:; connect-src {backend}; form-action 'none'",
        name=backpack.name,
        admin=admin,
        backend=backend,
        frontend=address.url(backpack.name),
        api_key=backpack.config.api_key,
        connect=address.connect(backpack.name) if backpack.settings.dev else "",
    )


async def render_demo(request: Request, backpack: Backpack) -> HTTPResponse:
    """The page of the demo app."""
    address = Address.of(request)
    admin, backend = address.url("admin"), address.url(f"{backpack.name}-be")
    return await render_page(
        _PACKAGE / "demo" / "index.html.j2",
        f"default-src 'none'; script-src 'self' {admin}; style-src 'self'; "
        f"img-src data: {backend}; connect-src {backend} {backend.replace('http', 'ws', 1)}; "
        "form-action 'none'",
        admin=admin,
        backend=backend,
        api_key=backpack.config.api_key,
    )


async def render_page(template: Path, policy: str, **values: Any) -> HTTPResponse:
    """A template with `values`; it may use others of its folder. `policy` is its content security
    policy, besides what goes for all pages."""
    headers = {
        "cache-control": "no-store",
        "content-security-policy": f"{policy}; base-uri 'none'; frame-ancestors 'none'",
        # Under no-referrer the forms of a page would be sent by the origin "null" (Fetch, 3.2).
        "referrer-policy": "same-origin",
        "x-content-type-options": "nosniff",
    }
    # To read one for the first time takes 20 ms and more.
    loaded = await asyncio.to_thread(_load, template)
    return html(loaded.render(values), headers=headers)


@cache
def _load(template: Path) -> Any:
    return _environment(template.parent).get_template(template.name)


@cache
def _environment(folder: Path) -> Any:
    # Jinja2 takes 50 ms to import: the start of the sandbox does not wait for it.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
    )
    environment.globals["static"] = f"/static/{static_version()}"
    environment.globals["imports_of"] = imports_of
    return environment


@cache
def static_version() -> str:
    """What stands in the paths of the panel's own files: another one when any of them is another,
    so that browsers need not ask again. Reads them all at the first time, 5 ms."""
    contents = hashlib.sha256()
    for file in sorted(ADMIN_STATIC.rglob("*.*")):
        contents.update(file.name.encode() + file.read_bytes())
    return f"v-{contents.hexdigest()[:16]}"


@cache
def imports_of(*modules: str) -> list[str]:
    """The modules of the panel without which those cannot run, themselves left out: browsers that
    are told of them get all at once. They are read at the first time, 1 ms."""
    found: dict[str, None] = {}
    waiting = list(modules)
    while waiting:
        text = (ADMIN_STATIC / "panel" / f"{waiting.pop()}.js").read_text("utf-8")
        new = [name for name in _IMPORT.findall(text) if name not in found]
        found |= dict.fromkeys(new)
        waiting += new
    return [name for name in found if name not in modules]
