"""Network interfaces of this machine, which come and go with the swarms that tests run.

Chromium then takes the network for another one, and drops what it is loading
(ERR_NETWORK_CHANGED): a page lacks a script, without a word. So tests in a browser and such changes
keep out of each other's way, in all processes.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

_FOLDER = Path(tempfile.gettempdir())
_SETTLING = 1.0  # seconds until browsers have heard of a change: they do not tell


@contextmanager
def unchanged() -> Iterator[None]:
    """While inside, no interface comes or goes; any number may be inside."""
    with ExitStack() as room:
        with _held("door", fcntl.LOCK_SH):
            room.enter_context(_held("room", fcntl.LOCK_SH))
        yield


@contextmanager
def changing() -> Iterator[None]:
    """For who makes or removes an interface: waits until nobody is in `unchanged`, where nobody
    gets in meanwhile."""
    with _held("door", fcntl.LOCK_EX), _held("room", fcntl.LOCK_EX):
        yield
        time.sleep(_SETTLING)


@contextmanager
def _held(name: str, how: int) -> Iterator[None]:
    with (_FOLDER / f"backpack-interfaces-{os.getuid()}-{name}").open("w") as file:
        fcntl.flock(file, how)
        yield
