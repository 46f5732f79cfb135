"""Files on their way to clients: conditions, ranges, safe headers, and the bytes in blocks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from typing import Any
from urllib.parse import quote

from sanic import HTTPResponse

from ..errors import BadRange
from ..files import Content, File

# What browsers show without running it; all else is offered for saving.
_INLINE = re.compile(r"image/(png|jpeg|gif|webp|avif)|(audio|video)/.+|text/plain|application/pdf")
_RANGE = re.compile(r"bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", re.IGNORECASE | re.ASCII)
# RFC 8187, "attr-char"
_ATTRIBUTE = "!#$&+-.^_`|~"


@dataclass(frozen=True)
class Span:
    """The wanted part of a file, of which `whole` says whether it is all of it."""

    start: int
    length: int
    whole: bool


def etag(file: File) -> str:
    return f'"{file.content}"'


def is_unchanged(headers: Mapping[str, str], file: File) -> bool:
    """Whether the client has the file already (RFC 9110, sections 13.1.2, 13.1.3 and 13.2.2)."""
    known = headers.get("if-none-match")
    if known is not None:
        tags = [tag.strip().removeprefix("W/") for tag in known.split(",")]
        return "*" in tags or etag(file) in tags
    since = _seconds(headers.get("if-modified-since"))
    return since is not None and file.since <= since


def find_span(headers: Mapping[str, str], file: File) -> Span:
    """The part that is asked for; several at once are answered by the whole, as malformed ranges
    are (RFC 9110, section 14.2).

    Raises BadRange when there is no such part.
    """
    size = file.metadata["size"]
    asked = _RANGE.fullmatch(headers.get("range", ""))
    if asked is None or not _is_current(headers.get("if-range"), file):
        return Span(0, size, whole=True)
    first, last = asked.groups()
    if not (first or last) or (first and last and int(last) < int(first)):
        return Span(0, size, whole=True)
    start = int(first) if first else max(0, size - int(last))
    end = min(int(last) + 1, size) if first and last else size
    if start >= end:
        raise BadRange(size=size)
    return Span(start, end - start, whole=False)


def _is_current(condition: str | None, file: File) -> bool:
    if condition is None:
        return True
    if condition.lstrip().startswith(('"', "W/")):
        return condition.strip() == etag(file)
    return _seconds(condition) == file.since


def _seconds(date: str | None) -> int | None:
    try:
        return int(parsedate_to_datetime(date).timestamp()) if date else None
    except (ValueError, OverflowError):
        return None


def cache_headers(file: File) -> dict[str, str]:
    return {
        "etag": etag(file),
        "last-modified": formatdate(file.since, usegmt=True),
        # It may be replaced, and not everybody may see it: to be asked for again each time.
        "cache-control": "private, no-cache",
    }


def file_headers(file: File, span: Span) -> dict[str, str]:
    kind, size = file.metadata["type"], file.metadata["size"]
    headers = {
        **cache_headers(file),
        "content-type": "text/plain; charset=utf-8" if kind == "text/plain" else kind,
        "content-length": str(span.length),
        "content-disposition": _disposition(kind, file.metadata["filename"]),
        "accept-ranges": "bytes",
        "x-content-type-options": "nosniff",
        "content-security-policy": "sandbox; default-src 'none'",
    }
    if not span.whole:
        headers["content-range"] = f"bytes {span.start}-{span.start + span.length - 1}/{size}"
    return headers


def _disposition(kind: str, filename: str) -> str:
    """How a browser shall take a file, and its name (RFC 6266, RFC 8187)."""
    how = "inline" if _INLINE.fullmatch(kind) else "attachment"
    # Some decode percent signs in the plain name, so those are left to the other form.
    if re.fullmatch(r"[ !#$&'()*+,./0-9:;<=>?@A-Z\[\]^_`a-z{|}~-]*", filename):
        return f'{how}; filename="{filename}"'
    plain = re.sub(r'[^ -~]|["\\%]', "_", filename)
    return f"{how}; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe=_ATTRIBUTE)}"


class FileAnswer(HTTPResponse):
    """An answer whose body is a part of a file, sent as fast as the client takes it."""

    __slots__ = ("_content",)

    def __init__(self, content: Content, status: int, headers: dict[str, str]) -> None:
        super().__init__(status=status, headers=headers)
        self._content = content

    async def send(self, data: Any = None, end_stream: bool | None = None) -> None:
        left = int(self.headers["content-length"])
        try:
            if not left:
                await super().send(b"", True)
            async for block in self._content.blocks():
                left -= len(block)
                await super().send(block, not left)
        finally:
            await self._content.close()
