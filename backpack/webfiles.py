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

# Paths of files that have a hash of their content in them, as bundlers name them; swarm/site.conf
# has the same. A file that changes under its name must not be taken for one that cannot: what may
# as well be a word, a date or a version is none, and is asked for again.
_END = r"(\.chunk|\.min|\.bundle)?\.[a-z0-9]{1,8}(\.map)?$"
HASHED = (
    # Next.js and SvelteKit: all that is there.
    r"/(_next/static|_app/immutable)/",
    # Hexadecimal, which is no date: app.3f9a1c2b.js.
    r"[^/][.-](?!(19|20)[0-9]{4})(?=[0-9]*[a-f])(?=[a-f]*[0-9])[0-9a-f]{8,64}" + _END,
    # esbuild: main-ABCD2E45.js.
    r"[^/][.-](?=[A-Z2-7]*[2-7][A-Z])[A-Z2-7]{8}\.(js|css)(\.map)?$",
    # Vite and its kin: assets/index-B4Kx2s9Q.js. Small letters, capitals and the rest take turns in
    # three of four hashes as they do not in names.
    r"/(assets|static|chunks|_astro|_nuxt)/(.*[/.-])?(?=[\w-]{8}\.)(?=[a-z0-9_-]*[A-Z])"
    r"([a-z]++|[A-Z]++|[0-9_-]++){5,8}" + _END,
)
_HASHED = re.compile("|".join(HASHED), re.ASCII)


def type_of(path: str) -> str:
    """The media type of a site's file, without parameters."""
    # A colon would make it a URL.
    guessed, _ = _TYPES.guess_type(path.rpartition("/")[2].replace(":", "_"))
    return guessed or "application/octet-stream"


def content_type(path: str) -> str:
    """The `content-type` of a site's file; text is UTF-8."""
    kind = type_of(path)
    return f"{kind}; charset=utf-8" if is_text(kind) else kind


def is_packable(path: str) -> bool:
    """Whether such a file is worth being compressed."""
    return bool(_PACKS.fullmatch(type_of(path)))


def is_immutable(path: str) -> bool:
    """Whether the name has a hash of the content in it, so that it never means another content."""
    if type_of(path) == "text/html":
        return False
    return bool(_HASHED.search(f"/{path}"))


def table() -> dict[str, list[str]]:
    """The extensions of each media type, without dots."""
    found: dict[str, list[str]] = {}
    for extension, kind in sorted(_TYPES.types_map[True].items()):
        found.setdefault(kind, []).append(extension.removeprefix("."))
    return found


def is_text(kind: str) -> bool:
    """Whether files of a media type are text, which is UTF-8."""
    return kind.startswith("text/") or kind in ("application/json", "application/xml")
