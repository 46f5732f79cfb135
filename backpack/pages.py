"""The HTML pages that Backpack itself shows: the welcome page of a backpack without a site, the
demo app's, and the admin host's."""

from __future__ import annotations

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


def render_welcome(request: Request, backpack: Backpack) -> HTTPResponse:
    """The page that a frontend host shows while it has no site: a small app on the SDK."""
    address = Address.of(request)
    admin, backend = address.url("admin"), address.url(f"{backpack.name}-be")
    return _page(
        WELCOME / "index.html.j2",
        f"default-src 'none'; script-src 'self' {admin}; style-src 'self' {admin}; "
        f"img-src 'self' data:; connect-src {backend}",
        name=backpack.name,
        admin=admin,
        backend=backend,
        frontend=address.url(backpack.name),
        api_key=backpack.config.api_key,
        connect=address.connect(backpack.name) if backpack.settings.dev else "",
    )


def render_demo(request: Request, backpack: Backpack) -> HTTPResponse:
    """The page of the demo app."""
    address = Address.of(request)
    admin, backend = address.url("admin"), address.url(f"{backpack.name}-be")
    return _page(
        _PACKAGE / "demo" / "index.html.j2",
        f"default-src 'none'; script-src 'self' {admin}; style-src 'self'; "
        f"img-src data: {backend}; connect-src {backend} {backend.replace('http', 'ws', 1)}",
        admin=admin,
        backend=backend,
        api_key=backpack.config.api_key,
    )


def render_landing(request: Request) -> HTTPResponse:
    """The admin host's page: the SDK, and in a sandbox the backpacks there are."""
    address = Address.of(request)
    tenants = request.app.ctx.tenants
    names = tenants.names() if tenants.settings.dev else []
    backpacks = [
        {"name": name, "backend": address.url(f"{name}-be"), "frontend": address.url(name)}
        for name in names
    ]
    return _page(
        _PACKAGE / "admin" / "templates" / "landing.html.j2",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:",
        admin=address.url("admin"),
        backpacks=backpacks,
    )


_POLICY = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def _page(template: Path, policy: str, **values: Any) -> HTTPResponse:
    headers = {
        "cache-control": "no-store",
        "content-security-policy": f"{policy}; {_POLICY}",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }
    return html(_load(template).render(values), headers=headers)


@cache
def _load(template: Path) -> Any:
    # Jinja2 takes 50 ms to import: the start of the sandbox does not wait for it.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(template.parent), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template(template.name)
