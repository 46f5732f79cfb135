"""What stands before the routes of the panel: who is signed in, what of theirs they may see, and
that a change was asked for by the panel itself.

Each guard is a decorator, and they stack in any order; what they find out is in `request.ctx`:
`developer`, `session`, `csrf` for the pages, and `detail` for what the audit should say besides.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import wraps
from typing import Any, overload
from urllib.parse import quote

from sanic import HTTPResponse
from sanic.exceptions import SanicException
from sanic.response import html, redirect

from ..api.request import Request, drop_body
from ..errors import BackpackError, BadLogin, Forbidden, Invalid, NotFound, NotSignedIn
from ..registry.backpacks import OWNER
from ..registry.sessions import Session, csrf_token
from ..steps import Steps, paced
from .cookies import session_tokens, tossed
from .forms import is_form, read_form
from .frame import render_failure
from .request import driver, registry

_LOOK = 1.0  # seconds between two looks at a right that lasts

Handler = Callable[..., Awaitable[HTTPResponse | None]]


def signed_in(handler: Handler) -> Handler:
    """For developers only: a page sends others to the sign-in, all else refuses them."""

    @wraps(handler)
    async def endpoint(request: Request, **params: Any) -> HTTPResponse | None:
        if not hasattr(request.ctx, "session"):
            session = await find_session(request)
            if session is None:
                return _turn_away(request)
            _check_asker(request)
            request.ctx.session = session
            request.ctx.developer = session.developer
            request.ctx.csrf = csrf_token(request.ctx.token)
        for known in ("tenant", "by_path"):
            params.pop(known, None)
        try:
            answer = await handler(request, **params)
        except BackpackError as exc:
            if exc.status >= 500 or not _wants_page(request):
                raise
            answer = await render_failure(request, exc)
        for header, value in _PRIVATE.items():
            if answer is not None:
                answer.headers.setdefault(header, value)
        stream: Any = request.stream
        if stream.request_body:
            await drop_body(request)
        return answer

    return endpoint


# Hosted sites are of the same site as the panel: they must not embed what it answers, nor hold on
# to a window of it.
_PRIVATE = {
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-content-type-options": "nosniff",
}


def operator(handler: Handler) -> Handler:
    """For operators only."""

    @wraps(handler)
    async def endpoint(request: Request, **params: Any) -> HTTPResponse | None:
        if not request.ctx.developer.is_operator:
            raise Forbidden("Only operators may do this")
        return await handler(request, **params)

    return signed_in(endpoint)


@overload
def of_backpack(handler: Handler) -> Handler: ...


@overload
def of_backpack(*, owner: bool, deleted: bool = False) -> Callable[[Handler], Handler]: ...


def of_backpack(
    handler: Handler | None = None, *, owner: bool = False, deleted: bool = False
) -> Handler | Callable[[Handler], Handler]:
    """For those who may see the backpack `name` of the path; with `owner` for who owns it, and for
    operators. To all others it is as if there were none. `deleted`: it may be in the trash."""
    if handler is None:
        return lambda handler: _of_backpack(handler, owner, deleted)
    return _of_backpack(handler, owner, deleted)


def _of_backpack(handler: Handler, owner: bool, deleted: bool) -> Handler:
    @wraps(handler)
    async def endpoint(request: Request, name: str, **params: Any) -> HTTPResponse | None:
        role = await registry(request).backpacks.role(request.ctx.developer, name)
        if role is None:
            raise unknown(name)
        if not deleted:
            check_there(request, name)
        if owner and role != OWNER:
            raise Forbidden("Only owners of the backpack, and operators, may do this")
        request.ctx.role = role
        return await handler(request, name=name, **params)

    return signed_in(endpoint)


def check_there(request: Request, name: str) -> None:
    """Raises NotFound unless there is such a backpack, outside the trash."""
    if name not in driver(request).names():
        raise unknown(name)


def unknown(name: str) -> NotFound:
    return NotFound(f"There is no backpack {name!r}", code="unknown_backpack")


def changing(action: str) -> Callable[[Handler], Handler]:
    """For what changes something: the panel's own pages only, by the origin and by the token of
    the session; the audit has it as `action` when it is done, or was broken off: then something may
    have changed."""

    def decorate(handler: Handler) -> Handler:
        @wraps(handler)
        async def endpoint(request: Request, **params: Any) -> HTTPResponse | None:
            ctx = request.ctx
            if not hasattr(ctx, "detail"):
                ctx.detail = {}
            try:
                answer = await handler(request, **params)
            except (BackpackError, SanicException):
                raise
            except BaseException:
                ctx.detail["broken_off"] = True
                await _note(request, action, params.get("name"))
                raise
            if answer is None or answer.status < 400:
                await _note(request, action, params.get("name"))
            return answer

        return by_panel(endpoint)

    return decorate


async def _note(request: Request, action: str, name: str | None) -> None:
    """Have it in the audit, also when the client goes meanwhile."""
    ctx = request.ctx
    await asyncio.shield(
        registry(request).audit.note(
            ctx.developer, action, name, ctx.detail, request.client_address
        )
    )


def by_panel(handler: Handler) -> Handler:
    """For what changes something and is noted elsewhere: the panel's own pages only, by the origin
    and by the token of the session."""

    @wraps(handler)
    async def endpoint(request: Request, **params: Any) -> HTTPResponse | None:
        check_origin(request)
        await _check_token(request)
        return await handler(request, **params)

    return signed_in(endpoint)


def same_origin(handler: Handler) -> Handler:
    """For the panel's own pages only, signed in or not: forms of strangers, and websockets."""

    @wraps(handler)
    async def endpoint(request: Request, **params: Any) -> HTTPResponse | None:
        check_origin(request)
        return await handler(request, **params)

    return endpoint


