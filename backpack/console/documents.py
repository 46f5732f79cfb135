"""Collections, their documents and indexes, as a console handles them."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

import orjson

from .. import documents
from ..documents import STAMPS, Document
from ..errors import Conflict, Invalid, NotFound, TooLarge
from ..events import DELETE, MERGE, REPLACE
from ..queries import EVERYTHING, Query, parse_filter, parse_sort
from ..rules import COLLECTION_NAME
from ..writes import Edit
from .calls import Call, refusal, several

_MOST_BYTES = 33_554_432  # of the documents in one answer
_AT_ONCE = 100  # documents that are deleted together
_A_TURN = 2  # of them that begin in one turn of the loop


async def get(call: Call) -> bytes:
    """A page of documents and how many match: `{items, total}`; with an `_id` in `data` the one."""
    collection = await _collection(call)
    if call.data is not None:
        found = await call.backpack.store.get(collection, call.field("_id"))
        if found is None:
            raise NotFound
        return found
    wanted = parse_filter(call.message.get("filter") or {})
    sort = call.text("sort", "")
    page = call.page
    query = Query(wanted, parse_sort(sort) if sort else (), page.skip, page.limit)
    items = await call.backpack.store.find(collection, query)
    if sum(map(len, items)) > _MOST_BYTES:
        raise TooLarge(f"These are more than {_MOST_BYTES} bytes: ask for fewer documents")
    if len(items) < page.limit and (items or not page.skip):
        total = page.skip + len(items)  # these are the last: nothing has to be counted
    else:
        total = await call.backpack.store.count(collection, wanted)
    return b'{"items":[%b],"total":%d}' % (b",".join(items), total)


async def post(call: Call) -> bytes:
    """Make a document, or each of a list, all or none; those that bring all three stamps, as
    exported ones do, keep them."""
    collection = await _collection(call)
    at, ids = documents.now(), call.backpack.ids
    made = [_made(entry, ids, at) for entry in several(call.data)]
    stored = await call.backpack.writes.insert(collection, made)
    return b"[%b]" % b",".join(stored) if isinstance(call.data, list) else stored[0]


def _made(entry: Any, ids: documents.Ids, at: str) -> Document:
    if isinstance(entry, dict) and all(name in entry for name in STAMPS):
        return documents.check_stored(entry)
    return documents.stamp(documents.check(entry), ids(), at)


async def put(call: Call) -> bytes:
    """Replace the document of the `_id` in `data` by it; raises Conflict where it is not as it
    `was`."""
    new = documents.check(dict(call.fields))
    return await _change(call, REPLACE, lambda old: documents.replace(old, new, documents.now()))


async def patch(call: Call) -> bytes:
    """Merge `data` into the document of the `_id` in it; raises Conflict where it is not as it
    `was`."""
    checked = documents.check_merge(dict(call.fields))
    return await _change(call, MERGE, lambda old: documents.merge(old, checked, documents.now()))


async def _change(call: Call, action: str, change: Edit) -> bytes:
    collection, was = await _collection(call), call.text("was", "")

    def edit(old: Document) -> Document | None:
        if was and old["updatedAt"] != was:
            raise Conflict("The document has been changed meanwhile", code="changed_meanwhile")
        return change(old)

    return await call.backpack.writes.change(action, collection, call.field("_id"), edit)


async def delete(call: Call) -> bytes:
    """Delete the document of the `_id` that `data` is, and answer it; of a list, those that are
    there, and answer their `_id`s. Without `data` it is the first that match the `filter`, as many
    as `limit` says."""
    collection = await _collection(call)
    if call.data is None and "filter" in call.message:
        return await _delete_matching(call, collection)
    ids = several(call.data)
    if not all(isinstance(one, str) for one in ids):
        raise refusal("data", "must be an _id or a list of them")
    if not isinstance(call.data, list):
        return await _delete(call, collection, call.data)
    deleted: list[str] = []
    for start in range(0, len(ids), _AT_ONCE):
        deleted += await _delete_some(call, collection, ids[start : start + _AT_ONCE])
    return orjson.dumps(deleted)


async def _delete_matching(call: Call, collection: str) -> bytes:
    wanted, left = parse_filter(call.message["filter"]), call.page.limit
    deleted: list[str] = []
    while left:
        some = min(left, _AT_ONCE)
        found = await call.backpack.store.find(collection, Query(wanted, limit=some))
        deleted += await _delete_some(call, collection, [_id_of(one) for one in found])
        left = left - some if len(found) == some else 0
    return orjson.dumps(deleted)


def _id_of(encoded: bytes) -> str:
    """The `_id`, which every store has as the first member: the rest may be large."""
    return encoded[len(b'{"_id":"') :][:24].decode()


async def _delete_some(call: Call, collection: str, ids: list[str]) -> list[str]:
    """Delete documents together; which of them were there."""
    done = await asyncio.gather(
        *(_delete_in(n // _A_TURN, call, collection, one) for n, one in enumerate(ids)),
        return_exceptions=True,
    )
    for outcome in done:
        if isinstance(outcome, BaseException) and not isinstance(outcome, NotFound):
            raise outcome
    return [
        one for one, outcome in zip(ids, done, strict=True) if not isinstance(outcome, NotFound)
    ]


async def _delete_in(turns: int, call: Call, collection: str, record_id: str) -> bytes:
    """Where a store waits for nothing, all of them would be one turn of the loop."""
    for _ in range(turns):
        await asyncio.sleep(0)
    return await _delete(call, collection, record_id)


async def _delete(call: Call, collection: str, record_id: str) -> bytes:
    return await call.backpack.writes.change(DELETE, collection, record_id, lambda _: None)


async def _collection(call: Call) -> str:
    """The collection that a call is about; raises NotFound."""
    name = call.text("collection")
    if not COLLECTION_NAME.fullmatch(name) or not await call.backpack.store.has_collection(name):
        raise NotFound(f"There is no collection {name[:100]!r}", code="unknown_collection")
    return name


async def get_collections(call: Call) -> bytes:
    """All collections with the number of their documents."""
    store = call.backpack.store
    names = await store.collections()
    counted = [{"name": name, "documents": await store.count(name, EVERYTHING)} for name in names]
    return orjson.dumps(counted)


async def post_collection(call: Call) -> bytes:
    """Make a collection, or find it made."""
    name = await call.backpack.records.create_collection(call.fields.get("name"))
    return orjson.dumps({"name": name})


async def delete_collection(call: Call) -> bytes:
    """Delete a collection with its documents; clients that resume are told to read anew."""
    name = call.field("name")
    await call.backpack.delete_collection(name)
    return orjson.dumps({"name": name})


async def get_indexes(call: Call) -> bytes:
    """The indexes that the store has made, of a `collection` or of all; where it makes none by
    itself there are none."""
    name = call.text("collection", "")
    try:
        store = call.backpack.indexed
    except Invalid:
        return b"[]"
    return orjson.dumps([asdict(index) for index in await store.indexes(name or None)])
