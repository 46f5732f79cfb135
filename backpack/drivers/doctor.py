"""What on this machine, or around it, keeps a swarm of backpacks from working, each with its
remedy. Nothing is changed by looking."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import re
import secrets
import shutil
import socket
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..errors import BackpackError
from ..steps import counted
from . import docker_cli
from .certificates import hosts, lacking
from .kernel import has_ipsec, has_ipvs
from .routing import EDGE
from .stacks import NAME, PLATFORM
from .swarm_nodes import Nodes
from .swarm_state import Swarm

State = Literal["ok", "warning", "failure"]

_OLDEST = (20, 10)  # daemon that has what is needed of it
_OLDEST_COMMAND = (25, 0)  # the first that can read the stacks: `start_interval` of health checks
_UPDATE = f"update it to {'.'.join(map(str, _OLDEST_COMMAND))} or later"
_PORTS = (80, 443)
_LITTLE, _NEARLY_NONE = 5_000_000_000, 1_000_000_000  # bytes of disk
_MODULES = "--volume /lib/modules:/lib/modules:ro"
_MEMORY = 900_000_000  # bytes; a machine that is sold as one with 1 GB has a little less
_PATIENCE = 5.0  # seconds for DNS
_HOSTS = 200  # whose certificates are looked at


@dataclass(frozen=True)
class Finding:
    """`what` was looked at, what was `found`, and what to do about it, "" where it is well."""

    what: str
    state: State
    found: str
    remedy: str = ""


async def examine(swarm: Swarm, domain: str | None = None) -> AsyncGenerator[Finding, None]:
    """Everything that can be looked at, one after the other; DNS of `domain`, or of that of the
    deployment there is, if any."""
    try:
        info = await swarm.info()
    except BackpackError as exc:
        yield Finding(
            "Docker",
            "failure",
            exc.message,
            "install it (docs.docker.com/engine/install) and start it; a container reaches it by "
            f"--user root --volume {docker_cli.SOCKET}:{docker_cli.SOCKET}",
        )
        return
    yield _version(info)
    yield await _command()
    membership = _membership(info)
    yield membership
    if membership.state == "ok":
        yield await _nodes(swarm)
        yield await _encryption(swarm, info)
    yield _ipvs()
    yield await _ports(swarm)
    yield _disk(info)
    yield _memory(info)
    own = str(info.get("Swarm", {}).get("NodeAddr", ""))
    running = await _domain(swarm)
    if domain or running:
        yield await _dns(domain or running, own)
    if running:
        yield await _certificates(running, [*(await swarm.stacks(NAME)).values()], own)


def _version(info: dict[str, Any]) -> Finding:
    version = str(info.get("ServerVersion", ""))
    if _numbers(version) < _OLDEST:
        return Finding("Docker", "failure", f"version {version}", _UPDATE)
    if _numbers(version) < _OLDEST_COMMAND:
        found = f"version {version}, which looks at a new process after the health_interval only"
        return Finding("Docker", "warning", found, f"{_UPDATE}, or --set health_interval=2")
    return Finding("Docker", "ok", f"version {version}")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:2]))


async def _command() -> Finding:
    try:
        said = await docker_cli.run(["docker", "--version"])
    except BackpackError as exc:
        return Finding("docker command", "failure", exc.message, "install Docker's command line")
    version = " ".join(said)
    if _numbers(version) < _OLDEST_COMMAND:
        return Finding("docker command", "failure", version, _UPDATE)
    return Finding("docker command", "ok", version)


def _membership(info: dict[str, Any]) -> Finding:
    swarm = info.get("Swarm", {})
    if swarm.get("LocalNodeState") != "active":
        return Finding(
            "Swarm",
            "failure",
            "this machine is in none",
            "run: docker swarm init (with --advertise-addr ADDRESS where it has several)",
        )
    if not swarm.get("ControlAvailable"):
        return Finding(
            "Swarm", "failure", "this machine is a worker", "run this on a manager instead"
        )
    return Finding("Swarm", "ok", f"manager, {swarm.get('Nodes', 1)} nodes")


async def _nodes(swarm: Swarm) -> Finding:
    nodes = await Nodes(swarm).machines()
    away = [node.name for node in nodes if node.state != "ready"]
    if away:
        return Finding(
            "Nodes",
            "warning",
            f"{', '.join(away)} cannot be reached",
            "start them; between nodes, and only there, the ports 2377/tcp, 7946/tcp and udp, "
            "4789/udp, and the protocol 50 (ESP) must be open; one that is gone for good goes by: "
            "docker node rm --force NAME",
        )
    if sum(node.role == "manager" for node in nodes) == 2:
        return Finding(
            "Nodes",
            "warning",
            "there are two managers: without either of them nothing can be changed",
            "have one, three or five: docker node demote NAME",
        )
    return Finding("Nodes", "ok", ", ".join(node.name for node in nodes))


async def _encryption(swarm: Swarm, info: dict[str, Any]) -> Finding:
    """Whether what goes from node to node can be read on the way."""
    is_encrypted = await swarm.is_encrypted(EDGE)
    if is_encrypted or (is_encrypted is None and has_ipsec()):
        return Finding("Encryption", "ok", "what goes from node to node is encrypted (IPsec)")
    if has_ipsec():
        found = "what goes from node to node is not encrypted, though the kernel has IPsec"
        remedy = "have it: backpack swarm down, then up with --set encrypted=true; the data stay"
    else:
        found = "what goes from node to node is not encrypted: no IPsec (esp4, gcm) of the kernel"
        remedy = (
            "install the kernel's modules, and show them to a container by "
            f"{_MODULES}; or let nodes talk only by a network that nobody else is on"
        )
    if info.get("Swarm", {}).get("Nodes", 1) < 2:
        remedy = f"nothing with one node; before there are more: {remedy}"
    return Finding("Encryption", "warning", found, remedy)


def _ipvs() -> Finding:
    if has_ipvs():
        return Finding("IP_VS", "ok", "there: services can have virtual addresses")
    return Finding(
        "IP_VS",
        "warning",
        "the kernel has none: services are found by DNS",
        f"nothing has to be done; to have it: modprobe ip_vs, in a container {_MODULES} too, then "
        "backpack swarm up --endpoints vip",
    )


async def _ports(swarm: Swarm) -> Finding:
    ours, others = await swarm.published(_PORTS, PLATFORM)
    if others:
        what = ", ".join(f"{port} by {who}" for port, who in sorted(others.items()))
        return Finding(
            "Ports", "failure", f"taken: {what}", "stop that: Backpack needs both, 80 and 443"
        )
    if ours:
        return Finding("Ports", "ok", "80 and 443 are Backpack's")
    taken = [str(port) for port in _PORTS if _is_taken(port)]
    if taken:
        return Finding(
            "Ports",
            "failure",
            f"{' and '.join(taken)}: another program of this machine listens there",
            f"find it (ss -ltnp 'sport = :{taken[0]}') and stop it: Backpack needs both, 80 and "
            "443",
        )
    return Finding("Ports", "ok", "80 and 443 are free")


def _is_taken(port: int) -> bool:
    with socket.socket(socket.AF_INET6 if socket.has_ipv6 else socket.AF_INET) as trying:
        trying.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            trying.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        try:
            trying.bind(("", port))
        except OSError as exc:
            return exc.errno == errno.EADDRINUSE
    return False


def _disk(info: dict[str, Any]) -> Finding:
    root = Path(str(info.get("DockerRootDir", "/")))
    # A container does not see that folder, but its own root lies on the same disk.
    free = shutil.disk_usage(root if root.is_dir() else "/").free
    found = f"{free / 1e9:,.1f} GB are free"
    remedy = f"make room where {root} is; docker system df says what Docker itself needs"
    if free < _NEARLY_NONE:
        return Finding("Disk", "failure", found, remedy)
    return Finding("Disk", *(("warning", found, remedy) if free < _LITTLE else ("ok", found)))


def _memory(info: dict[str, Any]) -> Finding:
    total = int(info.get("MemTotal", 0))
    found = f"{total / 1e9:,.1f} GB"
    if total < _MEMORY:
        return Finding(
            "Memory", "warning", found, "have 1 GB for the first backpack and 300 MB for each other"
        )
    return Finding("Memory", "ok", found)


async def _domain(swarm: Swarm) -> str:
    """That of the deployment, "" where there is none."""
    try:
        return (await swarm.environment(f"{PLATFORM}_admin"))["BACKPACK_DOMAIN"]
    except (BackpackError, KeyError):
        return ""


async def _dns(domain: str, own: str) -> Finding:
    """`own`: the address by which other nodes know this machine; outside it may have another."""
    hosts = [f"admin.{domain}", f"check-{secrets.token_hex(4)}.{domain}"]
    found = await asyncio.gather(*map(_addresses, hosts))
    remedy = f"add a DNS record *.{domain} (type A, and AAAA for IPv6) that leads to this machine"
    if not any(found):
        return Finding("DNS", "failure", f"{hosts[0]} has no address", remedy)
    if not found[1]:
        return Finding("DNS", "failure", f"{hosts[0]} has an address, other names not", remedy)
    if found[0] != found[1]:
        return Finding(
            "DNS",
            "warning",
            f"admin.{domain} leads to {_listed(found[0])}, other names to {_listed(found[1])}",
            f"remove the record of its own that admin.{domain} has",
        )
    leads = f"*.{domain} leads to {_listed(found[0])}"
    if own in found[0]:
        return Finding("DNS", "ok", f"{leads}: this machine")
    return Finding(
        "DNS",
        "warning",
        f"{leads}, this machine has {own or 'another address'}",
        "see that from outside the one is the other, as behind a router; or change the record",
    )


async def _certificates(domain: str, names: list[str], own: str) -> Finding:
    """Whether the edge has one for each host."""
    looked_at = hosts(domain, names)[:_HOSTS]
    try:
        missing = await lacking(own, _PORTS[1], looked_at)
    except (OSError, TimeoutError) as exc:
        return Finding(
            "Certificates",
            "warning",
            f"{own}:443 does not answer: {exc}",
            "look where the edge runs: backpack swarm status",
        )
    if missing:
        return Finding(
            "Certificates",
            "warning",
            f"none yet for {', '.join(missing)}",
            "see that DNS leads there and port 80 is open from outside; the edge, whose log says "
            "why it has none, tries again each hour, and at once by "
            f"docker service update --force {PLATFORM}_traefik",
        )
    return Finding("Certificates", "ok", f"there for {counted(len(looked_at), 'host')}")


async def _addresses(host: str) -> frozenset[str]:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_PATIENCE):
            found = await loop.getaddrinfo(host, 443, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError):
        return frozenset()
    return frozenset(str(entry[4][0]) for entry in found)


def _listed(addresses: frozenset[str]) -> str:
    return ", ".join(sorted(addresses))
