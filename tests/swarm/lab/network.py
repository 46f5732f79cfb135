"""The network between the nodes of a lab and this machine: a bridge in a box, where DNS and a
certificate authority (Pebble, an ACME server for tests) run too."""

from __future__ import annotations

import fcntl
import json
import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from tests.interfaces import changing

from .boxes import Box, run
from .tools import Tools

# Of all labs of this machine, also those of other trees, which have tools of their own.
_LOCK = Path("/var/tmp/backpack-labs.lock")
_SCRIPT = """
tools=$1 address=$2 every=$3 config=$4
read -r _
ip link set lo up
"$tools/pebble-challtestsrv" -defaultIPv4 "$every" -defaultIPv6 "" -dnsserver "$address:53" \\
    -management "$address:8055" -http01 "" -https01 "" -tlsalpn01 "" -doh "" &
export PEBBLE_VA_NOSLEEP=1 PEBBLE_WFE_NONCEREJECT=0 PEBBLE_AUTHZREUSE=0
"$tools/pebble" -config "$config" -dnsserver "$address:53" -strict=false &
wait
"""


class Network(Box):
    """`plug` connects a box; every name under DNS is the first node's address.

    Networks of several labs at once differ in their third number, the first free one.
    """

    def __init__(self, folder: Path, tag: str, tools: Tools, *, lasting: bool) -> None:
        with _LOCK.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._prefix = _free_prefix()
            self._wire = f"{tag}-host"
            self._authority(folder)
            super().__init__(
                folder,
                "network",
                _SCRIPT,
                *map(str, (tools.folder, self.address, self.node(1), folder / "pebble.json")),
                lasting=lasting,
            )
            self._lay()
        self.go()

    @property
    def address(self) -> str:
        """Of DNS and the authority."""
        return f"{self._prefix}.53"

    def lead(self, host: str, address: str | None = None) -> None:
        """Have DNS lead a host to another address, or again to where all lead."""
        told = {"host": host} if address is None else {"host": host, "addresses": [address]}
        action = "clear-a" if address is None else "add-a"
        url = f"http://{self.address}:8055/{action}"
        with urllib.request.urlopen(url, json.dumps(told).encode(), timeout=5):
            return

    @property
    def acme_url(self) -> str:
        return f"https://{self.address}:14000/dir"

    def node(self, number: int) -> str:
        """The address of the node with that number, from 1."""
        return f"{self._prefix}.{10 + number}"

    def plug(self, box: Box, number: int) -> None:
        """Give a box the network device eth0, not yet with an address."""
        port = f"port{number}"
        box.ip(
            *("link", "add", "eth0", "type", "veth", "peer", "name", port, "netns", str(self.pid))
        )
        self.ip("link", "set", port, "master", "br0", "up")

    def wait(self, issued: Path) -> None:
        """Return when the authority answers; writes the root of what it issues to a file."""
        trust = ssl.create_default_context(cafile=str(self.ca))
        url = f"https://{self.address}:15000/roots/0"

        def ask() -> bool:
            try:
                with urllib.request.urlopen(url, context=trust, timeout=5) as answer:
                    issued.write_bytes(answer.read())
            except urllib.error.URLError:
                return False
            return True

        self.wait_until(ask, "the certificate authority answers")

    def _lay(self) -> None:
        self.ip("link", "add", "br0", "type", "bridge")
        self.ip("address", "add", f"{self.address}/24", "dev", "br0")
        self.ip("link", "set", "br0", "up")
        veth = ("type", "veth", "peer", "name", "port0", "netns", str(self.pid))
        with changing():
            run("ip", "link", "add", self._wire, *veth)
            self.ip("link", "set", "port0", "master", "br0", "up")
            # Without an address of its own by IPv6, which it would have seconds later.
            run("ip", "link", "set", self._wire, "addrgenmode", "none")
            run("ip", "address", "add", f"{self._prefix}.1/24", "dev", self._wire)
            run("ip", "link", "set", self._wire, "up")

    def _authority(self, folder: Path) -> None:
        """Keys of the authority's own server, and its configuration."""
        self.ca = folder / "ca.pem"
        key, certificate, request = (folder / name for name in ("key.pem", "cert.pem", "req.pem"))
        new = ("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-days", "30")
        ca_key = str(folder / "ca.key")
        run(*new, "-x509", "-keyout", ca_key, "-out", str(self.ca), "-subj", "/CN=lab-ca")
        run(*new, "-keyout", str(key), "-out", str(request), "-subj", "/CN=acme")
        names = folder / "names"
        names.write_text(f"subjectAltName=IP:{self.address}")
        run(
            *("openssl", "x509", "-req", "-in", str(request), "-out", str(certificate)),
            *("-CA", str(self.ca), "-CAkey", ca_key, "-CAcreateserial", "-days", "30"),
            *("-extfile", str(names)),
        )
        pebble = {
            "listenAddress": f"{self.address}:14000",
            "managementListenAddress": f"{self.address}:15000",
            "certificate": str(certificate),
            "privateKey": str(key),
            "httpPort": 80,
            "tlsPort": 443,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": False,
        }
        (folder / "pebble.json").write_text(json.dumps({"pebble": pebble}))


def _free_prefix() -> str:
    taken = subprocess.run(
        ["ip", "-o", "-4", "address"], capture_output=True, text=True, check=True
    ).stdout
    # 198.18.0.0/15 is for such tests (RFC 2544).
    return next(
        prefix for number in range(256) if f" {(prefix := f'198.19.{number}')}." not in taken
    )
