"""What a page of a backpack's contents asks the console first: it is asked for the page, and sent
along with it, so that it is on the screen before there is a connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import orjson

from ..api.request import Request
from ..drivers.base import Console
from ..errors import BackpackError
from .request import driver

_SOON = 0.2  # seconds that the page waits for it; what takes longer it asks for itself
_MOST_BYTES = 262_144
_SIZE = 50  # rows of a page, as long as nobody chooses another number


class _Asking:
    """A console of which things are asked, and what it has answered: `[message, data]` each."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.answers: list[tuple[dict[str, Any], Any]] = []

    async def get(self, model: str, **more: Any) -> Any:
        data = await self._console.ask("get", model, **more)
        self.answers.append(({"action": "get", "model": model, **more}, data))
        return data


async def foresee(request: Request, page: str, name: str) -> str:
    """JSON that may stand in HTML: a list of messages, each with the `data` of its answer. It is
    empty where nothing was answered in time: the page says then what is wrong."""
    answers: list[tuple[dict[str, Any], Any]] = []
    if page in _PAGES:
        with suppress(BackpackError, TimeoutError):
            async with asyncio.timeout(_SOON), driver(request).console(name) as console:
                asking = _Asking(console)
                answers = asking.answers
                await _PAGES[page](asking, request)
    text = orjson.dumps(answers)
    # In JSON it stands in texts only, and there it may be written so.
    safe = text.replace(b"<", b"\\u003c") if len(text) <= _MOST_BYTES else b"[]"
    return safe.decode()


async def _data(asking: _Asking, request: Request) -> None:
    names = sorted(one["name"] for one in await asking.get("collections"))
    wanted = request.args.get
    collection = wanted("collection") or next(iter(names), "")
    page = wanted("page", "1")
    # Filters are written in a syntax that the page knows alone.
    if collection in names and not wanted("filter") and page.isascii() and page.isdigit():
        sort = {"sort": wanted("sort")} if wanted("sort") else {}
        skip = (max(1, int(page[:9])) - 1) * _SIZE
        await asking.get("documents", collection=collection, skip=skip, limit=_SIZE, **sort)


async def _users(asking: _Asking, _request: Request) -> None:
    await asking.get("users", search="", sort="-createdAt", skip=0, limit=_SIZE)


async def _files(asking: _Asking, _request: Request) -> None:
    await asking.get("uploads", search="", userId="", sort="-createdAt", skip=0, limit=_SIZE)


async def _rules(asking: _Asking, _request: Request) -> None:
    await asking.get("rules")
    await asking.get("collections")


_PAGES: Mapping[str, Callable[[_Asking, Request], Awaitable[None]]] = {
    "data": _data,
    "users": _users,
    "files": _files,
    "rules": _rules,
}
