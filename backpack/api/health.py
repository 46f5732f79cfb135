"""The answer to `/healthz`, the same on every host: proxies and orchestrators ask by address."""

from __future__ import annotations

from sanic import HTTPResponse, json

from .. import errors
from ..errors import Unavailable
from ..health import Health
from .request import Request


def report_health(request: Request) -> HTTPResponse:
    """200 when requests may be sent to this process, 503 with the reason otherwise; of itself alone
    when asked for `/healthz?self`."""
    health: Health = request.app.ctx.health
    why = health.own_trouble if request.query_string == "self" else health.trouble
    if why is None:
        return json({"status": "ok"})
    # Answered, not raised: who asks every second must not fill the log.
    trouble = Unavailable(why)
    return json(errors.body(trouble), status=trouble.status, headers=trouble.headers)
