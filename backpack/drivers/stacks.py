"""The stacks of a deployment, as text for `docker stack deploy`. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..assets import folder
from ..errors import Invalid
from ..names import check_name
from ..webfiles import is_text, table
from . import routing
from .deployment import Deployment, bytes_of, check_limits
from .rendering import Part, render

__all__ = ["SITE_VERSION", "BackpackSpec", "Deployment", "backpack", "platform"]

SITE_VERSION = "BACKPACK_SITE_VERSION"
ADMIN = "backpack-admin"  # the network between the admin and the private ports of backpacks
PLATFORM = "backpack"  # the stack of edge and admin
NAME = "backpack.name"  # the label of a backpack's services

PORT, SITE_PORT = 3_000, 8_080  # of containers that serve backends and frontends
CLOSING = 15.0  # seconds that a process needs to end, after it has served on
PRIVATE_PORT = 4_000  # of what serves a backpack, for the admin
URLS = ("mongo_url", "redis_url")  # secrets
_NODE = re.compile(r"[a-z0-9]{0,64}")


@dataclass(frozen=True)
class BackpackSpec:
    """What the stack of one backpack is made of. Raises Invalid for a value that cannot be."""

    name: str
    generation: int = 1  # which backpack of that name this is: one before may be in the trash
    replicas: int = 1  # API processes
    site: int = 0  # version of the site that is served; 0: none
    node: str = ""  # id of the node that has its data
    external_mongo: bool = False  # its MongoDB is another's, whose URL is a secret
    external_redis: bool = False
    urls: int = 1  # which URLs of its databases these are: external ones may change
    is_routed: bool = True  # requests for its hosts go to it
    memory: Mapping[str, str] = field(default_factory=dict)  # where it differs from the deployment
    cpus: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name(self.name)
        numbers = {
            "generation": (1, 9_999),
            "replicas": (0, 1_000),
            "site": (0, 10**9),
            "urls": (1, 10**9),
        }
        for name, (least, most) in numbers.items():
            number = getattr(self, name)
            if type(number) is not int or not least <= number <= most:
                raise Invalid(f"{name} cannot be {str(number)[:100]!r}")
        if not isinstance(self.node, str) or not _NODE.fullmatch(self.node):
            raise Invalid(f"node cannot be {str(self.node)[:100]!r}")
        check_limits(self.memory, self.cpus)

    @property
    def stack(self) -> str:
        return f"bp-{self.name}" if self.generation == 1 else f"bp-{self.name}_{self.generation}"

    def secret(self, kind: str) -> str:
        """The name that Docker knows a secret of the stack by: it cannot be changed, so that other
        URLs need another one."""
        name = f"{self.stack}_{kind}"
        return f"{name}_{self.urls}" if kind in URLS and self.urls > 1 else name


def platform(deployment: Deployment) -> str:
    """The stack of edge and admin."""
    return render(
        "edge.yml.j2",
        {
            "traefik": Part(
                deployment.image_of("traefik"),
                networks=["edge"],
                volumes=["/var/run/docker.sock", "acme"],
                ports=[80, 443],
            ),
            "admin": Part(
                deployment.image_of("admin"),
                networks=["edge", "admin"],
                secrets=["secret"],
                volumes=["/var/run/docker.sock", "data"],
            ),
        },
        **_shared(deployment, ["traefik", "admin"]),
        home=_home(deployment.node),
        port_mode="ingress" if deployment.ingress else "host",
        email=deployment.email,
        acme_server=deployment.acme_server,
        acme_root=deployment.acme_root,
        environment={
            **_LOG,
            **deployment.environment(),
            "BACKPACK_DOMAIN": deployment.domain,
            "BACKPACK_TRUSTED_PROXIES": deployment.subnets[0],
            "BACKPACK_DATA": "/var/lib/backpack/data",
            "BACKPACK_DEPLOYMENT": deployment.to_json(),
            "BACKPACK_SECRET_FILE": "/run/secrets/secret",
            "TMPDIR": "/var/lib/backpack",
        },
        labels={"admin": {**_route(_ADMIN, _host(deployment, "admin"), PORT), **_UNLOGGED}},
        stack_labels={"backpack.stack": PLATFORM},
    )


def backpack(deployment: Deployment, spec: BackpackSpec) -> str:
    """The stack of one backpack, whose secrets are there."""
    stores = _stores(spec)
    secrets = _secrets(spec)
    return render(
        "backpack.yml.j2",
        _parts(deployment, spec),
        **_shared(deployment, ["api", "files", "site", *stores], spec),
        home=_home(spec.node),
        stack=spec.stack,
        admin_host=f"admin.{deployment.domain}",
        replicas=spec.replicas,
        site=str(spec.site),
        constraints=list(deployment.constraints),
        environment=_environment(deployment, spec),
        labels=_labels(deployment, spec),
        stack_labels={"backpack.stack": spec.stack},
        encrypted=deployment.encrypted,
        has_mongo="mongo" in stores,
        has_redis="redis" in stores,
        api_secrets=_API_SECRETS,
        secrets={kind: spec.secret(kind) for kind in secrets},
        volumes=["files", "site", *stores],
        mongo_health=mongo_health(),
        redis_health=_script("redis-health.sh"),
        redis_memory=str(bytes_of(_limits(deployment, "redis", spec)["memory"]) * 3 // 4),
        **site_files(),
    )


_LOG = {"BACKPACK_LOG": "json"}  # what collects the logs of a swarm reads that best
# Each request has a line, whose id Traefik's own line has too.
_LOG_REQUESTS = {**_LOG, "BACKPACK_LOG_LEVEL": "info"}
_ADMIN = "backpack-admin"  # its router
# Paths of the panel have tokens in them, such as that of an invitation.
_UNLOGGED = {f"traefik.http.routers.{_ADMIN}.observability.accesslogs": "false"}
_API_SECRETS = ("api_key", "console_token", *URLS)


def _stores(spec: BackpackSpec) -> list[str]:
    own = {"mongo": not spec.external_mongo, "redis": not spec.external_redis}
    return [name for name, is_own in own.items() if is_own]


def _secrets(spec: BackpackSpec) -> list[str]:
    of_stores = {"mongo": "mongo_password", "redis": "redis_conf"}
    return [*_API_SECRETS, "site_token", *(of_stores[name] for name in _stores(spec))]


def _parts(deployment: Deployment, spec: BackpackSpec) -> dict[str, Part]:
    own = Part(
        deployment.image_of("api"), networks=["edge", "inside", "admin"], secrets=_API_SECRETS
    )
    parts = {
        "api": own,
        "files": Part(own.image, own.networks, own.secrets, volumes=["files"]),
        "site": Part(
            deployment.image_of("site"),
            networks=["edge"],
            secrets=["site_token"],
            volumes=["site"],
        ),
        "mongo": Part(
            deployment.image_of("mongo"),
            networks=["inside"],
            secrets=["mongo_password"],
            volumes=["mongo"],
        ),
        "redis": Part(
            deployment.image_of("redis"),
            networks=["inside"],
            secrets=["redis_conf"],
            volumes=["redis"],
        ),
    }
    return {
        name: part
        for name, part in parts.items()
        if name in ("api", "files", "site", *_stores(spec))
    }


def _shared(
    deployment: Deployment, services: Collection[str], spec: BackpackSpec | None = None
) -> dict[str, Any]:
    """What both stacks have values for."""
    return {
        "images": {name: deployment.image_of(name) for name in services},
        "limits": {name: _limits(deployment, name, spec) for name in services},
        "networks": {"edge": routing.EDGE, "admin": ADMIN},
        "endpoint_mode": "vip" if deployment.vip else "dnsrr",
        "stop_grace_period": f"{deployment.drain + CLOSING:g}s",
        "health_interval": f"{deployment.health_interval}s",
        "log_size": deployment.log_size,
        "log_files": str(deployment.log_files),
    }


def _limits(deployment: Deployment, service: str, spec: BackpackSpec | None) -> dict[str, str]:
    memory = {**deployment.memory, **(spec.memory if spec else {})}
    cpus = {**deployment.cpus, **(spec.cpus if spec else {})}
    found = {"memory": memory.get(service, deployment.memory_of(service))}
    return {**found, "cpus": cpus[service]} if service in cpus else found


def _home(node: str) -> list[str]:
    return [f"node.id == {node}"] if node else ["node.role == manager"]


def _host(deployment: Deployment, name: str) -> str:
    return routing.host(f"{name}.{deployment.domain}")


def _environment(deployment: Deployment, spec: BackpackSpec) -> dict[str, str]:
    return {
        **_LOG_REQUESTS,
        **deployment.environment(),
        "BACKPACK_NAME": spec.name,
        "BACKPACK_DOMAIN": deployment.domain,
        "BACKPACK_PORT": str(PORT),
        "BACKPACK_DRAIN": f"{deployment.drain:g}",
        "BACKPACK_TRUSTED_PROXIES": deployment.subnets[0],
        "BACKPACK_CONSOLE_PORT": str(PRIVATE_PORT),
        "BACKPACK_CONSOLE_HOST": deployment.subnets[1],
        **{f"BACKPACK_{kind.upper()}_FILE": f"/run/secrets/{kind}" for kind in _API_SECRETS},
    }


def _labels(deployment: Deployment, spec: BackpackSpec) -> dict[str, dict[str, str]]:
    backend = f"{spec.name}-be.{deployment.domain}"
    rules = {
        "api": (routing.host(backend), PORT),
        "files": (routing.host_and_path(backend, "/uploads"), PORT),
        "site": (_host(deployment, spec.name), SITE_PORT),
    }
    ours = {NAME: spec.name}
    routed = {part: _route(f"{spec.stack}-{part}", *rule) for part, rule in rules.items()}
    if not spec.is_routed:
        routed = {}
    return {part: {**ours, **routed.get(part, {})} for part in (*rules, "mongo", "redis")}


def _route(name: str, rule: str, port: int) -> dict[str, str]:
    return {
        "traefik.swarm.network": routing.EDGE,
        **routing.route(name, rule, port),
        **routing.secure(name),
    }


def mongo_health() -> str:
    """What the container of a MongoDB runs to tell whether it is well."""
    return _script("mongo-health.sh")


def site_files() -> dict[str, str]:
    """What makes a plain Nginx one that serves sites."""
    return {
        "site_script": _script("site.sh"),
        "site_conf": _script("site.conf"),
        "site_types": _types(),
    }


def _script(name: str) -> str:
    return (folder("swarm") / name).read_text("utf-8")


def _types() -> str:
    """The media types that a sandbox serves, as Nginx has them."""
    found = dict(sorted(table().items()))
    lines = [f"    {kind} {' '.join(extensions)};" for kind, extensions in found.items()]
    # HTML counts as text to Nginx anyway.
    texts = " ".join(sorted(kind for kind in set(found) - {"text/html"} if is_text(kind)))
    return "\n".join(("types {", *lines, "}", "charset utf-8;", f"charset_types {texts};", ""))
