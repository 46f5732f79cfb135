"""Backups: what goes through one file from any kind of store to any other, and what is refused."""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backpack import exports
from backpack.backpacks import Backpack
from backpack.backup import Counts
from backpack.drivers.local import LocalDriver
from backpack.errors import BackpackError, BadRequest, Conflict
from backpack.homes import Folder, Memory, Servers
from backpack.imports import Import
from backpack.settings import Settings
from backpack.sites import Site
from backpack.steps import finish
from backpack.tenants import Tenants
from backpack.testing import PASSWORD, BackpackServer, Seed, TestBackpack, TestUser
from tests.backups import (
    HASH,
    MANIFEST,
    PARTS,
    Entries,
    account,
    blocks,
    export,
    good,
    import_backup,
    line,
    of_file,
    packed,
    record,
    sealed,
    unpacked,
    zipped,
)
from tests.replicas import SETTINGS

KINDS = ("memory", "sqlite", "servers")
NAMES = (f"restored-{number}" for number in itertools.count(1))

RULES = {
    "cars": {"list": "public", "read": "public", "update": "owner", "delete": "owner"},
    "collections.list": "public",
    "files.read": "public",
    "files.list": "public",
    "cors.origins": ["https://www.example.com"],
}
CARS: list[dict[str, Any]] = [
    {"n": number, "title": f"Ünïcode {number % 7}", "tags": ["a", {"b": None}], "x": number / 3}
    for number in range(250)
]


class Places:
    """A server for each kind of store, started when it is asked for."""

    def __init__(self, request: pytest.FixtureRequest, folder: Path) -> None:
        self._request = request
        self._folder = folder
        self._servers: dict[str, BackpackServer] = {}
        self._made: list[TestBackpack] = []

    def __getitem__(self, kind: str) -> BackpackServer:
        if kind not in self._servers:
            self._servers[kind] = BackpackServer(self._home(kind), SETTINGS).start()
        return self._servers[kind]

    def _home(self, kind: str) -> Callable[[Settings], Any]:
        if kind == "memory":
            return Memory
        if kind == "sqlite":
            return lambda settings: Folder(self._folder, settings)
        return functools.partial(
            Servers,
            mongo_url=self._request.getfixturevalue("mongo_url"),
            redis_url=self._request.getfixturevalue("redis_url"),
            files=self._folder / "files",
        )

    def create(self, kind: str, seed: Seed | None = None) -> TestBackpack:
        self._made.append(self[kind].create(seed=seed))
        return self._made[-1]

    def restore(
        self,
        kind: str,
        archive: bytes,
        name: str = "",
        *,
        replace: bool = False,
        at_once: int = 10_000,
    ) -> TestBackpack:
        """The backpack that has been made of a backup, of which so many bytes came at once."""
        name = name or next(NAMES)
        made = import_backup(self[kind], name, blocks(archive, at_once), replace=replace)
        self._made.append(made)
        return self._made[-1]

    def clear(self) -> None:
        """Delete all backpacks."""
        there = {(backpack._server, backpack.name) for backpack in self._made}
        for backpack in self._made:
            for client in backpack._clients:
                client.close()
        for server, name in there:
            server.delete(name)
        self._made.clear()

    def stop(self) -> None:
        for server in self._servers.values():
            server.stop()


@pytest.fixture(scope="module")
def servers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Places]:
    places = Places(request, tmp_path_factory.mktemp("backups"))
    yield places
    places.stop()


@pytest.fixture
def places(servers: Places) -> Iterator[Places]:
    yield servers
    servers.clear()


def filled(places: Places, kind: str) -> tuple[TestBackpack, TestUser]:
    """A backpack with something of everything, and one of its users."""
    backpack = places.create(kind)
    user, other = backpack.register("ada@example.org"), backpack.register("bo@example.org")
    backpack.set_rules(RULES)
    backpack.seed({"collections": {"cars": CARS, "empty": [], "Notes": [{"a": {"b": [1, 2.5]}}]}})
    user.client.post("/cars", json={"brand": "Volvo"}).raise_for_status()
    for owner, name, content in (
        (user, "ä b.png", bytes(range(256)) * 5_000),
        (user, "empty.txt", b""),
        (other, "c.bin", b"c"),
    ):
        form = {"bucket": "b", "filename": name}
        answer = owner.client.post("/uploads", data=form, files={"file": (name, content)})
        answer.raise_for_status()
    return backpack, user


