"""Uploads under way: what has come of a file, before it is one."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from typing import Any

from .documents import Document
from .errors import BadRequest
from .filenames import type_of
from .quotas import Quotas, Usage
from .stores.base import FileStore, Incoming


class Arrival:
    """An upload under way: `begin` and `write` it, then have `Files` make a file of it."""

    def __init__(
        self, user: str, contents: FileStore, quotas: Quotas, usage: Usage, spare: int
    ) -> None:
        self.user = user
        self._contents = contents
        self._quotas = quotas
        self._usage = usage
        self._spare = spare
        self._size = self._counted = 0
        self._type = ""
        self._content = ""
        self._incoming: Incoming | None = None
        self._finished = False
        self.work: asyncio.Future[Any] | None = None  # what makes a file of it

    @property
    def begun(self) -> bool:
        return self._incoming is not None

    def begin(self, sent_type: str) -> None:
        """There is a file, though it may be empty; `sent_type` is what the client says it is."""
        self._type = sent_type
        self._content = secrets.token_hex(16)
        self._incoming = self._contents.create(self._content)

    async def write(self, data: Sequence[bytes | memoryview]) -> None:
        """More of the file; raises TooLarge, NoSpace, Unavailable."""
        assert self._incoming is not None
        size = sum(map(len, data))
        self._size += size
        self._counted += size
        self._quotas.arrives(self.user, size)
        self.check(self._usage, self._spare)
        await self._incoming.write(data)

    def check(self, usage: Usage, spare: int) -> None:
        """Raise TooLarge when the upload is over a limit; `spare` as in `Quotas.check_size`."""
        self._quotas.check_size(self.user, self._size, usage, spare)

    def described(self, filename: str) -> Document:
        """What the document of a file with this content says of it; raises BadRequest when there is
        none."""
        if self._incoming is None:
            raise BadRequest("no file uploaded", code="no_file")
        return {
            "size": self._size,
            "type": type_of(self._type, filename),
            "content": self._content,
            "since": int(time.time()),
        }

    async def finish(self) -> str:
        """The id of the whole content, whose fate the caller decides from now on."""
        assert self._incoming is not None
        await self._incoming.finish()
        self._finished = True
        return self._content

    def count(self, spare: int, files: int) -> None:
        """It has become a file, in the place of `spare` bytes."""
        self._quotas.add(self.user, self._size - spare, files)
        self._stop_counting()

    def _stop_counting(self) -> None:
        self._quotas.arrives(self.user, -self._counted)
        self._counted = 0

    async def drop(self) -> None:
        """The end of the upload, of which nothing is left unless it has become a file."""
        if self.work is not None:
            await asyncio.wait([self.work])
        self._stop_counting()
        if self._incoming is not None:
            await self._incoming.close()
            if not self._finished:
                await self._contents.settle(gone=[self._content])
