"""Every option of a Backpack process, with its default, unit and variable; the only reader of the
environment."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Mapping
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
_LEVELS = ("debug", "info", "warning", "error")
_MIN_TOKEN = 16  # characters of a token that people make up


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
    trash_days: float = 7.0  # that deleted backpacks can be restored, BACKPACK_TRASH_DAYS
    site_memory: int = 67_108_864  # bytes of all sites' files in memory, BACKPACK_SITE_MEMORY
    query_deadline: float = 5.0  # seconds a query may take, BACKPACK_QUERY_DEADLINE
    synchronous: str = "normal"  # or "full": commits survive a power cut, BACKPACK_SYNCHRONOUS
    open_databases: int = 100  # SQLite files that stay open, BACKPACK_OPEN_DATABASES
    session_ttl: int = 2_592_000  # seconds without use until a session ends, BACKPACK_SESSION_TTL
    registrations_per_hour: int = 20  # of one address, 0 for any, BACKPACK_REGISTRATIONS_PER_HOUR
    max_message: int = 1_048_576  # bytes of a websocket message, BACKPACK_MAX_MESSAGE
    message_rate: int = 500  # messages a second of a websocket, BACKPACK_MESSAGE_RATE
    max_sockets: int = 100  # websockets of a user on one process, BACKPACK_MAX_SOCKETS
    max_backlog: int = (
        1_048_576  # bytes of broadcasts that wait for a websocket, BACKPACK_MAX_BACKLOG
    )
    ping_interval: float = 20.0  # seconds between pings of a websocket, BACKPACK_PING_INTERVAL
    trusted_proxies: tuple[
        str, ...
    ] = ()  # addresses and networks whose X-Forwarded-* count, BACKPACK_TRUSTED_PROXIES
    allowed_origins: tuple[
        str, ...
    ] = ()  # whose pages may use every backpack with credentials, BACKPACK_ALLOWED_ORIGINS
    setup_token: str = field(
        default="", repr=False
    )  # by which the first developer becomes the operator, BACKPACK_SETUP_TOKEN
    log: str = "text"  # or "json": the form of the log's lines, BACKPACK_LOG
    log_level: str = "warning"  # the least that is logged, BACKPACK_LOG_LEVEL
    metrics_token: str = field(default="", repr=False)  # of the panel's, BACKPACK_METRICS_TOKEN
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
    console_port: int = 0  # the private port, 0 for none, BACKPACK_CONSOLE_PORT
    console_host: str = "127.0.0.1"  # address, or a network with one, BACKPACK_CONSOLE_HOST
    console_token: str = field(default="", repr=False)  # BACKPACK_CONSOLE_TOKEN
    drain: float = 5.0  # seconds that requests are served on after SIGTERM, BACKPACK_DRAIN


@dataclass(frozen=True)
class _Access:
    token: str = field(default="", repr=False)  # BACKPACK_TOKEN


@dataclass(frozen=True)
class _Place:
    data: str = ".backpack"  # BACKPACK_DATA


@dataclass(frozen=True)
class Administering:
    """What `admin` runs: the panel of a swarm, and what deploys its backpacks."""

    data: str = ".backpack"  # folder of everything it keeps, BACKPACK_DATA
    host: str = "0.0.0.0"  # address to listen on, BACKPACK_HOST
    port: int = 3_000  # BACKPACK_PORT
    deployment: str = ""  # what `swarm up` was told, as JSON, BACKPACK_DEPLOYMENT
    secret: str = field(default="", repr=False)  # all passwords and tokens, BACKPACK_SECRET


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
    _require(serving, "name", "mongo_url", "redis_url")
    if serving.console_port and len(serving.console_token) < _MIN_TOKEN:
        raise Invalid(
            "BACKPACK_CONSOLE_PORT is set, so BACKPACK_CONSOLE_TOKEN must be too: to at least "
            f"{_MIN_TOKEN} random characters"
        )
    return serving


def data_from_environment(environ: Mapping[str, str] | None = None) -> Path:
    """The data folder of those who are told no other."""
    return Path(_from_environment(_Place, environ, {}).data)


def administering_from_environment(environ: Mapping[str, str] | None = None) -> Administering:
    """The same for what `admin` runs; raises Invalid also when something is missing."""
    administering = _from_environment(Administering, environ, {})
    _require(administering, "deployment", "secret")
    return administering


def _require(options: object, *names: str) -> None:
    for name in names:
        if not getattr(options, name):
            variable = _variable(name)
            raise Invalid(f"{variable} is not set, nor is {variable}_FILE")


def token_from_environment(environ: Mapping[str, str] | None = None) -> str:
    """The token that the command line shows to other deployments, empty when there is none."""
    return _from_environment(_Access, environ, {}).token


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


def variable_of(name: str) -> str | None:
    """The variable of a setting; None where it has none."""
    return None if name in _WITHOUT_VARIABLE else _variable(name)


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
    if source.endswith("_TOKEN"):
        return Invalid(f"{source} {what}")
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


_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "setup_token": (
        lambda token: len(token) >= _MIN_TOKEN,
        f"{_MIN_TOKEN} random characters or more",
    ),
    "metrics_token": (
        lambda token: len(token) >= _MIN_TOKEN,
        f"{_MIN_TOKEN} random characters or more",
    ),
    "log": (lambda form: form in ("text", "json"), "text or json"),
    "log_level": (lambda level: level in _LEVELS, f"one of {', '.join(_LEVELS)}"),
    "domain": (is_domain, "a domain such as example.com"),
    "synchronous": (lambda word: word in ("normal", "full"), "normal or full"),
    "console_port": (lambda port: port <= _MAX_PORT, f"a port from 0 to {_MAX_PORT}"),
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
