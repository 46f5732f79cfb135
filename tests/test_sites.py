from __future__ import annotations

import tarfile
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest

from backpack.errors import NotFound
from backpack.settings import Settings
from backpack.shelf import Shelf
from backpack.sites import Site, find_file
from backpack.steps import finish
from tests.backups import zipped


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "secret.txt").write_text("outside")
    root = tmp_path / "site"
    for name in (
        "index.html",
        "app.js",
        "docs/index.html",
        ".env",
        ".git/config",
        ".well-known/x",
        "a b.txt",
    ):
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    return root


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("/", "index.html"),
        ("/index.html", "index.html"),
        ("/app.js", "app.js"),
        ("//app.js", "app.js"),
        ("/docs", "docs/index.html"),
        ("/docs/", "docs/index.html"),
        ("/a%20b.txt", "a b.txt"),
        ("/route/of/the/app", "index.html"),
        ("/.well-known/x", ".well-known/x"),
    ],
)
def test_path_finds_file(site: Path, path: str, file: str) -> None:
    assert find_file(site, path) == site / file


@pytest.mark.parametrize(
    "path",
    [
        "/nope.js",
        "/docs/nope.css",
        "/.env",
        "/.git/config",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/docs/../../secret.txt",
        "/..",
        "/a\\..\\b",
        "/%00",
        "/app.js/x.js",
        "/" + "x" * 5000 + ".js",
    ],
    ids=lambda path: path[:20],
)
def test_other_paths_are_not_found(site: Path, path: str) -> None:
    with pytest.raises(NotFound):
        find_file(site, path)


def test_empty_folder_has_no_page(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"index\.html"):
        find_file(tmp_path, "/")


async def test_unpacked_files_are_as_old_as_their_version(tmp_path: Path) -> None:
    async def content() -> AsyncIterator[bytes]:
        yield zipped({"index.html": b"<h1>shop</h1>" * 100})

    site = Site(tmp_path / "site", Settings(), Shelf(1_000))
    await finish(site.deploy(content(), "ada"))
    version = await site.live()
    with await site.unpacked(1) as written, tarfile.open(fileobj=written) as archive:
        times = {entry.name: entry.mtime for entry in archive}
    await site.close()

    made = int(datetime.fromisoformat(version.at).timestamp())
    assert times == {"index.html": made, "index.html.gz": made}
