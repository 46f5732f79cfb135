"""Programs that come with a token (`authorization: token ...`) in the place of a developer who is
signed in to the panel."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from sanic import HTTPResponse

from ..api.request import Request, drop_body
from ..errors import Forbidden, NotSignedIn
from ..registry.tokens import Token
from .guards import Handler, by_panel, check_there, of_backpack
from .request import driver, registry

_SCHEME = "token "


def panel_or_token(scope: str, *, owner: bool = False) -> Callable[[Handler], Handler]:
    """For the panel's own pages, as `of_backpack` and `by_panel` have it, and for whoever has a
    token of that scope for the backpack `name` of the path.

    `request.ctx.bearer` is the token, or None.
    """

    def decorate(handler: Handler) -> Handler:
        by_page = of_backpack(owner=owner)(by_panel(handler))

        @wraps(handler)
        async def endpoint(request: Request, name: str, **params: Any) -> HTTPResponse | None:
            sent = request.headers.get("authorization", "")
            request.ctx.bearer = None
            if not sent.lower().startswith(_SCHEME):
                return await by_page(request, name=name, **params)
            request.ctx.bearer = await _admitted(request, sent[len(_SCHEME) :].strip(), scope, name)
            check_there(request, name)
            answer = await handler(request, name=name)
            stream: Any = request.stream
            if stream.request_body:
                await drop_body(request)
            return answer

        return endpoint

    return decorate


async def _admitted(request: Request, secret: str, scope: str, name: str) -> Token:
    tokens = registry(request).tokens
    token = await tokens.use(secret)
    if token is None:
        known, why = await tokens.refusal(secret)
        await _note_refusal(request, known, scope, name)
        raise NotSignedIn(why, code="bad_token")
    if (token.scope, token.backpack) != (scope, name):
        await _note_refusal(request, token, scope, name)
        raise Forbidden(
            f"The token {token.label!r} is to {token.scope} {token.backpack}, not to {scope} "
            f"{name[:100]}",
            code="bad_scope",
        )
    return token


async def _note_refusal(request: Request, token: Token | None, scope: str, name: str) -> None:
    """Have it in the audit of the backpack that the token is for, or was tried on."""
    if not request.app.ctx.throttle.is_noted(request.client_address):
        return
    tried = name if name in driver(request).names() else None
    await registry(request).audit.note(
        token,
        "token.refused",
        token.backpack if token else tried,
        {"wanted": f"{scope} {name[:100]}"},
        request.client_address,
    )
