"""Files in memory, for test suites and `dev --memory`; nothing survives the process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from .file_folder import BLOCK


class FileMemory:
    """The files of one backpack."""

    def __init__(self) -> None:
        self._contents: dict[str, bytes] = {}
        self._in_doubt: set[str] = set()

    def create(self, content_id: str) -> MemoryIncoming:
        return MemoryIncoming(content_id, self._contents, self._in_doubt)

    async def open(self, content_id: str, start: int, length: int) -> MemoryContent | None:
        content = self._contents.get(content_id)
        return None if content is None else MemoryContent(content, start, start + length)

    async def doubt(self, content_id: str) -> None:
        if content_id in self._contents:
            self._in_doubt.add(content_id)

    def leave(self, content_ids: Sequence[str]) -> None:
        """Nobody else would decide on it."""

    async def settle(self, kept: Sequence[str] = (), gone: Sequence[str] = ()) -> None:
        self._in_doubt.difference_update(kept, gone)
        for content_id in gone:
            self._contents.pop(content_id, None)

    async def doubtful(self) -> list[str]:
        return sorted(self._in_doubt)


class MemoryIncoming:
    """Content that is put where it belongs when it is whole."""

    def __init__(self, content_id: str, contents: dict[str, bytes], in_doubt: set[str]) -> None:
        self._id = content_id
        self._contents = contents
        self._in_doubt = in_doubt
        self._parts: list[bytes | memoryview] = []

    async def write(self, data: Sequence[bytes | memoryview]) -> None:
        self._parts.extend(data)

    async def finish(self) -> None:
        self._contents[self._id] = b"".join(self._parts)
        self._in_doubt.add(self._id)
        self._parts.clear()

    async def close(self) -> None:
        self._parts.clear()


class MemoryContent:
    """A part of a content."""

    def __init__(self, content: bytes, start: int, end: int) -> None:
        self._content = content
        self._start = start
        self._end = end

    async def blocks(self) -> AsyncIterator[bytes]:
        for at in range(self._start, self._end, BLOCK):
            yield self._content[at : min(at + BLOCK, self._end)]

    async def close(self) -> None:
        return None
