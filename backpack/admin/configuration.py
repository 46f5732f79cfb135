"""What a deployment runs with, in the words of the panel. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ..settings import Settings, variable_of

_SECRETS = frozenset(field.name for field in fields(Settings) if not field.repr)
_BYTES, _SECONDS, _DAYS = "bytes", "seconds", "days"

# By group: setting, what it is about, and the unit where that says more than a number.
_GROUPS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "Addresses": {
        "domain": ("Every host is a name under it", ""),
        "allowed_origins": ("Origins whose pages may use every backpack", ""),
        "trusted_proxies": ("Proxies whose word for a client's address counts", ""),
        "setup_token": ("Set-up token, for the first developer", ""),
        "dev": ("Sandbox", ""),
    },
    "Log and metrics": {
        "log": ("Lines of the log are text or json", ""),
        "log_level": ("The least that is logged", ""),
        "metrics_token": ("Token that reads /metrics", ""),
    },
    "Records": {
        "max_body": ("A JSON body, at most", _BYTES),
        "max_document": ("A record, at most", _BYTES),
        "max_batch": ("Records in one request", ""),
        "max_collections": ("Collections of a backpack", ""),
        "query_deadline": ("A query may take", _SECONDS),
        "synchronous": (
            "Commits survive the end of the process (normal) or a power cut (full)",
            "",
        ),
        "open_databases": ("Database files that stay open", ""),
    },
    "Users and files": {
        "session_ttl": ("A session ends without use after", _SECONDS),
        "registrations_per_hour": ("Accounts made an hour from one address, 0 for any number", ""),
        "max_upload": ("An uploaded file, at most", _BYTES),
        "max_user_bytes": ("All files of a user", _BYTES),
        "max_user_files": ("Files of a user", ""),
        "cheap_passwords": ("Password hashes for test suites", ""),
    },
    "Sites": {
        "max_site": ("A site, and its zip, at most", _BYTES),
        "max_site_files": ("Files and folders in a zip", ""),
        "max_site_ratio": ("Times its own size that a zip may hold", ""),
        "site_versions": ("Versions of a site that are kept", ""),
        "site_memory": ("Files of all sites in memory", _BYTES),
        "trash_days": ("A deleted backpack can be restored for", _DAYS),
    },
    "Websockets": {
        "max_message": ("A message, at most", _BYTES),
        "message_rate": ("Messages a second of one connection", ""),
        "max_sockets": ("Connections of a user", ""),
        "max_backlog": ("What waits for a slow connection", _BYTES),
        "ping_interval": ("Between two pings", _SECONDS),
    },
}
_LIMITS = (
    "max_body",
    "max_document",
    "max_batch",
    "max_collections",
    "query_deadline",
    "max_upload",
    "max_user_bytes",
    "max_user_files",
    "session_ttl",
    "max_site",
    "max_site_files",
    "site_versions",
    "max_sockets",
    "message_rate",
)


@dataclass(frozen=True)
class Row:
    """A setting. `variable` is None for what has none, `changed` whether it is not the default."""

    label: str
    value: str
    variable: str | None
    changed: bool


@dataclass(frozen=True)
class Group:
    title: str
    rows: list[Row]


def groups(settings: Settings) -> list[Group]:
    """All settings, by what they are about."""
    defaults = {field.name: field.default for field in fields(settings)}
    return [
        Group(title, [_row(settings, name, defaults[name]) for name in names if name in defaults])
        for title, names in _GROUPS.items()
    ]


def limits(settings: Settings) -> list[Row]:
    """What holds for every backpack."""
    return [_row(settings, name, None) for name in _LIMITS]


def _row(settings: Settings, name: str, default: Any) -> Row:
    label, unit = next(names[name] for names in _GROUPS.values() if name in names)
    value = getattr(settings, name)
    written = _written(value, unit) if name not in _SECRETS else "set" if value else "not set"
    return Row(label, written, variable_of(name), value != default)


def _written(value: Any, unit: str) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    if unit == _BYTES:
        return _bytes(value)
    if unit == _SECONDS:
        return _seconds(value)
    if isinstance(value, str):
        return value
    return f"{value:,g} {unit}".rstrip() if isinstance(value, float) else f"{value:,}"


def _bytes(value: int) -> str:
    for size, unit in ((1_073_741_824, "GiB"), (1_048_576, "MiB"), (1_024, "KiB")):
        if value >= size:
            return f"{value / size:,.4g} {unit}"
    return f"{value} bytes"


def _seconds(value: float) -> str:
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if value >= 2 * size:
            return f"{value / size:,.3g} {unit}"
    return f"{value:g} seconds"
