"""The frontend of a backpack: which file answers a path, in a folder as it is now or in the version
that was deployed last. No HTTP here."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

from .archives import Archive, Limits
from .errors import BackpackError, NotFound, TooLarge, Unavailable
from .filenames import compose
from .files import Content
from .settings import Settings
from .shelf import Shelf
from .steps import Result, Steps, counted
from .stores.file_folder import in_thread, open_content
from .versions import SiteFile, Version, Versions, choose

MAX_WHOLE = 524_288  # bytes of a file that is kept in memory

_BYTES_A_FILE = 500  # that a version takes in memory, by the number of its files

logger = logging.getLogger("backpack")


class Site:
    """The deployed versions of one backpack's frontend, in `folder`.

    `shelf` is shared by the sites of a process: what they keep in memory.
    """

    def __init__(self, folder: Path, settings: Settings, shelf: Shelf) -> None:
        self._versions = Versions(folder)
        self._limits = limits(settings)
        self._kept = settings.site_versions
        self._shelf = shelf
        self._reading = asyncio.Lock()
        self._changing = asyncio.Lock()
        self._is_swept = False
        self._closed = False

    async def live(self) -> Version:
        """The version that is served, or NOTHING; raises Unavailable."""
        found: Version | None = self._shelf.get(self)
        return found or await self._load()

    async def _load(self) -> Version:
        async with self._reading:
            found: Version | None = self._shelf.get(self)
            if found is None:
                await self._sweep()
                found = await in_thread(self._versions.live)
                self._shelf.put(self, found, _BYTES_A_FILE * (1 + len(found.files)))
            return found

    async def _sweep(self) -> None:
        if self._is_swept:
            return
        self._is_swept = True  # what comes in from now on is not left over
        try:
            await in_thread(self._versions.sweep)
        except BackpackError as exc:
            logger.warning("Left-overs of deployments were not swept: %s", exc)

    async def whole(self, file: SiteFile, *, packed: bool) -> bytes | None:
        """The content of a file that has no more than MAX_WHOLE bytes; None when its version is
        gone."""
        key = (file.content, packed)
        known: bytes | None = self._shelf.get(key)
        if known is not None:
            return known
        length = file.packed_size or 0 if packed else file.size
        content = await self.part(file, 0, length, packed=packed)
        if content is None:
            return None
        try:
            found = b"".join([block async for block in content.blocks()])
        finally:
            await content.close()
        self._shelf.put(key, found, len(found) + _BYTES_A_FILE)
        return found

    async def part(
        self, file: SiteFile, start: int, length: int, *, packed: bool
    ) -> Content | None:
        """A part of a file's content; None when its version is gone."""
        # What is compressed stands behind what is not.
        at = file.size + start if packed else start
        return await open_content([self._versions.place(file)], at, length)

    async def deploy(self, content: AsyncIterator[bytes], who: str) -> Steps:
        """Make the zip that comes as `content` the site; the result is its Version.

        One deployment at a time; until the switch, and after any failure, the version before is
        served. Raises Invalid, TooLarge, NoSpace, Unavailable.
        """
        await self._sweep()
        incoming = await in_thread(self._versions.incoming)
        try:
            size = await self._receive(content, incoming)
            yield f"Received {_readable(size)}"
            if self._changing.locked():
                yield "Another deployment is under way: waiting for its end"
            async with self._changing:
                async for step in self._change(incoming, who):
                    yield step
        finally:
            await in_thread(_remove, incoming)

    async def _receive(self, content: AsyncIterator[bytes], incoming: Path) -> int:
        limit = self._limits.size
        size = 0
        opened: list[BinaryIO] = []
        try:
            # Also where it is broken off just then.
            await in_thread(lambda: opened.append(incoming.open("wb")))
            (file,) = opened
            async for block in content:
                size += len(block)
                if size > limit:
                    raise TooLarge(f"The zip has more than {limit:,} bytes", code="bad_site")
                await in_thread(file.write, block)
        finally:
            for file in opened:
                await in_thread(file.close)
        return size

    async def _change(self, incoming: Path, who: str) -> Steps:
        self._check_open()
        file = await in_thread(os.open, incoming, os.O_RDONLY | os.O_CLOEXEC)
        try:
            archive = Archive(file, self._limits)
            entries = choose(await in_thread(archive.entries))
            size = sum(entry.size for entry in entries.values())
            yield f"Checked {counted(len(entries), 'file')}, {_readable(size)}"
            number, new = await in_thread(
                self._versions.unpack, archive, entries, who, self._check_open
            )
            yield f"Unpacked version {number}: {counted(new, 'file is', 'files are')} new"
        finally:
            os.close(file)
        version = await self._switch(number)
        yield f"Version {number} is live"
        gone = await in_thread(self._versions.prune, self._kept)
        if gone:
            yield f"Removed version {', '.join(map(str, gone))}"
        yield Result(version)

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("The backpack is being closed")

    async def _switch(self, number: int) -> Version:
        # Who reads meanwhile must not take what was live before for what is.
        async with self._reading:
            await in_thread(self._versions.switch, number)
            self._shelf.drop(self)
        return await self.live()

    async def rollback(self, number: int | None = None) -> Version:
        """Serve an older version again, or any; None is the one before the one that is live.

        Raises NotFound.
        """
        await self._sweep()
        async with self._changing:
            self._check_open()
            if number is None:
                number = await in_thread(self._versions.before)
            return await self._switch(number)

    async def withdraw(self) -> None:
        """Serve nothing from now on, as if nothing had been deployed."""
        async with self._changing, self._reading:
            await in_thread(self._versions.withdraw)
            self._shelf.drop(self)

    async def packed(self) -> BinaryIO | None:
        """The live version as a zip, to be closed; None where nothing was deployed."""
        version = await self.live()
        return await in_thread(self._versions.pack, version) if version.files else None

    async def copy(self, folder: Path) -> None:
        """Have all versions in another folder too, which is not there; raises NoSpace,
        Unavailable."""
        async with self._changing:
            await in_thread(self._versions.copy, folder)

    async def unpacked(self, number: int) -> BinaryIO:
        """A version as a tar archive, to be closed; raises NotFound."""
        version = await in_thread(self._versions.get, number)
        return await in_thread(self._versions.unpacked, version)

    async def versions(self) -> list[Version]:
        """All versions that are kept, the oldest first."""
        await self._sweep()
        async with self._changing:
            return await in_thread(self._versions.all)

    async def close(self) -> None:
        """End the deployments under way; what they had not switched to, is gone."""
        self._closed = True
        async with self._changing:
            self._shelf.drop(self)


