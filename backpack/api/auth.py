"""Accounts and sessions over HTTP: register, login, logout, me, password."""

from __future__ import annotations

from sanic import Blueprint, HTTPResponse

from ..errors import BadLogin, Forbidden, Invalid
from ..router import API, mount
from ..sessions import Session
from ..users import WRONG_PASSWORD
from .answers import json
from .guards import drop_session_cookie, guarded, set_session_cookie
from .request import Request, read_object

auth = Blueprint("auth", url_prefix=mount(API))


@auth.post("/register", ignore_body=True)
@guarded
async def register(request: Request) -> HTTPResponse:
    body = await read_object(request)
    backpack = request.backpack
    with backpack.throttle.registering(request.client_address):
        user = await backpack.users.register(body.get("email"), body.get("password"))
    return json({"id": user.id})


@auth.post("/login", ignore_body=True)
@guarded
async def login(request: Request) -> HTTPResponse:
    body = await read_object(request)
    backpack, email = request.backpack, body.get("email")
    wants_token = body.get("token") is True
    if wants_token:
        _check_may_hold_token(request)
    with backpack.throttle.logging_in(email, request.client_address):
        user = await backpack.users.verify(email, body.get("password"))
    token, session = await backpack.sessions.create(user)
    if not await backpack.users.is_current(user):
        # A change of the password ended all other sessions, but this one came too late for that.
        await backpack.sessions.end(token)
        raise BadLogin
    if wants_token:
        return json({"id": session.user_id, "token": token})
    response = json({"id": session.user_id})
    set_session_cookie(request, response, token)
    return response


def _check_may_hold_token(request: Request) -> None:
    # A token in a page's script can be stolen by any script of that page; the cookie cannot.
    if "origin" in request.headers and not request.backpack.config.rules.browser_tokens:
        raise Invalid(
            "Pages log in with the cookie; the rule tokens.browser would allow them a token",
            code="token_refused",
            fields={"token": "is not for browsers here"},
        )


@auth.post("/logout", ignore_body=True)
@guarded
async def logout(request: Request) -> HTTPResponse:
    if request.token:
        await request.backpack.sessions.end(request.token)
    response = json({"message": "OK"})
    drop_session_cookie(request, response)
    return response


@auth.get("/me", ignore_body=True)
@guarded
async def me(request: Request) -> HTTPResponse:
    session = _logged_in(request)
    return json({"id": session.user_id, "email": session.email, "createdAt": session.created_at})


@auth.put("/me/password", ignore_body=True)
@guarded
async def change_password(request: Request) -> HTTPResponse:
    session = _logged_in(request)
    body = await read_object(request)
    backpack = request.backpack
    with backpack.throttle.logging_in(session.email, request.client_address):
        user = await backpack.users.verify(session.email, body.get("current"), WRONG_PASSWORD)
    # Not under the brake: what is changed already must not be answered by "too many attempts".
    await backpack.users.change_password(user, body.get("new"))
    await backpack.sessions.end_user(session.user_id, keep=session.digest)
    return json({"message": "OK"})


def _logged_in(request: Request) -> Session:
    if request.session is None:
        raise Forbidden
    return request.session
