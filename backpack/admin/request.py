"""What a request to the panel works on, and who acts by it."""

from __future__ import annotations

from ..api.request import Request
from ..drivers.base import Driver
from ..holdings import Acting, Holdings
from ..registry import Registry


def registry(request: Request) -> Registry:
    found: Registry = request.app.ctx.registry
    return found


def driver(request: Request) -> Driver:
    found: Driver = request.app.ctx.driver
    return found


def holdings(request: Request) -> Holdings:
    found: Holdings = request.app.ctx.holdings
    return found


def acting(request: Request) -> Acting:
    """The developer, or the program, that asks, for the log."""
    bearer = getattr(request.ctx, "bearer", None)
    return Acting(bearer or request.ctx.developer, request.client_address)
