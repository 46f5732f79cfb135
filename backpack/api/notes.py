"""What is kept of each request: by the inspector of its backpack, and in the log."""

from __future__ import annotations

import logging
from typing import Any

from .. import masking
from .request import Request

_WELL, _SWITCHED = 200, 101

logger = logging.getLogger("backpack.requests")


def note(request: Request, seconds: float) -> None:
    """Note a request that was answered, or has become a websocket."""
    backpack = getattr(request, "backpack", None)
    if logger.isEnabledFor(logging.INFO):
        _log(request, seconds, backpack.name if backpack is not None else None)
    if backpack is None:
        return
    stream: Any = request.stream
    response = stream.response
    session, body = request.session, request.body
    if response is None:
        status, answer, sent = _SWITCHED, None, 0
    else:
        status, answer = response.status, response.body
        sent = len(answer) if answer else int(response.headers.get("content-length", 0))
    caller = request.heading.caller
    backpack.inspector.request(
        request.method,
        request.raw_url,
        status,
        seconds,
        stream.request_bytes or len(body),
        sent,
        session.user_id if session is not None else None,
        (caller is not None and caller.forwarded) or request.ip,
        body,
        answer,
        request.rule,
    )


def _log(request: Request, seconds: float, name: str | None) -> None:
    stream: Any = request.stream
    status = stream.response.status if stream.response is not None else _SWITCHED
    if request.path == "/healthz" and status == _WELL:
        return  # asked every few seconds by proxies and by Docker
    path, ms = masking.url(request.raw_url.decode("utf-8", "replace")), round(seconds * 1_000, 2)
    if request.route is not None and "token" in request.match_info:
        path = f"/{request.route.path}"  # a token in a path is a secret
    logger.info(
        "%s %s %d in %g ms",
        request.method,
        path,
        status,
        ms,
        extra={
            "backpack": name,
            "method": request.method,
            "path": path,
            "status": status,
            "ms": ms,
            "user": request.user,
            "address": request.client_address,
        },
    )