def reads(backpack: TestBackpack, user: TestUser) -> list[Any]:
    """What a guest and a user who logs in with the password from before are told."""
    guest, logged_in = backpack.client, backpack.login(user.email, PASSWORD)
    assert logged_in.id == user.id
    calls = [
        "/collections",
        "/cars?limit=300",
        "/cars?limit=1000&count=1",
        '/cars?filter={"n":{"$gt":240}}&sort=-n',
        "/cars?sort=title,-n&skip=10&limit=20",
        '/cars?filter={"tags":"a"}&limit=5',
        f'/cars?filter={{"userId":"{user.id}"}}',
        "/empty",
        "/Notes",
        "/nothing",
        "/me",
        f"/uploads/{user.id}",
        f"/uploads/{user.id}/ä b.png",
        f"/uploads/{user.id}/empty.txt",
    ]
    answers = [client.get(call) for client in (guest, logged_in.client) for call in calls]
    return [told(answer) for answer in answers]


def told(answer: httpx.Response) -> tuple[int, str, bytes]:
    return answer.status_code, answer.headers.get("content-type", ""), answer.content


@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize("source", KINDS)
def test_all_reads_are_equal_elsewhere(places: Places, source: str, target: str) -> None:
    backpack, user = filled(places, source)

    archive = export(backpack)
    restored = places.restore(target, archive)

    assert reads(restored, user) == reads(backpack, user)
    assert allows(restored, "https://www.example.com")
    assert not allows(restored, "https://other.example.com")
    # All is there, with its stamps: a backup of the backup differs by nothing.
    assert without_names(export(restored)) == without_names(archive)


def allows(backpack: TestBackpack, origin: str) -> bool:
    """Whether pages of that origin may use the backpack."""
    url = f"http://127.0.0.1:{backpack._server.port}/cars"
    headers = {"host": backpack.backend.removeprefix("http://"), "origin": origin}
    headers["authorization"] = f"key {backpack.api_key}"
    answer = httpx.get(url, headers=headers)
    return bool(answer.headers.get("access-control-allow-origin") == origin)


def without_names(archive: bytes) -> Entries:
    """What is in a backup, but for what tells of its origin, and indexes."""
    own = ("manifest.json", "end.json", "indexes.json")
    return {name: content for name, content in unpacked(archive).items() if name not in own}


def test_restored_backpack_goes_on(places: Places) -> None:
    backpack, user = filled(places, "sqlite")
    restored = places.restore("sqlite", export(backpack))
    client = restored.login(user.email).client

    made = client.post("/cars", json={"brand": "Saab"}).json()
    last = client.get("/cars?limit=1000").json()[-1]
    taken = client.post("/register", json={"email": user.email, "password": PASSWORD})
    client.delete(f"/cars/{made['_id']}").raise_for_status()
    client.delete("/uploads/empty.txt").raise_for_status()

    assert last == made
    assert taken.json()["code"] == "existing_user"
    assert client.get(f"/uploads/{user.id}/empty.txt").status_code == 404


PAGES = {"index.html": b"<h1>Shop</h1>", "js/app.js": b"go()", "logo.bin": bytes(300_000)}


def deploy(backpack: TestBackpack, pages: Mapping[str, bytes]) -> None:
    tenants = backpack._server._tenants
    assert tenants is not None
    steps = LocalDriver(tenants).deploy(backpack.name, "ada", blocks(zipped(pages)))
    backpack._server.call(finish(steps))


def pages(backpack: TestBackpack) -> dict[str, bytes]:
    """What is served at the paths of `PAGES`."""
    host = {"host": backpack.frontend.removeprefix("http://")}
    with httpx.Client(base_url=f"http://127.0.0.1:{backpack._server.port}", headers=host) as client:
        return {path: client.get(f"/{path}").content for path in PAGES}


