"""What consoles hear of besides the events of records: accounts, files, sessions, collections, and
records that are changed without an event.

Who holds a console, and what it is shown, is the matter of `console`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from contextvars import Context
from typing import Any

import orjson

from . import metadata, users
from .bus import Bus
from .documents import Document
from .errors import Unavailable
from .queries import Filter, Query
from .stores.base import INTERNAL, Changed, Store

TOPIC = "notices"  # of the bus; messages are what `Notices.tell` takes, or {} where some were lost

POST, PUT, PATCH, DELETE = "post", "put", "patch", "delete"

_MOST = 10_000  # notices that may wait for the bus

Edit = Callable[[Document], Document | None]


class Notices:
    """The notices of one process, on their way to the consoles of all: behind the change that they
    are about, which does not wait for them.

    Those that cannot be sent are lost: consoles are told to read anew when the bus is back.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._waiting: deque[dict[str, str]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Send what waits."""
        if self._task is not None:
            await asyncio.wait([self._task])

    def tell(self, action: str, model: str, data: bytes, **more: str) -> None:
        """Tell of a change of `model`: `data` is JSON, what there is now or was before a delete."""
        if len(self._waiting) >= _MOST:
            self._waiting.clear()
            self._waiting.append({})
        else:
            self._waiting.append({"action": action, "model": model, "data": data.decode(), **more})
        if self._task is None or self._task.done():
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._send(), context=Context())

    async def _send(self) -> None:
        while self._waiting:
            told = [self._waiting.popleft() for _ in range(min(100, len(self._waiting)))]
            with suppress(Unavailable):
                self._bus.check()
                await self._bus.send_all(TOPIC, told)


class Noticed:
    """A store whose writes of accounts, files and collections are noticed.

    Those of clients' records are too, unless whoever writes them by this store announces them:
    `announced`.
    """

    def __init__(self, store: Store, notices: Notices, *, announced: bool = False) -> None:
        self._store = store
        self._notices = notices
        self._announced = announced

    def open(self) -> Coroutine[Any, Any, None]:
        return self._store.open()

    def close(self) -> Coroutine[Any, Any, None]:
        return self._store.close()

    def collections(self) -> Coroutine[Any, Any, list[str]]:
        return self._store.collections()

    def has_collection(self, name: str) -> Coroutine[Any, Any, bool]:
        return self._store.has_collection(name)

    def get(self, collection: str, record_id: str) -> Coroutine[Any, Any, bytes | None]:
        return self._store.get(collection, record_id)

    def find(self, collection: str, query: Query) -> Coroutine[Any, Any, list[bytes]]:
        return self._store.find(collection, query)

    def count(self, collection: str, filter: Filter) -> Coroutine[Any, Any, int]:
        return self._store.count(collection, filter)

    async def create_collection(self, name: str) -> bool:
        made = await self._store.create_collection(name)
        if made:
            self._notices.tell(POST, "collections", orjson.dumps({"name": name}))
        return made

    async def drop_collection(self, name: str) -> bool:
        dropped = await self._store.drop_collection(name)
        if dropped:
            self._notices.tell(DELETE, "collections", orjson.dumps({"name": name}))
        return dropped

    async def insert(self, collection: str, documents: Sequence[Document]) -> list[bytes]:
        stored = await self._store.insert(collection, documents)
        if self._is_noticed(collection):
            for one in stored:
                self._tell(POST, collection, one)
        return stored

    async def change(self, collection: str, record_id: str, edit: Edit) -> Changed | None:
        changed = await self._store.change(collection, record_id, edit)
        if changed is not None and self._is_noticed(collection):
            if changed.after is None:
                self._tell(DELETE, collection, changed.before)
            elif changed.after != changed.before:
                self._tell(PATCH, collection, changed.after)
        return changed

    def _is_noticed(self, collection: str) -> bool:
        return collection in _SHOWN or not (self._announced or collection.startswith(INTERNAL))

    def _tell(self, action: str, collection: str, record: bytes) -> None:
        if collection in _SHOWN:
            model, show = _SHOWN[collection]
            self._notices.tell(action, model, orjson.dumps(show(orjson.loads(record))))
        else:
            self._notices.tell(action, "documents", record, collection=collection)


_SHOWN: Mapping[str, tuple[str, Callable[[Document], Document]]] = {
    users.COLLECTION: ("users", users.shown),
    metadata.COLLECTION: ("uploads", metadata.metadata_of),
}
