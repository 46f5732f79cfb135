"""What stands before every route of a backend, in this order: CORS, API key, session.

And what goes with every answer: CORS headers and cookies.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache, wraps
from typing import Any

from sanic.cookies.request import parse_cookie
from sanic.response import HTTPResponse

from ..backpacks import Backpack, Config
from ..errors import BadKey, NoSpace, Unavailable
from ..tenants import Tenant
from .answers import NO_HEADERS, CommonHeaders, EncodedJson
from .request import Request, drop_body

Handler = Callable[..., Awaitable[HTTPResponse]]

ALLOWED_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
_PREFLIGHT = {
    "access-control-allow-methods": ALLOWED_METHODS,
    "access-control-allow-headers": "authorization, content-type, x-backpack-session, range",
    "access-control-max-age": "600",
}
_EXPOSED = "x-total-count, etag, content-range, content-disposition, retry-after"


@dataclass(frozen=True, slots=True)
class Caller:
    """What the headers of a request say, as one configuration of the backpack has it.

    What sends the same headers is the same caller: to find it out takes 6 us. `forwarded`: the
    client's address, as a trusted proxy has it.
    """

    config: Config
    from_proxy: bool
    common_headers: CommonHeaders
    authorization: str
    forwarded: str
    token: str | None
    token_in_cookie: bool


def guarded(handler: Handler) -> Handler:
    """A route of a backend: `handler` runs when the guards let the request in."""
    return _guarded(handler, needs_key=True)


def keyless(handler: Handler) -> Handler:
    """The same for a route that decides on requests without a key itself; a wrong one is refused.

    What a page has in an `<img>` comes with the session alone.
    """
    return _guarded(handler, needs_key=False)


def _guarded(handler: Handler, *, needs_key: bool) -> Handler:
    @wraps(handler)
    async def endpoint(
        request: Request, tenant: Tenant, by_path: bool, **params: Any
    ) -> HTTPResponse:
        backpack = tenant.backpack or await tenant.open()
        request.backpack = backpack
        request.by_path = by_path
        heading = request.heading
        caller = heading.caller
        if (
            caller is None
            or caller.config is not backpack.config
            or caller.from_proxy is not request.from_proxy
        ):
            caller = heading.caller = _caller(request, backpack)
        request.common_headers = caller.common_headers
        if request.method == "OPTIONS":
            return HTTPResponse(status=204, headers={**request.common_headers.values, **_PREFLIGHT})
        authorization = caller.authorization
        if not backpack.accepts_key(authorization) and (needs_key or authorization):
            raise BadKey
        sessions = backpack.sessions
        if token := caller.token:
            request.token = token
            request.token_in_cookie = caller.token_in_cookie
            request.session = sessions.cached(token) or await sessions.find(token)
        response = await handler(request, **params)
        stream: Any = request.stream
        if stream.request_body:
            await drop_body(request)
        if isinstance(response, EncodedJson):
            response.common = request.common_headers
        else:
            response.headers.update(request.common_headers.values)
        if request.session is not None and sessions.is_due(request.session):
            await keep_alive(request, response)
        return response

    return endpoint


def _caller(request: Request, backpack: Backpack) -> Caller:
    token = find_token(request)
    return Caller(
        config=backpack.config,
        from_proxy=request.from_proxy,
        common_headers=NO_HEADERS if request.by_path else cors_headers(request, backpack),
        authorization=request.headers.get("authorization", ""),
        forwarded=request.client_address if request.from_proxy else "",
        token=token,
        token_in_cookie=request.token_in_cookie,
    )


def cors_headers(request: Request, backpack: Backpack) -> CommonHeaders:
    """The CORS headers of every answer to this request (Fetch standard, "CORS protocol")."""
    origin = request.headers.get("origin")
    if origin is None or not allows_origin(request, backpack, origin):
        return _NOT_ALLOWED
    return _allowed(origin)


def allows_origin(request: Request, backpack: Backpack, origin: str) -> bool:
    """Whether a page of `origin` may use this backend with credentials."""
    domain = backpack.settings.domain
    host = request.headers.get("host", "")
    frontend = _frontend_origin(request.public_scheme, host, f"{backpack.name}.{domain}")
    return backpack.allows_origin(origin, frontend)


_NOT_ALLOWED = CommonHeaders({"vary": "Origin"})


@lru_cache(maxsize=1_000)
def _allowed(origin: str) -> CommonHeaders:
    return CommonHeaders(
        {
            "vary": "Origin",
            "access-control-allow-origin": origin,
            "access-control-allow-credentials": "true",
            "access-control-expose-headers": _EXPOSED,
        }
    )


@lru_cache(maxsize=1_000)
def _frontend_origin(scheme: str, host: str, frontend_host: str) -> str:
    """The origin of a backpack's own frontend, on the scheme and port that a request came by."""
    port = host.rpartition(":")[2]
    return f"{scheme}://{frontend_host}" + (f":{port}" if port.isdigit() else "")


def find_token(request: Request) -> str | None:
    """What the caller calls its session by: the session header, else the cookie."""
    token: str | None = request.headers.get("x-backpack-session")
    if token is None:
        header = request.headers.get("cookie")
        token = _cookie_value(header, cookie_name(request)) if header else None
        request.token_in_cookie = token is not None
    return token


def _cookie_value(header: str, name: str) -> str | None:
    if ";" not in header:  # one cookie, most often the session: 2 us less than to parse it
        found, _, value = header.partition("=")
        return value if found == name else None
    values = parse_cookie(header).get(name)
    return values[0] if values else None


def cookie_name(request: Request) -> str:
    return "__Host-backpack_session" if request.public_scheme == "https" else "backpack_session"


async def keep_alive(request: Request, response: HTTPResponse) -> None:
    """Let a session in use live on, and its cookie with it."""
    assert request.session is not None
    try:
        renewed = await request.backpack.sessions.renew(request.session)
    except (NoSpace, Unavailable):  # the request itself was answered; a later one tries again
        return
    if renewed and request.token_in_cookie:
        set_session_cookie(request, response, request.token)


def set_session_cookie(request: Request, response: HTTPResponse, token: str) -> None:
    """Hand the session to the browser in a cookie that scripts cannot read."""
    _add_cookie(request, response, token, request.backpack.settings.session_ttl)


def drop_session_cookie(request: Request, response: HTTPResponse) -> None:
    _add_cookie(request, response, "", 0)


def _add_cookie(request: Request, response: HTTPResponse, value: str, max_age: int) -> None:
    request.token_in_cookie = False  # this answer's cookie is decided
    path = f"/~{request.backpack.name}" if request.by_path else "/"
    cookie = f"{cookie_name(request)}={value}; Path={path}; Max-Age={max_age}; HttpOnly"
    if not is_same_site(request):
        # A page of another site gets its cookie back only in a partition of its own (CHIPS).
        # Sanic would set one only under a __Host- name, which plain http cannot have.
        cookie += "; SameSite=None; Secure; Partitioned"
    else:
        cookie += "; SameSite=Lax"
        if request.public_scheme == "https":
            cookie += "; Secure"
    response.headers.add("set-cookie", cookie)


def is_same_site(request: Request) -> bool:
    """Whether the page that asks shares this backend's site (or there is no page): scheme and
    domain are ours."""
    origin = request.headers.get("origin")
    if origin is None:
        return True
    scheme, _, rest = origin.partition("://")
    host = rest.rpartition(":")[0] or rest
    domain = request.backpack.settings.domain
    ours: bool = host == domain or host.endswith(f".{domain}")
    return ours and scheme == request.public_scheme