def test_site_goes_along(places: Places) -> None:
    backpack = places.create("sqlite")
    deploy(backpack, {"index.html": b"first"})
    deploy(backpack, PAGES)

    archive = export(backpack)
    restored = places.restore("sqlite", archive)
    elsewhere = places.restore("memory", archive)

    assert pages(restored) == pages(backpack) == PAGES
    assert without_names(export(elsewhere)).keys() == without_names(archive).keys() - {"site.zip"}


def test_replace_keeps_a_site_that_no_other_comes_for(places: Places) -> None:
    backpack = places.create("sqlite")
    deploy(backpack, PAGES)

    replaced = places.restore("sqlite", packed(sealed(good())), backpack.name, replace=True)
    before = pages(replaced)
    entries = {**good(), "site.zip": zipped({**PAGES, "index.html": b"other"})}
    replaced = places.restore("sqlite", packed(sealed(entries)), backpack.name, replace=True)

    assert before == PAGES
    assert pages(replaced) == {**PAGES, "index.html": b"other"}


def test_key_goes_along_when_asked_for(places: Places) -> None:
    backpack = places.create("sqlite")

    without = places.restore("memory", export(backpack))
    with_key = places.restore("memory", export(backpack, with_key=True))

    assert without.api_key != backpack.api_key
    assert with_key.api_key == backpack.api_key
    assert backpack.api_key.encode() not in export(backpack)


def test_sessions_stay_behind(places: Places) -> None:
    backpack, user = filled(places, "sqlite")
    token = user.client.headers["x-backpack-session"]

    archive = export(backpack)
    restored = places.restore("sqlite", archive)
    answer = restored.client.get("/me", headers={"x-backpack-session": token})

    assert answer.status_code == 403
    assert token.encode() not in archive


def test_pins_go_along(places: Places) -> None:
    backpack, _ = filled(places, "sqlite")
    server = backpack._server
    indexed = backpack._backpack.indexed
    server.call(indexed.pin_index("cars", "title,-n"))
    server.call(indexed.forbid_index("cars", "x"))

    restored = places.restore("sqlite", export(backpack))
    kept = server.call(restored._backpack.indexed.indexes())
    elsewhere = places.restore("memory", export(backpack))

    assert [(one.collection, one.fields, one.state) for one in kept] == [
        ("cars", "title,-n", "pinned"),
        ("cars", "x", "forbidden"),
    ]
    assert elsewhere.client.get("/cars").status_code == 200


def test_names_are_not_taken_over(places: Places) -> None:
    backpack, user = filled(places, "sqlite")
    before = reads(backpack, user)

    with pytest.raises(Conflict):
        places.restore("sqlite", packed(sealed(good())), backpack.name)

    assert reads(backpack, user) == before


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_replace_takes_the_place(places: Places, kind: str) -> None:
    backpack, user = filled(places, kind)
    restored = places.restore(kind, packed(sealed(good())), backpack.name, replace=True)

    assert restored.api_key == backpack.api_key
    assert [one["n"] for one in restored.client.get("/cars").json()] == [1, 2]
    assert user.client.get("/me").status_code == 403


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_failed_replace_leaves_the_old(places: Places, kind: str) -> None:
    backpack, user = filled(places, kind)
    before = reads(backpack, user)

    with pytest.raises(BadRequest):
        places.restore(kind, packed(good()), backpack.name, replace=True)

    assert reads(backpack, user) == before
    assert user.client.get("/me").status_code == 200


def test_servers_take_it_when_they_are_empty(places: Places) -> None:
    backpack = places.create("servers")
    archive = packed(sealed(good()))

    places.restore("servers", archive, backpack.name, replace=True)
    with pytest.raises(Conflict, match="is not empty"):
        places.restore("servers", archive, backpack.name, replace=True)


def test_failed_import_empties_servers_again(places: Places) -> None:
    backpack = places.create("servers")

    with pytest.raises(BadRequest):
        places.restore("servers", packed(good()), backpack.name, replace=True)
    restored = places.restore("servers", packed(sealed(good())), backpack.name, replace=True)

    assert len(restored.client.get("/cars").json()) == 2


def changed(**changes: bytes | None) -> Entries:
    """The entries of `good`, some with another content, or with None left out."""
    entries = {**good(), **{name: content for name, content in changes.items() if content}}
    return {
        name: content for name, content in entries.items() if changes.get(name, b"") is not None
    }


