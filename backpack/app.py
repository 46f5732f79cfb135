"""The Sanic application: blueprints on their roles, one error handler.

What it serves is opened by its caller.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

from sanic import HTTPResponse, Sanic, json
from sanic.config import Config
from sanic.exceptions import SanicException
from sanic.http import Http

from . import api, errors
from .admin.routes import admin
from .api.nowhere import nowhere
from .api.request import Request, decline_body, give_up_body
from .api.site import site
from .errors import BackpackError, NoSpace, ReadOnly
from .router import Router
from .tenants import Tenants

logger = logging.getLogger("backpack")

MAX_HEADER = 65_536  # bytes of the request line and all headers

App = Sanic[Config, SimpleNamespace]


def create_app(tenants: Tenants, sites: Mapping[str, Path] | None = None) -> App:
    """The application that serves every backpack of `tenants`.

    `sites` maps names of backpacks to folders that are served as their frontends.
    """
    config = Config(env_prefix=None)
    config.FALLBACK_ERROR_FORMAT = "json"
    config.AUTO_EXTEND = False
    # Sanic's ceiling is 16 KiB; a filter with 1,000 ids takes 30.
    Http.HEADER_CEILING = config.REQUEST_MAX_HEADER_SIZE = MAX_HEADER
    # Sanic rewrites its own classes for the first application of a process, and stumbles over that
    # at the second. Who runs one only turns it on again: 10 us a request.
    config.TOUCHUP = False
    app: App = Sanic(
        # Sanic keeps a registry of names; several applications live in one test process.
        f"backpack-{secrets.token_hex(6)}",
        config=config,
        router=Router(tenants),
        request_class=Request,
        configure_logging=False,
    )
    app.ctx.tenants = tenants
    app.ctx.sites = dict(sites or {})
    app.ctx.logged = {}  # code of a failure -> when it was last logged
    for blueprint in (*api.BLUEPRINTS, site, admin, nowhere):
        app.blueprint(blueprint)
    app.exception(Exception)(answer_error)
    return app


async def answer_error(request: Request, exc: Exception) -> HTTPResponse:
    """The answer to a request that failed; the last place that an exception reaches."""
    failure = exc if isinstance(exc, BackpackError) else _translate(request, exc)
    if failure.status >= 500:
        _log(request, exc, failure)
    decline_body(request)
    headers = {**failure.headers, **request.common_headers.values}
    return json(errors.body(failure), status=failure.status, headers=headers)


def _log(request: Request, exc: Exception, failure: BackpackError) -> None:
    """Note a failure, with its traceback unless it is plain what is wrong.

    What clients can bring about must not fill the log; nor must a disk that lets nothing be
    written, of which every write tells: once a minute for each code is enough.
    """
    unknown = exc if failure is not exc or exc.__cause__ else None
    if isinstance(failure, _OF_THE_DISK):
        unknown = None
        logged: dict[str, float] = request.app.ctx.logged
        if time.monotonic() < logged.get(failure.code, -_MINUTE) + _MINUTE:
            return
        logged[failure.code] = time.monotonic()
    text = "%s %s failed: %s"
    logger.error(text, request.method, request.path, failure.message, exc_info=unknown)


_OF_THE_DISK = (NoSpace, ReadOnly)
_MINUTE = 60.0  # seconds


def _translate(request: Request, exc: Exception) -> BackpackError:
    """Sanic's own refusals (malformed requests, time-outs) and our bugs, as errors of ours."""
    if not isinstance(exc, SanicException):
        return BackpackError()
    status = exc.status_code
    if status == 503 and give_up_body(request):
        status = 408  # Sanic gave up on the handler, but that was waiting for the client
    if status >= 500 and status != 503:
        return BackpackError()
    failure = BackpackError(str(exc) or None, code=_CODES.get(status, "bad_request"))
    failure.status = status
    return failure


_CODES = {
    404: "not_found",
    405: "wrong_method",
    408: "timeout",
    413: "too_large",
    414: "url_too_long",
    503: "unavailable",
}
