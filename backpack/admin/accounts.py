"""The accounts of developers in the panel: everyone's own, and for operators all of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sanic import Blueprint, HTTPResponse, json

from ..api.request import Request, read_object
from ..errors import Invalid, NotFound
from ..pages import Address
from ..registry.developers import Developer
from ..registry.invitations import Invitation
from ..registry.sessions import Session
from ..router import ADMIN, mount
from .cookies import drop_session
from .frame import render
from .guards import changing, check_password, operator, signed_in
from .request import registry

accounts = Blueprint("accounts", url_prefix=mount(ADMIN))


@accounts.get("/account", ignore_body=True)
@signed_in
async def account_page(request: Request) -> HTTPResponse:
    return await render(request, "account.html.j2", active="account")


@accounts.get("/developers", ignore_body=True)
@operator
async def developers_page(request: Request) -> HTTPResponse:
    return await render(request, "developers.html.j2", active="developers")


@accounts.get("/api/account/sessions", ignore_body=True)
@signed_in
async def sessions(request: Request) -> HTTPResponse:
    """`[{"id", "current", "address", "browser", "created", "used"}]`, the latest used first."""
    found = await registry(request).sessions.of(request.ctx.developer)
    return json([_session(one, request.ctx.session) for one in found])


@accounts.delete("/api/account/sessions", ignore_body=True)
@changing("session.end_all")
async def end_all(request: Request) -> HTTPResponse:
    """Log out everywhere, here too."""
    await registry(request).sessions.end_all(request.ctx.developer)
    response = json({"message": "OK"})
    drop_session(request, response)
    return response


@accounts.delete("/api/account/sessions/<session:str>", ignore_body=True)
@changing("session.end")
async def end_session(request: Request, session: str) -> HTTPResponse:
    if not await registry(request).sessions.end_one(request.ctx.developer, session):
        raise NotFound("There is no such session")
    return json({"message": "OK"})


@accounts.put("/api/account/password", ignore_body=True)
@changing("account.password")
async def change_password(request: Request) -> HTTPResponse:
    """`{"current", "new"}`; all other sessions end."""
    body = await read_object(request)
    developer, known = request.ctx.developer, registry(request)
    await check_password(request, body.get("current"), "current")
    await known.developers.change_password(developer, body.get("new"))
    await known.sessions.end_all(developer, keep=request.ctx.session)
    return json({"message": "OK"})


@accounts.put("/api/account/login", ignore_body=True)
@changing("account.login")
async def set_login(request: Request) -> HTTPResponse:
    """`{"email", "password"}`, for the operator of a sandbox, who has none."""
    body = await read_object(request)
    developers = registry(request).developers
    await developers.set_login(request.ctx.developer, body.get("email"), body.get("password"))
    return json({"message": "OK"})


@accounts.get("/api/developers", ignore_body=True)
@operator
async def developers(request: Request) -> HTTPResponse:
    """`{"developers": [{"id", "email", "role", "created_at", "own"}], "invitations": [{"id",
    "role", "invited_by", "expires"}]}`."""
    known = registry(request)
    return json(
        {
            "developers": [
                _developer(one, request.ctx.developer) for one in await known.developers.list()
            ],
            "invitations": [_invitation(one) for one in await known.invitations.list()],
        }
    )


@accounts.post("/api/developers/invitations", ignore_body=True)
@changing("developer.invite")
@operator
async def invite(request: Request) -> HTTPResponse:
    """`{"role"}`; answers `{"url"}`, which is shown this once."""
    role = (await read_object(request)).get("role")
    token = await registry(request).invitations.create(role, request.ctx.developer)
    request.ctx.detail["role"] = role
    return json({"url": f"{Address.of(request).url('admin')}/invitations/{token}"})


@accounts.delete("/api/developers/invitations/<invitation:str>", ignore_body=True)
@changing("developer.uninvite")
@operator
async def uninvite(request: Request, invitation: str) -> HTTPResponse:
    await registry(request).invitations.revoke(invitation)
    return json({"message": "OK"})


@accounts.put("/api/developers/<developer:str>", ignore_body=True)
@changing("developer.role")
@operator
async def change_role(request: Request, developer: str) -> HTTPResponse:
    """`{"role"}`."""
    role = (await read_object(request)).get("role")
    await _note_name(request, developer)
    await registry(request).developers.change_role(developer, role)
    request.ctx.detail["role"] = role
    return json({"message": "OK"})


@accounts.delete("/api/developers/<developer:str>", ignore_body=True)
@changing("developer.remove")
@operator
async def remove(request: Request, developer: str) -> HTTPResponse:
    await _note_name(request, developer)
    await registry(request).developers.remove(developer)
    return json({"message": "OK"})


@accounts.post("/api/developers/<developer:str>/reset", ignore_body=True)
@changing("developer.reset")
@operator
async def make_reset(request: Request, developer: str) -> HTTPResponse:
    """A link to choose a new password by, for who has forgotten it: `{"url"}`, shown this once."""
    known = registry(request)
    found = await known.developers.get(developer)
    if found is None:
        raise NotFound("There is no such developer")
    if found.password_hash is None:
        raise Invalid("The operator of a sandbox has no password: backpack link lets them in")
    request.ctx.detail["developer"] = found.name
    token = await known.links.create(found, resets=True)
    return json({"url": f"{Address.of(request).url('admin')}/reset/{token}"})


async def _note_name(request: Request, developer_id: str) -> None:
    """Have the audit say who it was done to."""
    found = await registry(request).developers.get(developer_id)
    if found is not None:
        request.ctx.detail["developer"] = found.name


def _session(session: Session, current: Session) -> dict[str, Any]:
    return {
        "id": session.id,
        "current": session.digest == current.digest,
        "address": session.address,
        "browser": _browser(session.agent),
        "created": _time(session.created),
        "used": _time(session.used),
    }


def _developer(developer: Developer, own: Developer) -> dict[str, Any]:
    return {
        "id": developer.id,
        "email": developer.email,
        "role": developer.role,
        "created_at": developer.created_at,
        "own": developer.id == own.id,
    }


def _invitation(invitation: Invitation) -> dict[str, Any]:
    return {
        "id": invitation.id,
        "role": invitation.role,
        "invited_by": invitation.invited_by,
        "expires": _time(invitation.expires),
    }


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


# Most browsers call themselves by the names of others too: the first that fits is the one.
_BROWSERS = {
    "Firefox/": "Firefox",
    "Edg/": "Edge",
    "OPR/": "Opera",
    "Chrome/": "Chrome",
    "Safari/": "Safari",
}
_SYSTEMS = {
    "Android": "Android",
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Windows": "Windows",
    "Mac OS X": "macOS",
    "Linux": "Linux",
}


def _browser(agent: str) -> str:
    """What a browser calls itself, in two words."""
    browser = next((name for part, name in _BROWSERS.items() if part in agent), "")
    system = next((name for part, name in _SYSTEMS.items() if part in agent), "")
    return " on ".join(filter(None, (browser, system))) or agent.partition(" ")[0][:40]
