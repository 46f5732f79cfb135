"""The Sanic application: blueprints on their roles, one error handler.

What it serves is opened by its caller.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import sanic.router
from sanic import Blueprint, HTTPResponse, Sanic, json
from sanic.config import Config
from sanic.exceptions import SanicException
from sanic.http import Http

from . import api, errors
from .api.notes import logger as requests_log
from .api.notes import note
from .api.nowhere import nowhere
from .api.request import Request, decline_body, give_up_body
from .api.site import SAFE
from .complaints import Complaints, cause_of
from .errors import BackpackError, BadKey
from .health import Health
from .private.guard import has_token
from .router import SITE, Router, mount
from .tenants import Tenants
from .throttle import Throttle

if TYPE_CHECKING:
    from .admin import Panel

logger = logging.getLogger("backpack")

MAX_HEADER = 65_536  # bytes of the request line and all headers

_SAFE = {"x-content-type-options": "nosniff"}
_SITE = f"{mount(SITE).strip('/')}/"  # how the paths of a site's routes begin


class App(Sanic[Config, SimpleNamespace]):
    """Sanic without what nobody here uses, signals and middleware: 6 us less a request."""

    async def handle_request(self, request: Request) -> None:  # type: ignore[override]
        """Have a request answered by the handler of its route."""
        began = perf_counter()
        try:
            host = request.headers.get("host")
            route, handler, params = self.router.get(request.path, request.method, host)
            request.route = route
            request._match_info = params
            stream: Any = request.stream
            if stream.request_body and not route.extra.ignore_body:
                await request.receive_body()  # type: ignore[no-untyped-call]
            response: Any = await handler(request, **params)
            if response is not None and not request.responded:
                stream.respond(response)
                request.responded = True
            if stream.response is not None:  # else it is a websocket now
                if requests_log.isEnabledFor(logging.INFO):
                    stream.response.headers["x-request-id"] = request.request_id
                await stream.response.send(end_stream=True)
        except Exception as exc:
            await self.handle_exception(request, exc, run_middleware=False)
        note(request, perf_counter() - began)


class Private(App):
    """An application that knows nothing but its token until it has seen it."""

    async def handle_request(self, request: Request) -> None:  # type: ignore[override]
        if has_token(request):
            await super().handle_request(request)
        else:
            await self.handle_exception(request, BadKey(), run_middleware=False)


def create_app(
    tenants: Tenants,
    sites: Mapping[str, Path] | None = None,
    demo: str | None = None,
    panel: Panel | None = None,
) -> App:
    """The application that serves every backpack of `tenants`, their frontends and the admin host.

    `sites` maps names of backpacks to folders that are served as their frontends; `demo` is the
    name of the one that shows the demo app. Without `panel` the admin host has no panel.
    """
    from . import admin
    from .admin.relay import Relays
    from .api.site import site

    own = admin.BLUEPRINTS if panel is None else (*admin.BLUEPRINTS, *admin.PANEL)
    app = _create(tenants, Router(tenants), (*api.BLUEPRINTS, site, *own, nowhere))
    app.ctx.sites = dict(sites or {})
    app.ctx.demo = demo
    if panel is not None:
        app.ctx.registry = panel.registry
        app.ctx.driver = panel.driver
        app.ctx.holdings = panel.holdings
        app.ctx.throttle = Throttle()
        app.ctx.relays = Relays()
        app.ctx.close_sockets.append(app.ctx.relays.close)
    return app


def create_backend(tenants: Tenants, health: Health) -> App:
    """The application that serves the backends of `tenants` alone; `health` is theirs."""
    app = _create(tenants, Router(tenants, backends_only=True), (*api.BLUEPRINTS, nowhere))
    app.ctx.health = health
    return app


def create_private(tenants: Tenants, name: str, health: Health, token: str) -> App:
    """The application of the private port of the backpack `name`: for whoever has the token."""
    from .private import BLUEPRINTS

    app = _create(tenants, sanic.router.Router(), BLUEPRINTS, Private)
    app.ctx.health = health
    app.ctx.name = name
    app.ctx.token = token.encode()
    app.ctx.close_sockets = []  # whoever serves the backpack closes them
    return app


def _create(
    tenants: Tenants,
    router: sanic.router.Router,
    blueprints: Iterable[Blueprint],
    kind: type[App] = App,
) -> App:
    config = Config(env_prefix=None)
    config.FALLBACK_ERROR_FORMAT = "json"
    config.AUTO_EXTEND = False
    # Sanic's ceiling is 16 KiB; a filter with 1,000 ids takes 30.
    Http.HEADER_CEILING = config.REQUEST_MAX_HEADER_SIZE = MAX_HEADER
    # What is refused while it comes is read away up to this size, so that its sender sees why.
    config.REQUEST_MAX_SIZE = 2 * (tenants.settings.max_upload + tenants.settings.max_body)
    # Sanic rewrites its own classes for the first application of a process, and stumbles over that
    # at the second. Who runs one only turns it on again: 10 us a request.
    config.TOUCHUP = False
    app = kind(
        # Sanic keeps a registry of names; several applications live in one test process.
        f"backpack-{secrets.token_hex(6)}",
        config=config,
        router=router,
        request_class=Request,
        configure_logging=False,
    )
    app.ctx.tenants = tenants
    app.ctx.close_sockets = [tenants.close_sockets]
    app.ctx.health = Health()
    app.ctx.headings = {}
    app.ctx.complaints = Complaints(logger)
    for blueprint in blueprints:
        app.blueprint(blueprint)
    app.exception(Exception)(answer_error)
    return app


async def answer_error(request: Request, exc: Exception) -> HTTPResponse:
    """The answer to a request that failed; the last place that an exception reaches."""
    failure = exc if isinstance(exc, BackpackError) else _translate(request, exc)
    if failure.status >= 500:
        _complain(request, exc, failure)
    request.rule = errors.rule_of(failure)
    decline_body(request)
    headers = {
        **(SAFE if _is_of_site(request) else _SAFE),
        **failure.headers,
        **request.common_headers.values,
        "x-request-id": request.request_id,
    }
    return json(errors.body(failure), status=failure.status, headers=headers)


def _is_of_site(request: Request) -> bool:
    return request.route is not None and request.route.path.startswith(_SITE)


def _complain(request: Request, exc: Exception, failure: BackpackError) -> None:
    # A token in a path is a secret.
    path = request.path
    if request.route is not None and "token" in request.match_info:
        path = f"/{request.route.path}"
    what = f"{request.method} {path} failed: {failure.message}"
    tenant = request.match_info.get("tenant")
    name = tenant.name if tenant else None
    if failure.status == 500:
        logger.error("%s", what, exc_info=exc, extra={"backpack": name})
        return
    # Clients, or a database that is away, can bring about many: they must not fill the log.
    why = cause_of(exc)
    request.app.ctx.complaints.log(failure.message, f"{what} ({why})" if why else what, name)


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
