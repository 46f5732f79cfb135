"""`export` and `import`: on a folder that nobody has open, on a running sandbox, and on servers."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pymongo
import pytest

from backpack import folder
from backpack.documents import REVISION, Document
from tests.backups import good, line, of_file, packed, record, sealed, unpacked
from tests.sandboxes import Ended, Sandbox, command, environment
from tests.servings import ACCOUNT, VARIABLES, Serving

Run = Callable[..., Ended]

_PATIENCE = 60.0  # seconds
_KEY = "shop-key-1"

# Runs a command and tells, in place of what it prints, how much memory its process had at most.
_MEASURED = """
import contextlib, io, resource, sys
from backpack.cli import main
with contextlib.redirect_stdout(io.StringIO()):
    code = main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(code)
"""


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """The file of a small backup."""
    file = tmp_path / "good.tar"
    file.write_bytes(packed(sealed(good())))
    return file


def perform(
    cwd: Path, *arguments: str | Path, stdin: bytes = b"", variables: Mapping[str, str] = {}
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command(*arguments),
        cwd=cwd,
        env={**environment(), **variables},
        input=stdin,
        capture_output=True,
        timeout=_PATIENCE,
        check=False,
    )


@pytest.fixture(params=["folder", "sandbox"])
def run(request: pytest.FixtureRequest, tmp_path: Path, backup: Path) -> Iterator[Run]:
    """Runs a command on a data folder with the backpack `shop`, which has been imported."""

    def run(*arguments: str | Path, stdin: bytes = b"") -> Ended:
        ended = perform(tmp_path, *arguments, stdin=stdin)
        return Ended(ended.returncode, ended.stdout.decode(errors="replace"), ended.stderr.decode())

    if request.param == "sandbox":
        with Sandbox(tmp_path, "--backpack", "other"):
            assert run("import", backup, "shop").code == 0
            yield run
    else:
        assert run("import", backup, "shop").code == 0
        yield run


def test_import_makes_a_backpack(run: Run, backup: Path) -> None:
    imported = run("import", backup, "again")
    found = json.loads(run("import", backup, "more", "--json").out)
    listed = {one["name"]: one["api_key"] for one in json.loads(run("list", "--json").out)}

    said, made = imported.out.splitlines()
    assert said == "Imported 1 user, 2 collections, 2 records and 1 file (0.0 MB)"
    assert made == f"again has been imported; its API key is {listed['again']}"
    assert {"again", "more", "shop"} <= set(listed)
    assert found | {"users": 1, "collections": 2, "documents": 2, "files": 1, "bytes": 7} == found
    assert found["api_key"] == listed["more"]


def test_export_writes_a_private_file(run: Run, tmp_path: Path) -> None:
    exported = run("export", "shop")
    file = tmp_path / "shop.tar"

    assert exported.out.splitlines() == [
        "Exported 1 user, 2 collections, 2 records and 1 file (0.0 MB)",
        "shop is in shop.tar",
    ]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.glob("*shop*")) == ["shop.tar"]
    lines = unpacked(file.read_bytes())["collections/cars/000001.ndjson"].splitlines()
    assert [json.loads(one) for one in lines] == [record(1, n=1), record(2, n=2)]


def test_export_describes_itself_as_json(run: Run, tmp_path: Path) -> None:
    assert json.loads(run("export", "shop", "x.tar", "--json").out) == {
        "name": "shop",
        "users": 1,
        "collections": 2,
        "documents": 2,
        "files": 1,
        "bytes": 7,
        "file": "x.tar",
    }


def test_pipes_do_as_files(run: Run, tmp_path: Path) -> None:
    piped = perform(tmp_path, "export", "shop", "-")
    imported = run("import", "-", "piped", stdin=piped.stdout)

    assert unpacked(piped.stdout).keys() == unpacked(
        (tmp_path / "good.tar").read_bytes()
    ).keys() | {"indexes.json"}
    assert piped.stderr.startswith(b"Exported 1 user")
    assert imported.code == 0


def test_export_with_key(run: Run, tmp_path: Path) -> None:
    run("create", "keyed", "--api-key", _KEY)
    run("export", "keyed", "keyed.tar", "--with-key")
    run("import", "keyed.tar", "same")

    assert run("key", "same").out == f"{_KEY}\n"


def test_replace_keeps_the_key(run: Run, backup: Path) -> None:
    run("create", "old", "--api-key", _KEY)
    refused = run("import", backup, "old")
    replaced = run("import", backup, "old", "--replace")

    assert refused == Ended(2, "", "backpack: There is a backpack 'old' already\n")
    assert replaced.code == 0
    assert run("key", "old").out == f"{_KEY}\n"
    assert json.loads(run("rules", "old").out) == {"cars": {"list": "public", "read": "public"}}


def test_bad_backups_are_told_of(run: Run, tmp_path: Path) -> None:
    entries = {**good(), "collections/cars/000001.ndjson": line(record(1)) + b"?\n"}
    (tmp_path / "bad.tar").write_bytes(packed(sealed(entries)))

    ended = run("import", "bad.tar", "bad")

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("backpack: collections/cars/000001.ndjson, line 2: Not valid JSON")
    assert "bad" not in run("list").out
    assert len(list((tmp_path / ".backpack/backpacks").glob(".*"))) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("export", "nobody"), "There is no backpack 'nobody'"),
        (("export", "shop", "no/such/x.tar"), "Cannot write no/such/x.tar: No such file"),
        (("export", "shop", "/dev/null"), "Cannot write /dev/null: it is no file"),
        (("import", "missing.tar", "new"), "Cannot read missing.tar: No such file"),
        (("import", "good.tar", "Bad"), "'Bad' cannot be the name of a backpack"),
        (("import", "good.tar", "x", "--served", "--replace"), "--replace does not go with"),
    ],
)
def test_mistakes_are_told_of(run: Run, arguments: tuple[str, ...], message: str) -> None:
    ended = run(*arguments)

    assert ended.code == 2
    assert message in ended.err
    assert ended.err.count("\n") == 1


def test_failed_export_leaves_the_old_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "old.tar").write_text("old")
    ended = run("export", "nobody", "old.tar")

    assert ended.code == 2
    assert (tmp_path / "old.tar").read_text() == "old"
    assert list(tmp_path.glob(".old.tar*")) == []


def test_users_log_in_after_an_import(tmp_path: Path, backup: Path) -> None:
    with Sandbox(tmp_path, "--backpack", "shop") as sandbox:
        client = sandbox.client("shop")
        client.post("/register", json=ACCOUNT).raise_for_status()
        perform(tmp_path, "export", "shop")
        perform(tmp_path, "import", "good.tar", "shop", "--replace")
        before = client.post("/login", json=ACCOUNT).status_code
        perform(tmp_path, "import", "shop.tar", "shop", "--replace")
        after = client.post("/login", json=ACCOUNT).status_code
        client.close()

    assert (before, after) == (401, 200)


def begin_import(tmp_path: Path, archive: bytes, name: str, *, replace: bool) -> socket.socket:
    """Have a running sandbox import a backup of which the second half does not come."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(folder.holder(tmp_path / ".backpack")["socket"])
    asked = {
        "command": "import_backup",
        "arguments": {"name": name, "replace": replace},
        "content": len(archive),
    }
    connection.sendall(json.dumps(asked).encode() + b"\n" + archive[: len(archive) // 2])
    drafts = tmp_path / ".backpack/backpacks"
    wait_until(lambda: list(drafts.glob(".draft-*/documents.sqlite3")) != [])
    return connection


def wait_until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < ends, "it has not come to that"
        time.sleep(0.01)


@pytest.mark.parametrize("replace", [False, True])
def test_killed_import_leaves_nothing(tmp_path: Path, backup: Path, replace: bool) -> None:
    perform(tmp_path, "import", backup, "shop")
    name = "shop" if replace else "new"
    with Sandbox(tmp_path) as sandbox:
        connection = begin_import(tmp_path, backup.read_bytes(), name, replace=replace)
        sandbox.process.kill()
        sandbox.process.wait()
        connection.close()

    listed = json.loads(perform(tmp_path, "list", "--json").stdout)
    perform(tmp_path, "export", "shop")

    assert [one["name"] for one in listed] == ["shop"]
    assert [path.name for path in (tmp_path / ".backpack/backpacks").iterdir()] == ["shop"]
    there = unpacked((tmp_path / "shop.tar").read_bytes())
    assert len(there["collections/cars/000001.ndjson"].splitlines()) == 2


def test_import_ends_with_its_asker(tmp_path: Path, backup: Path) -> None:
    backpacks = tmp_path / ".backpack/backpacks"
    with Sandbox(tmp_path, "--backpack", "shop") as sandbox:
        connection = begin_import(tmp_path, backup.read_bytes(), "new", replace=False)
        connection.close()
        wait_until(lambda: list(backpacks.glob(".*")) == [])
        listed = json.loads(perform(tmp_path, "list", "--json").stdout)
        ended = sandbox.stop()

    assert [one["name"] for one in listed] == ["shop"]
    assert ended == Ended(0, "Backpack has stopped\n", "") or ended.err == ""


def measured(tmp_path: Path, *arguments: str | Path) -> int:
    """The most memory that a command takes, in MiB."""
    ended = subprocess.run(
        [sys.executable, "-c", _MEASURED, *map(str, arguments)],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=_PATIENCE * 3,
        check=True,
    )
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024
    return int(ended.stdout) // unit


def test_memory_does_not_grow_with_a_backup(tmp_path: Path, backup: Path) -> None:
    records = b"".join(line(record(number, text="x" * 900)) for number in range(1, 40_001))
    content = os.urandom(1_048_576) * 96
    entries = {**good(), "collections/cars/000001.ndjson": records, **of_file(1, content)}
    large = tmp_path / "large.tar"
    counts = {"documents": 40_000, "bytes": len(content)}
    large.write_bytes(packed(sealed(entries, **counts)))

    small_import = measured(tmp_path, "import", backup, "small")
    large_import = measured(tmp_path, "import", large, "large")
    small_export = measured(tmp_path, "export", "small")
    large_export = measured(tmp_path, "export", "large")

    assert large_import < small_import + 40
    assert large_export < small_export + 40


@pytest.fixture
def variables(mongo_url: str, redis_url: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    name = f"shop-{os.urandom(6).hex()}"
    yield {
        **VARIABLES,
        "BACKPACK_NAME": name,
        "BACKPACK_MONGO_URL": mongo_url,
        "BACKPACK_REDIS_URL": redis_url,
        "BACKPACK_FILES": str(tmp_path / "files"),
    }
    with pymongo.MongoClient[Document](mongo_url) as client:
        client.drop_database(f"backpack_{name.replace('-', '_')}")


def test_served_backpack_takes_a_sandbox_s(
    tmp_path: Path, backup: Path, variables: dict[str, str]
) -> None:
    name = variables["BACKPACK_NAME"]

    def operate(*arguments: str | Path) -> Any:
        return perform(tmp_path, *arguments, "--served", variables=variables)

    with Serving(tmp_path, variables) as serving:
        serving.wait_until_well()
        broken = operate("import", Path("/dev/null"), name)
        first = operate("import", backup, name)
        cars = serving.client().get("/cars").json()
        second = operate("import", backup, name)
        exported = operate("export", name, "served.tar")
        back = perform(tmp_path, "import", "served.tar", "back")

    assert (
        broken.stderr == b"backpack: The backup ends in the middle: it was not written to its end\n"
    )
    assert first.returncode == 0, first.stderr
    assert cars == [record(1, n=1), record(2, n=2)]
    assert second.stderr.decode().endswith(" is not empty: give another BACKPACK_NAME\n")
    assert (exported.returncode, back.returncode) == (0, 0)


def test_killed_import_into_servers_is_settled(
    tmp_path: Path, backup: Path, variables: dict[str, str], mongo_url: str
) -> None:
    name = variables["BACKPACK_NAME"]
    # What a process leaves that is killed: the mark, and a part of what it was to store.
    with pymongo.MongoClient[Document](mongo_url) as client:
        database = client[f"backpack_{name.replace('-', '_')}"]
        database["_draft"].insert_one({"_id": name, REVISION: 1})
        database["half"].insert_one({"_id": "x", REVISION: 1})

    imported = perform(tmp_path, "import", backup, name, "--served", variables=variables)
    exported = perform(tmp_path, "export", name, "-", "--served", variables=variables)

    assert imported.returncode == 0, imported.stderr
    assert [one for one in unpacked(exported.stdout) if one.startswith("collections/")] == [
        "collections/cars/000001.ndjson",
        "collections/empty/000001.ndjson",
    ]