def with_line(name: str, *values: Any) -> Entries:
    return changed(**{name: b"".join(map(line, values))})


def renamed(old: str, new: str) -> Entries:
    return {new if name == old else name: content for name, content in good().items()}


def with_file(**fields: Any) -> Entries:
    return changed(
        **{"files/000001/file.json": of_file(1, b"content", **fields)["files/000001/file.json"]}
    )


def with_manifest(**fields: Any) -> Entries:
    return with_line("manifest.json", {**MANIFEST, "parts": PARTS, **fields})


USERS, CARS_1 = "users/000001.ndjson", "collections/cars/000001.ndjson"

REFUSED: dict[str, tuple[Entries, str]] = {
    "newer": (with_manifest(version=2), "manifest.json: has version 2, this Backpack knows 1"),
    "unknown part": (with_manifest(parts=["mail"]), r"manifest.json: has parts .* \['mail'\]"),
    "other format": (with_manifest(format="x"), "manifest.json: this is no backup"),
    "no manifest": (
        changed(**{"manifest.json": None}),
        "rules.json: manifest.json must come first",
    ),
    "missing part": (with_manifest(parts=["rules"]), f"{USERS}: is not among the parts"),
    "bad rules": (
        with_line("rules.json", {"cars": {"list": "all"}}),
        "rules.json: Invalid rules: .*cars.list must be one of",
    ),
    "rules no json": (changed(**{"rules.json": b"{"}), "rules.json: Not valid JSON"),
    "path up": (renamed(CARS_1, "../../cars.ndjson"), "'../../cars.ndjson': is no part"),
    "absolute path": (renamed(CARS_1, "/etc/passwd"), "'/etc/passwd': is no part"),
    "path in a name": (
        renamed(CARS_1, "collections/../000001.ndjson"),
        "'collections/../000001.ndjson': is no part",
    ),
    "reserved collection": (
        renamed(CARS_1, "collections/users/000001.ndjson"),
        "collections/users/000001.ndjson: Invalid collection name: collectionName is reserved",
    ),
    "internal collection": (
        renamed(CARS_1, "collections/_users/000001.ndjson"),
        "collections/_users/000001.ndjson: Invalid collection name",
    ),
    "chunk left out": (renamed(CARS_1, "collections/cars/000002.ndjson"), "does not follow on"),
    "collections in disorder": (
        renamed(CARS_1, "collections/fords/000001.ndjson"),
        "collections/empty/000001.ndjson: does not follow on collections/fords/000001",
    ),
    "parts in disorder": (
        dict(sorted(good().items(), key=lambda one: (one[0] == USERS, one[0] != "manifest.json"))),
        f"{USERS}: ",
    ),
    "bad line": (
        changed(**{CARS_1: line(record(1)) + b"{]\n"}),
        f"{CARS_1}, line 2: Not valid JSON",
    ),
    "no object": (with_line(CARS_1, [1]), f"{CARS_1}, line 1: invalid entry: it must be a JSON"),
    "bad id": (with_line(CARS_1, {**record(1), "_id": "x"}), f"{CARS_1}, line 1: .*_id must be 24"),
    "no stamp": (
        with_line(CARS_1, {"_id": record(1)["_id"]}),
        "line 1: .*createdAt must be a time .*updatedAt must be a time",
    ),
    "no such day": (
        with_line(CARS_1, {**record(1), "createdAt": "2026-02-31T08:09:10.123Z"}),
        "line 1: .*createdAt must be a time",
    ),
    "bad field name": (
        with_line(CARS_1, record(1, **{"$set": 1})),
        r"line 1: .*\$set a field name",
    ),
    "revision": (with_line(CARS_1, record(1, _backpackRevision=1)), "is reserved"),
    "same id again": (with_line(CARS_1, record(1), record(1)), "line 2: its _id .* is not greater"),
    "too deep": (
        changed(**{CARS_1: b'{"a":' + b"[" * 70 + b"]" * 70 + b"}"}),
        "line 1: Nested deeper than 64",
    ),
    "too large": (
        with_line(CARS_1, record(1, a="a" * 1_048_576)),
        "may have at most 1048576 bytes",
    ),
    "endless line": (changed(**{CARS_1: b"a" * 3_000_000}), "line 1: a document may have at most"),
    "e-mail": (with_line(USERS, account("Ada@example.org")), f"{USERS}, line 1: .*_id is missing"),
    "password in clear": (with_line(USERS, account(password="secret")), "line 1: .*password is"),
    "costly password": (
        with_line(USERS, account(password=HASH.replace("m=8,", "m=4194304,"))),
        "line 1: .*password is missing or wrong",
    ),
    "impossible password": (
        with_line(USERS, account(password=HASH.replace("p=1", "p=4"))),
        "line 1: .*password is missing or wrong",
    ),
    "unknown field": (with_line(USERS, account(admin=True)), "line 1: .*admin is unknown"),
    "file up": (with_file(filename="../a"), "files/000001/file.json: Invalid filename"),
    "file of nobody": (with_file(userId="root"), "files/000001/file.json: .*userId is missing"),
    "file type": (with_file(type="text/html; x"), "files/000001/file.json: .*type is missing"),
    "file size": (with_file(size=8), "files/000001/content: has 7 bytes, not 8"),
    "file content": (
        changed(**{"files/000001/content": b"tnetnoc"}),
        "files/000001/content: is damaged: it has another SHA-256",
    ),
    "site no zip": ({**good(), "site.zip": b"no zip"}, "site.zip: "),
    "site without a page": (
        {**good(), "site.zip": zipped({"a.txt": b"a"})},
        "site.zip: There is no index.html",
    ),
    "site up": ({**good(), "site.zip": zipped({"../index.html": b"a"})}, "site.zip: "),
    "content left out": (
        changed(**{"files/000001/content": None}),
        "files/000001/sha256: files/000001/content must come here",
    ),
    "same file again": (
        {**good(), **of_file(2, b"content")},
        "files/000002/file.json: file already exists",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_backups_are_refused(folder_tenants: FolderTenants, case: str) -> None:
    entries, message = REFUSED[case]

    with pytest.raises(BadRequest, match=message) as refused:
        folder_tenants.restore(packed(sealed(entries)))

    assert refused.value.code == "bad_backup"
    assert folder_tenants.left() == []


ENDS = packed(sealed(good()))
WHOLE = sealed(good())
RAW: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "ends in the middle"),
    "text": (b"no archive at all\n" * 100, "no backup, or it is damaged"),
    "zip": (b"PK\x03\x04" + bytes(2_000), "no backup, or it is damaged"),
    "cut in a header": (ENDS[:700], "ends in the middle"),
    "cut in a content": (ENDS[:5_000], "ends in the middle|is missing"),
    "no end": (packed(good()), "end.json is missing"),
    "behind the end": (packed({**WHOLE, "rules.json ": b""}), "comes after the end"),
    "other counts": (packed(sealed(good(), users=2)), "end.json: counts .*'users': 2"),
    "other seal": (
        packed({**WHOLE, CARS_1: WHOLE[CARS_1].replace(b'"n": 1', b'"n": 3')}),
        "The backup is damaged",
    ),
    "huge header": (
        tarfile.TarInfo("manifest.json").tobuf().replace(b"00000000000\0", b"77777777777\0", 1),
        "is longer than|no backup, or it is damaged",
    ),
}


