"""Random tokens, of which the registry keeps the digest only."""

from __future__ import annotations

import hashlib
import secrets

_BYTES = 32
_LENGTH = 43  # of 32 bytes in base64url


def new_token() -> str:
    """256 random bits in base64url."""
    return secrets.token_urlsafe(_BYTES)


def digest(token: object) -> str:
    """What is kept of a token; for what can be none, the digest of nothing that was given out."""
    if not isinstance(token, str) or len(token) != _LENGTH or not token.isascii():
        return ""
    return hashlib.sha256(token.encode()).hexdigest()
