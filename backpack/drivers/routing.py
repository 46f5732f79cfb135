"""The labels by which Traefik knows where a service is, and for which hosts. Pure."""

from __future__ import annotations

EDGE = "backpack-edge"  # the network between Traefik and what it passes requests to
EDGE_PORT = 8_443  # where Traefik takes https, in its container

_YEAR = 31_536_000  # seconds


def route(name: str, rule: str, port: int) -> dict[str, str]:
    """Have requests that fit `rule` go to the service whose labels these are, by http.

    `name` is one of its own among all services. What Traefik does on the way stands with each of
    them, so that none needs another to be there.
    """
    router = f"traefik.http.routers.{name}"
    balancer = f"traefik.http.services.{name}.loadbalancer"
    retry = f"traefik.http.middlewares.{name}-retry.retry"
    return {
        "traefik.enable": "true",
        f"{router}.rule": rule,
        f"{router}.service": name,
        f"{router}.entrypoints": "http",
        f"{router}.middlewares": f"{name}-retry",
        # Only what has not reached a process is tried again: nothing is done twice.
        f"{retry}.attempts": "3",
        f"{retry}.initialinterval": "50ms",
        f"{balancer}.server.port": str(port),
        f"{balancer}.healthcheck.path": "/healthz?self",
        f"{balancer}.healthcheck.interval": "1s",
        # Not one second: a busy machine would take a process out of service that only has to wait.
        f"{balancer}.healthcheck.timeout": "3s",
    }


def secure(name: str) -> dict[str, str]:
    """Have the router of that name take https instead, and tell browsers to use nothing else."""
    router = f"traefik.http.routers.{name}"
    return {
        f"{router}.entrypoints": "https",
        f"{router}.tls.certresolver": "main",
        f"{router}.middlewares": f"{name}-hsts,{name}-retry",
        f"traefik.http.middlewares.{name}-hsts.headers.stsseconds": str(_YEAR),
    }


def nudge(moment: float) -> dict[str, str]:
    """What nobody uses, and is another at each `moment`: with it Traefik's routes have changed."""
    return {"traefik.http.middlewares.nudge.headers.customrequestheaders.X-Nudge": f"{moment:.0f}"}


def host(name: str) -> str:
    """A rule: requests to a host."""
    return f"Host(`{name}`)"


def host_and_path(name: str, path: str) -> str:
    """A rule: requests to a path of a host, and to what is below it."""
    return f"{host(name)} && (Path(`{path}`) || PathPrefix(`{path}/`))"
