"""The pages of the panel: each is a template in the frame that all of them have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sanic import HTTPResponse

from ..api.request import Request
from ..errors import BackpackError, Forbidden
from ..pages import Address, render_page
from ..registry.backpacks import OWNER

_TEMPLATES = Path(__file__).parent / "templates"


async def render(
    request: Request, template: str, *, active: str, name: str = "", **values: Any
) -> HTTPResponse:
    """A page for the developer who is signed in.

    `active` is the entry of the navigation it belongs to, `name` the backpack it is about.
    """
    return await render_page(
        _TEMPLATES / template,
        policy(request),
        active=active,
        name=name,
        developer=request.ctx.developer,
        csrf=request.ctx.csrf,
        owns=getattr(request.ctx, "role", None) == OWNER,
        capabilities=request.app.ctx.driver.capabilities,
        kept=_days(request.app.ctx.tenants.settings.trash_days),
        **values,
    )


async def render_failure(request: Request, failure: BackpackError) -> HTTPResponse:
    """The page in the place of one that is not there, or not for this developer."""
    refused = failure.status == Forbidden.status
    page = await render(
        request, "failure.html.j2", active="", message=failure.message, refused=refused
    )
    page.status = failure.status
    return page


def _days(number: float) -> str:
    return f"{number:g} day" if number == 1 else f"{number:g} days"


def policy(request: Request) -> str:
    """The content security policy of the panel: its own files, and no text is ever read as HTML."""
    # Some browsers do not take a websocket for 'self'.
    socket = Address.of(request).url("admin").replace("http", "ws", 1)
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' {socket}; "
        "img-src 'self' blob: data:; media-src 'self' blob:; form-action 'self'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
