"""The certificates that the edge shows for its hosts, and having it try again for those it lacks.

Traefik asks for the certificate of a host when it first hears of that host. Where that fails, as
when DNS does not lead there yet, it asks again with the next change of its routes, not before.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import Callable, Sequence

from ..errors import Unavailable
from . import docker_cli
from .routing import EDGE_PORT, nudge
from .stacks import PLATFORM

_DEFAULT = b"TRAEFIK DEFAULT CERT"  # in the one that is shown where there is none
_PATIENCE = 5.0  # seconds for one

logger = logging.getLogger("backpack")


def hosts(domain: str, names: Sequence[str]) -> list[str]:
    """The hosts of a deployment with backpacks of these names."""
    labels = ["admin", *(label for name in sorted(names) for label in (name, f"{name}-be"))]
    return [f"{label}.{domain}" for label in labels]


async def lacking(address: str, port: int, hosts: Sequence[str]) -> list[str]:
    """Those of the hosts that the edge, which is at `address`, has no certificate for; raises
    OSError and TimeoutError when it does not answer."""
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # whoever has signed it
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    return [host for host in hosts if _DEFAULT in await _shown(address, port, host, anybody)]


async def _shown(address: str, port: int, host: str, anybody: ssl.SSLContext) -> bytes:
    async with asyncio.timeout(_PATIENCE):
        _, writer = await asyncio.open_connection(address, port, ssl=anybody, server_hostname=host)
    shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return shown


async def watch(domain: str, names: Callable[[], Sequence[str]], interval: float) -> None:
    """Each `interval` seconds have the edge try again where hosts lack a certificate; for ever."""
    while True:
        await asyncio.sleep(interval)
        try:
            missing = await lacking(f"{PLATFORM}_traefik", EDGE_PORT, hosts(domain, names()))
            if missing:
                logger.warning("The edge tries again to get certificates for %s", missing)
                change = docker_cli.update_service(f"{PLATFORM}_admin", labels=nudge(time.time()))
                await docker_cli.run(change)
        except (OSError, TimeoutError, Unavailable) as exc:
            logger.warning("Certificates were not looked at: %r", exc)
