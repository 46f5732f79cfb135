"""Files of users when a change breaks off in the middle: nothing is lost, nothing is left."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from backpack.documents import Document
from backpack.errors import BackpackError, NoSpace, Unavailable
from backpack.files import Files
from backpack.rules import NO_RULES
from backpack.settings import Settings
from backpack.stores.base import Changed
from backpack.stores.durable import DurableStore
from backpack.stores.file_folder import FileFolder

USER = "0" * 24


class BreakingStore(DurableStore):
    """Fails at its nth write from now on, before or after it is made; before and after each other
    write `meanwhile` is done."""

    meanwhile: Callable[[], Awaitable[None]] | None = None
    failure: BackpackError | None = None
    writes_before = 0
    is_made = False

    def break_at(self, write: int, failure: BackpackError, *, made: bool) -> None:
        self.failure, self.writes_before, self.is_made = failure, write, made

    async def _maybe_breaking(self, write: Callable[[], Any]) -> Any:
        if self.failure is None or self.writes_before:
            self.writes_before -= 1
            if (meanwhile := self.meanwhile) is None:
                return await write()
            self.meanwhile = None
            await meanwhile()
            written = await write()
            await meanwhile()
            self.meanwhile = meanwhile
            return written
        failure, self.failure = self.failure, None
        if self.is_made:
            await write()
        raise failure

    async def insert(self, collection: str, documents: Sequence[Document]) -> list[bytes]:
        whole = super().insert
        return list(await self._maybe_breaking(lambda: whole(collection, documents)))

    async def change(
        self, collection: str, record_id: str, edit: Callable[[Document], Document | None]
    ) -> Changed | None:
        whole = super().change
        changed: Changed | None = await self._maybe_breaking(
            lambda: whole(collection, record_id, edit)
        )
        return changed


@pytest.fixture
async def store() -> AsyncIterator[BreakingStore]:
    opened = BreakingStore(None)
    await opened.open()
    yield opened
    await opened.close()


def files_of(store: BreakingStore, folder: Path) -> Files:
    return Files(store, FileFolder(folder), Settings(), NO_RULES)


async def put(files: Files, filename: str, content: bytes, *, replaced: bool = False) -> None:
    async with files.arriving(USER, filename if replaced else None) as arrival:
        arrival.begin("text/plain")
        await arrival.write([content])
        if replaced:
            await files.replace(filename, arrival)
        else:
            await files.create(filename, "", arrival)


async def contents(files: Files) -> dict[str, bytes]:
    """The content of every file of the user, by name."""
    found = {}
    for metadata in await files.list_of(USER, USER):
        file = await files.find(USER, metadata["filename"], USER)
        content = await files.open(file, 0, metadata["size"])
        assert content is not None
        found[metadata["filename"]] = b"".join([block async for block in content.blocks()])
        await content.close()
    return found


def stored(folder: Path) -> tuple[int, int]:
    """How many contents are kept, and how many in doubt."""
    return tuple(  # type: ignore[return-value]
        len(list(place.iterdir())) if place.exists() else 0
        for place in (folder / "kept", folder / "doubtful")
    )


CHANGES: dict[str, Callable[[Files], Any]] = {
    "create": lambda files: put(files, "new", b"new"),
    "replace": lambda files: put(files, "old", b"newer", replaced=True),
    "rename": lambda files: files.update(USER, "old", {"filename": "moved"}),
    "delete": lambda files: files.delete(USER, "old"),
}
OLD = {"old": b"old"}
NEW: dict[str, dict[str, bytes]] = {
    "create": {"old": b"old", "new": b"new"},
    "replace": {"old": b"newer"},
    "rename": {"moved": b"old"},
    "delete": {},
}
BREAKS = [(change, 0, made) for change in CHANGES for made in (False, True)]
BREAKS += [("rename", 1, made) for made in (False, True)]


@pytest.mark.parametrize(("change", "write", "made"), BREAKS)
@pytest.mark.parametrize("failure", [Unavailable, NoSpace])
@pytest.mark.parametrize("healed_by", ["start", "next change"])
async def test_change_that_breaks_off_is_made_or_not(
    store: BreakingStore,
    tmp_path: Path,
    change: str,
    write: int,
    made: bool,
    failure: type[BackpackError],
    healed_by: str,
) -> None:
    files = files_of(store, tmp_path)
    await put(files, "old", b"old")
    store.break_at(write, failure(), made=made)

    with pytest.raises(failure):
        await CHANGES[change](files)
    if healed_by == "start":
        files = files_of(store, tmp_path)
        await files.sweep()
    else:
        await put(files, "another", b"another")
        await files.delete(USER, "another")

    is_new = made or write == 1
    assert await contents(files) == (NEW[change] if is_new else OLD)
    assert stored(tmp_path) == (len(NEW[change] if is_new else OLD), 0)


async def test_breaks_leave_room(store: BreakingStore, tmp_path: Path) -> None:
    files = Files(store, FileFolder(tmp_path), Settings(max_user_bytes=10), NO_RULES)
    for made in (False, True):
        store.break_at(0, Unavailable(), made=made)
        with pytest.raises(Unavailable):
            await put(files, "a", b"12345")

    await put(files, "b", b"12345")

    assert await contents(files) == {"a": b"12345", "b": b"12345"}


async def test_sweep_leaves_what_is_arriving(store: BreakingStore, tmp_path: Path) -> None:
    files = files_of(store, tmp_path)

    async with files.arriving(USER) as arrival:
        arrival.begin("")
        await arrival.write([b"some"])
        await files_of(store, tmp_path).sweep()
        await files.create("a", "", arrival)

    assert await contents(files) == {"a": b"some"}


@pytest.mark.parametrize("change", CHANGES)
async def test_sweep_leaves_what_another_process_changes(
    store: BreakingStore, tmp_path: Path, change: str
) -> None:
    files = files_of(store, tmp_path)
    await put(files, "old", b"old")
    store.meanwhile = files_of(store, tmp_path).sweep

    await CHANGES[change](files)

    assert await contents(files) == NEW[change]
    assert stored(tmp_path) == (len(NEW[change]), 0)


async def test_failing_sweep_does_not_stop_a_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = BreakingStore(None)
    await store.open()
    (tmp_path / "doubtful").mkdir()
    (tmp_path / "doubtful/a").mkdir()

    await files_of(store, tmp_path).sweep()

    assert "were not swept" in caplog.text
    await store.close()


async def test_lost_content_is_not_found_but_logged(
    store: BreakingStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = files_of(store, tmp_path)
    await put(files, "a", b"some")
    (content,) = (tmp_path / "kept").iterdir()
    content.unlink()
    file = await files.find(USER, "a", USER)

    with pytest.raises(BackpackError, match="does not exist"):
        await files.open(file, 0, 4)

    assert "is missing" in caplog.text
