"""Long actions over HTTP: what is sent to them as it comes, and a line of JSON for each step."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import orjson
from sanic import HTTPResponse
from sanic.exceptions import PayloadTooLarge

from .. import errors
from ..api.request import Request
from ..errors import BackpackError, TooLarge
from ..steps import Result, Steps, paced

# Seconds between two signs of life: an answer that says nothing for a minute is given up, by Sanic
# and by many a proxy.
_BEAT = 15.0

logger = logging.getLogger("backpack")

_HEADERS = {
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
    "x-accel-buffering": "no",  # a proxy that collects lines would show them all at the end
    "x-content-type-options": "nosniff",
}


async def tell(request: Request, steps: Steps) -> HTTPResponse:
    """Answer with `{"line"}` for each step, as it is done, and at the end `{"result"}`, null where
    there is none, or `{"error": {"message", "code", "fields"?}}`. Empty lines say that it goes on.

    What fails soon, before its first step, is raised, and so has a status of its own.
    """
    async with aclosing(paced(steps, _BEAT)) as told:
        step = await anext(told, Result(None))
        answer: HTTPResponse = await request.respond(
            content_type="application/x-ndjson", headers=dict(_HEADERS)
        )
        try:
            await answer.send(_line(step))
            async for step in told:
                await answer.send(_line(step))
            if not isinstance(step, Result):
                await answer.send(_line(Result(None)))
        except BackpackError as exc:
            await answer.send(_encoded({"error": errors.body(exc)}))
        except Exception as exc:
            # The answer has begun: what fails now can be told inside of it only.
            about = {"backpack": request.match_info.get("name")}
            logger.error("%s %s failed", request.method, request.path, exc_info=exc, extra=about)
            await answer.send(_encoded({"error": errors.body(BackpackError())}))
    return answer


def _line(step: str | bytes | Result | None) -> bytes:
    if step is None:
        return b"\n"
    if isinstance(step, Result):
        return _encoded({"result": step.value})
    return _encoded({"line": str(step)})


def _encoded(message: dict[str, Any]) -> bytes:
    return orjson.dumps(message) + b"\n"


async def content_of(request: Request, limit: int) -> AsyncIterator[bytes]:
    """The body of a request in blocks; raises TooLarge where it has more than `limit` bytes."""
    stream: Any = request.stream
    stream.request_max_size = limit
    stream.upgrade_websocket = False  # what asks for one is never given up by Sanic
    try:
        if (stream.request_bytes_left or 0) > limit:
            raise PayloadTooLarge
        while stream.request_body:
            block = await stream.read()
            if block:
                yield block
    except PayloadTooLarge as exc:
        raise TooLarge(f"More than {limit:,} bytes cannot be taken") from exc
    finally:
        # Of what is refused Sanic reads the rest away, behind the answer.
        stream.request_max_size = stream.protocol.request_max_size
