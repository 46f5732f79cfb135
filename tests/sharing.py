"""How several processes of pytest-xdist share the tests: each of the parts below is one process's,
so that it starts what its tests need once."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

# What needs a swarm is shared by two. These modules are one's, and take as long as the others.
_FIRST = {
    *("test_compose", "test_deployment", "test_down", "test_driver", "test_edge", "test_isolation"),
    *("test_nodes", "test_recovery", "test_sites", "test_status", "test_troubles"),
}
_OF_CONTRACT = re.compile(r"tests/api/|tests/test_(console|inspector)\.py")
_DEPLOYMENT = re.compile(r"[\[-](memory|sqlite|mongo|replicas|swarm-[12])\b")
_SWARMS = {"swarm-1": "first swarm", "swarm-2": "second swarm"}


class Parts(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Begins parts in the order in which their first tests were collected."""

    def __init__(self, config: pytest.Config, log: Any = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return part_of(nodeid)


def part_of(nodeid: str) -> str:
    """The part that a test belongs to: one of two swarms, a deployment of the HTTP contract, or the
    file that it is in."""
    file, _, name = nodeid.partition("::")
    path = PurePath(file)
    if path.parent.name == "swarm":
        return "first swarm" if path.stem in _FIRST else "second swarm"
    found = _DEPLOYMENT.search(name) if _OF_CONTRACT.match(file) else None
    if found is None:
        return file
    return _SWARMS.get(found[1], found[1])
