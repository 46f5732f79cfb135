"""What a deployment on a swarm is told: the values that its stacks are rendered from, checked.

Everything here may come from a command line or a form. What passes cannot be more than the one
value it is: no quote, brace or line break gets through.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import Invalid
from ..settings import Settings, from_environment, is_domain

_IMAGE = re.compile(r"[a-z0-9][a-zA-Z0-9._:/@-]{0,254}")
_REGISTRY = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?(:[0-9]{1,5})?(/[a-z0-9._-]+)*")
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,190}")
_URL = re.compile(r"https://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?")
_PEM = re.compile(
    r"(-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+\n-----END CERTIFICATE-----\n?)+"
)
_NODE = re.compile(r"[a-z0-9]{0,64}")
_CONSTRAINT = re.compile(r"(node|engine)\.[A-Za-z0-9._-]{1,100} ?(==|!=) ?[A-Za-z0-9._/:-]{1,100}")
_MEMORY = re.compile(r"[1-9][0-9]{0,11}[kKmMgG]?")
_CPUS = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3})?")
_MECHANISM = re.compile(r"SCRAM-SHA-(1|256)|PLAIN|MONGODB-X509")

# What processes are told besides. Tokens follow from the deployment's secret: whoever may look at a
# service sees what it was set to.
_OWN = {"domain", "trusted_proxies", "dev", "metrics_token", "setup_token"}
# Bytes of memory that a task of each service may take.
_DEFAULT_MEMORY = {
    "admin": "1G",
    "api": "512M",
    "files": "512M",
    "mongo": "1G",
    "redis": "512M",
    "site": "128M",
    "traefik": "512M",
}


@dataclass(frozen=True)
class Deployment:
    """What is the same for all backpacks of a swarm. Raises Invalid for a value that cannot be."""

    domain: str  # every host is a name under it
    email: str = ""  # of who answers for the certificates
    node: str = ""  # id of the node of edge and admin
    image: str = "backpack:latest"
    mongo_image: str = "mongo:8.0.17"
    redis_image: str = "redis:7.4.6-alpine"
    nginx_image: str = "nginx:1.28.0-alpine"
    traefik_image: str = "traefik:v3.7.15"
    registry: str = ""  # all images come from there, such as registry.example.com
    acme_server: str = "https://acme-v02.api.letsencrypt.org/directory"
    acme_root: str = ""  # what the server's own certificate hangs on, as PEM; "": public roots
    replicas: int = 1  # API processes of a new backpack
    vip: bool = True  # services have virtual addresses; without, they are found by DNS alone
    encrypted: bool = False  # what goes from node to node; `up` decides at first, if not told
    ingress: bool = False  # all nodes have ports 80 and 443; then nobody knows clients' addresses
    subnets: tuple[str, str] = ("10.117.0.0/20", "10.117.16.0/20")  # of backpack-edge and -admin
    constraints: tuple[str, ...] = ()  # on nodes of APIs and sites, as Docker has them
    memory: Mapping[str, str] = field(default_factory=dict)  # by service, such as 512M
    cpus: Mapping[str, str] = field(default_factory=dict)  # by service, such as 1.5
    mongo_auth: str = "SCRAM-SHA-256"
    drain: float = 4.0  # seconds that a process serves on once it is to end
    health_interval: int = 10  # seconds between two looks of Docker at a process
    certificate_interval: int = 3_600  # seconds between two looks for hosts without one
    log_size: str = "10m"  # of a log file, of which each task has
    log_files: int = 3
    settings: Mapping[str, str] = field(default_factory=dict)  # of every API process, by name

    def __post_init__(self) -> None:
        for name, holds in _CHECKS.items():
            if not _is_right(holds, getattr(self, name)):
                raise Invalid(f"{name} cannot be {str(getattr(self, name))[:100]!r}")
        if self.ingress and not self.vip:
            raise Invalid("ingress needs vip")
        check_limits(self.memory, self.cpus)
        self.environment()

    def image_of(self, service: str) -> str:
        """The image that a service runs."""
        others = ("mongo", "redis", "traefik")
        kind = "nginx_image" if service == "site" else f"{service}_image"
        image: str = getattr(self, kind) if service in (*others, "site") else self.image
        return f"{self.registry}/{image}" if self.registry else image

    def memory_of(self, service: str) -> str:
        return self.memory.get(service, _DEFAULT_MEMORY[service])

    def environment(self) -> dict[str, str]:
        """The variables of `settings`; raises Invalid when one cannot be read."""
        unknown = sorted(set(self.settings) - _settings())
        if unknown:
            raise Invalid(f"There is no setting {unknown[0]!r} for the processes of a deployment")
        found = {f"BACKPACK_{name.upper()}": value for name, value in self.settings.items()}
        from_environment(found)
        return found

    def assign(self, assigned: Mapping[str, str]) -> Deployment:
        """The same with some fields as texts say, such as `{"drain": "10", "memory.mongo": "4G"}`;
        an empty text takes an entry of a field that has several. Raises Invalid."""
        changes: dict[str, Any] = {}
        known = {option.name for option in dataclasses.fields(self)}
        for name, text in assigned.items():
            field_name, _, key = name.partition(".")
            if field_name not in known:
                raise Invalid(f"There is no setting {field_name!r} of a deployment")
            before = changes.get(field_name, getattr(self, field_name))
            if isinstance(before, Mapping) != bool(key):
                raise Invalid(f"There is no setting {name!r} of a deployment")
            if isinstance(before, Mapping):
                others = {one: value for one, value in before.items() if one != key}
                changes[field_name] = {**others, key: text} if text else others
            else:
                changes[field_name] = _read(name, text, type(before))
        return dataclasses.replace(self, **changes)

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Deployment:
        """What `to_json` gave, of another version of Backpack too."""
        known = {option.name for option in dataclasses.fields(cls)}
        values = {name: value for name, value in json.loads(text).items() if name in known}
        settings = values.get("settings", {}).items()
        values["settings"] = {name: value for name, value in settings if name in _settings()}
        lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return cls(**{**values, **lists})


def _settings() -> set[str]:
    """The names of the settings that processes may be given."""
    return {option.name for option in dataclasses.fields(Settings)} - _OWN


def _read(name: str, text: str, kind: type) -> Any:
    if kind is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if kind is bool:
        return {"true": True, "false": False}.get(text, text)
    try:
        return kind(text)
    except ValueError as exc:
        raise Invalid(f"{name} cannot be {text[:100]!r}") from exc


def _is_right(holds: Callable[[Any], object], value: Any) -> bool:
    try:
        return bool(holds(value))
    except (TypeError, ValueError, AttributeError):
        return False


def check_limits(memory: Mapping[str, str], cpus: Mapping[str, str]) -> None:
    """Raises Invalid when services may not be given such limits."""
    for values, pattern in ((memory, _MEMORY), (cpus, _CPUS)):
        for service, value in values.items():
            if service not in _DEFAULT_MEMORY:
                raise Invalid(f"There is no service {str(service)[:100]!r}")
            if not isinstance(value, str) or not pattern.fullmatch(value):
                raise Invalid(f"{service} cannot be limited to {str(value)[:100]!r}")


def bytes_of(memory: str) -> int:
    """A limit of memory as a number."""
    unit = " kmg".find(memory[-1].lower())
    return int(memory) if unit < 0 else int(memory[:-1]) << (10 * unit)


def _is_subnets(subnets: tuple[str, ...]) -> bool:
    first, second = map(ipaddress.IPv4Network, subnets)
    return not first.overlaps(second)


_CHECKS: Mapping[str, Callable[[Any], object]] = {
    "domain": is_domain,
    "email": lambda text: not text or _EMAIL.fullmatch(text),
    "node": _NODE.fullmatch,
    **dict.fromkeys(
        ("image", "mongo_image", "redis_image", "nginx_image", "traefik_image"), _IMAGE.fullmatch
    ),
    "registry": lambda text: not text or _REGISTRY.fullmatch(text),
    "acme_server": _URL.fullmatch,
    "acme_root": lambda text: not text or _PEM.fullmatch(text),
    "replicas": lambda number: type(number) is int and 1 <= number <= 100,
    **dict.fromkeys(("vip", "encrypted", "ingress"), lambda flag: isinstance(flag, bool)),
    "subnets": _is_subnets,
    "constraints": lambda found: all(map(_CONSTRAINT.fullmatch, found)),
    "mongo_auth": _MECHANISM.fullmatch,
    "drain": lambda number: 0 <= float(number) <= 60,
    "health_interval": lambda number: type(number) is int and 1 <= number <= 600,
    "certificate_interval": lambda number: type(number) is int and 1 <= number <= 604_800,
    "log_size": _MEMORY.fullmatch,
    "log_files": lambda number: type(number) is int and 1 <= number <= 100,
    "settings": lambda found: all(isinstance(value, str) for value in found.values()),
}
