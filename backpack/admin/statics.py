"""The panel's own files over HTTP: styles, and ES modules without their comments. Browsers keep
those that are asked for by the version of all of them, and ask each time whether others have
changed.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from sanic import Blueprint, HTTPResponse

from ..api.conditions import Shown, is_unchanged, takes_gzip
from ..api.request import Request
from ..pages import ADMIN_STATIC, static_version
from ..router import ADMIN, mount
from ..sites import find_file
from ..webfiles import content_type

statics = Blueprint("statics", url_prefix=mount(ADMIN))


# One that has its lines for itself; they are a fifth of what is sent.
_COMMENT = re.compile(rb"^[ \t]*(?:/\*(?:[^*]|\*(?!/))*\*/|//[^\n]*)[ \t]*\n", re.MULTILINE)
_KEPT = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class _Asset:
    content: bytes
    packed: bytes
    shown: Shown


@statics.get("/static/<path:path>", ignore_body=True)
async def static(request: Request, path: str, **_: Any) -> HTTPResponse:
    version, _slash, rest = path.partition("/")
    # A page may be older than the server: what it asks for is answered, and not kept.
    file = find_file(ADMIN_STATIC, rest if version.startswith("v-") else path)
    asset = _read(file, file.stat().st_mtime_ns)
    headers = {
        "cache-control": _KEPT if version == static_version() else "no-cache",
        "content-type": content_type(file.name),
        # Weak: it is the same for what is compressed and what is not (RFC 9110, section 8.8.1).
        "etag": f"W/{asset.shown.etag}",
        "vary": "accept-encoding",
        "x-content-type-options": "nosniff",
    }
    if is_unchanged(request.headers, asset.shown):
        return HTTPResponse(status=304, headers=headers)
    if not takes_gzip(request.headers):
        return HTTPResponse(asset.content, headers=headers)
    return HTTPResponse(asset.packed, headers={**headers, "content-encoding": "gzip"})


@lru_cache(maxsize=200)
def _read(file: Path, changed: int) -> _Asset:
    """A file as it was at `changed` (nanoseconds since 1970)."""
    content = file.read_bytes()
    if file.suffix == ".js":
        content = _COMMENT.sub(b"", content)
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    shown = Shown(etag, changed // 1_000_000_000, len(content))
    return _Asset(content, gzip.compress(content, mtime=0), shown)
