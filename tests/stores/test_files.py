"""The contract of file stores on a folder and on memory, and what only a folder has."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from backpack.errors import Unavailable
from backpack.stores.base import FileStore, Incoming
from backpack.stores.file_folder import FileFolder
from backpack.stores.file_memory import FileMemory
from tests.stores.file_contract import BYTES, FileStoreContract, read, write


class TestFileFolder(FileStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> FileStore:
        return FileFolder(tmp_path / "files")


class TestFileMemory(FileStoreContract):
    @pytest.fixture
    def store(self) -> FileStore:
        return FileMemory()


async def test_folder_is_shared_by_stores(tmp_path: Path) -> None:
    one, other = FileFolder(tmp_path), FileFolder(tmp_path)
    incoming = one.create("a")
    await incoming.write([BYTES])

    assert (await other.doubtful(), await read(other, "a")) == ([], BYTES)
    await incoming.close()
    assert await other.doubtful() == ["a"]


async def test_content_is_never_seen_before_it_is_locked(tmp_path: Path) -> None:
    one, other = FileFolder(tmp_path), FileFolder(tmp_path)
    begun = [one.create(str(number)) for number in range(500)]
    writing = asyncio.create_task(_write_each(begun))
    seen: list[str] = []
    while not writing.done():
        seen += await other.doubtful()
    await writing
    for incoming in begun:
        await incoming.close()

    assert seen == []


async def _write_each(begun: Sequence[Incoming]) -> None:
    for incoming in begun:
        await incoming.write([b"some"])


async def test_what_is_in_doubt_in_one_store_is_left_by_another(tmp_path: Path) -> None:
    one, other = FileFolder(tmp_path), FileFolder(tmp_path)
    await write(one, "a")
    await one.settle(["a"])

    await one.doubt("a")
    assert (await one.doubtful(), await other.doubtful()) == (["a"], [])
    one.leave(["a"])

    assert await other.doubtful() == ["a"]


async def test_cancelled_writer_has_written_when_it_ends(tmp_path: Path) -> None:
    store = FileFolder(tmp_path)
    incoming = store.create("a")
    writing = asyncio.create_task(incoming.write([BYTES] * 8))
    await asyncio.sleep(0)

    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing

    assert (tmp_path / "doubtful/a").stat().st_size == 8 * len(BYTES)
    await incoming.close()


async def test_cancelled_reader_leaves_nothing_open(tmp_path: Path) -> None:
    store = FileFolder(tmp_path)
    await write(store, "a")
    before = len(os.listdir("/proc/self/fd"))

    opening = asyncio.create_task(store.open("a", 0, 10))
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening

    assert len(os.listdir("/proc/self/fd")) == before


async def test_shortened_file_is_not_answered_as_whole(tmp_path: Path) -> None:
    store = FileFolder(tmp_path)
    await write(store, "a", BYTES[:400_000])

    with pytest.raises(Unavailable):
        await read(store, "a")


async def test_unusable_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "doubtful").write_bytes(b"a file is in the way")

    with pytest.raises(Unavailable):
        await write(FileFolder(tmp_path), "a")
