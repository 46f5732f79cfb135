"""Listening sockets, and in words what is wrong where there can be none. Nothing is served here."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
from pathlib import Path

from .errors import Invalid, Unavailable

BACKLOG = 1_024  # connections that wait to be accepted


def listen(host: str, port: int) -> socket.socket:
    """A TCP socket that listens on `host` and `port`, 0 for any free one. `host` may be a network
    such as 10.0.1.0/24: this machine's address in it.

    Raises Invalid or Unavailable with a message that says what to do.
    """
    family, address = _resolve(_address_in(host) if "/" in host else host, port)
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as exc:
        listener.close()
        raise _explain(exc, host, port) from exc
    listener.setblocking(False)
    return listener


def _address_in(network: str) -> str:
    """The address of this machine in a network."""
    try:
        known = ipaddress.ip_network(network, strict=False)
    except ValueError as exc:
        raise Invalid(f"{network!r} is no network such as 10.0.1.0/24") from exc
    family = socket.AF_INET6 if known.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        # Nothing is sent: the kernel chooses the address that it would send from.
        probe.connect((str(known.network_address + 1), 9))
        address: str = probe.getsockname()[0]
        if ipaddress.ip_address(address) in known:
            return address
    raise Invalid(f"This machine has no address in the network {network}")


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[object, ...]]:
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
        )
    except (OSError, UnicodeError) as exc:
        raise Invalid(f"{host!r} is no address of this machine; try --host 127.0.0.1") from exc
    family, _, _, _, address = found[0]
    return family, address


def _explain(exc: OSError, host: str, port: int) -> Invalid | Unavailable:
    if exc.errno == errno.EADDRINUSE:
        return Unavailable(
            f"Port {port} of {host} is taken{_taken_by(port)}: stop that, "
            "or choose another with --port (0 takes any free one)"
        )
    if exc.errno == errno.EACCES:
        return Invalid(f"Port {port} needs root: choose one from 1024 up with --port")
    if exc.errno == errno.EADDRNOTAVAIL:
        return Invalid(f"{host!r} is no address of this machine; try --host 127.0.0.1")
    return Unavailable(f"Cannot listen on port {port} of {host}: {exc.strerror}")


def _taken_by(port: int) -> str:
    """` by NAME (process ID)` where Linux tells that; nothing where it does not."""
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for process in Path("/proc").glob("[0-9]*"):
        if sockets and _has_open(process, sockets):
            name = _read(process / "comm").strip() or "a program"
            return f" by {name} (process {process.name})"
    return ""


def _listening_inodes(port: int) -> set[str]:
    """The inodes of sockets that listen on `port` (proc(5), /proc/net/tcp)."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in _read(Path(table)).splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(fields[9])
    return inodes


def _has_open(process: Path, sockets: set[str]) -> bool:
    try:
        return any(os.readlink(entry) in sockets for entry in (process / "fd").iterdir())
    except OSError:  # it ended, or is somebody else's
        return False


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
