"""Versions of sites for the services that serve them in a swarm, each with a token of its own."""

from __future__ import annotations

import asyncio
from typing import Any, BinaryIO

from sanic import Blueprint, HTTPResponse

from ..api.request import Request
from ..errors import BadKey, NotFound
from ..router import ADMIN, mount

archives = Blueprint("archives", url_prefix=mount(ADMIN))

_BLOCK = 1_048_576  # bytes that are read at once


@archives.get("/sites/<stack:str>/<version:int>", ignore_body=True)
async def archive(request: Request, stack: str, version: int, **_: Any) -> HTTPResponse:
    scheme, _space, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise BadKey
    driver = request.app.ctx.driver
    if not hasattr(driver, "site_archive"):
        raise NotFound
    return _Archive(await driver.site_archive(stack, token, version))


class _Archive(HTTPResponse):
    """An answer whose body is a file."""

    __slots__ = ("_file",)

    def __init__(self, file: BinaryIO) -> None:
        size = file.seek(0, 2)
        file.seek(0)
        super().__init__(headers={"content-type": "application/x-tar", "content-length": str(size)})
        self._file = file

    async def send(self, data: Any = None, end_stream: bool | None = None) -> None:
        try:
            while block := await asyncio.to_thread(self._file.read, _BLOCK):
                await super().send(block, False)
            await super().send(b"", True)
        finally:
            self._file.close()
