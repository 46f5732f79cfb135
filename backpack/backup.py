"""What a backup is: everything of a backpack in one archive.

`manifest.json` comes first and names the format, its version and the parts; `end.json` last, with
counts and a seal on all that came before. Between them, in this order, as far as there is any:

    rules.json  key.json  indexes.json
    users/000001.ndjson             accounts, with the hashes of their passwords
    collections/cars/000001.ndjson  records, a line each; an empty collection has an empty entry
    files/000001/file.json          a file of a user, its content and that one's SHA-256
    files/000001/content
    files/000001/sha256
    site.zip                        the site's live version, as it would be deployed

Sessions are not in it. How one is written stands in `exports`, how one is read in `imports`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from . import __version__, documents
from .documents import Document
from .errors import BadRequest
from .steps import counted
from .tarball import damaged

PARTS = ("rules", "key", "indexes", "users", "collections", "files", "site")
DATA = ("rules", "indexes", "users", "collections", "files", "site")  # all but the key

_FORMAT, _VERSION = "backpack", 1

ENTRY_NAMES = re.compile(
    r"(?P<single>manifest|rules|key|indexes|end)\.json"
    r"|(?P<site>site)\.zip"
    r"|(?P<users>users)/(?P<of_users>[0-9]{6,9})\.ndjson"
    r"|collections/(?P<collection>[A-Za-z0-9_-]{1,64})/(?P<of_records>[0-9]{6,9})\.ndjson"
    r"|files/(?P<file>[0-9]{6,9})/(?P<piece>file\.json|content|sha256)"
)


@dataclass
class Counts:
    """What went into a backup, or came out of it, so far. `bytes`: those of files."""

    users: int = 0
    collections: int = 0
    documents: int = 0
    files: int = 0
    bytes: int = 0

    def __str__(self) -> str:
        return (
            f"{counted(self.users, 'user')}, {counted(self.collections, 'collection')}, "
            f"{counted(self.documents, 'record')} and {counted(self.files, 'file')} "
            f"({self.bytes / 1e6:,.1f} MB)"
        )


@dataclass(frozen=True)
class Place:
    """Which of the entries of a folder it is."""

    folder: str
    number: int

    def follows(self, before: Place) -> bool:
        """Whether it may come next: the same folder goes on, or a later one begins."""
        if self.folder == before.folder:
            return self.number == before.number + 1
        same_part = self.folder.partition("/")[0] == before.folder.partition("/")[0]
        return self.number == 1 and (not same_part or self.folder > before.folder)

    def __str__(self) -> str:
        return f"{self.folder}/{self.number:06}" if self.folder else "manifest.json"


def manifest(name: str, parts: Collection[str]) -> Document:
    """What manifest.json says of a backup of the backpack `name` with these parts."""
    return {
        "format": _FORMAT,
        "version": _VERSION,
        "backpack": name,
        "exportedAt": documents.now(),
        "by": __version__,
        "parts": [part for part in PARTS if part in parts],
    }


def check_manifest(data: Any) -> list[str]:
    """The parts that a manifest names; raises Invalid for what this Backpack does not know."""
    if not isinstance(data, dict) or data.get("format") != _FORMAT:
        raise damaged("manifest.json", "this is no backup of a backpack")
    version, parts = data.get("version"), data.get("parts")
    if type(version) is not int or not isinstance(parts, list):
        raise damaged("manifest.json", "has no version or no parts")
    if version > _VERSION:
        why = f"has version {version}, this Backpack knows {_VERSION}: update Backpack"
        raise damaged("manifest.json", why)
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        why = f"has parts that this Backpack does not know: {unknown!r}; update Backpack"
        raise damaged("manifest.json", why)
    return parts


@contextmanager
def told_of(where: str) -> Iterator[None]:
    """Says of what is refused inside where it stands."""
    try:
        yield
    except BadRequest as exc:
        why = "; ".join(f"{name or 'it'} {why}" for name, why in (exc.fields or {}).items())
        raise damaged(where, f"{exc.message}: {why}" if why else exc.message) from exc
