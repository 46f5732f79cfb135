"""From an HTTP request to a websocket of an app: Origin and session.

What is said on it is the matter of `sockets`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from sanic import HTTPResponse

from ..backpacks import Backpack
from ..connection import TOO_MANY, Connection, Limits, take_over
from ..errors import Forbidden
from ..fanout import Peer
from ..realtime import SESSION_ENDED, Hub
from ..sessions import Session
from ..tenants import Tenant
from .answers import NO_HEADERS
from .guards import allows_origin, cors_headers, find_token, keep_alive
from .handshake import handshake_key, offers, switching
from .request import Request
from .sockets import greet, receive

SUBPROTOCOL = "backpack"
_TOKEN_PREFIX = "backpack.session."


async def upgrade(request: Request, tenant: Tenant, by_path: bool) -> None:
    """Make a websocket of a request; one without a session is closed at once.

    A browser cannot send the API key here, and would not tell its page the status of a refusal.
    Raises BadRequest, UpgradeRequired, and Forbidden for a foreign page.
    """
    backpack = tenant.backpack or await tenant.open()
    request.backpack = backpack
    request.by_path = by_path
    request.common_headers = NO_HEADERS if by_path else cors_headers(request, backpack)
    key = handshake_key(request)
    origin = request.headers.get("origin")
    if origin is not None and not allows_origin(request, backpack, origin):
        raise Forbidden
    await _find_session(request, origin)
    response = HTTPResponse()
    if request.session is not None and backpack.sessions.is_due(request.session):
        await keep_alive(request, response)
    stream: Any = request.stream
    resume = parse_qs(request.query_string, keep_blank_values=True).get("resume", [None])[0]
    answer = switching(request, key, SUBPROTOCOL, response.headers.items())
    take_over(stream.protocol, partial(_connect, backpack, request.session, resume), answer)


async def _find_session(request: Request, origin: str | None) -> None:
    token = find_token(request)
    if token is None and (origin is None or request.backpack.config.rules.browser_tokens):
        token = _offered_token(offers(request))
    if token:
        request.token = token
        request.session = await request.backpack.sessions.find(token)


def _offered_token(offered: Iterable[str]) -> str | None:
    for offer in offered:
        if offer.startswith(_TOKEN_PREFIX):
            return offer.removeprefix(_TOKEN_PREFIX)
    return None


def _connect(
    backpack: Backpack, session: Session | None, resume: str | None, transport: Any
) -> Connection:
    """The connection of a client that the hub knows from now on, unless it must go at once."""
    hub, settings = backpack.hub, backpack.settings
    limits = Limits(settings.max_message, settings.message_rate, settings.max_backlog)
    make = partial(Connection, transport, limits, gone=hub.lines.gone)
    if session is None:
        return _refuse(make(_ignore, _nothing), hub, SESSION_ENDED, "Not logged in")
    if len(hub.roster.of_users([session.user_id])) >= settings.max_sockets:
        return _refuse(make(_ignore, _nothing), hub, TOO_MANY, "Too many connections")
    peer = Peer(hub.number(), session, resumes=resume is not None)
    connection = make(partial(receive, backpack, peer), partial(hub.remove, peer))
    peer.line = connection
    hub.lines.come(connection)
    if connection.is_open:
        hub.add(peer)
        position = greet(backpack, peer, resume)
        if resume:
            peer.hold(settings.max_backlog)
            connection.do(partial(backpack.resume.catch_up, peer, resume, position))
    return connection


def _refuse(connection: Connection, hub: Hub, code: int, reason: str) -> Connection:
    hub.lines.come(connection)
    connection.close(code, reason)
    return connection


async def _ignore(_payload: bytes) -> None:
    """What a client says to a connection that is closed."""


def _nothing() -> None:
    """The hub never knew it."""
