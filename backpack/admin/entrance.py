"""How developers get in and out: by password, by one-time link, by invitation, and the first one by
the set-up token."""

from __future__ import annotations

import hmac
from dataclasses import replace
from typing import Any

from sanic import Blueprint, HTTPResponse, json
from sanic.response import redirect

from ..api.request import Request
from ..errors import BadLogin, NotFound
from ..registry.developers import Developer
from ..router import ADMIN, mount
from .cookies import drop_session, session_tokens, set_session
from .doors import EMAIL, NEW_PASSWORD, PASSWORD, Door, Field, show, through
from .forms import read_form
from .guards import changing, find_session
from .request import registry

entrance = Blueprint("entrance", url_prefix=mount(ADMIN))

_SANDBOX = (
    "A sandbox needs no password: open the link that backpack dev has printed, or have another "
    "printed by backpack link."
)
_OPEN = Door("Open the panel", "This link lets one browser in, once.", button="Open")
_SET_UP = Door(
    "Set up this deployment",
    "The first developer becomes its operator, and invites the others.",
    (
        Field(
            "token",
            "Set-up token",
            "password",
            hint="As backpack swarm up has printed it, or the value of BACKPACK_SETUP_TOKEN",
        ),
        EMAIL,
        NEW_PASSWORD,
    ),
    "Set up",
)
_RESET = Door("Choose a new password", "", (NEW_PASSWORD,), "Set the password")
_INVITED = Door(
    "You are invited",
    "Choose what you sign in with.",
    (EMAIL, NEW_PASSWORD),
    "Create the account",
)


def _login(request: Request) -> Door:
    aside = _SANDBOX if request.app.ctx.tenants.settings.dev else ""
    return Door("Sign in", fields=(EMAIL, PASSWORD), button="Sign in", aside=aside)


@entrance.get("/login", ignore_body=True)
async def login_page(request: Request, **_: Any) -> HTTPResponse:
    target = _local(request.args.get("next"))
    if await find_session(request) is not None:
        return redirect(target, status=303)
    if await _may_set_up(request):
        return redirect("/setup", status=303)
    return await show(request, _login(request), next=target)


@entrance.post("/login", ignore_body=True)
@through(_login)
async def login(request: Request) -> HTTPResponse:
    given = request.ctx.given = await read_form(request)
    email = given.get("email")
    with request.app.ctx.throttle.logging_in(email, request.client_address):
        developer = await registry(request).developers.verify(email, given.get("password"))
    return await _let_in(request, developer, "password", _local(given.get("next")))


@entrance.post("/logout", ignore_body=True)
@changing("session.end")
async def logout(request: Request) -> HTTPResponse:
    await registry(request).sessions.end(request.ctx.token)
    response = json({"message": "OK"})
    drop_session(request, response)
    return response


@entrance.get("/open/<token:str>", ignore_body=True)
async def link_page(request: Request, token: str, **_: Any) -> HTTPResponse:
    # What looks at links before people do must not use them up: a button does.
    if await registry(request).links.find(token) is None:
        return await show(request, Door("This link is used up", aside=_SANDBOX), _no_link())
    return await show(request, _OPEN)


@entrance.post("/open/<token:str>", ignore_body=True)
@through(lambda _: Door("This link is used up", aside=_SANDBOX))
async def use_link(request: Request, token: str) -> HTTPResponse:
    developer = await registry(request).links.use(token)
    return await _let_in(request, developer, "link")


@entrance.get("/reset/<token:str>", ignore_body=True)
async def reset_page(request: Request, token: str, **_: Any) -> HTTPResponse:
    developer = await registry(request).links.find(token, resets=True)
    if developer is None:
        return await show(request, Door("This link is used up"), _no_link())
    return await show(request, replace(_RESET, text=developer.name))


@entrance.post("/reset/<token:str>", ignore_body=True)
@through(lambda _: _RESET)
async def reset(request: Request, token: str) -> HTTPResponse:
    given = await read_form(request)
    developer = await registry(request).links.reset(token, given.get("password"))
    return await _let_in(request, developer, "reset")


@entrance.get("/setup", ignore_body=True)
async def set_up_page(request: Request, **_: Any) -> HTTPResponse:
    if not await _may_set_up(request):
        return await show(request, Door("There is nothing to set up"), _set_up_done())
    return await show(request, _SET_UP)


@entrance.post("/setup", ignore_body=True)
@through(lambda _: _SET_UP)
async def set_up(request: Request) -> HTTPResponse:
    given = request.ctx.given = await read_form(request)
    if not await _may_set_up(request):
        raise _set_up_done()
    with request.app.ctx.throttle.logging_in("set-up", request.client_address):
        _check_set_up_token(request, given.get("token", ""))
    developer = await registry(request).developers.set_up(given.get("email"), given.get("password"))
    return await _let_in(request, developer, "set-up")


@entrance.get("/invitations/<token:str>", ignore_body=True)
async def invitation_page(request: Request, token: str, **_: Any) -> HTTPResponse:
    if await registry(request).invitations.find(token) is None:
        return await show(request, Door("This invitation is over"), _no_invitation())
    return await show(request, _INVITED)


@entrance.post("/invitations/<token:str>", ignore_body=True)
@through(lambda _: _INVITED)
async def accept(request: Request, token: str) -> HTTPResponse:
    given = request.ctx.given = await read_form(request)
    developer = await registry(request).invitations.accept(
        token, given.get("email"), given.get("password")
    )
    return await _let_in(request, developer, "invitation")


async def _let_in(
    request: Request, developer: Developer, how: str, target: str = "/"
) -> HTTPResponse:
    """Begin a session, always a new one; the one before ends, whoever's it was."""
    known = registry(request)
    agent = request.headers.get("user-agent", "")
    token = await known.sessions.create(developer, request.client_address, agent)
    for old in session_tokens(request):
        await known.sessions.end(old)
    await known.audit.note(
        developer, "session.begin", detail={"by": how}, address=request.client_address
    )
    response = redirect(target, status=303)
    set_session(request, response, token)
    return response


async def _may_set_up(request: Request) -> bool:
    settings = request.app.ctx.tenants.settings
    return bool(settings.setup_token) and not await registry(request).developers.any()


def _check_set_up_token(request: Request, token: str) -> None:
    right = request.app.ctx.tenants.settings.setup_token
    if not hmac.compare_digest(token.encode(errors="replace"), right.encode()):
        raise BadLogin("That is not the set-up token")


def _local(target: str | None) -> str:
    """A path of the panel to go on to; what leads elsewhere is the start page."""
    is_path = target is not None and target.startswith("/") and target.isprintable()
    return target if is_path and target and target[1:2] not in ("/", "\\") else "/"


def _no_link() -> NotFound:
    return NotFound("It has let somebody in, or is too old.")


def _no_invitation() -> NotFound:
    return NotFound("It has been used, withdrawn, or is too old: ask an operator for another.")


def _set_up_done() -> NotFound:
    return NotFound("Sign in, or ask an operator for an invitation.")
