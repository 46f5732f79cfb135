"""The versions of a site on disk. Everything here blocks, and only one call at a time may change
anything.

    contents/HASH      a file's bytes under their SHA-256, and behind them the same compressed,
                       where that pays; the same file of two versions is one
    versions/7.json    which paths have which content, who deployed it and when
    live               which version is served; to replace it is to switch
    incoming/          what is under way, and what a process that died has left

No name of a zip becomes the name of a file.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any, BinaryIO, NamedTuple

import orjson

from .archives import BLOCK, Archive, Entry
from .documents import now
from .errors import Invalid, NotFound, Unavailable
from .packing import is_hidden
from .webfiles import is_packable

_LEVEL = 6  # of zlib: 9 takes three times as long for 1 % less
_FILE = "file"  # in `incoming`, the one that is being unpacked
_PAYS = 0.9  # of its size, or less, a compressed file has


class SiteFile(NamedTuple):
    """A file of a version: its content, and the size of that as it is and compressed."""

    content: str
    size: int
    packed_size: int | None = None


@dataclass(frozen=True)
class Version:
    """A deployed site. `since`: when it was switched to, in seconds since 1970, 0 if it is not
    live."""

    number: int
    at: str
    who: str
    files: dict[str, SiteFile] = field(repr=False)
    since: int = 0

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files.values())


NOTHING = Version(0, "", "", {})  # where nothing has been deployed


class Versions:
    """The versions in `folder`, which is made by the first of them; the folder that it is in must
    be there, and be there still."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._contents = folder / "contents"
        self._versions = folder / "versions"
        self._live = folder / "live"
        self._incoming = folder / "incoming"

    def incoming(self) -> Path:
        """A new path for what is under way."""
        for folder in (self._folder, self._contents, self._versions, self._incoming):
            folder.mkdir(exist_ok=True)
        return self._incoming / secrets.token_hex(8)

    def live(self) -> Version:
        """The version that is served, or NOTHING; raises Unavailable."""
        try:
            pointer = orjson.loads(self._live.read_bytes())
        except FileNotFoundError:
            return NOTHING
        except ValueError as exc:
            raise Unavailable("The site cannot be read; deploy it again") from exc
        try:
            return self._read(pointer["version"], since=pointer["since"])
        except (KeyError, TypeError, ValueError, FileNotFoundError) as exc:
            raise Unavailable("The site cannot be read; deploy it again") from exc

    def _live_version(self) -> tuple[int, int]:
        """The number of the live version and since when it is live; zeros where that cannot be
        read, so that another can be deployed."""
        try:
            pointer = orjson.loads(self._live.read_bytes())
            return int(pointer["version"]), int(pointer["since"])
        except (FileNotFoundError, KeyError, TypeError, ValueError):
            return 0, 0

    def _read(self, number: int, since: int = 0) -> Version:
        stored = orjson.loads((self._versions / f"{number}.json").read_bytes())
        files = {path: SiteFile(*known) for path, known in stored["files"].items()}
        return Version(number, stored["at"], stored["who"], files, since)

    def copy(self, folder: Path) -> None:
        """Make a folder that has all of this one's."""
        shutil.copytree(self._folder, folder)

    def numbers(self) -> list[int]:
        """Those of all versions, the oldest first."""
        if not self._versions.is_dir():
            return []
        return sorted(int(path.stem) for path in self._versions.glob("*.json"))

    def all(self) -> list[Version]:
        """All versions, the oldest first; raises Unavailable."""
        live = self.live()
        return [live if number == live.number else self._read(number) for number in self.numbers()]

    def get(self, number: int) -> Version:
        """A version by its number; raises NotFound."""
        try:
            return self._read(number)
        except FileNotFoundError as exc:
            raise self._no_version(number) from exc

    def before(self) -> int:
        """The number of the newest version before the one that is live; raises NotFound."""
        live, _ = self._live_version()
        older = [number for number in self.numbers() if number < live]
        if not older:
            raise NotFound("There is no version before the one that is live", code="no_version")
        return older[-1]

    def unpack(
        self,
        archive: Archive,
        entries: dict[str, Entry],
        who: str,
        check: Callable[[], None],
    ) -> tuple[int, int]:
        """Make a new version; returns its number and how many files are new in it. `check` is
        called before each file, and may raise. Raises Invalid where the zip is damaged."""
        try:
            files, new = self._keep_all(archive, entries, check)
            number = max([self._live_version()[0], *self.numbers()]) + 1
            # To orjson a tuple that has names is none.
            listed = {path: tuple(file) for path, file in files.items()}
            stored = {"at": now(), "who": who, "files": listed}
            self._write(self._versions / f"{number}.json", stored)
        except BaseException:
            self._remove_unused()
            raise
        finally:
            (self._incoming / _FILE).unlink(missing_ok=True)
        return number, new

    def _keep_all(
        self, archive: Archive, entries: dict[str, Entry], check: Callable[[], None]
    ) -> tuple[dict[str, SiteFile], int]:
        files: dict[str, SiteFile] = {}
        new = 0
        for path, entry in entries.items():
            check()
            files[path], was_there = self._keep(path, archive.content(entry))
            new += not was_there
        return files, new

    def _keep(self, path: str, blocks: Iterator[bytes]) -> tuple[SiteFile, bool]:
        """Keep a content under its hash; tells whether it was there already."""
        incoming = self._incoming / _FILE
        digest, size = hashlib.sha256(), 0
        packs = is_packable(path)
        with incoming.open("w+b") as file:
            for block in blocks:
                digest.update(block)
                size += len(block)
                file.write(block)
            if packs:
                _append_packed(file, size)
        kept = self._contents / digest.hexdigest()
        was_there = kept.exists()
        if not was_there:
            incoming.rename(kept)
        packed_size = kept.stat().st_size - size if packs else 0
        return SiteFile(kept.name, size, packed_size or None), was_there

    def pack(self, version: Version) -> BinaryIO:
        """A version as a zip, in a file that is gone when it is closed."""
        with ExitStack() as stack:
            packed = stack.enter_context(tempfile.TemporaryFile())
            with zipfile.ZipFile(packed, "w") as archive:
                for path, file in version.files.items():
                    with archive.open(path, "w") as entry:
                        _copy(self._contents / file.content, file.size, entry)
            packed.seek(0)
            stack.pop_all()  # it is the caller's from now on
            return packed

    def unpacked(self, version: Version) -> BinaryIO:
        """A version as a tar archive, in a file that is gone when it is closed. Beside each file
        that compressing pays for is `NAME.gz`. All have the time at which the version was made:
        who serves them tells by that, and by the size, whether clients know them."""
        made = int(datetime.fromisoformat(version.at).timestamp())
        with ExitStack() as stack:
            written = stack.enter_context(tempfile.TemporaryFile())
            with tarfile.open(fileobj=written, mode="w", format=tarfile.GNU_FORMAT) as archive:
                for path, file in version.files.items():
                    with (self._contents / file.content).open("rb") as content:
                        _add(archive, path, content, file.size, made)
                        if file.packed_size is not None:
                            content.seek(file.size)
                            _add(archive, f"{path}.gz", content, file.packed_size, made)
            written.seek(0)
            stack.pop_all()  # it is the caller's from now on
            return written

    def withdraw(self) -> None:
        """Serve none from now on; the versions stay."""
        self._live.unlink(missing_ok=True)

    def switch(self, number: int) -> None:
        """Serve a version from now on; raises NotFound."""
        if not (self._versions / f"{number}.json").exists():
            raise self._no_version(number)
        # Two switches in one second are two times to clients that compare them.
        _, before = self._live_version()
        since = max(int(time.time()), before + 1)
        self._write(self._live, {"version": number, "since": since})

    def _no_version(self, number: int) -> NotFound:
        known = ", ".join(map(str, self.numbers())) or "none"
        return NotFound(f"There is no version {number}; there are: {known}", code="no_version")

    def _write(self, path: Path, value: Any) -> None:
        """Write a file in one step: who sees it, sees all of it."""
        beside = self.incoming()
        beside.write_bytes(orjson.dumps(value))
        beside.replace(path)

    def prune(self, keep: int) -> list[int]:
        """Remove all but the newest `keep` versions and the one that is live; returns which."""
        live, _ = self._live_version()
        numbers = self.numbers()
        gone = [number for number in numbers[: max(0, len(numbers) - keep)] if number != live]
        for number in gone:
            (self._versions / f"{number}.json").unlink(missing_ok=True)
        if gone:
            self._remove_unused()
        return gone

    def _remove_unused(self) -> None:
        used = {
            file.content for number in self.numbers() for file in self._read(number).files.values()
        }
        for path in self._contents.iterdir():
            if path.name not in used:
                path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what a process that died has left, as long as nothing is under way."""
        left = list(self._incoming.iterdir()) if self._incoming.is_dir() else []
        if left:
            self._remove_unused()
        # Last: it is by these that one sees that there is something to do.
        for path in left:
            path.unlink(missing_ok=True)

    def place(self, file: SiteFile) -> Path:
        """Where the content of a file is."""
        return self._contents / file.content


def _append_packed(file: BinaryIO, size: int) -> None:
    """Write the content of a file compressed behind it, if that pays."""
    # 16 more stand for the head and the foot of a gzip file.
    deflate = zlib.compressobj(_LEVEL, wbits=zlib.MAX_WBITS + 16)
    file.flush()
    for start in range(0, size, BLOCK):
        block = os.pread(file.fileno(), min(BLOCK, size - start), start)
        file.write(deflate.compress(block))
    file.write(deflate.flush())
    if file.tell() - size > size * _PAYS:
        file.truncate(size)


def _copy(path: Path, size: int, to: IO[bytes]) -> None:
    """Copy the first `size` bytes of a file; raises Unavailable when it is shorter."""
    with path.open("rb") as file:
        while block := file.read(min(size, BLOCK)):
            to.write(block)
            size -= len(block)
    if size:
        raise Unavailable("The site cannot be read; deploy it again")


def _add(archive: tarfile.TarFile, path: str, content: BinaryIO, size: int, at: int) -> None:
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode, entry.mtime = size, 0o644, at
    archive.addfile(entry, content)


def _is_like_index(path: str) -> bool:
    return path.rpartition("/")[2].casefold() in ("index.html", "index.htm")


def choose(entries: Sequence[Entry]) -> dict[str, Entry]:
    """The files of a zip that a site serves, by path: without hidden ones and without a single
    folder that all are in.

    Raises Invalid when there is no start page.
    """
    shown = {
        entry.path: entry
        for entry in entries
        if not any(is_hidden(part) for part in entry.path.split("/"))
    }
    if "index.html" in shown:
        return shown
    tops = {path.partition("/")[0] for path in shown}
    top = next(iter(tops), "")
    if len(tops) != 1 or f"{top}/index.html" not in shown:
        like = next((path for path in sorted(shown, key=len) if _is_like_index(path)), None)
        found = f"; there is {like!r}" if like else ""
        raise Invalid(
            "There is no index.html, neither at the root of the zip nor in a single folder that "
            f"all is in{found}",
            code="bad_site",
        )
    return {path.removeprefix(f"{top}/"): entry for path, entry in shown.items()}
