"""The console of a backpack of this process, without a connection between."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import orjson

from ..backpacks import Backpack
from ..console import uploads
from ..console.handler import Handler
from ..documents import Document
from ..errors import Unavailable
from .base import NOBODY
from .mailbox import Mailbox


class LocalConsole:
    """A console as `drivers.base` has it; its opener closes it."""

    def __init__(self, backpack: Backpack) -> None:
        self._backpack = backpack
        # The hub knows it as a line, and closes it with the backpack.
        self._mailbox = Mailbox(backpack.hub.lines.gone)
        backpack.hub.lines.come(self._mailbox)
        self._handler = Handler(backpack, self._mailbox)

    def close(self) -> None:
        self._handler.close()
        self._mailbox.close(0)

    async def send(self, message: bytes) -> None:
        if not self._mailbox.is_open:
            raise Unavailable(f"The backpack {self._backpack.name!r} is closed")
        await self._handler.receive(message)

    def __aiter__(self) -> AsyncGenerator[bytes, None]:
        self._handler.listen()
        return self._messages()

    async def _messages(self) -> AsyncGenerator[bytes, None]:
        while (message := await self._mailbox.next()) is not None:
            yield message

    async def ask(self, action: str, model: str, data: Any = None, **more: Any) -> Any:
        if not self._mailbox.is_open:
            raise Unavailable(f"The backpack {self._backpack.name!r} is closed")
        message = {**more, "action": action, "model": model}
        if data is not None:
            message["data"] = data
        return orjson.loads(await self._handler.ask(message))

    async def read_file(self, user: str, filename: str) -> tuple[Document, AsyncGenerator[bytes]]:
        file, content = await uploads.read(self._backpack, user, filename)

        async def blocks() -> AsyncGenerator[bytes, None]:
            try:
                async for block in content.blocks():
                    yield block
            finally:
                await content.close()

        return file.metadata, blocks()

    async def save_file(
        self,
        content: AsyncIterator[bytes],
        filename: str,
        type: str,
        user: str = NOBODY,
        *,
        replace: bool = False,
    ) -> Document:
        return await uploads.save(self._backpack, content, filename, type, user, replace=replace)
