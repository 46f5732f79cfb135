"""What may be shown of a request: without secrets, and in short. Pure."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

import orjson

EXCERPT = 2_048  # characters that are shown of a body
_LARGEST = 65_536  # bytes of a body that is read to be shown
_MASK = "***"
_SECRET = re.compile(
    r"passw|secret|token|session|cookie|authorization|credential|^key$|api.?key", re.IGNORECASE
)
# What a change of a password calls the two.
_PASSWORDS = re.compile(r"current|new")
_LONGEST = 2_000  # characters of a path


def is_secret(name: str) -> bool:
    """Whether what has that name is shown to nobody."""
    return bool(_SECRET.search(name))


def url(target: str) -> str:
    """The path and query of a request, decoded as far as the query has secrets in it."""
    path, mark, query = target[:_LONGEST].partition("?")
    if not mark:
        return path
    pairs = parse_qsl(query, keep_blank_values=True, errors="replace")
    if not any(is_secret(name) for name, _ in pairs):
        return f"{path}?{query}"
    shown = "&".join(f"{name}={_MASK if is_secret(name) else value}" for name, value in pairs)
    return f"{path}?{shown}"


def body(content: bytes | None, *, of_password: bool = False) -> str | None:
    """An excerpt of a JSON body; None for one that is none, or is too long to be looked through.

    `of_password`: it is the body of a change of a password.
    """
    if not content or len(content) > _LARGEST:
        return None
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    shown = orjson.dumps(_masked(value, of_password)).decode()
    return shown if len(shown) <= EXCERPT else f"{shown[:EXCERPT]}..."


def _masked(value: Any, of_password: bool) -> Any:
    if isinstance(value, list):
        return [_masked(item, of_password) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _MASK
        if is_secret(name) or (of_password and _PASSWORDS.fullmatch(name))
        else _masked(item, of_password)
        for name, item in value.items()
    }
