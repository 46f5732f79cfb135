"""How a site gets into a backup on its way, and out of one."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from backpack.drivers.swarm_backups import with_site, with_site_aside
from backpack.errors import Invalid
from tests.backups import Entries, blocks, good, packed, sealed, unpacked, zipped

SITE = zipped({"index.html": b"<h1>shop</h1>"})


async def joined(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


def read(entries: Entries) -> dict[str, Any]:
    """The entries, of which the end is JSON that may be laid out otherwise."""
    return {**entries, "end.json": json.loads(entries["end.json"])}


async def test_site_goes_in_before_the_end() -> None:
    entries = {name: content for name, content in good().items() if name != "site.zip"}

    made = await joined(with_site(blocks(packed(sealed(entries))), io.BytesIO(SITE)))

    assert read(unpacked(made)) == read(sealed({**entries, "site.zip": SITE}))


async def test_without_a_site_a_backup_stays_as_it_is() -> None:
    entries = {name: content for name, content in good().items() if name != "site.zip"}
    backup = packed(sealed(entries))

    made = await joined(with_site(blocks(backup), None))

    assert read(unpacked(made)) == read(sealed(entries))


async def test_site_comes_out_and_stays_in() -> None:
    entries = sealed({**good(), "site.zip": SITE})
    taken = io.BytesIO()

    passed = await joined(with_site_aside(blocks(packed(entries)), taken))

    assert read(unpacked(passed)) == read(entries)
    assert taken.getvalue() == SITE


async def test_wrong_seal_stays_wrong() -> None:
    entries = {**sealed(good()), "users/000001.ndjson": b""}
    made = unpacked(await joined(with_site_aside(blocks(packed(entries)), io.BytesIO())))

    assert made["end.json"] == entries["end.json"]


async def test_broken_backup_is_refused() -> None:
    backup = packed(sealed(good()))

    with pytest.raises(Invalid, match="ends in the middle"):
        await joined(with_site_aside(blocks(backup[: len(backup) // 2]), io.BytesIO()))
