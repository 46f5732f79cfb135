"""What the command line can have done by the admin of a swarm: plain values in, JSON values out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

from ..errors import Invalid, NotFound
from ..registry import Registry
from ..steps import Steps
from .base import Described
from .commands import DRIVEN, steps_of
from .swarm import SwarmDriver
from .swarm_secrets import Keyring

# Methods of the driver, and methods of `SwarmCommands`.
_DRIVEN = (*DRIVEN, "roll", "status")
_OWN = ("key", "link", "list", "metrics_token", "rotate_key", "rules", "set_rules", "setup_token")


class SwarmCommands:
    """The commands on the backpacks of `driver`; `admin` is the URL of the admin host."""

    def __init__(
        self, driver: SwarmDriver, registry: Registry, keyring: Keyring, admin: str
    ) -> None:
        self._driver = driver
        self._registry = registry
        self._keyring = keyring
        self._admin = admin

    async def perform(
        self,
        command: str,
        arguments: Mapping[str, Any],
        content: AsyncIterator[bytes] | None = None,
    ) -> Steps:
        """What the method named `command` says and returns; `content` is for those of `RECEIVING`.

        Raises Invalid when there is no such command.
        """
        if command not in (*_DRIVEN, *_OWN):
            raise Invalid(f"There is no command {command!r} in a swarm")
        performer = self._driver if command in _DRIVEN else self
        async with aclosing(steps_of(performer, command, arguments, content)) as steps:
            async for step in steps:
                yield step

    async def setup_token(self) -> dict[str, str | None]:
        """`{"setup"}`: what the first developer registers with, null once there is one."""
        is_set_up = await self._registry.developers.any()
        return {"setup": None if is_set_up else self._keyring.setup_token}

    async def metrics_token(self) -> dict[str, str]:
        """`{"metrics"}`: what who scrapes the admin's metrics shows."""
        return {"metrics": self._keyring.metrics_token}

    async def link(self) -> dict[str, str]:
        """`{"url"}`: where the first operator chooses a new password, once; raises NotFound."""
        found = [one for one in await self._registry.developers.list() if one.is_operator]
        if not found:
            raise NotFound("There is no operator yet: set the deployment up first")
        token = await self._registry.links.create(found[0], resets=True)
        return {"url": f"{self._admin}/reset/{token}"}

    async def list(self) -> list[Described]:
        """All backpacks, described, in code point order of their names."""
        return [await self._driver.describe(name) for name in self._driver.names()]

    async def key(self, name: str) -> Any:
        """`{"name", "api_key", "previous_until"}`; raises NotFound."""
        return _describe_key(name, await self._ask(name, "get", "key"))

    async def rotate_key(self, name: str, now: bool = False) -> Any:
        """A new API key, described as `key` does."""
        return _describe_key(name, await self._ask(name, "post", "key", {"now": now}))

    async def rules(self, name: str) -> Any:
        """A backpack's access rules, as they were set; raises NotFound."""
        return await self._ask(name, "get", "rules")

    async def set_rules(self, name: str, rules: object) -> Any:
        """Put access rules in force and answer them; raises NotFound, Invalid."""
        return await self._ask(name, "put", "rules", rules)

    async def _ask(self, name: str, action: str, model: str, data: Any = None) -> Any:
        async with self._driver.console(name) as console:
            return await console.ask(action, model, data)


def _describe_key(name: str, known: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "api_key": known["apiKey"], "previous_until": known["previousUntil"]}
