"""A request as routes see it: who asks, of which backpack, and its body.

Nothing is decided here.
"""

from __future__ import annotations

from typing import Any

import sanic
from sanic.exceptions import PayloadTooLarge

from ..documents import decode
from ..errors import BadRequest, TooLarge
from ..sessions import Session
from ..tenants import Backpack
from .answers import NO_HEADERS, CommonHeaders

NO_BODY = object()


class Request(sanic.Request):
    """Sanic's request with what the guards found out.

    `common_headers` go with every answer, errors too. `session` is None for a guest, and `token`
    is what it was found by; `token_in_cookie` tells how that came.
    """

    backpack: Backpack
    common_headers: CommonHeaders = NO_HEADERS
    session: Session | None = None
    token: str = ""
    token_in_cookie: bool = False
    by_path: bool = False  # reached as /~NAME/..., which knows neither CORS nor cookies of a host

    @property
    def path(self) -> str:
        # Sanic takes what stands behind two slashes for a host; here it is a path like any other.
        if self.raw_url[:2] == b"//":
            return self.raw_url.partition(b"?")[0].decode()
        path: str = self._parsed_url.path.decode()
        return path

    @property
    def user(self) -> str | None:
        """The id of the user who asks; None for a guest."""
        return self.session.user_id if self.session is not None else None

    @property
    def from_proxy(self) -> bool:
        trusted: tuple[str, ...] = self.app.ctx.tenants.settings.trusted_proxies
        return bool(trusted) and self.ip in trusted

    @property
    def client_address(self) -> str:
        """The client's address; a proxy's word for it counts only when the proxy is trusted."""
        if self.from_proxy:
            # The last entry is the one that our own proxy wrote; those before it anyone can send.
            forwarded = self.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
            if forwarded:
                return forwarded
        return self.ip

    @property
    def public_scheme(self) -> str:
        """`http` or `https`, as the client sees it."""
        # Backpack itself speaks http only: what is https was so as far as the proxy.
        if self.from_proxy and self.headers.get("x-forwarded-proto") == "https":
            return "https"
        return "http"


async def read_json(request: Request, *, empty: Any = NO_BODY) -> Any:
    """The request's JSON body, or `empty` when it has none.

    Raises TooLarge before a body that is over the limit is read, BadRequest, Invalid.
    """
    await receive_body(request)
    if request.body:
        return decode(request.body)
    if empty is NO_BODY:
        raise BadRequest("A JSON body is missing", code="no_body")
    return empty


async def receive_body(request: Request) -> None:
    """Read the body, if there is one, into `request.body`.

    Raises TooLarge, where the length is told before anything is read.
    """
    stream: Any = request.stream
    if stream is None or not stream.request_body:
        return
    limit = request.backpack.settings.max_body
    stream.request_max_size = limit
    try:
        if (stream.request_bytes_left or 0) > limit:
            raise PayloadTooLarge
        await request.receive_body()  # type: ignore[no-untyped-call]
    except PayloadTooLarge as exc:
        raise TooLarge(f"A body may have at most {limit} bytes", code="body_too_large") from exc


async def drop_body(request: Request) -> None:
    """Read away what a route had no use for: the connection's next request stands behind it."""
    stream: Any = request.stream
    try:
        await receive_body(request)
    except TooLarge:
        stream.request_body = None
        stream.keep_alive = False


async def read_object(request: Request) -> dict[str, Any]:
    """The request's JSON body, which must be an object; raises as `read_json` does."""
    body = await read_json(request)
    if not isinstance(body, dict):
        raise BadRequest("The body must be a JSON object", code="bad_body")
    return body
