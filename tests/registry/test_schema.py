"""The registry's file: made, upgraded, refused, and there again after a kill."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from backpack.errors import Invalid, Unavailable
from backpack.registry import Registry
from backpack.registry.schema import MIGRATIONS, migrate
from tests.registry.conftest import PASSWORD, SETTINGS
from tests.sandboxes import environment


def tables(path: Path) -> dict[str, str]:
    """The definitions of a file's tables and indexes by name."""
    with closing(sqlite3.connect(path)) as connection:
        return dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE sql NOT NULL"))


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
async def test_old_file_is_upgraded(tmp_path: Path, version: int) -> None:
    old, new = tmp_path / "old.sqlite3", tmp_path / "new.sqlite3"
    with closing(sqlite3.connect(old, isolation_level=None)) as connection:
        migrate(connection, MIGRATIONS[:version])
        connection.execute(
            "INSERT INTO developers (id, email, role, created_at) "
            "VALUES ('d1', 'ann@example.com', 'operator', '2026-01-31T08:09:10.123Z')"
        )
    await (await Registry.open(new, SETTINGS)).close()

    registry = await Registry.open(old, SETTINGS)
    (ann,) = await registry.developers.list()
    await registry.backpacks.add("shop", ann)
    await registry.audit.note(ann, "backpack.create", "shop")
    await registry.close()

    assert ann.email == "ann@example.com"
    assert tables(old) == tables(new)


async def test_broken_off_upgrade_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "registry.sqlite3"

    def broken(_db: object) -> None:
        raise KeyboardInterrupt

    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        with pytest.raises(KeyboardInterrupt):
            migrate(connection, (*MIGRATIONS[:2], broken))
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)

    registry = await Registry.open(path, SETTINGS)
    assert await registry.developers.list() == []
    await registry.close()


async def test_newer_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "registry.sqlite3"
    await (await Registry.open(path, SETTINGS)).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")

    with pytest.raises(Invalid) as refused:
        await Registry.open(path, SETTINGS)
    assert "newer Backpack" in refused.value.message


async def test_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "registry.sqlite3"
    path.write_bytes(b"this is no database" * 1_000)

    with pytest.raises(Unavailable) as refused:
        await Registry.open(path, SETTINGS)
    assert refused.value.code == "damaged"


async def test_file_is_its_owner_s_only(tmp_path: Path) -> None:
    path = tmp_path / "registry.sqlite3"
    registry = await Registry.open(path, SETTINGS)
    await registry.developers.sandbox_operator()
    modes = {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    await registry.close()

    assert modes == {0o600}


async def test_secrets_are_not_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "registry.sqlite3"
    registry = await Registry.open(path, SETTINGS)
    ann = await registry.developers.set_up("ann@example.com", PASSWORD)
    given = [
        PASSWORD,
        await registry.sessions.create(ann),
        await registry.links.create(ann),
        await registry.invitations.create("developer", ann),
        (await registry.tokens.create("shop", "CI", "deploy", 1, ann))[0].removeprefix("bkpk_"),
    ]
    await registry.close()

    content = path.read_bytes()
    assert [secret for secret in given if secret.encode() in content] == []


KILLED = """
import asyncio, sys
from pathlib import Path
from backpack.registry import Registry
from backpack.settings import Settings

async def run():
    registry = await Registry.open(Path(sys.argv[1]), Settings(cheap_passwords=True))
    ann = await registry.developers.sandbox_operator()
    for number in range(100_000):
        await registry.audit.note(ann, "backpack.create", f"b{number}")
        print(number, flush=True)

asyncio.run(run())
"""


async def test_answered_change_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "registry.sqlite3"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, path], stdout=subprocess.PIPE, env=environment(), text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) == 200:
            os.kill(process.pid, signal.SIGKILL)
            break
    noted = 200 + len(process.communicate()[0].splitlines())

    registry = await Registry.open(path, SETTINGS)
    (ann,) = await registry.developers.list()
    entries = await registry.audit.visible(ann, limit=100_000)
    await registry.close()
    assert noted + 1 <= len(entries) <= noted + 2
    assert entries[-1].backpack == "b0"
