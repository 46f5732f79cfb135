"""Files on their way to clients: safe headers, and the bytes in blocks."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from sanic import HTTPResponse

from ..files import Content, File
from .conditions import Shown, Span

# What browsers show without running it; all else is offered for saving.
_INLINE = re.compile(r"image/(png|jpeg|gif|webp|avif)|(audio|video)/.+|text/plain|application/pdf")
# What keeps a file from doing anything in the name of the host that it comes from.
HARMLESS = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "sandbox; default-src 'none'",
}
# RFC 8187, "attr-char"
_ATTRIBUTE = "!#$&+-.^_`|~"


def shown(file: File) -> Shown:
    """A file as conditional requests know it."""
    return Shown(f'"{file.content}"', file.since, file.metadata["size"])


def cache_headers(file: File) -> dict[str, str]:
    return {
        **shown(file).headers,
        # It may be replaced, and not everybody may see it: to be asked for again each time.
        "cache-control": "private, no-cache",
    }


def file_headers(file: File, span: Span) -> dict[str, str]:
    kind = file.metadata["type"]
    how = "inline" if _INLINE.fullmatch(kind) else "attachment"
    return {
        **cache_headers(file),
        "content-type": "text/plain; charset=utf-8" if kind == "text/plain" else kind,
        **span.headers(file.metadata["size"]),
        "content-disposition": disposition(how, file.metadata["filename"]),
        **HARMLESS,
    }


def disposition(how: str, filename: str) -> str:
    """How a browser shall take a file, and its name (RFC 6266, RFC 8187)."""
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
