"""Bodies that are no JSON and may be large: taken as they come."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from sanic.exceptions import PayloadTooLarge

from ..errors import TooLarge
from .request import Request


async def read_blocks(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    """The blocks of a body of up to `limit` bytes; raises TooLarge."""
    stream: Any = request.stream
    stream.request_max_size = limit
    stream.upgrade_websocket = False  # what asks for one is never given up by Sanic
    try:
        if (stream.request_bytes_left or 0) > limit:
            raise PayloadTooLarge
        while stream.request_body:
            if block := await stream.read():
                yield block
    except PayloadTooLarge as exc:
        raise TooLarge(f"A file may have at most {limit} bytes", code="file_too_large") from exc
    finally:
        # Of what is refused Sanic reads the rest away, behind the answer.
        stream.request_max_size = stream.protocol.request_max_size
