"""From a Host header and a path to a role, a backpack and a route; flat in the number of backpacks.

Three roles (api, site, admin) are mounted once each, under a path that no client's path can have.
Sanic would match a host per backpack one by one; here one look-up turns the Host header into the
role and the backpack. A fourth role answers hosts that nobody has.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Any, NamedTuple

import sanic.router
from sanic.exceptions import MethodNotAllowed
from sanic.exceptions import NotFound as RouteNotFound
from sanic.models.handler_types import RouteHandler
from sanic_routing.route import Route

from .documents import is_id
from .errors import BackpackError, NotFound, WrongMethod
from .tenants import Tenant, Tenants

API, SITE, ADMIN, NOWHERE = "api", "site", "admin", "nowhere"

METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")

_MAX_HOST = 300  # characters; a name has 253 at most, and a port 5
_MAX_PORT = 5  # digits
_ANY_ID = "0" * 24

# Each role has one route of this path; it takes `refusal`, and answers what no other route does.
ELSEWHERE = "/~elsewhere"


def mount(role: str) -> str:
    """The path that a role's blueprints are mounted under."""
    return f"/~{role}"


class Place(NamedTuple):
    """What a Host header stands for.

    `by_path`: it was an address, and the path named the backpack.
    """

    role: str
    tenant: Tenant | None = None
    by_path: bool = False


class Router(sanic.router.Router):
    """Sanic's router, asked by role instead of by host; it refuses by a route, so that guards come
    first.

    `backends_only`: frontends and the admin host are served elsewhere.
    """

    def __init__(self, tenants: Tenants, *, backends_only: bool = False) -> None:
        super().__init__()
        self._tenants = tenants
        self._backends_only = backends_only
        self._dev = tenants.settings.dev
        self._suffix = f".{tenants.settings.domain}"

    def get(  # type: ignore[override]
        self, path: str, method: str, host: str | None
    ) -> tuple[Route, RouteHandler, dict[str, Any]]:
        place = self.locate(host or "", path)
        if place.by_path:
            path = path.partition("~")[2].partition("/")[2]
        path = path.strip("/")
        mounted = f"/~{place.role}/{path}" if path != "~elsewhere" else ""
        known = {"tenant": place.tenant, "by_path": place.by_path}
        try:
            found = self._find(mounted, "GET" if method == "HEAD" else method)
        except (RouteNotFound, MethodNotAllowed):
            route, handler, _ = self._get(mount(place.role) + ELSEWHERE, "GET", None)
            return route, handler, {**known, "refusal": self._refusal(path, method, mounted)}
        route, handler, params = found
        return route, handler, {**params, **known}

    def _find(self, mounted: str, method: str) -> tuple[Route, RouteHandler, dict[str, Any]]:
        # Sanic remembers the last 1,024 paths, which saves 5 us; long ones would fill the memory,
        # and the records of one collection push out all others, if their ids were not one to it.
        before, _, last = mounted.rpartition("/")
        if is_id(last) and len(before) < 200:
            route, handler, params = super().get(f"{before}/{_ANY_ID}", method, None)
            name = next(reversed(params), "")
            if params.get(name) == _ANY_ID:
                return route, handler, {**params, name: last}
        find = super().get if len(mounted) < 200 else self._get
        return find(mounted, method, None)

    def _refusal(self, path: str, method: str, mounted: str) -> BackpackError:
        allowed = tuple(other for other in METHODS if self._knows(mounted, other))
        if allowed:
            return WrongMethod(f"/{path} does not know {method}", allowed=allowed)
        return NotFound(f"There is no route /{path}", code="unknown_route")

    def _knows(self, mounted: str, method: str) -> bool:
        try:
            self._get(mounted, method, None)
        except (RouteNotFound, MethodNotAllowed):
            return False
        return True

    def locate(self, host: str, path: str) -> Place:
        """The place that a Host header, with or without a port, stands for."""
        name = _name(host) if len(host) <= _MAX_HOST else ""
        if name.endswith(self._suffix):
            return self._locate_name(name[: -len(self._suffix)])
        if self._dev and path.lstrip("/").startswith("~") and _is_address(name):
            tenant = self._tenants.get(path.partition("~")[2].partition("/")[0])
            if tenant is not None:
                return Place(API, tenant, by_path=True)
        return Place(NOWHERE)

    def _locate_name(self, label: str) -> Place:
        if label.endswith("-be"):
            tenant = self._tenants.get(label[:-3])
            if tenant is not None:
                return Place(API, tenant)
        if self._backends_only:
            return Place(NOWHERE)
        if label == ADMIN:
            return Place(ADMIN)
        tenant = self._tenants.get(label)
        return Place(SITE, tenant) if tenant is not None else Place(NOWHERE)


@lru_cache(maxsize=1_000)
def _name(host: str) -> str:
    """The name in a Host header; "" where a port is none."""
    name, _, port = host.partition(":") if not host.startswith("[") else (host, "", "")
    return name.lower().rstrip(".") if len(port) <= _MAX_PORT else ""


def _is_address(host: str) -> bool:
    """Whether `host` names this machine by number: a foreign name could be pointed here by its
    owner."""
    if host == "localhost":
        return True
    try:
        ipaddress.ip_address(host.rpartition("]")[0][1:] if host.startswith("[") else host)
    except ValueError:
        return False
    return True
