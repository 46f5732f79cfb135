"""Files of users, as a console handles them: each is known by its user and its name. Contents are
no JSON and go by another way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import orjson

from ..backpacks import Backpack
from ..documents import Document, is_id
from ..errors import Invalid, NotFound
from ..files import Content, File
from ..metadata import SORTS, unknown
from .calls import Call, fields, refusal, several


async def get(call: Call) -> bytes:
    """A page of files, of a `userId` or of all, with `search` in their names, and how many these
    are."""
    sort, page = call.choice("sort", "_id", SORTS), call.page
    owner, search = call.text("userId", ""), call.text("search", "")
    files = call.backpack.files
    items, total = await files.page(owner, search, sort, page.skip, page.limit)
    return orjson.dumps({"items": items, "total": total})


async def patch(call: Call) -> bytes:
    """Give the file of a `userId` and a `filename` another `filename` or `bucket`, as `changes`
    has it."""
    owner, filename = _key(call.data)
    changes = fields(call.fields.get("changes"))
    if unknown_names := changes.keys() - {"filename", "bucket"}:
        raise refusal("changes", f"may not have {', '.join(sorted(unknown_names))}")
    return orjson.dumps(await call.backpack.files.update(owner, filename, changes))


async def delete(call: Call) -> bytes:
    """Delete the file of a `userId` and a `filename`, and answer its metadata; of a list, those
    that are there, and answer a list."""
    files, keys = call.backpack.files, [_key(one) for one in several(call.data)]
    if not isinstance(call.data, list):
        return orjson.dumps(await files.delete(*keys[0]))
    deleted = []
    for key in keys:
        try:
            deleted.append(await files.delete(*key))
        except NotFound:
            continue
    return orjson.dumps(deleted)


def _key(data: object) -> tuple[str, str]:
    named = fields(data)
    owner, filename = named.get("userId"), named.get("filename")
    if not isinstance(owner, str) or not isinstance(filename, str):
        raise unknown()
    return owner, filename


async def read(backpack: Backpack, owner: str, filename: str) -> tuple[File, Content]:
    """A file and its content, to be closed; raises NotFound."""
    while True:
        file = await backpack.files.look_up(owner, filename)
        content = await backpack.files.open(file, 0, file.metadata["size"])
        if content is not None:  # else it has got another one meanwhile
            return file, content


async def save(
    backpack: Backpack,
    content: AsyncIterator[bytes],
    filename: str,
    kind: str,
    owner: str,
    *,
    replace: bool = False,
) -> Document:
    """Make a file of `content`, or with `replace` give one there is that content; its metadata.

    Raises Invalid, BadRequest for a name that is taken, NotFound, TooLarge.
    """
    if not is_id(owner):
        raise Invalid("userId must be an _id", code="invalid_file", fields={"userId": "is no _id"})
    files = backpack.files
    async with files.arriving(owner, filename if replace else None) as arrival:
        if not replace:
            await files.check_free(owner, filename)
        arrival.begin(kind)
        async for block in content:
            await arrival.write([block])
            await asyncio.sleep(0)
        if not replace:
            return await files.create(filename, "", arrival)
        await files.replace(filename, arrival)
    return (await files.look_up(owner, filename)).metadata
