"""Every option of a Backpack process, with its default, unit and variable; the only reader of the
environment."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import Invalid
from .origins import is_origin

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    T = TypeVar("T", bound=DataclassInstance)

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?=.{{1,200}}$){_LABEL}(\.{_LABEL})*")
_MAX_PORT = 65_535


@dataclass(frozen=True)
class Settings:
    domain: str = "bkpk.localhost"  # BACKPACK_DOMAIN; every host is a name under it
    dev: bool = False  # set by `dev` and tests: helpful 404s, loopback origins, /~NAME paths
    max_body: int = 1_048_576  # bytes of a JSON body, BACKPACK_MAX_BODY
    max_document: int = 1_048_576  # bytes of a stored document, BACKPACK_MAX_DOCUMENT
    max_batch: int = 1_000  # documents in one create, BACKPACK_MAX_BATCH
    max_collections: int = 1_000  # collections of a backpack, BACKPACK_MAX_COLLECTIONS
    max_upload: int = 104_857_600  # bytes of a file, BACKPACK_MAX_UPLOAD
    max_user_bytes: int = 1_073_741_824  # of all files of a user, BACKPACK_MAX_USER_BYTES
    max_user_files: int = 10_000  # files of a user, BACKPACK_MAX_USER_FILES
    max_site: int = 268_435_456  # bytes of a site, and of its zip, BACKPACK_MAX_SITE
    max_site_files: int = 10_000  # files and folders in its zip, BACKPACK_MAX_SITE_FILES
    max_site_ratio: int = 100  # times a zip's own size that are in it, BACKPACK_MAX_SITE_RATIO
    site_versions: int = 10  # of a site that are kept, BACKPACK_SITE_VERSIONS
    site_memory: int = 67_108_864  # bytes of all sites' files in memory, BACKPACK_SITE_MEMORY
    query_deadline: float = 5.0  # seconds a query may take, BACKPACK_QUERY_DEADLINE
    synchronous: str = "normal"  # or "full": commits survive a power cut, BACKPACK_SYNCHRONOUS
    open_databases: int = 100  # SQLite files that stay open, BACKPACK_OPEN_DATABASES
    session_ttl: int = 2_592_000  # seconds without use until a session ends, BACKPACK_SESSION_TTL
    registrations_per_hour: int = 20  # of one address, 0 for any, BACKPACK_REGISTRATIONS_PER_HOUR
    max_message: int = 1_048_576  # bytes of a websocket message, BACKPACK_MAX_MESSAGE
    message_rate: int = 500  # messages a second of a websocket, BACKPACK_MESSAGE_RATE
    max_sockets: int = 100  # websockets of a user on one process, BACKPACK_MAX_SOCKETS
    max_backlog: int = 1_048_576  # bytes that wait for a slow websocket, BACKPACK_MAX_BACKLOG
    ping_interval: float = 20.0  # seconds between pings of a websocket, BACKPACK_PING_INTERVAL
    trusted_proxies: tuple[
        str, ...
    ] = ()  # addresses and networks whose X-Forwarded-* count, BACKPACK_TRUSTED_PROXIES
    allowed_origins: tuple[
        str, ...
    ] = ()  # whose pages may use every backpack with credentials, BACKPACK_ALLOWED_ORIGINS
    cheap_passwords: bool = False  # hashes in microseconds, for test suites only; has no variable


@dataclass(frozen=True)
class Serving:
    """What `serve` runs: one backpack, and the servers that keep it."""

    name: str = ""  # BACKPACK_NAME
    mongo_url: str = field(default="", repr=False)  # BACKPACK_MONGO_URL
    redis_url: str = field(default="", repr=False)  # BACKPACK_REDIS_URL
    api_key: str = field(default="", repr=False)  # at the very first start, BACKPACK_API_KEY
    files: str = "files"  # folder of the users' files, BACKPACK_FILES
    host: str = "0.0.0.0"  # address to listen on, BACKPACK_HOST
    port: int = 3_000  # BACKPACK_PORT
    drain: float = 5.0  # seconds that requests are served on after SIGTERM, BACKPACK_DRAIN


_WITHOUT_VARIABLE = ("dev", "cheap_passwords")


def from_environment(environ: Mapping[str, str] | None = None, **given: Any) -> Settings:
    """Settings from `BACKPACK_*` variables; `given` wins over them.

    In place of each variable there may be one of the same name and `_FILE`, which names a file that
    holds the value. Raises Invalid when a value cannot be read; what a file holds is not told.
    """
    return _from_environment(Settings, environ, given)


def serving_from_environment(environ: Mapping[str, str] | None = None) -> Serving:
    """The same for what `serve` runs; raises Invalid also when something is missing."""
    serving = _from_environment(Serving, environ, {})
    for name in ("name", "mongo_url", "redis_url"):
        if not getattr(serving, name):
            variable = _variable(name)
            raise Invalid(f"{variable} is not set, nor is {variable}_FILE")
    return serving


def _from_environment(
    kind: type[T], environ: Mapping[str, str] | None, given: Mapping[str, Any]
) -> T:
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    for option in fields(kind):
        found = None if option.name in _WITHOUT_VARIABLE else _find(environ, option.name)
        if found is not None:
            values[option.name] = _read(option.name, type(option.default), *found)
    return kind(**{**values, **given})


def _variable(name: str) -> str:
    return f"BACKPACK_{name.upper()}"


def _find(environ: Mapping[str, str], name: str) -> tuple[str, str] | None:
    """What an option is set to, and by what; None when it is not set."""
    variable = _variable(name)
    by_file = f"{variable}_FILE"
    if by_file not in environ:
        return (environ[variable], variable) if variable in environ else None
    if variable in environ:
        raise Invalid(f"Both {variable} and {by_file} are set: one of them must go")
    path = environ[by_file]
    try:
        return Path(path).read_text("utf-8").strip(), by_file
    except OSError as exc:
        raise Invalid(f"{by_file}: cannot read {path}: {exc.strerror}") from exc
    except ValueError as exc:
        raise Invalid(f"{by_file}: {path} is no text in UTF-8") from exc


def _read(name: str, kind: type, text: str, source: str) -> Any:
    value: Any = text
    if kind is tuple:
        value = tuple(part.strip() for part in text.split(",") if part.strip())
    elif kind is not str:
        try:
            value = kind(text)
        except ValueError as exc:
            raise _refusal(text, source, "must be a number") from exc
        if not 0 <= value < float("inf"):
            raise _refusal(text, source, "must not be negative")
    if name in _CHECKS:
        accepts, what = _CHECKS[name]
        if not accepts(value):
            raise _refusal(text, source, f"must be {what}")
    return value


def _refusal(text: str, source: str, what: str) -> Invalid:
    # A file may be the wrong one, and hold a secret.
    if source.endswith("_FILE"):
        return Invalid(f"{source}: what the file holds {what}")
    return Invalid(f"{source} is {text!r}, but {what}")


def is_domain(text: str) -> bool:
    """Whether hosts can be names under `text`."""
    return bool(_DOMAIN.fullmatch(text))


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


_CHECKS = {
    "domain": (is_domain, "a domain such as example.com"),
    "synchronous": (lambda word: word in ("normal", "full"), "normal or full"),
    "port": (lambda port: port <= _MAX_PORT, f"a port from 0 to {_MAX_PORT}"),
    "trusted_proxies": (
        lambda networks: all(map(_is_network, networks)),
        "addresses or networks such as 10.0.0.0/8, with commas between them",
    ),
    "allowed_origins": (
        lambda origins: all(map(is_origin, origins)),
        "origins such as https://www.example.com, with commas between them",
    ),
}