def limits(settings: Settings) -> Limits:
    """How large the zip of a site may be."""
    return Limits(settings.max_site, settings.max_site_files, settings.max_site_ratio)


def _remove(path: Path) -> None:
    # What cannot be removed now, is swept at the next start.
    try:
        path.unlink(missing_ok=True)
    except OSError as exc:
        logger.warning("A left-over of a deployment was not removed: %s", exc)


def _readable(size: int) -> str:
    return f"{size / 1_000_000:,.1f} MB" if size >= 100_000 else f"{size:,} bytes"


def find_in(version: Version, path: str) -> tuple[str, int]:
    """The file of a version that answers the URL path `path`, and with which status.

    It is the one that `find_file` finds; but a site with a `404.html` has no routes of its own, and
    answers by that what it does not have. Raises NotFound.
    """
    parts = _parts(path)
    wanted = compose("/".join(parts))
    for candidate in (wanted, f"{wanted}/index.html" if wanted else "index.html"):
        if candidate in version.files:
            return candidate, 200
    if "404.html" in version.files:
        return "404.html", 404
    if parts and "." in parts[-1]:
        raise _no_file(parts)
    return "index.html", 200


def find_file(folder: Path, path: str) -> Path:
    """The file of `folder` that answers the URL path `path`, as it is now.

    A folder answers by its `index.html`, and so does the whole site for a path without a file
    extension that has no file (a route of a single-page app). Raises NotFound. Files and folders
    whose name starts with a dot are not served (`.well-known`, RFC 8615, is).
    """
    parts = _parts(path)
    wanted = folder.joinpath(*parts)
    for candidate in (wanted, wanted / "index.html"):
        if _is_file(candidate):
            return candidate
    start = folder / "index.html"
    if (parts and "." in parts[-1]) or not _is_file(start):
        raise _no_file(parts)
    return start


def _parts(path: str) -> list[str]:
    parts = [part for part in unquote(path).split("/") if part]
    if not all(_may_serve(part) for part in parts):
        raise NotFound
    return parts


def _no_file(parts: list[str]) -> NotFound:
    return NotFound(f"There is no file {'/'.join(parts) or 'index.html'}")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as exc:  # a name too long for a file, or a folder that may not be read
        raise NotFound from exc


def _may_serve(part: str) -> bool:
    if part == ".well-known":
        return True
    return not part.startswith(".") and "\0" not in part and os.sep not in part and "\\" not in part
