"""The machines of a swarm, as operators see and change them, and which of them keeps a backpack's
data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from docker.errors import APIError

from ..errors import Conflict, Invalid, Unavailable
from .base import Node as Described
from .swarm_state import Swarm

T = TypeVar("T")

DATA_LABEL = "backpack.data"  # "true": databases and files are kept there

_KEY_LENGTH = 128
_RETRIES = 5  # of a change that another one came before


@dataclass(frozen=True)
class Node:
    """A machine of the swarm; `memory` in bytes."""

    id: str
    name: str
    role: str
    availability: str
    state: str
    address: str
    labels: Mapping[str, str]
    version: str
    cpus: float
    memory: int
    is_leader: bool


class Nodes:
    """The machines of one swarm."""

    def __init__(self, swarm: Swarm) -> None:
        self._swarm = swarm

    async def all(self) -> list[Described]:
        return [describe(node) for node in await self.machines()]

    async def label(self, node: str, key: str, value: str | None) -> Described:
        """Give a node a label, or take it with None; raises NotFound, Invalid."""
        if not key or len(key) > _KEY_LENGTH or "=" in key or not key.isprintable():
            raise Invalid(f"{key!r} cannot be a label")
        return describe(await self._change(node, labels={key: value}))

    async def drain(self, node: str) -> Described:
        """Have what runs on a node run elsewhere, as far as that does not need its disk."""
        return describe(await self._change(node, availability="drain"))

    async def activate(self, node: str) -> Described:
        """Have a node that was drained or paused take tasks again."""
        return describe(await self._change(node, availability="active"))

    async def join_command(self, role: str = "worker") -> str:
        """What to run on another machine to make it a node; whoever has it can do that."""
        if role not in ("worker", "manager"):
            raise Invalid("A node joins as worker or as manager")
        token, address = await self._join_token(role)
        return f"docker swarm join --token {token} {address}"

    async def choose_home(self, homes: Iterable[str] = ()) -> str:
        """The id of the node for a new backpack's data: of those with the label `backpack.data`,
        otherwise of the managers, the one that occurs least in `homes`. Raises Unavailable."""
        nodes = [one for one in await self.machines() if _is_able(one)]
        chosen = [one for one in nodes if one.labels.get(DATA_LABEL) == "true"]
        chosen = chosen or [one for one in nodes if one.role == "manager"]
        if not chosen:
            raise Unavailable(
                f"No node can keep data: activate a manager, or label a node with {DATA_LABEL}=true"
            )
        taken = Counter(homes)
        return min(chosen, key=lambda node: (taken[node.id], node.name)).id

    async def machines(self) -> list[Node]:
        """The machines of the swarm, by name."""
        found = await self._swarm.ask(lambda client: client.nodes())
        return sorted((_node(one) for one in found), key=lambda node: node.name)

    async def _change(
        self,
        node: str,
        *,
        availability: str | None = None,
        labels: Mapping[str, str | None] | None = None,
    ) -> Node:
        """A node, by name or id, after a change; a label of None goes. Raises NotFound, Invalid."""

        def change(client: Any) -> Node:
            found = client.inspect_node(node)
            spec = dict(found["Spec"])
            if availability is not None:
                spec["Availability"] = availability
            merged = {**(spec.get("Labels") or {}), **(labels or {})}
            spec["Labels"] = {key: value for key, value in merged.items() if value is not None}
            client.update_node(found["ID"], found["Version"]["Index"], spec)
            return _node(client.inspect_node(found["ID"]))

        return await self._swarm.ask(lambda client: _again_when_overtaken(client, change))

    async def _join_token(self, role: str) -> tuple[str, str]:
        """What a machine needs to join as `role`: the token, and a manager's `address:port`."""

        def ask(client: Any) -> tuple[str, str]:
            tokens = client.inspect_swarm()["JoinTokens"]
            info = client.info()["Swarm"]
            managers = info.get("RemoteManagers") or [{"Addr": f"{info['NodeAddr']}:2377"}]
            return tokens["Manager" if role == "manager" else "Worker"], managers[0]["Addr"]

        return await self._swarm.ask(ask)


def describe(node: Node) -> Described:
    return {
        "id": node.id,
        "name": node.name,
        "role": "manager" if node.role == "manager" else "worker",
        "state": node.state,
        "availability": node.availability,
        "address": node.address,
        "labels": dict(node.labels),
    }


def _is_able(node: Node) -> bool:
    return node.state == "ready" and node.availability == "active"


def _node(found: Mapping[str, Any]) -> Node:
    description, spec = found["Description"], found["Spec"]
    manager = found.get("ManagerStatus") or {}
    return Node(
        id=found["ID"],
        name=description["Hostname"],
        role=spec["Role"],
        availability=spec["Availability"],
        state=found["Status"]["State"],
        address=found["Status"].get("Addr", ""),
        labels=dict(spec.get("Labels") or {}),
        version=description["Engine"]["EngineVersion"],
        cpus=description["Resources"].get("NanoCPUs", 0) / 1e9,
        memory=description["Resources"].get("MemoryBytes", 0),
        is_leader=bool(manager.get("Leader")),
    )


def _again_when_overtaken(client: Any, change: Callable[[Any], T]) -> T:
    for _ in range(_RETRIES):
        try:
            return change(client)
        except APIError as exc:
            if "out of sequence" not in str(exc):
                raise
    raise Conflict("Others change it at the same time: try again")
