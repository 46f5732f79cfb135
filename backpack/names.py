"""What a backpack may be called, and what its API key may be."""

from __future__ import annotations

import re
import secrets

from .errors import Invalid

NAME = re.compile(r"[a-z][a-z0-9-]{0,40}")
RESERVED_NAMES = frozenset(
    (
        "admin",
        "www",
        "traefik",
        "backpack",
        "api",
        "mail",
        "ftp",
        "ns",
        "localhost",
        "registry",
        "static",
    )
)


def check_name(name: str) -> str:
    """`name` when a backpack may be called so; raises Invalid that says what is wrong otherwise."""
    if not NAME.fullmatch(name):
        why = "must have up to 41 lower-case letters, digits and hyphens, a letter first"
    elif "--" in name or name.endswith("-"):
        why = "must have letters or digits on both sides of a hyphen"
    elif name.endswith("-be"):
        why = "must not end with -be, as backends do"
    elif name in RESERVED_NAMES:
        why = "is reserved"
    else:
        return name
    raise Invalid(
        f"{name!r} cannot be the name of a backpack: it {why}",
        code="bad_name",
        fields={"name": why},
    )


def check_key(key: str) -> str:
    """`key` when it may be an API key; raises Invalid otherwise."""
    if not re.fullmatch(r"[A-Za-z0-9._~+/=-]{8,128}", key):
        raise Invalid("An API key has 8 to 128 letters, digits or any of ._~+/=-", code="bad_key")
    return key


def new_key() -> str:
    """A fresh API key: 24 random bytes in base64url, which a command line takes as a value."""
    while (key := secrets.token_urlsafe(24)).startswith("-"):
        pass
    return key
