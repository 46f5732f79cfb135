"""A folder as a zip, so that a site comes in one piece whatever it was made from."""

from __future__ import annotations

import os
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from .archives import Limits, check_path
from .errors import Invalid, TooLarge


def open_site(source: Path, limits: Limits, *, compression: int = zipfile.ZIP_STORED) -> BinaryIO:
    """The zip `source`, or one that is made of the folder `source`, not compressed where it goes no
    further than to a process on this machine; raises Invalid, TooLarge."""
    try:
        if source.is_dir():
            return _pack(source, limits, compression)
        if not source.is_file():
            raise Invalid(f"There is no folder and no zip {source}")
        return source.open("rb")
    except OSError as exc:
        raise Invalid(f"Cannot read {exc.filename or source}: {exc.strerror}") from exc


def _pack(folder: Path, limits: Limits, compression: int) -> BinaryIO:
    if not (folder / "index.html").is_file():
        raise Invalid(f"There is no index.html in {folder}", code="bad_site")
    with ExitStack() as stack:
        packed = stack.enter_context(tempfile.TemporaryFile())
        with zipfile.ZipFile(packed, "w", compression, strict_timestamps=False) as archive:
            _write(archive, folder, limits)
        packed.seek(0)
        stack.pop_all()  # it is the caller's from now on
        return packed


def _write(archive: zipfile.ZipFile, folder: Path, limits: Limits) -> None:
    size = 0
    for count, path in enumerate(_files(folder), 1):
        name = path.relative_to(folder).as_posix()
        check_path(name)
        size += path.stat().st_size
        if count > limits.count or size > limits.size:
            raise TooLarge(
                f"There are more than {limits.count:,} files, or {limits.size:,} bytes, "
                f"in {folder}",
                code="bad_site",
            )
        archive.write(path, name)


def _files(folder: Path) -> Iterator[Path]:
    """The files below `folder` that a site serves, in order of their names.

    Raises Invalid for what is none: what a link outside leads to is not the site's.
    """
    root = folder.resolve()
    waiting = [folder]
    while waiting:
        for path in sorted(waiting.pop().iterdir(), reverse=True):
            if is_hidden(path.name):
                continue
            kind = path.lstat().st_mode
            if stat.S_ISDIR(kind):
                waiting.append(path)
            elif _is_own_file(path, root):
                yield path
            else:
                raise Invalid(
                    f"{path} is no file, and no link to a file in {folder}", code="bad_site"
                )


def _is_own_file(path: Path, root: Path) -> bool:
    target = path.resolve()
    return target.is_relative_to(root) and stat.S_ISREG(os.stat(target).st_mode)


def is_hidden(name: str) -> bool:
    """Whether a file or folder of that name is not served: it starts with a dot, but is not
    `.well-known` (RFC 8615), or macOS has put it into a zip for itself."""
    return (name.startswith(".") and name != ".well-known") or name == "__MACOSX"
