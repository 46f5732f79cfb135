"""The opening handshake of a websocket (RFC 6455, section 4.2)."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from typing import Any

from ..errors import BadRequest, UpgradeRequired
from .request import Request

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def is_upgrade(request: Request) -> bool:
    """Whether a request asks for a websocket; any other upgrade may be ignored."""
    headers = request.headers
    return "sec-websocket-key" in headers and "websocket" in _words(request, "upgrade")


def handshake_key(request: Request) -> bytes:
    """The key of a handshake; raises BadRequest for what is none, UpgradeRequired."""
    stream: Any = request.stream
    key = request.headers.get("sec-websocket-key", "").strip()
    try:
        nonce = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        nonce = b""
    if "upgrade" not in _words(request, "connection") or stream.request_body or len(nonce) != 16:
        raise BadRequest("This is no opening handshake of a websocket", code="bad_upgrade")
    if request.headers.get("sec-websocket-version", "").strip() != "13":
        raise UpgradeRequired
    return key.encode()


def offers(request: Request) -> list[str]:
    """The subprotocols that the client offers."""
    sent = ",".join(request.headers.getall("sec-websocket-protocol", ()))
    return [offer.strip() for offer in sent.split(",")]


def switching(
    request: Request, key: bytes, subprotocol: str = "", headers: Iterable[tuple[str, str]] = ()
) -> bytes:
    """The answer that makes a websocket of the connection; `subprotocol` is selected where it was
    offered."""
    accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "upgrade: websocket",
        "connection: Upgrade",
        f"sec-websocket-accept: {accept.decode()}",
    ]
    if subprotocol and subprotocol in offers(request):
        lines.append(f"sec-websocket-protocol: {subprotocol}")
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode()


def _words(request: Request, header: str) -> list[str]:
    """The comma-separated words of a header in lower case."""
    sent = ",".join(request.headers.getall(header, ()))
    return [word.strip().lower() for word in sent.split(",")]
