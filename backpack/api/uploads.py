"""Files of users over HTTP.

The rules are the service's; here a request is read and an answer written.
"""

from __future__ import annotations

from sanic import Blueprint, HTTPResponse, json

from ..errors import BadKey, BadRequest
from ..router import API, mount
from ..rules import PUBLIC
from .conditions import find_span, is_unchanged
from .downloads import FileAnswer, cache_headers, file_headers, shown
from .forms import is_form, read_form
from .guards import guarded, keyless
from .request import Request, read_object

uploads = Blueprint("uploads", url_prefix=mount(API))


@uploads.post("/uploads", ignore_body=True)
@guarded
async def upload_file(request: Request) -> HTTPResponse:
    files = request.backpack.files
    user = files.admit(request.user)

    async def check(fields: dict[str, str]) -> None:
        if "filename" in fields:
            await files.check_free(user, fields["filename"])

    async with files.arriving(user) as arrival:
        _check_is_form(request)
        fields = await read_form(request, arrival, check)
        return json(await files.create(fields.get("filename"), fields.get("bucket", ""), arrival))


@uploads.get("/uploads/<user_id:str>/<filename:str>", ignore_body=True, unquote=True)
@keyless
async def get_file(request: Request, user_id: str, filename: str) -> HTTPResponse:
    files = request.backpack.files
    is_known = "authorization" in request.headers or request.user is not None
    if not is_known and files.rules.files_read != PUBLIC:
        raise BadKey
    while True:
        file = await files.find(user_id, filename, request.user)
        if is_unchanged(request.headers, shown(file)):
            return HTTPResponse(status=304, headers=cache_headers(file))
        if request.method == "HEAD":
            return HTTPResponse(headers=file_headers(file, find_span({}, shown(file))))
        span = find_span(request.headers, shown(file))
        content = await files.open(file, span.start, span.length)
        if content is not None:
            status = 200 if span.whole else 206
            return FileAnswer(content, status, file_headers(file, span))


@uploads.get("/uploads/<name:str>", ignore_body=True, unquote=True)
@guarded
async def list_files(request: Request, name: str) -> HTTPResponse:
    return json({"records": await request.backpack.files.list_of(name, request.user)})


@uploads.patch("/uploads/<name:str>", ignore_body=True, unquote=True)
@guarded
async def update_file(request: Request, name: str) -> HTTPResponse:
    files = request.backpack.files
    user = await files.admit_change(request.user, name)
    changes = await (read_form(request) if is_form(request) else read_object(request))
    return json({"record": await files.update(user, name, changes)})


@uploads.put("/uploads/<name:str>", ignore_body=True, unquote=True)
@guarded
async def overwrite_file(request: Request, name: str) -> HTTPResponse:
    files = request.backpack.files
    async with files.arriving(files.admit(request.user), name) as arrival:
        _check_is_form(request)
        await read_form(request, arrival)
        await files.replace(name, arrival)
    return json({"message": "file overwritten"})


@uploads.delete("/uploads/<name:str>", ignore_body=True, unquote=True)
@guarded
async def delete_file(request: Request, name: str) -> HTTPResponse:
    files = request.backpack.files
    deleted = await files.delete(files.admit(request.user), name)
    return json({"deletedRecord": deleted, "message": "file deleted"})


def _check_is_form(request: Request) -> None:
    if not is_form(request):
        raise BadRequest("no file uploaded", code="no_file")
