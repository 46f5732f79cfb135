"""The place of a deployment's admin, taken by a thread of the tests: what that opens is in the
admin's networks, under its name, and it finds there what the admin would."""

from __future__ import annotations

import ctypes
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.swarm.deployment import Deployment
from tests.swarm.lab import Lab
from tests.swarm.web import until

_ADMIN = "backpack_admin"
_EDGE, _PRIVATE = "backpack-edge", "backpack-admin"  # the networks
_NEWNET = 0x40000000  # CLONE_NEWNET of sched.h
_LIBC = ctypes.CDLL(None, use_errno=True)


@contextmanager
def admins_place(deployment: Deployment) -> Iterator[None]:
    """While inside, this thread, and those that it starts, are where the admin was, which is gone
    meanwhile."""
    lab = deployment.lab
    named = ("--network", _EDGE, "--network-alias", "admin")
    run = ("run", "--detach", *named, "--entrypoint", "sleep", "backpack:latest", "infinity")
    container = lab.docker(*run).strip()
    try:
        # Before the admin leaves: a node forgets a network that nothing on it is in.
        lab.docker("network", "connect", _PRIVATE, container)
        lab.docker("service", "scale", "--detach", f"{_ADMIN}=0")
        until(lambda: not deployment.admin, "the admin has ended")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DOCKER_HOST", lab.docker_host)
            patch.setattr(socket, "getaddrinfo", _names(lab))
            with _inside(lab.network_of(lab.nodes[0], container)):
                yield
    finally:
        lab.docker("service", "scale", "--detach", f"{_ADMIN}=1")
        deployment.edge.until_answers(f"admin.{lab.domain}")
        lab.docker("rm", "--force", container)


@contextmanager
def _inside(network: Path) -> Iterator[None]:
    """Have this thread be in another network."""
    with Path("/proc/thread-self/ns/net").open() as own, network.open() as other:
        _enter(other.fileno())
        try:
            yield
        finally:
            _enter(own.fileno())


def _enter(network: int) -> None:
    if _LIBC.setns(network, _NEWNET):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _names(lab: Lab) -> Any:
    """`socket.getaddrinfo` that knows the services of backpacks too, as Docker's DNS does."""
    others = socket.getaddrinfo

    def getaddrinfo(host: Any, *words: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host or ""
        if name.startswith("bp-"):
            host = _address(lab, name)
        return others(host, *words, **options)

    return getaddrinfo


def _address(lab: Lab, service: str) -> str:
    """Of a task of a service, in the network that has private ports."""
    (found,) = json.loads(lab.docker("network", "inspect", _PRIVATE))
    for container in found["Containers"].values():
        if container["Name"].startswith(f"{service}."):
            return str(container["IPv4Address"].partition("/")[0])
    raise socket.gaierror(socket.EAI_NONAME, f"There is no {service}")
