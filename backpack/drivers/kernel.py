"""What the kernel of this machine can do for a swarm."""

from __future__ import annotations

import platform
import socket
import struct
from pathlib import Path

# Generic netlink, as linux/genetlink.h has it: a controller that knows families by their names.
_GENERIC, _CONTROLLER, _GET_FAMILY, _FAMILY_NAME = 16, 0x10, 3, 2
_REQUEST, _ERROR = 1, 2
_XFRM = 6  # the protocol of netlink by which IPsec is set up
_PATIENCE = 2.0  # seconds


def has_ipvs() -> bool:
    """Whether the kernel has IP_VS, on which virtual addresses of services and the ingress rest."""
    return _family("IPVS") or _module("ip_vs")


def has_ipsec() -> bool:
    """Whether the kernel has what Docker encrypts by between nodes: IPsec's ESP with AES-GCM.

    Only its modules can be looked for: to try it is to change the kernel's tables.
    """
    return _opens(_XFRM) and all(map(_module, ("esp4", "gcm")))


def _opens(protocol: int) -> bool:
    """Whether there is a protocol of netlink; the kernel may load its module for that."""
    try:
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol).close()
    except (AttributeError, OSError):
        return False
    return True


def _family(name: str) -> bool:
    """Whether there is a family of generic netlink; the kernel may load its module for that."""
    if not hasattr(socket, "AF_NETLINK"):
        return False
    text = name.encode() + b"\0"
    attribute = struct.pack("HH", 4 + len(text), _FAMILY_NAME) + text + bytes(-len(text) % 4)
    message = struct.pack("BBH", _GET_FAMILY, 1, 0) + attribute
    header = struct.pack("IHHII", 16 + len(message), _CONTROLLER, _REQUEST, 1, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _GENERIC) as asking:
            asking.settimeout(_PATIENCE)
            asking.send(header + message)
            answer = asking.recv(65_536)
    except OSError:
        return False
    kind: int = struct.unpack_from("IHHII", answer)[1]
    return kind != _ERROR


def _module(name: str) -> bool:
    """Whether there is a module that Docker would load."""
    folder = Path("/lib/modules") / platform.release()
    for listing in ("modules.dep", "modules.builtin"):
        try:
            listed = (folder / listing).read_text("utf-8", "replace")
        except OSError:
            continue
        if f"/{name}.ko" in listed:
            return True
    return False
