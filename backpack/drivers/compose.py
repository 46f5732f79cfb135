"""One backpack on one machine, without a swarm: a file for `docker compose`. Pure."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from ..errors import Invalid
from ..names import check_key, check_name
from . import routing
from .deployment import Deployment
from .rendering import Part, render
from .stacks import CLOSING, PORT, SITE_PORT, mongo_health, site_files

_SERVICES = ("api", "mongo", "redis", "site", "traefik")
# Nobody but Traefik reaches a container from these: networks that Docker makes for itself.
_DOCKERS = "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16"


@dataclass(frozen=True)
class Composition:
    """What there is to say of such a backpack. Raises Invalid for a value that cannot be."""

    name: str
    secret: str  # from which its passwords follow, so that they are the same each time
    port: int = 8_000  # of this machine alone, when there are no certificates
    site: str = ""  # folder of the frontend, as an absolute path
    api_key: str = ""  # "": one that follows from the secret

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.api_key:
            check_key(self.api_key)
        if self.site and not (self.site.startswith("/") and self.site.isprintable()):
            raise Invalid(f"site cannot be {self.site[:100]!r}: say an absolute path")

    def key(self, kind: str) -> str:
        """A password of its own for each kind."""
        what = f"{self.name}/{kind}".encode()
        return hmac.new(self.secret.encode(), what, hashlib.sha256).hexdigest()


def compose(deployment: Deployment, composition: Composition) -> str:
    """The file; with `deployment.email` on ports 80 and 443, with certificates."""
    name, api_key = composition.name, composition.api_key or composition.key("api")[:32]
    return render(
        "compose.yml.j2",
        _parts(deployment, composition),
        name=name,
        network=f"backpack-{name}",
        backend=_url(deployment, composition, f"{name}-be"),
        frontend=_url(deployment, composition, name),
        api_key=api_key,
        images={service: deployment.image_of(service) for service in _SERVICES},
        memory={service: deployment.memory_of(service) for service in _SERVICES},
        traefik=_traefik(deployment, name),
        ports=_ports(deployment, composition.port),
        environment=_environment(deployment, composition, api_key),
        labels=_labels(deployment, name),
        stop_grace_period=f"{deployment.drain + CLOSING:g}s",
        log_size=deployment.log_size,
        log_files=str(deployment.log_files),
        mongo_password=composition.key("mongo"),
        redis_password=composition.key("redis"),
        site=composition.site,
        mongo_health=mongo_health(),
        **site_files(),
    )


def _parts(deployment: Deployment, composition: Composition) -> dict[str, Part]:
    networks = {"traefik": ["edge"], "api": ["edge", "inside"], "site": ["edge"]}
    volumes = {
        "traefik": ["/var/run/docker.sock", "acme"],
        "api": ["files"],
        "site": [composition.site] if composition.site else [],
        "mongo": ["mongo"],
        "redis": ["redis"],
    }
    return {
        service: Part(
            deployment.image_of(service),
            networks.get(service, ["inside"]),
            volumes=volumes[service],
            ports=_ports(deployment, composition.port) if service == "traefik" else (),
        )
        for service in _SERVICES
    }


def _url(deployment: Deployment, composition: Composition, label: str) -> str:
    host = f"{label}.{deployment.domain}"
    return f"https://{host}" if deployment.email else f"http://{host}:{composition.port}"


def _ports(deployment: Deployment, port: int) -> list[str]:
    return ["80:8080", "443:8443"] if deployment.email else [f"127.0.0.1:{port}:8080"]


def _traefik(deployment: Deployment, name: str) -> list[str]:
    plain = [
        "--entrypoints.http.address=:8080",
        "--providers.docker.exposedbydefault=false",
        f"--providers.docker.network=backpack-{name}",
        f"--providers.docker.constraints=Label(`backpack.name`,`{name}`)",
        "--log.level=INFO",
        "--global.checknewversion=false",
        "--global.sendanonymoususage=false",
    ]
    secure = [
        "--entrypoints.http.http.redirections.entrypoint.to=:443",
        "--entrypoints.http.http.redirections.entrypoint.scheme=https",
        "--entrypoints.https.address=:8443",
        "--entrypoints.https.transport.respondingtimeouts.readtimeout=10m",
        "--certificatesresolvers.main.acme.httpchallenge.entrypoint=http",
        "--certificatesresolvers.main.acme.storage=/acme/acme.json",
        f"--certificatesresolvers.main.acme.email={deployment.email}",
        f"--certificatesresolvers.main.acme.caserver={deployment.acme_server}",
    ]
    return [*plain, *secure] if deployment.email else plain


def _environment(deployment: Deployment, composition: Composition, api_key: str) -> dict[str, str]:
    how = f"?authSource=admin&authMechanism={deployment.mongo_auth}"
    return {
        **deployment.environment(),
        "BACKPACK_NAME": composition.name,
        "BACKPACK_DOMAIN": deployment.domain,
        "BACKPACK_PORT": str(PORT),
        "BACKPACK_DRAIN": f"{deployment.drain:g}",
        "BACKPACK_TRUSTED_PROXIES": _DOCKERS,
        "BACKPACK_API_KEY": api_key,
        "BACKPACK_FILES": "/data/files",
        "BACKPACK_MONGO_URL": f"mongodb://backpack:{composition.key('mongo')}@mongo:27017/{how}",
        "BACKPACK_REDIS_URL": f"redis://:{composition.key('redis')}@redis:6379/0",
        "TMPDIR": "/data/files",
    }


def _labels(deployment: Deployment, name: str) -> dict[str, dict[str, str]]:
    found = {}
    for service, label, port in (("api", f"{name}-be", PORT), ("site", name, SITE_PORT)):
        router = f"{name}-{service}"
        rule = routing.host(f"{label}.{deployment.domain}")
        secure = routing.secure(router) if deployment.email else {}
        found[service] = {
            "backpack.name": name,
            **routing.route(router, rule, port),
            **secure,
        }
    return found
