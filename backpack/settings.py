"""Every option of a Backpack process, with its default, unit and variable; the only reader of the
environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from .errors import Invalid


@dataclass(frozen=True)
class Settings:
    domain: str = "bkpk.localhost"  # BACKPACK_DOMAIN; every host is a name under it
    dev: bool = False  # set by `dev` and tests: helpful 404s, loopback origins, /~NAME paths
    max_body: int = 1_048_576  # bytes of a JSON body, BACKPACK_MAX_BODY
    max_document: int = 1_048_576  # bytes of a stored document, BACKPACK_MAX_DOCUMENT
    max_batch: int = 1_000  # documents in one create, BACKPACK_MAX_BATCH
    max_collections: int = 1_000  # collections of a backpack, BACKPACK_MAX_COLLECTIONS
    query_deadline: float = 5.0  # seconds a query may take, BACKPACK_QUERY_DEADLINE
    synchronous: str = "normal"  # or "full": commits survive a power cut, BACKPACK_SYNCHRONOUS
    open_databases: int = 100  # SQLite files that stay open, BACKPACK_OPEN_DATABASES
    session_ttl: int = 2_592_000  # seconds without use until a session ends, BACKPACK_SESSION_TTL
    registrations_per_hour: int = 20  # of one address, 0 for any, BACKPACK_REGISTRATIONS_PER_HOUR
    trusted_proxies: tuple[
        str, ...
    ] = ()  # addresses whose X-Forwarded-* count, BACKPACK_TRUSTED_PROXIES
    cheap_passwords: bool = False  # hashes in microseconds, for test suites only; has no variable


_WORDS = {"synchronous": ("normal", "full")}
_WITHOUT_VARIABLE = ("dev", "cheap_passwords")


def from_environment(environ: Mapping[str, str] | None = None, **given: Any) -> Settings:
    """Settings from `BACKPACK_*` variables; `given` wins over them.

    Raises Invalid when a variable's value cannot be read.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    for field in fields(Settings):
        variable = f"BACKPACK_{field.name.upper()}"
        if field.name not in _WITHOUT_VARIABLE and variable in environ:
            values[field.name] = _read(variable, environ[variable], type(field.default))
            words = _WORDS.get(field.name)
            if words and values[field.name] not in words:
                raise Invalid(
                    f"{variable} is {environ[variable]!r}, but must be {' or '.join(words)}"
                )
    return Settings(**{**values, **given})


def _read(variable: str, text: str, kind: type) -> Any:
    if kind is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    try:
        value = kind(text)
    except ValueError as exc:
        raise Invalid(f"{variable} is {text!r}, but must be a number") from exc
    if kind is not str and value < 0:
        raise Invalid(f"{variable} is {text!r}, but must not be negative")
    return value
