"""Backups for tests: made and read by the standard library, not by what is tested."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import AsyncIterator, Mapping
from typing import Any

from backpack.drivers.local import LocalDriver
from backpack.steps import finish
from backpack.testing import BackpackServer, TestBackpack

AT = "2026-01-31T08:09:10.123Z"
USER = "0" * 23 + "1"
HASH = (
    "$argon2id$v=19$m=8,t=1,p=1$kOP4sxE/uNwLkDFpGVDVQA$Bcn2dyX0sMLcdGuuPHkKWcwZiLZI4GdB44lQk/ysmdU"
)
MANIFEST = {"format": "backpack", "version": 1, "backpack": "shop", "exportedAt": AT}
PARTS = ["rules", "key", "indexes", "users", "collections", "files", "site"]

Entries = dict[str, bytes]


def record(number: int, **fields: Any) -> dict[str, Any]:
    return {"_id": f"{number:024x}", **fields, "createdAt": AT, "updatedAt": AT}


def account(email: str = "ada@example.org", **fields: Any) -> dict[str, Any]:
    stored = {"_id": email, "id": USER, "password": HASH, "createdAt": AT, "updatedAt": AT}
    return {**stored, **fields}


def metadata(content: bytes, **fields: Any) -> dict[str, Any]:
    stored: dict[str, Any] = {
        "_id": f"{9:024x}",
        "userId": USER,
        "filename": "a.png",
        "bucket": "b",
    }
    stored |= {"size": len(content), "type": "image/png", "createdAt": AT, "updatedAt": AT}
    return {**stored, **fields}


def line(value: Any) -> bytes:
    return json.dumps(value).encode() + b"\n"


def good() -> Entries:
    """The entries of a small backup, without its end."""
    return {
        "manifest.json": line({**MANIFEST, "parts": PARTS}),
        "rules.json": line({"cars": {"list": "public", "read": "public"}}),
        "users/000001.ndjson": line(account()),
        "collections/cars/000001.ndjson": line(record(1, n=1)) + line(record(2, n=2)),
        "collections/empty/000001.ndjson": b"",
        **of_file(1, b"content"),
    }


def of_file(number: int, content: bytes, **fields: Any) -> Entries:
    folder = f"files/{number:06}"
    return {
        f"{folder}/file.json": line(metadata(content, **fields)),
        f"{folder}/content": content,
        f"{folder}/sha256": f"{hashlib.sha256(content).hexdigest()}  content\n".encode(),
    }


def sealed(entries: Entries, **counts: int) -> Entries:
    """The entries with an end behind them, as far as they are those of `good`."""
    lines = [
        f"{hashlib.sha256(content).hexdigest()} {len(content)} {name}\n"
        for name, content in entries.items()
    ]
    seal = hashlib.sha256("".join(lines).encode()).hexdigest()
    counted = {"users": 1, "collections": 2, "documents": 2, "files": 1, "bytes": 7, **counts}
    return {**entries, "end.json": line({**counted, "seal": seal})}


def packed(entries: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in entries.items():
            described = tarfile.TarInfo(name)
            described.size = len(content)
            archive.addfile(described, io.BytesIO(content))
    return packed.getvalue()


def zipped(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def unpacked(archive: bytes) -> Entries:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as opened:
        entries = {}
        for entry in opened:
            content = opened.extractfile(entry)
            assert content is not None
            entries[entry.name] = content.read()
        return entries


async def blocks(archive: bytes, size: int = 10_000) -> AsyncIterator[bytes]:
    for at in range(0, len(archive), size):
        yield archive[at : at + size]


def export(backpack: TestBackpack, *, with_key: bool = False) -> bytes:
    tenants = backpack._server._tenants
    assert tenants is not None

    async def collect() -> bytes:
        steps = LocalDriver(tenants).export_backup(backpack.name, with_key)
        return b"".join([step async for step in steps if isinstance(step, bytes)])

    return backpack._server.call(collect())


def import_backup(
    server: BackpackServer, name: str, archive: AsyncIterator[bytes], *, replace: bool = False
) -> TestBackpack:
    """Make a backpack of a backup, as the command does."""
    tenants = server._tenants
    assert tenants is not None

    async def perform() -> TestBackpack:
        driver = LocalDriver(tenants)
        await finish(driver.import_backup(name, archive, replace))
        return TestBackpack(server, await tenants.backpack(name))

    return server.call(perform())
