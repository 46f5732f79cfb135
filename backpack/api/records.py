"""Collections and records over HTTP.

The rules are the service's; here a request is read and an answer written.
"""

from __future__ import annotations

from sanic import Blueprint, HTTPResponse

from ..errors import BadRequest
from ..queries import parse_url
from ..router import API, mount
from .answers import EncodedJson, join, json
from .guards import guarded
from .request import Request, read_json, read_object

records = Blueprint("records", url_prefix=mount(API))


@records.get("/collections", ignore_body=True)
@guarded
async def list_collections(request: Request) -> HTTPResponse:
    return json(await request.backpack.records.collections(request.user))


@records.post("/collections", ignore_body=True)
@guarded
async def create_collection(request: Request) -> HTTPResponse:
    service = request.backpack.records
    service.admit_create_collection(request.user)
    body = await read_object(request)
    return json(await service.create_collection(body.get("collectionName")))


@records.get("/<collection:str>", ignore_body=True, unquote=True)
@guarded
async def find_records(request: Request, collection: str) -> HTTPResponse:
    service = request.backpack.records
    try:
        query = parse_url(request.query_string)
    except BadRequest:  # who is not admitted hears that first
        await service.admit("list", collection, request.user)
        raise
    page = await service.find(collection, query, request.user)
    response = EncodedJson(await join(page.records))
    if page.total is not None:
        response.headers["x-total-count"] = str(page.total)
    return response


@records.post("/<collection:str>", ignore_body=True, unquote=True)
@guarded
async def create_records(request: Request, collection: str) -> HTTPResponse:
    service = request.backpack.records
    await service.admit("create", collection, request.user)
    data = await read_json(request, empty={})
    return EncodedJson(await service.create(collection, data, request.user))


@records.get("/<collection:str>/<record_id:str>", ignore_body=True, unquote=True)
@guarded
async def get_record(request: Request, collection: str, record_id: str) -> HTTPResponse:
    return EncodedJson(await request.backpack.records.get(collection, record_id, request.user))


@records.put("/<collection:str>/<record_id:str>", ignore_body=True, unquote=True)
@guarded
async def replace_record(request: Request, collection: str, record_id: str) -> HTTPResponse:
    service = request.backpack.records
    await service.admit("update", collection, request.user)
    data = await read_json(request)
    return EncodedJson(await service.replace(collection, record_id, data, request.user))


@records.patch("/<collection:str>/<record_id:str>", ignore_body=True, unquote=True)
@guarded
async def merge_record(request: Request, collection: str, record_id: str) -> HTTPResponse:
    service = request.backpack.records
    await service.admit("update", collection, request.user)
    patch = await read_json(request)
    return EncodedJson(await service.merge(collection, record_id, patch, request.user))


@records.delete("/<collection:str>/<record_id:str>", ignore_body=True, unquote=True)
@guarded
async def delete_record(request: Request, collection: str, record_id: str) -> HTTPResponse:
    service = request.backpack.records
    await service.admit("delete", collection, request.user)
    return EncodedJson(await service.delete(collection, record_id, request.user))
