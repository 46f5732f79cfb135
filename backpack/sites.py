"""The frontend of a backpack as files in a folder: which file answers a path. No HTTP here."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote

from .errors import NotFound


def find_file(folder: Path, path: str) -> Path:
    """The file of `folder` that answers the URL path `path`, as it is now.

    A folder answers by its `index.html`, and so does the whole site for a path without a file
    extension that has no file (a route of a single-page app). Raises NotFound. Files and folders
    whose name starts with a dot are not served (`.well-known`, RFC 8615, is).
    """
    parts = [part for part in unquote(path).split("/") if part]
    if not all(_may_serve(part) for part in parts):
        raise NotFound
    wanted = folder.joinpath(*parts)
    for candidate in (wanted, wanted / "index.html"):
        if _is_file(candidate):
            return candidate
    start = folder / "index.html"
    if (parts and "." in parts[-1]) or not _is_file(start):
        raise NotFound(f"There is no file {'/'.join(parts) or 'index.html'}")
    return start


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as exc:  # a name too long for a file, or a folder that may not be read
        raise NotFound from exc


def _may_serve(part: str) -> bool:
    if part == ".well-known":
        return True
    return not part.startswith(".") and "\0" not in part and os.sep not in part and "\\" not in part
