"""The data folder of a sandbox: made, kept out of git, and locked by the process that works on it.

What lies in its `backpacks` is not known here.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .errors import BackpackError, Invalid, Unavailable

_REGISTRY = ("registry.sqlite3", "registry.sqlite3-wal", "registry.sqlite3-shm")
_OURS = frozenset(
    (".gitignore", "backpacks", "control", "lock", "secret", "swarm", "trash", *_REGISTRY)
)


class Lock:
    """A folder's lock, held until `release` or the end of the process, however that comes.

    `before` is what the last holder noted and did not take back, because it was killed.
    """

    def __init__(self, file: int, before: dict[str, Any]) -> None:
        self._file = file
        self.before = before

    def note(self, facts: Mapping[str, Any]) -> None:
        """Let the others know who holds the lock: a JSON object, read by `holder`."""
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, json.dumps(facts).encode(), 0)

    def release(self) -> None:
        os.ftruncate(self._file, 0)
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def prepare(folder: Path) -> None:
    """Make the folder when it is missing, for its owner only and with a `.gitignore` of its own.

    Raises Invalid for a folder that cannot be used, or that holds something else.
    """
    with explained(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        there = {entry.name for entry in folder.iterdir()}
        if "backpacks" not in there and there - _OURS:
            raise Invalid(
                f"{folder} holds other things than backpacks: choose an empty or a new folder "
                "with --data"
            )
        if ".gitignore" not in there:
            (folder / ".gitignore").write_text("*\n", "utf-8")


def secret(folder: Path) -> str:
    """A random text that a prepared folder keeps for its owner; made when it is missing. Raises
    Invalid."""
    with explained(folder):
        file = folder / "secret"
        with contextlib.suppress(FileExistsError):
            made = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            os.write(made, secrets.token_hex(32).encode())
            os.close(made)
        return file.read_text("utf-8")


def is_of_swarm(folder: Path) -> bool:
    """Whether the admin of a swarm keeps its things there."""
    return (folder / "swarm").is_dir()


def exists(folder: Path) -> bool:
    """Whether there is such a folder; raises Invalid where that cannot be seen."""
    with explained(folder):
        return folder.is_dir()


def try_lock(folder: Path) -> Lock | None:
    """The lock of a prepared folder; None while another process holds it. Raises Invalid."""
    with explained(folder):
        file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            os.close(file)
            if exc.errno in (errno.EAGAIN, errno.EACCES):
                return None
            raise
        lock = Lock(file, holder(folder))
        lock.note({"pid": os.getpid()})
        return lock


def holder(folder: Path) -> dict[str, Any]:
    """What the holder of the lock has noted; empty when it has not, or nobody holds it."""
    try:
        noted = json.loads((folder / "lock").read_bytes())
    except (OSError, ValueError):
        return {}
    return noted if isinstance(noted, dict) else {}


def in_use(folder: Path) -> BackpackError:
    """The error for a folder whose lock another process holds."""
    noted = holder(folder)
    who = f"process {noted['pid']}" if "pid" in noted else "another process"
    if "admin" in noted:
        who = f"a running sandbox ({who}, {noted['admin']})"
    return Unavailable(
        f"The data folder {folder} is in use by {who}: stop that, or choose another with --data"
    )


@contextlib.contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turns an OSError inside into Invalid that names the folder."""
    try:
        yield
    except OSError as exc:
        raise Invalid(f"Cannot use {folder} as the data folder: {exc.strerror}") from exc