async def still_may(request: Request, name: str) -> bool:
    """Whether who was let in to a backpack would be let in again: a socket outlives a session."""
    known = registry(request)
    session = await known.sessions.get(request.ctx.session.digest)
    return session is not None and await known.backpacks.role(session.developer, name) is not None


async def while_seen(request: Request, name: str, steps: Steps) -> Steps:
    """The steps, as long as who asks may see the backpack; raises NotFound then."""
    doubted = asyncio.Event()
    stop = registry(request).rights.listen(doubted.set)
    try:
        async with aclosing(paced(steps, _LOOK)) as told:
            async for step in told:
                if step is None or doubted.is_set():
                    doubted.clear()
                    check_there(request, name)
                    if not await still_may(request, name):
                        raise unknown(name)
                if step is not None:
                    yield step
    finally:
        stop()


async def find_session(request: Request) -> Session | None:
    """The session of a request's cookie; what is none is passed over. Raises BadRequest where there
    are those of two developers."""
    found: dict[str, Session] = {}
    for token in session_tokens(request):
        session = await registry(request).sessions.find(token)
        if session is not None:
            found[session.developer.id] = session
            request.ctx.token = token
    if len(found) > 1:
        raise tossed()
    return next(iter(found.values()), None)


def check_origin(request: Request) -> None:
    """Raises Forbidden unless a page of the panel asks, by what the browser says."""
    origin = request.headers.get("origin", "")
    own = f"{request.public_scheme}://{request.headers.get('host', '')}"
    if origin.lower() != own.lower():
        other = origin[:200].encode(errors="replace").decode() or "nowhere"
        raise Forbidden(
            f"Only pages of {own} may do this, not of {other}; behind a proxy that "
            "speaks https, BACKPACK_TRUSTED_PROXIES must name it",
            code="bad_origin",
        )


def _check_asker(request: Request) -> None:
    """Raises Forbidden where a browser says that a page elsewhere asks for anything but a page: the
    cookie comes along with what hosted sites ask for, and an export is work, and in the audit."""
    site = request.headers.get("sec-fetch-site")
    if site in ("same-site", "cross-site") and not _is_page(request):
        raise Forbidden("Only pages of the panel may ask for this", code="bad_origin")


async def _check_token(request: Request) -> None:
    token = request.headers.get("x-csrf-token")
    if token is None and is_form(request):
        token = (await read_form(request)).get("csrf_token")
    sent = (token or "").encode(errors="replace")
    if not hmac.compare_digest(sent, request.ctx.csrf.encode()):
        raise Forbidden("This page is too old: load it again", code="bad_csrf")


async def check_password(request: Request, password: object, field: str) -> None:
    """Raises Invalid, about `field` of what was sent, unless that is the password of who is signed
    in: a session that was left open, or stolen, is not enough for some things."""
    developer = request.ctx.developer
    try:
        with request.app.ctx.throttle.logging_in(developer.email, request.client_address):
            await registry(request).developers.check_password(developer, password)
    except BadLogin as exc:  # whose 401 would mean: sign in
        raise Invalid("Wrong password", fields={field: "is wrong"}) from exc


def _is_page(request: Request) -> bool:
    is_read = request.method in ("GET", "HEAD") and "upgrade" not in request.headers
    return is_read and not request.path.lstrip("/").startswith("api/")


def _wants_page(request: Request) -> bool:
    return _is_page(request) and "text/html" in request.headers.get("accept", "")


def _turn_away(request: Request) -> HTTPResponse:
    if not _is_page(request):
        raise NotSignedIn
    if request.headers.get("sec-fetch-site") == "cross-site":
        # The cookie does not come along with a link of another site: asked for again, by a page
        # of ours, it does.
        return html('<!doctype html><meta http-equiv="refresh" content="0">', headers=_PLAIN)
    return redirect(f"/login?next={quote(request.raw_url.decode('latin-1'), safe='/')}", status=303)


_PLAIN = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
}
