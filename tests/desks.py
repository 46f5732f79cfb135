"""A developer's console on the backpack of an app, for tests: asks, and hears what happens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from backpack.app import create_private
from backpack.drivers.base import Console
from backpack.drivers.local import LocalDriver
from backpack.drivers.remote import PrivatePort
from backpack.health import Health
from backpack.server import Server
from backpack.testing import BackpackServer, T
from tests.deployments import App
from tests.talk import PATIENCE

Message = dict[str, Any]


TOKEN = "a-token-for-tests-only"


class Desk:
    """An open console, in the process of the server or by a private port; `hear` waits for events,
    which are kept from `listen` on."""

    def __init__(self, server: BackpackServer, name: str, transport: str = "local") -> None:
        self._server = server
        self._stack = AsyncExitStack()
        self.console: Console = server.call(self._open(name, transport))
        self._messages: AsyncIterator[bytes] | None = None

    async def _open(self, name: str, transport: str) -> Console:
        tenants = self._server._tenants
        assert tenants is not None
        if transport == "local":
            return await self._stack.enter_async_context(LocalDriver(tenants).console(name))
        await tenants.backpack(name)
        private = Server(create_private(tenants, name, Health(), TOKEN))
        await private.start("127.0.0.1", 0)
        self._stack.push_async_callback(private.stop)
        port = PrivatePort(f"http://127.0.0.1:{private.port}", TOKEN)
        return await self._stack.enter_async_context(port.console())

    def listen(self) -> None:
        """Hear what happens from now on."""

        async def start() -> AsyncIterator[bytes]:
            return aiter(self.console)

        self._messages = self._server.call(start())

    def ask(self, action: str, model: str, data: Any = None, **more: Any) -> Any:
        """The data of the answer; raises BackpackError."""
        return self._server.call(self.console.ask(action, model, data, **more))

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` where the console is."""
        return self._server.call(work)

    def send(self, message: Any) -> Message:
        """The answer to `message`, JSON or bytes as they are."""
        raw = message if isinstance(message, bytes) else json.dumps(message).encode()
        self._server.call(self.console.send(raw))
        return self.next(lambda told: told["type"] != "event")

    def next(self, wanted: Any = lambda _: True) -> Message:
        """The next message that is `wanted`; those before it are dropped."""
        messages = self._messages
        assert messages is not None, "it does not listen"

        async def find() -> Message:
            async with asyncio.timeout(PATIENCE):
                while True:
                    told: Message = json.loads(await anext(messages))
                    if wanted(told):
                        return told

        return self._server.call(find())

    def hear(self, model: str) -> Message:
        """The next event of a model, without what all events have."""
        told = self.next(lambda told: told["type"] == "event" and told.get("model") == model)
        del told["type"], told["model"]
        return told

    def close(self) -> None:
        self._server.call(self._stack.aclose())


@pytest.fixture(params=["local", "port"])
def desk(app: App, deployment: BackpackServer, request: pytest.FixtureRequest) -> Iterator[Desk]:
    """A console on the backpack of `app`, which listens; by each way there is."""
    made = Desk(deployment, app.backpack.name, request.param)
    made.listen()
    yield made
    made.close()
