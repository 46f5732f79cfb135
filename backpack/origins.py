"""Origins of web pages as values (RFC 6454): which may use a backend with credentials."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit


def is_origin(text: str) -> bool:
    """Whether `text` is an origin as browsers send it (RFC 6454, section 6.1)."""
    try:
        parts = urlsplit(text)
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        return False
    return (
        bool(parts.hostname)
        and text == f"{parts.scheme}://{parts.hostname}{port}"
        and "*" not in text
    )


def is_developers(origin: str, frontend_host: str, domain: str) -> bool:
    """Whether `origin` is a page on the developer's own machine, which a sandbox trusts.

    Pages on hosts of the deployment's `domain` belong to other apps, but for `frontend_host`, the
    backpack's own frontend, on whatever port.
    """
    host = _host(origin)
    if host != frontend_host and (host == domain or host.endswith(f".{domain}")):
        return False
    return _is_loopback(host)


def _host(origin: str) -> str:
    """The host of an http or https origin in lower case; "" for any other text."""
    match = re.fullmatch(
        r"https?://(\[[0-9a-f:.]+\]|[0-9a-z._-]{1,253})(:[0-9]{1,5})?", origin.lower()
    )
    return match[1] if match else ""


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
