"""A request as routes see it: who asks, of which backpack, and its body.

Nothing is decided here.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
from functools import lru_cache
from typing import Any

import sanic
from sanic.compat import Header
from sanic.exceptions import BadRequest as MalformedRequest
from sanic.exceptions import PayloadTooLarge

from ..backpacks import Backpack
from ..documents import decode
from ..errors import BadRequest, TooLarge
from ..sessions import Session
from .answers import NO_HEADERS, CommonHeaders

NO_BODY = object()

# Of the edge, or of a client: it goes into the log as it is.
_REQUEST_ID = re.compile(r"[0-9A-Za-z._-]{8,64}")
_NO_TOKEN = re.compile(r"[^!#$%&'*+.^_`|~0-9A-Za-z-]")


class Heading:
    """The headers of requests that have the same.

    `length`: of the body, None without one. `caller`: what the guards have made of them.
    """

    __slots__ = ("caller", "headers", "length")

    def __init__(self, headers: Header) -> None:
        self.headers = headers
        self.length: int | None = None
        self.caller: Any = None


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
    _request_id: str = ""
    rule: str | None = None  # that refused it
    by_path: bool = False  # reached as /~NAME/..., which knows neither CORS nor cookies of a host

    def __init__(
        self,
        url_bytes: bytes,
        headers: Header,
        *,
        head: bytes = b"",
        heading: Heading | None = None,
        **kwargs: Any,
    ) -> None:
        if not head:
            # Sanic makes it to answer a request that it could not read; the URL may be the reason.
            url_bytes = b"*"
        elif heading is None and _NO_TOKEN.search("".join(headers)):
            # A proxy may take `content-length : 5` for a length (RFC 9112, sections 5.1 and 5.2).
            raise MalformedRequest("The name of a header is no token")
        super().__init__(url_bytes, headers, head=head, **kwargs)
        self.heading = heading or Heading(headers)
        if heading is None and len(headers.getall("host", ())) > 1:
            raise MalformedRequest("There is more than one Host header")
        if url_bytes[:1] != b"/" and self._parsed_url.host:
            self.headers["host"] = _authority(self._parsed_url)

    @property
    def path(self) -> str:
        # Sanic takes what stands behind two slashes for a host; here it is a path like any other.
        if self.raw_url[:2] == b"//":
            return self.raw_url.partition(b"?")[0].decode()
        path: str = (self._parsed_url.path or b"/").decode()
        return path

    @property
    def request_id(self) -> str:
        """What the request is called in the log and in its failure: as `x-request-id` says, where
        that is well-formed, else by an id of our own."""
        if not self._request_id:
            sent = self.headers.get("x-request-id", "")
            self._request_id = sent if _REQUEST_ID.fullmatch(sent) else secrets.token_hex(16)
        return self._request_id

    @property
    def user(self) -> str | None:
        """The id of the user who asks; None for a guest."""
        return self.session.user_id if self.session is not None else None

    @property
    def from_proxy(self) -> bool:
        trusted: tuple[str, ...] = self.app.ctx.tenants.settings.trusted_proxies
        return bool(trusted) and _is_among(self.ip, trusted)

    @property
    def client_address(self) -> str:
        """The client's address; a proxy's word for it counts only when the proxy is trusted."""
        if self.from_proxy:
            # The last entry is the one that our own proxy wrote; those before it anyone can send.
            sent = ",".join(self.headers.getall("x-forwarded-for", ()))
            forwarded = sent.rpartition(",")[2].strip()
            if forwarded:
                return forwarded
        return self.ip

    @property
    def public_scheme(self) -> str:
        """`http` or `https`, as the client sees it."""
        # Backpack itself speaks http only: what is https was so as far as the proxy. Of a websocket
        # Traefik says wss.
        if self.headers.get("x-forwarded-proto") in ("https", "wss") and self.from_proxy:
            return "https"
        return "http"


def current_request_id() -> str | None:
    """The id of the request that the running code is answering."""
    request = Request._current.get(None)
    return request.request_id if isinstance(request, Request) else None


@lru_cache(maxsize=1_000)
def _is_among(address: str, networks: tuple[str, ...]) -> bool:
    """Whether an address is one of `networks`, or in one."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return any(ip in ipaddress.ip_network(network, strict=False) for network in networks)


def _authority(url: Any) -> str:
    """The host and port of a request target in absolute form; they count in place of the Host
    header (RFC 9112, section 3.2.2)."""
    host = url.host.decode()
    name = f"[{host}]" if ":" in host else host
    return f"{name}:{url.port}" if url.port else name


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
    limit = request.app.ctx.tenants.settings.max_body
    stream.request_max_size = limit
    stream.upgrade_websocket = False  # what asks for one is never given up by Sanic
    try:
        if (stream.request_bytes_left or 0) > limit:
            raise PayloadTooLarge
        await request.receive_body()  # type: ignore[no-untyped-call]
    except PayloadTooLarge as exc:
        # Sanic reads away what is not too much, behind the answer: a client that is still sending
        # would see a broken connection instead of it.
        stream.request_max_size = stream.protocol.request_max_size
        raise TooLarge(f"A body may have at most {limit} bytes", code="body_too_large") from exc


async def drop_body(request: Request) -> None:
    """Read away what a route had no use for: the connection's next request stands behind it."""
    stream: Any = request.stream
    try:
        await receive_body(request)
    except TooLarge:
        stream.request_body = None
        stream.keep_alive = False


def decline_body(request: Request) -> None:
    """Let a refused client that waits for `100 Continue` keep its body.

    RFC 9110, section 10.1.1.
    """
    stream: Any = request.stream
    if stream is not None and stream.expecting_continue and not stream.recv_buffer:
        stream.expecting_continue = False
        stream.request_body = None
        stream.keep_alive = False


def give_up_body(request: Request) -> bool:
    """Wait no longer for the rest of the body; False when there is none to wait for."""
    stream: Any = request.stream
    if stream is None or not stream.request_body:
        return False
    stream.request_body = None
    return True


async def read_object(request: Request) -> dict[str, Any]:
    """The request's JSON body, which must be an object; raises as `read_json` does."""
    body = await read_json(request)
    if not isinstance(body, dict):
        raise BadRequest("The body must be a JSON object", code="bad_body")
    return body