@pytest.mark.parametrize("case", RAW)
def test_damaged_backups_are_refused(folder_tenants: FolderTenants, case: str) -> None:
    archive, message = RAW[case]

    with pytest.raises(BadRequest, match=message):
        folder_tenants.restore(archive)

    assert folder_tenants.left() == []


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE, tarfile.XHDTYPE]
)
def test_entries_that_are_no_files_are_refused(folder_tenants: FolderTenants, kind: bytes) -> None:
    entry = tarfile.TarInfo("rules.json")
    entry.type, entry.linkname = kind, "/etc/passwd"
    manifest = packed({"manifest.json": good()["manifest.json"]})[:1024]

    with pytest.raises(BadRequest, match="is no plain file"):
        folder_tenants.restore(manifest + entry.tobuf() + bytes(1024))

    assert folder_tenants.left() == []


def test_limits_of_here_hold(tmp_path: Path) -> None:
    folder = FolderTenants(tmp_path, max_collections=1)
    with pytest.raises(BadRequest, match=r"collections/empty/.*has at most 1 collections"):
        folder.restore(ENDS)
    folder = FolderTenants(tmp_path, max_upload=6)
    with pytest.raises(BadRequest, match="files/000001/content: A file may have at most 6 bytes"):
        folder.restore(ENDS)

    assert folder.left() == []


