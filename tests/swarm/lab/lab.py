"""A swarm: its network, its nodes, and what a test has to know of them."""

from __future__ import annotations

import fcntl
import itertools
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.interfaces import changing

from .boxes import Box, end_all, remove_cgroups, run, wait_until
from .daemons import Daemon
from .images import Images
from .network import Network

_FOLDERS = Path("/var/tmp")  # a disk, and a short path: a socket's may have 107 characters
_PREFIX = "backpack-lab-"
_LOCK = "lock"  # held by the process that a lab belongs to
_TAG = "tag"  # what the names of a lab's devices and control groups begin with


@dataclass(frozen=True)
class Node:
    name: str  # also its host name
    address: str
    docker_host: str  # URL of its Docker daemon, for DOCKER_HOST


class Lab:
    """A swarm with images loaded; `nodes[0]` is its manager, whose ports 80 and 443 are the edge's.

    Every host under `domain`, as all other names that nobody else has, is `edge` to containers and
    to the certificate authority.
    """

    domain = "lab.test"

    def __init__(self, images: Images, folder: Path, *, lasting: bool = False) -> None:
        self.folder = folder
        self.nodes: list[Node] = []
        self._images = images
        self._lasting = lasting
        self._tag = f"bp{secrets.token_hex(2)}"
        self._network: Network
        self._boxes: list[Box] = []
        self._daemons: list[Daemon] = []
        self._numbers = itertools.count(1)
        (folder / _TAG).write_text(self._tag)

    def start(self) -> None:
        """Make the network and the first node."""
        self._tars = self._images.make()
        self._network = Network(self.folder, self._tag, self._images.tools, lasting=self._lasting)
        self._boxes.append(self._network)
        daemon = self._open_daemon()
        listen = ("--advertise-addr", self.edge, "--listen-addr", f"{self.edge}:2377")
        run("docker", "--host", daemon.url, "swarm", "init", *listen)
        self._load(daemon)
        self._network.wait(self.acme_root)

    def join(self) -> Node:
        """Add a worker."""
        daemon = self._open_daemon()
        node = self.nodes[-1]
        token = self.docker("swarm", "join-token", "--quiet", "worker").strip()
        where = ("--advertise-addr", node.address, f"{self.edge}:2377")
        run("docker", "--host", daemon.url, "swarm", "join", "--token", token, *where)
        self._load(daemon)
        return node

    def kill(self, node: Node) -> None:
        """End a node and all that runs on it at once, as a power cut would."""
        self._daemons[self.nodes.index(node)].stop()

    def restart(self, node: Node) -> None:
        """End the Docker daemon of a node, and with it the containers; start it again."""
        self._daemons[self.nodes.index(node)].restart()

    def leave(self, node: Node) -> None:
        """End a worker, and let the swarm forget it."""
        self.kill(node)
        number = self.nodes.index(node)
        del self.nodes[number], self._daemons[number]
        self.docker("node", "rm", "--force", node.name)

    def stop(self) -> None:
        """End everything."""
        unplug(self._tag)
        for box in (*self._daemons, *self._boxes):
            box.stop()
        remove(self.folder)

    @property
    def docker_host(self) -> str:
        """URL of the manager's Docker daemon, for DOCKER_HOST."""
        return self.nodes[0].docker_host

    @property
    def edge(self) -> str:
        """The address where the hosts under `domain` are."""
        return self.nodes[0].address

    def lead(self, host: str, address: str | None = None) -> None:
        """Have DNS lead a host to another address, or again to the edge."""
        self._network.lead(host, address)

    @property
    def acme_url(self) -> str:
        return self._network.acme_url

    @property
    def acme_ca(self) -> Path:
        """What has signed the certificate of the authority's own server."""
        return self._network.ca

    @property
    def acme_root(self) -> Path:
        """What signs the certificates that the authority issues."""
        return self.folder / "root.pem"

    @property
    def tools(self) -> Path:
        """The folder of the programs that are no part of Docker."""
        return self._images.tools.folder

    def inside(self, node: Node, *words: str) -> list[str]:
        """A command as it has to be to run in the network of a node."""
        pid = self._daemons[self.nodes.index(node)].pid
        return ["nsenter", "--net", "--target", str(pid), *words]

    def beside(self, *words: str) -> list[str]:
        """A command as it has to be to run in the network between the nodes: what comes and goes on
        this machine's own, as other labs do, is not seen there."""
        return ["nsenter", "--net", "--target", str(self._network.pid), *words]

    def inside_container(self, node: Node, container: str, *words: str) -> list[str]:
        """A command of this machine as it has to be to run in the network of a container."""
        pid = self.docker("inspect", "--format", "{{.State.Pid}}", container, node=node).strip()
        first = self._daemons[self.nodes.index(node)].first
        box = ("nsenter", "--mount", "--pid", "--target", str(first), f"--wd={Path.cwd()}")
        return [*box, "nsenter", "--net", "--target", pid, *words]

    def network_of(self, node: Node, container: str) -> Path:
        """What a thread of this machine gets into the network of a container by: setns(2)."""
        pid = self.docker("inspect", "--format", "{{.State.Pid}}", container, node=node).strip()
        first = self._daemons[self.nodes.index(node)].first
        return Path(f"/proc/{first}/root/proc/{pid}/ns/net")

    def docker(self, *words: str, node: Node | None = None) -> str:
        """What a docker command says on a node; on the manager unless another is given."""
        host = node.docker_host if node else self.docker_host
        return run("docker", "--host", host, *words)

    def _open_daemon(self) -> Daemon:
        number = next(self._numbers)
        daemon = Daemon(
            self.folder,
            f"n{number}",
            self._tag,
            address=self._network.node(number),
            dns=self._network.address,
            lasting=self._lasting,
        )
        self._daemons.append(daemon)
        self._network.plug(daemon, number)
        daemon.go()
        daemon.wait()
        self.nodes.append(Node(daemon.name, self._network.node(number), daemon.url))
        return daemon

    def _load(self, daemon: Daemon) -> None:
        loads = [
            subprocess.Popen(
                ["docker", "--host", daemon.url, "load", "--quiet", "--input", str(tar)],
                stdout=subprocess.DEVNULL,
            )
            for tar in self._tars
        ]
        assert [load.wait() for load in loads] == [0] * len(loads)


@contextmanager
def opened(images: Images) -> Iterator[Lab]:
    """A lab that ends with the block, and leaves nothing."""
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_FOLDERS))
    with (folder / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lab = Lab(images, folder)
        try:
            lab.start()
            yield lab
        finally:
            lab.stop()


def _sweep() -> None:
    """Remove what is left of labs whose process has died."""
    for lock in _FOLDERS.glob(f"{_PREFIX}*/{_LOCK}"):
        with lock.open("w") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            remove(lock.parent)


def unplug(tag: str) -> None:
    """Take a lab's network from this machine, if it is there."""
    if f" {tag}-host" in run("ip", "-o", "link"):
        with changing(), suppress(RuntimeError):  # it is going just now
            run("ip", "link", "delete", f"{tag}-host")


def remove(folder: Path) -> None:
    """End the lab in a folder, whoever has started it; fails when something of it is left."""
    tag = (folder / _TAG).read_text()
    unplug(tag)
    end_all(folder)
    remove_cgroups(f"{tag}-*")
    wait_until(lambda: f" {tag}-" not in run("ip", "-o", "link"), "the lab's devices are gone")
    mounts = Path("/proc/mounts").read_text()
    assert f"{folder}/" not in mounts, mounts
    shutil.rmtree(folder)
