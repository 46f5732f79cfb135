"""The cookie of a developer's session, as browsers keep it."""

from __future__ import annotations

from sanic import HTTPResponse
from sanic.cookies.request import parse_cookie

from ..api.request import Request
from ..errors import BadRequest
from ..registry.sessions import LIFETIME

_MOST = 5  # cookies of one name that are looked at


def session_tokens(request: Request) -> list[str]:
    """What the cookies of a request say that may be sessions.

    There can be several where the name's prefix does not keep a hosted site from setting one for
    all hosts of the domain. Raises BadRequest when there are too many to look at.
    """
    header = ";".join(request.headers.getall("cookie", ()))
    values = parse_cookie(header).get(_name(request)) or [] if header else []
    tokens = list(dict.fromkeys(values))
    if len(tokens) > _MOST:
        raise tossed()
    return tokens


def tossed() -> BadRequest:
    """Where it cannot be told which cookie is the developer's own."""
    return BadRequest(
        "There are cookies of several sign-ins: another host of this domain has set some. Delete "
        "the cookies of this domain in the browser, then sign in again",
        code="two_sessions",
    )


def set_session(request: Request, response: HTTPResponse, token: str) -> None:
    """Hand a session to the browser."""
    _add(request, response, token, LIFETIME)


def drop_session(request: Request, response: HTTPResponse) -> None:
    _add(request, response, "", 0)


def _add(request: Request, response: HTTPResponse, value: str, max_age: int) -> None:
    cookie = f"{_name(request)}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Strict"
    if _is_trustworthy(request):
        cookie += "; Secure"
    response.headers.add("set-cookie", cookie)


def _name(request: Request) -> str:
    """What the cookie is called. The prefix keeps other hosts of the domain from setting it."""
    return "__Host-backpack" if _is_trustworthy(request) else "backpack"


def _is_trustworthy(request: Request) -> bool:
    """Whether browsers keep cookies here that are for https only: also on hosts that are this
    machine (W3C, Secure Contexts, 3.1; tried in Chromium 156)."""
    host = request.headers.get("host", "").partition(":")[0].lower().rstrip(".")
    return request.public_scheme == "https" or host.endswith(".localhost")