class FolderTenants:
    """The backpacks of a folder, each time as a process of its own would have them."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self._folder = folder
        self._settings = Settings(cheap_passwords=True, **settings)

    def tenants(self) -> Tenants:
        return Tenants(self._settings, Folder(self._folder, self._settings))

    def restore(self, archive: bytes, name: str = "shop") -> None:
        async def fill(backpack: Backpack, site: Site | None) -> None:
            await Import(backpack, site, blocks(archive), Counts()).run()

        async def restore() -> None:
            tenants = self.tenants()
            try:
                await tenants.build(name, fill)
            finally:
                await tenants.close()

        asyncio.run(restore())

    def left(self) -> list[str]:
        """What is in the folder, whoever can see it."""
        return sorted(path.name for path in (self._folder / "backpacks").iterdir())


@pytest.fixture
def folder_tenants(tmp_path: Path) -> FolderTenants:
    return FolderTenants(tmp_path)


def test_export_is_as_of_one_moment(tmp_path: Path) -> None:
    folder = FolderTenants(tmp_path)
    archive, old = asyncio.run(changed_during_export(folder.tenants()))

    entries = unpacked(archive)
    assert entries["collections/cars/000001.ndjson"].splitlines() == old
    assert "collections/later/000001.ndjson" not in entries
    # Files are kept apart: one that was replaced is as it is now, one that was deleted is gone.
    contents = [content for name, content in entries.items() if name.endswith("/content")]
    assert contents == [b"newer", b"old"]
    folder.restore(archive, "copy")
    left = sorted(path.name for path in tmp_path.glob("backpacks/*/*"))
    assert left == ["documents.sqlite3", "documents.sqlite3", "files", "files"]


async def changed_during_export(tenants: Tenants) -> tuple[bytes, list[bytes]]:
    """A backup of a backpack that changed when it had begun, and the records it had before."""
    backpack = await tenants.create("shop")
    await backpack.records.create_collection("cars")
    old = await backpack.records.fill("cars", [{"n": n} for n in range(50)])
    user = await backpack.users.register("ada@example.org", PASSWORD)
    for name in ("a.txt", "b.txt", "c.txt"):
        await upload(backpack, user.id, name, b"old")

    counts = Counts()
    pieces = exports.export(backpack, None, counts)
    exported = [await anext(pieces)]
    await backpack.records.fill("cars", [{"n": -1}])
    await backpack.store.change("cars", json.loads(old[0])["_id"], lambda record: None)
    await backpack.records.create_collection("later")
    await backpack.files.delete(user.id, "a.txt")
    async with backpack.files.arriving(user.id, "b.txt") as arrival:
        arrival.begin("text/plain")
        await arrival.write([b"newer"])
        await backpack.files.replace("b.txt", arrival)
    exported += [piece async for piece in pieces]
    await tenants.close()
    return b"".join(exported), old


async def upload(backpack: Backpack, user: str, name: str, content: bytes) -> None:
    async with backpack.files.arriving(user) as arrival:
        arrival.begin("text/plain")
        await arrival.write([content])
        await backpack.files.create(name, "", arrival)


def test_export_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    async def break_off() -> None:
        tenants = FolderTenants(tmp_path).tenants()
        backpack = await tenants.create("shop")
        async with aclosing(exports.export(backpack, None, Counts())) as pieces:
            await anext(pieces)
            assert [path.name[:10] for path in shop.glob(".*")] == [".snapshot-"]
        assert list(shop.glob(".*")) == []
        await tenants.close()

    shop = tmp_path / "backpacks/shop"
    asyncio.run(break_off())


def test_snapshots_of_the_dead_are_swept(tmp_path: Path) -> None:
    async def open_again() -> None:
        tenants = FolderTenants(tmp_path).tenants()
        await tenants.backpack("shop")
        await tenants.close()

    folder = FolderTenants(tmp_path)
    folder.restore(ENDS)
    left = tmp_path / "backpacks/shop/.snapshot-1234-wal"
    left.touch()
    asyncio.run(open_again())

    assert not left.exists()


@pytest.mark.parametrize("is_there", [False, True], ids=["between the renames", "after them"])
def test_replace_that_was_killed_is_settled(tmp_path: Path, is_there: bool) -> None:
    folder = FolderTenants(tmp_path)
    folder.restore(ENDS)
    backpacks = tmp_path / "backpacks"
    (backpacks / "shop").rename(backpacks / ".replaced-shop")
    folder_of_draft = backpacks / ".draft-shop-12345678"
    folder_of_draft.mkdir()
    if is_there:
        (backpacks / "shop").mkdir()

    names = folder.tenants().names()

    assert names == ["shop"]
    assert folder.left() == ["shop"]
    assert (backpacks / "shop/documents.sqlite3").exists() is not is_there


FIELDS = st.text("abcä\n\"'/ ", min_size=1, max_size=5)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False, width=64).filter(lambda x: abs(x) < 2**63)
    | st.text(st.characters(codec="utf-8"), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(FIELDS, inner, max_size=4),
    max_leaves=15,
)
DOCUMENTS = st.dictionaries(FIELDS, VALUES, max_size=5)


@settings(max_examples=60)
@given(st.lists(DOCUMENTS, max_size=30), st.integers(1, 2_000))
def test_any_records_come_back(
    servers: Places, entries: list[dict[str, Any]], at_once: int
) -> None:
    backpack = servers.create("sqlite", {"collections": {"things": entries}})
    archive = export(backpack)
    restored = servers.restore("memory", archive, at_once=at_once)

    assert without_names(export(restored)) == without_names(archive)
    servers.clear()


def test_large_collections_go_in_pieces(places: Places) -> None:
    long = [{"text": "x" * 400_000} for _ in range(6)]
    backpack = places.create("sqlite", {"collections": {"long": long}})

    archive = export(backpack)
    chunks = [name for name in unpacked(archive) if name.startswith("collections/long/")]
    restored = places.restore("sqlite", archive)

    assert chunks == [f"collections/long/{number:06}.ndjson" for number in (1, 2, 3)]
    assert without_names(export(restored)) == without_names(archive)


def test_errors_of_the_source_end_an_import(folder_tenants: FolderTenants) -> None:
    async def broken() -> Any:
        yield ENDS[:4_000]
        raise BackpackError("the line broke")

    async def fill(backpack: Backpack, site: Site | None) -> None:
        await Import(backpack, site, broken(), Counts()).run()

    async def restore() -> None:
        tenants = folder_tenants.tenants()
        try:
            await tenants.build("shop", fill)
        finally:
            await tenants.close()

    with pytest.raises(BackpackError, match="the line broke"):
        asyncio.run(restore())

    assert folder_tenants.left() == []


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(0, len(ENDS) - 1), st.integers(0, 255)), max_size=3))
def test_no_damage_is_more_than_an_error(damages: list[tuple[int, int]]) -> None:
    archive = bytearray(ENDS)
    for at, value in damages:
        archive[at] = value

    async def restore() -> None:
        limits = Settings(cheap_passwords=True)
        tenants = Tenants(limits, Memory(limits))

        async def fill(backpack: Backpack, site: Site | None) -> None:
            await Import(backpack, site, blocks(bytes(archive)), Counts()).run()

        try:
            await tenants.build("shop", fill)
            made = exports.export(await tenants.backpack("shop"), None, Counts())
            restored = unpacked(b"".join([piece async for piece in made]))
            # What was let through is what was sealed: the damage was in padding, or a time.
            assert restored["collections/cars/000001.ndjson"].splitlines() == [
                orjson.dumps(record(1, n=1)),
                orjson.dumps(record(2, n=2)),
            ]
            assert restored["files/000001/content"] == b"content"
        except BadRequest as exc:
            assert exc.code == "bad_backup"
            assert tenants.names() == []
        finally:
            await tenants.close()

    asyncio.run(restore())
