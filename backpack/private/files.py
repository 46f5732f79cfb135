"""Contents of users' files: the bytes themselves are the body."""

from __future__ import annotations

from urllib.parse import quote

import orjson
from sanic import Blueprint, HTTPResponse, json

from ..api.bodies import read_blocks
from ..api.downloads import FileAnswer
from ..api.request import Request
from ..console import uploads
from .guard import backpack_of

files = Blueprint("files")

_PATH = "/uploads/<user_id:str>/<filename:str>"
METADATA = "x-backpack-file"  # the header that has a file's metadata: JSON, percent-encoded


@files.get(_PATH, ignore_body=True, unquote=True)
async def read_file(request: Request, user_id: str, filename: str) -> HTTPResponse:
    file, content = await uploads.read(await backpack_of(request), user_id, filename)
    headers = {
        "content-type": file.metadata["type"],
        "content-length": str(file.metadata["size"]),
        METADATA: quote(orjson.dumps(file.metadata)),
    }
    return FileAnswer(content, 200, headers)


@files.post(_PATH, ignore_body=True, unquote=True)
async def create_file(request: Request, user_id: str, filename: str) -> HTTPResponse:
    return await _save(request, user_id, filename, replace=False)


@files.put(_PATH, ignore_body=True, unquote=True)
async def replace_file(request: Request, user_id: str, filename: str) -> HTTPResponse:
    return await _save(request, user_id, filename, replace=True)


async def _save(request: Request, user_id: str, filename: str, *, replace: bool) -> HTTPResponse:
    backpack = await backpack_of(request)
    kind = request.headers.get("content-type", "")
    content = read_blocks(request, backpack.settings.max_upload)
    saved = await uploads.save(backpack, content, filename, kind, user_id, replace=replace)
    return json(saved)
