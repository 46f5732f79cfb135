"""Backups over the private port: steps one after the other, each a line of JSON.

`{"line"}` is what is said meanwhile, `{"bytes": 12}` has as many of the archive behind it, and last
comes `{"result"}` or `{"error": {"message", "code", "fields"?}, "status"}`.
"""

from __future__ import annotations

import logging
from contextlib import aclosing
from typing import Any

import orjson
from sanic import Blueprint, HTTPResponse

from .. import errors
from ..api.bodies import read_blocks
from ..api.request import Request
from ..drivers.local import LocalDriver
from ..errors import BackpackError
from ..steps import Result, Steps

backups = Blueprint("backups")

_LARGEST = 2**50  # bytes of an archive: it is taken as it comes

logger = logging.getLogger("backpack")


@backups.get("/backup", ignore_body=True)
async def export_backup(request: Request) -> None:
    with_key = "key" in request.args
    only = request.args["only"][0].split(",") if "only" in request.args else None
    await _send(request, _driver(request).export_backup(request.app.ctx.name, with_key, only))


@backups.put("/backup", ignore_body=True)
async def import_backup(request: Request) -> None:
    """Fill the backpack, which must be empty, from an archive."""
    content = read_blocks(request, _LARGEST)
    # It is there already, if only as its empty self.
    await _send(request, _driver(request).import_backup(request.app.ctx.name, content, True))


def _driver(request: Request) -> LocalDriver:
    return LocalDriver(request.app.ctx.tenants)


async def _send(request: Request, steps: Steps) -> None:
    response: Any = await request.respond(HTTPResponse(content_type="application/octet-stream"))
    async with aclosing(_encoded(steps)) as pieces:
        async for piece in pieces:
            await response.send(piece)
    await response.eof()


async def _encoded(steps: Steps) -> Any:
    try:
        async with aclosing(steps):
            async for step in steps:
                if isinstance(step, bytes):
                    yield b'{"bytes":%d}\n%b' % (len(step), step)
                elif isinstance(step, Result):
                    yield orjson.dumps({"result": step.value}) + b"\n"
                else:
                    yield orjson.dumps({"line": step}) + b"\n"
    except BackpackError as exc:
        yield _failure(exc)
    except Exception:  # our bug: who asked must hear of it behind what was sent already
        logger.exception("A backup failed")
        yield _failure(BackpackError())


def _failure(exc: BackpackError) -> bytes:
    return orjson.dumps({"error": errors.body(exc), "status": exc.status}) + b"\n"
