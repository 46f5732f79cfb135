"""Docker daemons in boxes."""

from __future__ import annotations

import subprocess
from pathlib import Path

from .boxes import Box, remove_cgroups

_SCRIPT = """
group=$1 socket=$2 data=$3 address=$4 dns=$5; shift 5
hostname "$0"
read -r _
if [ -n "$address" ]; then
    ip address add "$address/24" dev eth0
    ip link set lo up
    ip link set eth0 up
fi
mount -t tmpfs tmpfs /run
mkdir /run/docker
if [ -z "$data" ]; then
    data=/run/data
    mkdir "$data"
fi
if [ -n "$dns" ]; then
    echo "nameserver $dns" >/run/resolv.conf
    mount --bind /run/resolv.conf /etc/resolv.conf
    set -- "$@" --dns "$dns"
fi
# Not by exec: the first process of a box has to bury what the daemon leaves.
while true; do
    dockerd --data-root "$data" --exec-root /run/docker --pidfile /run/docker.pid \\
        --cgroup-parent "/$group" --host unix:///run/docker.sock --host "unix://$socket" "$@" &
    wait $! || true
    rm /run/again
done
"""


class Daemon(Box):
    """A Docker daemon; inside it listens at /var/run/docker.sock, outside at `socket`."""

    def __init__(
        self,
        folder: Path,
        name: str,
        tag: str,
        *options: str,
        data: Path | None = None,
        address: str = "",
        dns: str = "",
        lasting: bool = False,
    ) -> None:
        self.socket = folder / f"{name}.sock"
        self._group = f"{tag}-{name}"
        words = (self._group, str(self.socket), str(data or ""), address, dns, *options)
        super().__init__(folder, name, _SCRIPT, *words, own_network=bool(address), lasting=lasting)

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def wait(self) -> None:
        """Return when it answers."""
        self.wait_until(self._answers, "the Docker daemon answers")

    def _answers(self) -> bool:
        asked = subprocess.run(
            ["docker", "--host", self.url, "version"], capture_output=True, check=False
        )
        return asked.returncode == 0

    def restart(self) -> None:
        """End the daemon alone, and start it again; returns when it answers."""
        self.run("touch /run/again; kill -TERM $(cat /run/docker.pid)")
        self.wait_until(lambda: not self._answers(), "the Docker daemon ends")
        self.wait()

    def stop(self) -> None:
        super().stop()
        self.socket.unlink(missing_ok=True)
        remove_cgroups(self._group)
