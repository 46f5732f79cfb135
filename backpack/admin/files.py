"""Contents of users' files over HTTP, for the panel: nothing that comes from here is ever run as a
page of the panel's."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack

from sanic import Blueprint, HTTPResponse, json

from ..api.bodies import read_blocks
from ..api.downloads import HARMLESS, FileAnswer, disposition
from ..api.request import Request
from ..drivers.base import Console
from ..router import ADMIN, mount
from .guards import changing, of_backpack

files = Blueprint("files", url_prefix=mount(ADMIN))

_PATH = "/api/backpacks/<name:str>/files/<user_id:str>/<filename:str>"
_SHOWN = re.compile(r"image/(png|jpeg|gif|webp|avif)")  # by pixels alone


@files.get(_PATH, ignore_body=True, unquote=True)
@of_backpack
async def read_file(request: Request, name: str, user_id: str, filename: str) -> HTTPResponse:
    stack = AsyncExitStack()
    try:
        console: Console = await stack.enter_async_context(request.app.ctx.driver.console(name))
        metadata, blocks = await console.read_file(user_id, filename)
    except BaseException:
        await stack.aclose()
        raise
    kind = metadata["type"]
    how = "inline" if _SHOWN.fullmatch(kind) else "attachment"
    headers = {
        "cache-control": "no-store",
        "content-disposition": disposition(how, metadata["filename"]),
        "content-length": str(metadata["size"]),
        "content-type": kind,
        "cross-origin-resource-policy": "same-origin",
        **HARMLESS,
    }
    return FileAnswer(_Blocks(blocks, stack), 200, headers)


@files.post(_PATH, ignore_body=True, unquote=True)
@changing("file.create")
@of_backpack
async def create_file(request: Request, name: str, user_id: str, filename: str) -> HTTPResponse:
    return await _save(request, name, user_id, filename, replace=False)


@files.put(_PATH, ignore_body=True, unquote=True)
@changing("file.replace")
@of_backpack
async def replace_file(request: Request, name: str, user_id: str, filename: str) -> HTTPResponse:
    return await _save(request, name, user_id, filename, replace=True)


@files.delete(_PATH, ignore_body=True, unquote=True)
@changing("file.delete")
@of_backpack
async def delete_file(request: Request, name: str, user_id: str, filename: str) -> HTTPResponse:
    key = {"userId": user_id, "filename": filename}
    async with request.app.ctx.driver.console(name) as console:
        deleted = await console.ask("delete", "uploads", key)
    request.ctx.detail.update(key)
    return json(deleted)


async def _save(
    request: Request, name: str, user_id: str, filename: str, *, replace: bool
) -> HTTPResponse:
    kind = request.headers.get("content-type", "")
    content = read_blocks(request, request.app.ctx.tenants.settings.max_upload)
    async with request.app.ctx.driver.console(name) as console:
        saved = await console.save_file(content, filename, kind, user_id, replace=replace)
    request.ctx.detail.update(userId=user_id, filename=filename, size=saved["size"])
    return json(saved)


class _Blocks:
    """The content of a file, and what has to be closed behind it."""

    def __init__(self, blocks: AsyncGenerator[bytes, None], stack: AsyncExitStack) -> None:
        self._blocks = blocks
        self._stack = stack

    def blocks(self) -> AsyncIterator[bytes]:
        return self._blocks

    async def close(self) -> None:
        await self._blocks.aclose()
        await self._stack.aclose()
