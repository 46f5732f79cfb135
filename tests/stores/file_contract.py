"""What every file store promises, checked on each implementation by a subclass."""

from __future__ import annotations

import asyncio

from backpack.stores.base import FileStore

BYTES = bytes(range(256)) * 4_096  # several blocks


async def read(store: FileStore, content_id: str, start: int = 0, length: int = 0) -> bytes | None:
    """What a reader gets; None when there is nothing."""
    content = await store.open(content_id, start, length or len(BYTES))
    if content is None:
        return None
    try:
        return b"".join([block async for block in content.blocks()])
    finally:
        await content.close()


async def write(store: FileStore, content_id: str, content: bytes = BYTES) -> None:
    """Write new content, which stays in doubt."""
    incoming = store.create(content_id)
    await incoming.write([content[:1_000], content[1_000:]])
    await incoming.finish()
    await incoming.close()


class FileStoreContract:
    """`store` is an empty one."""

    async def test_content_is_read_as_written(self, store: FileStore) -> None:
        await write(store, "a")

        assert await read(store, "a") == BYTES
        assert await read(store, "a", 1_000, 300_000) == BYTES[1_000:301_000]
        assert await read(store, "b") is None

    async def test_content_comes_in_bounded_blocks(self, store: FileStore) -> None:
        await write(store, "a")

        content = await store.open("a", 0, len(BYTES))
        assert content is not None
        blocks = [block async for block in content.blocks()]
        await content.close()

        assert b"".join(blocks) == BYTES
        assert max(map(len, blocks)) <= 524_288

    async def test_empty_content_is_there(self, store: FileStore) -> None:
        incoming = store.create("a")
        await incoming.finish()
        await incoming.close()
        await store.settle(["a"])

        content = await store.open("a", 0, 0)
        assert content is not None
        assert [block async for block in content.blocks()] == []
        await content.close()

    async def test_new_content_is_in_doubt_until_settled(self, store: FileStore) -> None:
        for content_id in ("a", "b"):
            await write(store, content_id)
        assert await store.doubtful() == ["a", "b"]

        await store.settle(["a"], ["b"])

        assert await store.doubtful() == []
        assert (await read(store, "a"), await read(store, "b")) == (BYTES, None)

    async def test_doubted_content_can_be_read(self, store: FileStore) -> None:
        await write(store, "a")
        await store.settle(["a"])

        await store.doubt("a")

        assert (await store.doubtful(), await read(store, "a")) == (["a"], BYTES)
        await store.settle(["a"])
        assert (await store.doubtful(), await read(store, "a")) == ([], BYTES)

    async def test_settled_content_can_be_deleted(self, store: FileStore) -> None:
        await write(store, "a")
        await store.settle(["a"])

        await store.settle(gone=["a"])

        assert (await store.doubtful(), await read(store, "a")) == ([], None)

    async def test_what_is_not_there_does_not_matter(self, store: FileStore) -> None:
        await store.doubt("a")
        await store.settle(["a"], ["b"])

        assert await store.doubtful() == []

    async def test_what_is_being_written_is_not_left_over(self, store: FileStore) -> None:
        incoming = store.create("a")
        await incoming.write([b"some"])
        assert await store.doubtful() == []

        await incoming.close()
        await store.settle(gone=["a"])

        assert (await store.doubtful(), await read(store, "a", 0, 4)) == ([], None)

    async def test_open_content_is_read_to_its_end(self, store: FileStore) -> None:
        await write(store, "a")
        content = await store.open("a", 0, len(BYTES))
        assert content is not None
        blocks = content.blocks()
        got = await anext(blocks)

        await store.settle(gone=["a"])

        got += b"".join([block async for block in blocks])
        await content.close()
        assert got == BYTES

    async def test_moving_content_is_always_found(self, store: FileStore) -> None:
        await write(store, "a", b"some")

        async def move() -> None:
            for _ in range(50):
                await store.settle(["a"])
                await store.doubt("a")

        moving = asyncio.create_task(move())
        while not moving.done():
            assert await read(store, "a", 0, 4) == b"some"
            await asyncio.sleep(0)
        await moving
        store.leave(["a"])

    async def test_contents_do_not_mix(self, store: FileStore) -> None:
        await asyncio.gather(*(write(store, str(n), bytes([n]) * 300_000) for n in range(8)))

        assert [set(await read(store, str(n), 0, 300_000) or b"") for n in range(8)] == [
            {n} for n in range(8)
        ]
