"""What the name of a site's file tells: its media type, whether it packs well, and whether it says
which content the file has. Pure."""

from __future__ import annotations

import mimetypes
import re

# Not the machine's own table, so that a name means the same everywhere.
_TYPES = mimetypes.MimeTypes()
for _extension, _type in {
    "avif": "image/avif",
    "flac": "audio/flac",
    "glb": "model/gltf-binary",
    "gz": "application/gzip",
    "ico": "image/x-icon",
    "js": "text/javascript",
    "jxl": "image/jxl",
    "map": "application/json",
    "md": "text/markdown",
    "mjs": "text/javascript",
    "ogg": "audio/ogg",
    "otf": "font/otf",
    "rss": "application/rss+xml",
    "ttf": "font/ttf",
    "wasm": "application/wasm",
    "webmanifest": "application/manifest+json",
    "webp": "image/webp",
    "woff": "font/woff",
    "woff2": "font/woff2",
    "yaml": "application/yaml",
}.items():
    _TYPES.add_type(_type, f".{_extension}")
_TYPES.encodings_map = {}

_PACKS = re.compile(
    r"text/.+|.+\+(json|xml)|font/[ot]tf|image/x-icon|image/bmp"
    r"|application/(json|xml|wasm|yaml|javascript|rtf)"
)

# What bundlers put between a name and its extension: app.3f9a1c2b.js, index-BKx2s9.js,
# app-ABCD2345.js. Digits alone may be a date or a version, letters alone a word, and digits at the
# end a number: a file that changes under its name must not be taken for one that cannot.
_HASHED = re.compile(
    r".+[.-]("
    r"(?=[0-9a-f]*[a-f])(?=[0-9a-f]*[0-9])[0-9a-f]{8,64}"
    r"|(?=\w*[a-z])(?=\w*[A-Z])(?=\w*[0-9]\w*[A-Za-z])\w{6,10}"
    r"|(?=[A-Z2-7]*[2-7][A-Z2-7]*[A-Z])[A-Z2-7]{8}"
    r")(\.chunk|\.min|\.bundle)?\.[a-z0-9]{1,8}(\.map)?",
    re.ASCII,
)


def type_of(path: str) -> str:
    """The media type of a site's file, without parameters."""
    # A colon would make it a URL.
    guessed, _ = _TYPES.guess_type(path.rpartition("/")[2].replace(":", "_"))
    return guessed or "application/octet-stream"


def content_type(path: str) -> str:
    """The `content-type` of a site's file; text is UTF-8."""
    kind = type_of(path)
    is_text = kind.startswith("text/") or kind in ("application/json", "application/xml")
    return f"{kind}; charset=utf-8" if is_text else kind


def is_packable(path: str) -> bool:
    """Whether such a file is worth being compressed."""
    return bool(_PACKS.fullmatch(type_of(path)))


def is_immutable(path: str) -> bool:
    """Whether the name has a hash of the content in it, so that it never means another content."""
    if type_of(path) == "text/html":
        return False
    return bool(_HASHED.fullmatch(path.rpartition("/")[2]))
