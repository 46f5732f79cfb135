"""Processes in namespaces of their own: with the first one ends all that it started, and their
network and mounts go too. Nothing of a box has a name on the machine, so nothing can be left."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

_PATIENCE = 60.0  # seconds until what must come has come
_PAUSE = 0.02  # seconds between two looks


class Box:
    """A shell script as the first process of a box.

    Its network, if it has one of its own, is empty: the script waits for a line of input, which
    comes when it has been plugged in. Unless it is `lasting` it ends with this process.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        script: str,
        *words: str,
        own_network: bool = True,
        lasting: bool = False,
    ) -> None:
        self.name = name
        self._record = folder / f"{name}.pid"
        self._log = folder / f"{name}.log"
        namespaces = ["--mount", "--uts", "--ipc", "--pid", *(["--net"] if own_network else [])]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *([] if lasting else ["setpriv", "--pdeathsig", "KILL"]),
                    *("unshare", *namespaces, "--fork", "--kill-child", "--mount-proc"),
                    *("bash", "-euc", script, name, *words),
                ],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(lambda: bool(_children(self.pid)), f"{name} starts")
        self._record.write_text(" ".join(map(str, (self.pid, *_children(self.pid)))))

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def first(self) -> int:
        """The first process inside."""
        return _children(self.pid)[0]

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def ip(self, *words: str) -> None:
        """Run `ip` in the network of the box."""
        run("nsenter", "--net", "--target", str(self.pid), "ip", *words)

    def run(self, script: str) -> None:
        """Run a shell script inside the box."""
        inside = str(_children(self.pid)[0])
        run("nsenter", "--mount", "--pid", "--target", inside, "sh", "-euc", script)

    def go(self) -> None:
        """Let the script go on."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.close()

    def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        """Return when `holds`; fail with the log when the box ends before."""

        def look() -> bool:
            assert self._process.poll() is None, f"{self.name} has ended: {self.log[-2000:]}"
            return holds()

        try:
            wait_until(look, what)
        except TimeoutError as exc:
            raise TimeoutError(f"{exc}: {self.log[-2000:]}") from None

    def stop(self) -> None:
        """End everything in the box at once."""
        end(self._record)
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait()


def end_all(folder: Path) -> None:
    """End what boxes are recorded in a folder, whoever has started them."""
    for record in folder.glob("*.pid"):
        end(record)


def end(record: Path) -> None:
    if not record.exists():
        return
    pids = [int(word) for word in record.read_text().split()]
    for pid in filter(_is_in_box, pids):
        os.kill(pid, signal.SIGKILL)
    # The last one is the first process inside: it is gone when all others are.
    wait_until(lambda: not any(map(_is_in_box, pids)), "the box ends")
    record.unlink()


def _is_in_box(pid: int) -> bool:
    """Whether a process is alive, and not another that has got its number since."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z" and words[0] in (b"unshare", b"bash")


def _children(pid: int) -> list[int]:
    try:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in found.split()]


def remove_cgroups(pattern: str) -> None:
    """Remove the control groups of daemons that have ended, in either version of them."""
    root = Path("/sys/fs/cgroup")
    for parent in (*root.glob(pattern), *root.glob(f"*/{pattern}")):
        folders = [folder for folder in parent.rglob("*") if folder.is_dir()]
        for folder in (*sorted(folders, reverse=True), parent):
            # What was in it may need a moment to be gone for good.
            wait_until(partial(_remove, folder), f"{folder} is free")


def _remove(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError as exc:
        if exc.errno != errno.EBUSY:
            raise
        return False
    return True


def run(*words: str, timeout: float = 600.0, **options: object) -> str:
    """What a command prints; fails with all that it said when it fails."""
    ended = subprocess.run(  # type: ignore[call-overload]
        words, capture_output=True, text=True, timeout=timeout, check=False, **options
    )
    if ended.returncode:
        said = f"{ended.stdout}{ended.stderr}"[-4000:]
        raise RuntimeError(f"{' '.join(words)} ended with {ended.returncode}:\n{said}")
    return str(ended.stdout)


def wait_until(holds: Callable[[], bool], what: str) -> None:
    ends = time.monotonic() + _PATIENCE
    while not holds():
        if time.monotonic() > ends:
            raise TimeoutError(f"It has not come to it that {what}")
        time.sleep(_PAUSE)
