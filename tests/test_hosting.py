"""Sites that are deployed by the command line, and what their hosts answer."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import shutil
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest

from backpack.drivers.local import LocalDriver
from backpack.errors import Invalid
from backpack.homes import Memory
from backpack.settings import Settings
from backpack.steps import finish
from backpack.tenants import Tenants
from tests.interfaces import unchanged
from tests.sandboxes import Ended, Sandbox, command, environment
from tests.services import need
from tests.zips import Packed, zip_of

MIB = 1_048_576
TEXT = "const shop = 'shop';\n" * 500
SITE = {
    "index.html": "<h1>start</h1>",
    "docs/index.html": "<h1>docs</h1>",
    "assets/app.3f9a1c2b.js": TEXT,
    "a b é.txt": "small",
    "photo.png": "\x89PNG" * 900,
    ".env": "s3cret",
    ".well-known/x": "known",
}


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, "utf-8")
    return folder


def run(*arguments: str | Path) -> Ended:
    """A command in a process of its own."""
    ended = subprocess.run(
        command(*arguments), env=environment(), capture_output=True, text=True, timeout=120
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


@dataclass
class Shop:
    """A backpack of a running sandbox."""

    sandbox: Sandbox
    data: Path
    name: str

    def deploy(self, source: Path, *options: str) -> Ended:
        return run("deploy", source, "--backpack", self.name, "--data", self.data, *options)

    def told(self, action: str, *options: str) -> Any:
        """The JSON that a command prints."""
        ended = run(action, self.name, *options, "--data", self.data, "--json")
        assert (ended.code, ended.err) == (0, "")
        return json.loads(ended.out)

    def ask(self, path: str, method: str = "GET", **headers: str) -> httpx.Response:
        url = f"http://127.0.0.1:{self.sandbox.ready['port']}{path}"
        sent = {"host": f"{self.name}.{self.sandbox.ready['domain']}", "accept-encoding": ""}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.request(method, url, headers=sent, timeout=30)

    def text(self, path: str = "/") -> tuple[int, str]:
        answer = self.ask(path)
        return answer.status_code, answer.text


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    folder = tmp_path_factory.mktemp("hosting")
    with Sandbox(folder, "--data", folder / "data") as sandbox:
        sandbox.ready["data"] = folder / "data"
        yield sandbox


NUMBERS = itertools.count(1)


@pytest.fixture
def shop(sandbox: Sandbox) -> Shop:
    """A new backpack without a site."""
    name, data = f"shop-{next(NUMBERS)}", sandbox.ready["data"]
    assert run("create", name, "--data", data).code == 0
    return Shop(sandbox, data, name)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return write(tmp_path / "site", SITE)


@pytest.fixture
def deployed(shop: Shop, site: Path) -> Shop:
    assert shop.deploy(site).code == 0
    return shop


def zipped(folder: Path, *entries: Packed) -> Path:
    path = folder / "site.zip"
    path.write_bytes(zip_of(*entries))
    return path


def test_folder_is_deployed_step_by_step(shop: Shop, site: Path) -> None:
    before = shop.text()[1]

    ended = shop.deploy(site)

    size = sum(len(content.encode()) for name, content in SITE.items() if name != ".env")
    assert (ended.code, ended.err) == (0, "")
    url = f"http://{shop.name}.bkpk.localhost:{shop.sandbox.ready['port']}"
    assert re.sub(r"Received [^\n]+", "Received", ended.out).splitlines() == [
        "Received",
        f"Checked 6 files, {size:,} bytes",
        "Unpacked version 1: 6 files are new",
        "Version 1 is live",
        f"{shop.name} has a new site: {url}",
    ]
    assert "<h1>start</h1>" not in before
    assert shop.text() == (200, "<h1>start</h1>")


def test_one_file_is_told_as_one(shop: Shop, tmp_path: Path) -> None:
    told = shop.deploy(zipped(tmp_path, Packed(b"index.html", b"zip"))).out.splitlines()

    assert told[1:3] == ["Checked 1 file, 3 bytes", "Unpacked version 1: 1 file is new"]


def test_zip_is_deployed(shop: Shop, tmp_path: Path) -> None:
    path = zipped(tmp_path, Packed(b"dist/index.html", b"zip"), Packed(b"dist/a.js", b"1"))

    told = json.loads(shop.deploy(path, "--json").out)

    assert told == {
        "name": shop.name,
        "version": 1,
        "live": True,
        "at": told["at"],
        "who": told["who"],
        "size": 4,
        "files": 2,
        "url": f"http://{shop.name}.bkpk.localhost:{shop.sandbox.ready['port']}",
    }
    assert (shop.text(), shop.text("/a.js")) == ((200, "zip"), (200, "1"))


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/index.html", (200, "<h1>start</h1>")),
        ("/docs", (200, "<h1>docs</h1>")),
        ("/docs/", (200, "<h1>docs</h1>")),
        ("//docs//index.html", (200, "<h1>docs</h1>")),
        ("/route/of/the/app?x=1", (200, "<h1>start</h1>")),
        ("/a%20b%20%C3%A9.txt", (200, "small")),
        ("/a%20b%20e%CC%81.txt", (200, "small")),
        ("/.well-known/x", (200, "known")),
        ("/~elsewhere", (200, "<h1>start</h1>")),
    ],
)
def test_path_is_answered(deployed: Shop, path: str, answer: tuple[int, str]) -> None:
    assert deployed.text(path) == answer


def check_safe(answer: httpx.Response) -> None:
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "strict-origin-when-cross-origin"


@pytest.mark.parametrize(
    "path", ["/nope.js", "/.env", "/%2e%2e/lock", "/%00", "/docs/x.css", "/%ff.js"]
)
def test_other_paths_are_not_there(deployed: Shop, path: str) -> None:
    answer = deployed.ask(path)

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    check_safe(answer)


def test_not_found_page_is_used(shop: Shop, tmp_path: Path) -> None:
    shop.deploy(write(tmp_path / "s", {"index.html": "start", "404.html": "nothing here"}))

    answers = [shop.text(path) for path in ("/", "/nope", "/nope.js", "/404.html")]
    missing = shop.ask("/nope", range="bytes=0-3", if_none_match="*")

    nothing = (404, "nothing here")
    assert answers == [(200, "start"), nothing, nothing, (200, "nothing here")]
    assert (missing.status_code, missing.text, missing.headers.get("etag")) == (*nothing, None)


def test_headers_are_safe_and_cached_rightly(deployed: Shop) -> None:
    start, asset = deployed.ask("/"), deployed.ask("/assets/app.3f9a1c2b.js")

    assert start.headers["cache-control"] == "no-cache"
    assert start.headers["content-type"] == "text/html; charset=utf-8"
    assert asset.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert asset.headers["content-type"] == "text/javascript; charset=utf-8"
    for answer in (start, asset):
        check_safe(answer)
        assert answer.headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip", "gzip"),
        ("br, GZIP;q=0.5", "gzip"),
        ("*", "gzip"),
        ("gzip;q=0", None),
        ("gzip; q=0.000, *", None),
        ("br", None),
        ("", None),
    ],
)
def test_text_is_sent_compressed(deployed: Shop, accepted: str, coding: str | None) -> None:
    answer = deployed.ask("/assets/app.3f9a1c2b.js", accept_encoding=accepted)

    assert answer.headers.get("content-encoding") == coding
    assert answer.headers["vary"] == "accept-encoding"
    assert answer.text == TEXT
    assert (int(answer.headers["content-length"]) < len(TEXT) / 10) == (coding == "gzip")


def test_what_does_not_pay_is_not_compressed(deployed: Shop) -> None:
    for path in ("/", "/photo.png"):
        answer = deployed.ask(path, accept_encoding="gzip")

        assert "content-encoding" not in answer.headers
        assert "vary" not in answer.headers


@pytest.mark.parametrize("accepted", ["gzip", "identity"])
def test_what_the_client_has_is_not_sent(deployed: Shop, accepted: str) -> None:
    path = "/assets/app.3f9a1c2b.js"
    first = deployed.ask(path, accept_encoding=accepted)
    tag, date = first.headers["etag"], first.headers["last-modified"]

    by_tag = deployed.ask(path, accept_encoding=accepted, if_none_match=f'"x", W/{tag}')
    by_date = deployed.ask(path, accept_encoding=accepted, if_modified_since=date)
    other = deployed.ask(path, accept_encoding=accepted, if_none_match='"x"')

    assert [answer.status_code for answer in (by_tag, by_date, other)] == [304, 304, 200]
    assert (by_tag.content, by_tag.headers["etag"]) == (b"", tag)
    assert by_tag.headers["cache-control"] == first.headers["cache-control"]


def test_tags_tell_forms_apart(deployed: Shop) -> None:
    path = "/assets/app.3f9a1c2b.js"

    tags = {deployed.ask(path, accept_encoding=a).headers["etag"] for a in ("gzip", "")}

    assert len(tags) == 2


def test_parts_are_sent(deployed: Shop) -> None:
    path = "/assets/app.3f9a1c2b.js"
    part = deployed.ask(path, accept_encoding="gzip", range="bytes=6-9")
    last = deployed.ask(path, range="bytes=-4")
    stale = deployed.ask(path, range="bytes=0-1", if_range='"x"')
    none = deployed.ask(path, range=f"bytes={len(TEXT)}-")

    assert (part.status_code, part.text) == (206, TEXT[6:10])
    assert part.headers["content-range"] == f"bytes 6-9/{len(TEXT)}"
    assert "content-encoding" not in part.headers
    assert (last.status_code, last.text) == (206, TEXT[-4:])
    assert (stale.status_code, len(stale.content)) == (200, len(TEXT))
    assert (none.status_code, none.headers["content-range"]) == (416, f"bytes */{len(TEXT)}")


def test_head_tells_without_content(deployed: Shop) -> None:
    got = deployed.ask("/assets/app.3f9a1c2b.js", accept_encoding="gzip")

    head = deployed.ask("/assets/app.3f9a1c2b.js", "HEAD", accept_encoding="gzip")

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers == got.headers


def test_site_takes_no_other_methods(deployed: Shop) -> None:
    answers = [deployed.ask("/", method) for method in ("POST", "PUT", "DELETE", "OPTIONS")]

    assert [answer.status_code for answer in answers] == [405] * 4
    assert answers[0].headers["allow"] == "GET, HEAD"
    check_safe(answers[0])


def test_large_files_are_sent_in_blocks(shop: Shop, tmp_path: Path) -> None:
    folder = write(tmp_path / "s", {"index.html": "start"})
    content = os.urandom(2 * MIB)
    (folder / "film.mp4").write_bytes(content)
    (folder / "large.js").write_bytes(content.hex().encode())
    assert shop.deploy(folder).code == 0

    whole, part = shop.ask("/film.mp4"), shop.ask("/film.mp4", range=f"bytes={MIB - 5}-{MIB + 4}")
    packed = shop.ask("/large.js", accept_encoding="gzip")

    assert (whole.content == content, part.content) == (True, content[MIB - 5 : MIB + 5])
    assert whole.headers["content-type"] == "video/mp4"
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.text == content.hex()


def test_rollback_serves_an_older_version(shop: Shop, tmp_path: Path) -> None:
    for n in (1, 2, 3):
        shop.deploy(write(tmp_path / "s", {"index.html": f"version {n}", "same.txt": "same"}))
    third = shop.ask("/")

    back = shop.told("rollback")
    second = shop.ask("/", if_modified_since=third.headers["last-modified"])
    first = (shop.told("rollback", "1")["version"], shop.text())
    last = (shop.told("rollback", "3")["version"], shop.text())

    assert (back["version"], second.text) == (2, "version 2")
    dates = [parsedate_to_datetime(one.headers["last-modified"]) for one in (third, second)]
    assert dates[0] < dates[1]
    assert first == (1, (200, "version 1"))
    assert last == (3, (200, "version 3"))
    assert [(one["version"], one["live"]) for one in shop.told("sites")] == [
        (1, False),
        (2, False),
        (3, True),
    ]


def test_rollback_needs_a_version(shop: Shop, site: Path) -> None:
    def refused(*options: str) -> str:
        ended = run("rollback", shop.name, *options, "--data", shop.data)
        assert (ended.code, ended.out) == (2, "")
        return ended.err

    nothing = refused(), refused("1")
    shop.deploy(site)
    one = refused(), refused("7")

    before = "backpack: There is no version before the one that is live\n"
    assert nothing == (before, "backpack: There is no version 1; there are: none\n")
    assert one == (before, "backpack: There is no version 7; there are: 1\n")
    assert "'x' is no number" in refused("x")


def test_versions_are_shown(deployed: Shop, site: Path) -> None:
    deployed.deploy(site)

    said = run("sites", deployed.name, "--data", deployed.data).out.splitlines()
    told = deployed.told("sites")

    assert said[0].split() == ["VERSION", "DEPLOYED", "SIZE", "FILES", "BY"]
    assert said[2].split() == [
        "2",
        "live",
        told[1]["at"],
        f"{told[1]['size']:,}",
        "6",
        told[1]["who"],
    ]
    assert [one["version"] for one in told] == [1, 2]


def test_nothing_deployed_is_said(shop: Shop) -> None:
    ended = run("sites", shop.name, "--data", shop.data)

    assert (ended.code, ended.out) == (0, "Nothing has been deployed\n")


@pytest.mark.parametrize(
    ("make", "why"),
    [
        pytest.param(lambda f: f / "no", "There is no folder and no zip", id="nothing"),
        pytest.param(
            lambda f: write(f / "s", {"a.html": ""}), "There is no index.html", id="start"
        ),
        pytest.param(
            lambda f: zipped(f, Packed(b"index.html"), Packed(b"../x")), "has . or ..", id="zip"
        ),
        pytest.param(
            lambda f: zipped(f, Packed(b"index.html"), Packed(b"a", bytes(300 * MIB))),
            "more than 268,435,456",
            id="size",
        ),
        pytest.param(
            lambda f: zipped(f, Packed(b"index.html"), Packed(b"a", bytes(100 * MIB))),
            "times as large",
            id="ratio",
        ),
        pytest.param(
            lambda f: zipped(f, Packed(b"index.html"), Packed(b"a", b"xyz", checksum=1)),
            "is damaged",
            id="late",
        ),
    ],
)
def test_refused_site_changes_nothing(
    deployed: Shop, tmp_path: Path, make: Callable[[Path], Path], why: str
) -> None:
    ended = deployed.deploy(make(tmp_path))

    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert why in ended.err
    assert deployed.text() == (200, "<h1>start</h1>")
    assert [one["version"] for one in deployed.told("sites")] == [1]
    assert left_over(deployed) == []


def left_over(shop: Shop) -> list[str]:
    """What lies about in the folder of a site and belongs to no version."""
    folder = shop.data / "backpacks" / shop.name / "site"
    used = {
        known[0]
        for version in (folder / "versions").iterdir()
        for known in json.loads(version.read_text())["files"].values()
    }
    contents = {path.name for path in (folder / "contents").iterdir()}
    return sorted(contents - used) + sorted(path.name for path in (folder / "incoming").iterdir())


def test_links_are_followed_inside_only(shop: Shop, site: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.txt").write_text("s3cret")
    (site / "copy.txt").symlink_to(site / "a b é.txt")
    inside = shop.deploy(site)
    (site / "link.txt").symlink_to(tmp_path / "outside.txt")
    outside = shop.deploy(site)
    (site / "link.txt").unlink()
    (site / "all").symlink_to(site)
    folder = shop.deploy(site)

    assert (inside.code, shop.text("/copy.txt")) == (0, (200, "small"))
    assert (outside.code, folder.code) == (2, 2)
    assert f"{site / 'link.txt'} is no file, and no link to a file in" in outside.err


def test_only_the_cli_need_be_able_to_read(shop: Shop, site: Path, tmp_path: Path) -> None:
    """The sandbox gets the content, not a path: to it the folder is another's."""
    gone = tmp_path / "moved"
    ended = subprocess.run(
        [*command("deploy", ".", "--backpack", shop.name, "--data", shop.data)],
        cwd=site,
        env=environment(),
        capture_output=True,
        text=True,
    )
    site.rename(gone)

    assert ended.returncode == 0
    assert shop.text() == (200, "<h1>start</h1>")


def test_unknown_backpack_is_named(shop: Shop, site: Path) -> None:
    ended = run("deploy", site, "--backpack", "nope", "--data", shop.data)

    assert (ended.code, ended.err[:47]) == (2, "backpack: There is no backpack 'nope'; there ar")


def test_too_large_for_the_socket_is_refused(shop: Shop, tmp_path: Path) -> None:
    path = tmp_path / "large.zip"
    with path.open("wb") as file:
        file.truncate(400 * MIB)  # without taking any room

    ended = shop.deploy(path)

    assert (ended.code, ended.err) == (2, "backpack: The zip has more than 268,435,456 bytes\n")
    assert list((shop.data / "backpacks" / shop.name / "site" / "incoming").iterdir()) == []


def test_sandbox_says_that_it_goes_on(shop: Shop) -> None:
    arguments = {"name": shop.name, "who": "ada"}
    asked = {"command": "deploy", "arguments": arguments, "content": 300}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(json.loads((shop.data / "lock").read_text())["socket"])
        connection.sendall(json.dumps(asked).encode() + b"\n" + b"x" * 200)
        with connection.makefile("rb") as answers:
            beat = answers.readline()
            connection.sendall(b"x" * 100)
            said = [message for line in answers if (message := json.loads(line))]

    assert beat == b"{}\n"
    assert said == [
        {"line": "Received 300 bytes"},
        {"error": {"message": "It is no zip, or its end is missing", "code": "bad_site"}},
    ]


def test_broken_off_content_leaves_nothing(shop: Shop) -> None:
    asked = {"command": "deploy", "arguments": {"name": shop.name, "who": "ada"}, "content": 300}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(json.loads((shop.data / "lock").read_text())["socket"])
        connection.sendall(json.dumps(asked).encode() + b"\n" + b"x" * 200)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as answers:
            said = [json.loads(line) for line in answers]

    assert [message["error"]["code"] for message in said if message] == ["unavailable"]
    assert shop.told("sites") == []
    assert list((shop.data / "backpacks" / shop.name / "site" / "incoming").iterdir()) == []


def test_two_at_once_queue(shop: Shop, tmp_path: Path) -> None:
    folders = [
        write(
            tmp_path / f"s{n}",
            {"index.html": f"site {n}", **{f"{i}.txt": f"{n} {i}" for i in range(300)}},
        )
        for n in range(4)
    ]
    with ThreadPoolExecutor(4) as pool:
        ended = list(pool.map(shop.deploy, folders))

    live = [n for n in range(4) if shop.text() == (200, f"site {n}")]
    assert [one.code for one in ended] == [0] * 4
    assert [one["version"] for one in shop.told("sites")] == [1, 2, 3, 4]
    assert "Version 4 is live" in ended[live[0]].out
    assert [shop.text(f"/{i}.txt")[1] for i in (0, 299)] == [f"{live[0]} {i}" for i in (0, 299)]


def test_site_is_whole_while_it_is_replaced(shop: Shop, tmp_path: Path) -> None:
    """Pages are always one version's; nothing is ever broken."""
    for n in (0, 1):
        files = {"index.html": f"{n}", **{f"{n}-{i}.js": f"{n}" for i in range(100)}}
        write(tmp_path / f"s{n}", files)
    assert shop.deploy(tmp_path / "s0").code == 0
    with ThreadPoolExecutor(1) as pool:
        deploys = pool.submit(lambda: [shop.deploy(tmp_path / f"s{n % 2}") for n in range(1, 5)])
        seen = set()
        while not deploys.done():
            page, script = shop.text(), shop.ask("/0-7.js")
            seen.add((page, script.status_code))

    assert {ended.code for ended in deploys.result()} == {0}
    assert {page for page, _ in seen} <= {(200, "0"), (200, "1")}
    assert {status for _, status in seen} <= {200, 404}


def test_old_versions_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKPACK_SITE_VERSIONS", "2")
    with Sandbox(tmp_path, "--data", tmp_path / "data") as sandbox:
        shop = Shop(sandbox, tmp_path / "data", "my-app")
        for n in (1, 2):
            shop.deploy(write(tmp_path / "s", {"index.html": f"{n}", "same.js": TEXT}))
        shop.told("rollback", "1")
        said = [
            shop.deploy(write(tmp_path / "s", {"index.html": f"{n}"})).out.splitlines()[-2]
            for n in (3, 4)
        ]

        assert said == ["Removed version 1", "Removed version 2"]
        assert [one["version"] for one in shop.told("sites")] == [3, 4]
        assert left_over(shop) == []
        assert shop.text("/same.js") == (200, TEXT)


def test_deploy_without_a_sandbox(tmp_path: Path, site: Path) -> None:
    data = tmp_path / "data"
    assert run("create", "shop", "--data", data).code == 0

    ended = run("deploy", site, "--backpack", "shop", "--data", data)
    with Sandbox(tmp_path, "--data", data) as sandbox:
        answer = Shop(sandbox, data, "shop").text()

    assert (ended.code, ended.out.splitlines()[-1]) == (
        0,
        "shop has a new site; backpack dev serves it",
    )
    assert answer == (200, "<h1>start</h1>")


def test_folder_that_is_missing_is_said(tmp_path: Path, site: Path) -> None:
    ended = run("deploy", site, "--backpack", "shop", "--data", tmp_path / "no")

    assert (ended.code, ended.out) == (2, "")
    assert f"There is no data folder {tmp_path / 'no'}" in ended.err


def test_nothing_is_deployed_in_memory() -> None:
    async def deploy() -> None:
        tenants = Tenants(Settings(), Memory(Settings()))
        await tenants.create("shop")
        try:
            await finish(LocalDriver(tenants).deploy("shop", "ada"))
        finally:
            await tenants.close()

    with pytest.raises(Invalid, match="backpack dev --site NAME=DIR serves a folder instead"):
        asyncio.run(deploy())


def test_dev_site_wins(tmp_path: Path, site: Path) -> None:
    data = tmp_path / "data"
    work = write(tmp_path / "work", {"index.html": "at work"})
    run("create", "shop", "--data", data)
    run("deploy", site, "--backpack", "shop", "--data", data)

    with Sandbox(tmp_path, "--data", data, "--site", f"shop={work}") as sandbox:
        answer = Shop(sandbox, data, "shop").ask("/")

    assert (answer.text, answer.headers["cache-control"]) == ("at work", "no-store")


def test_deleted_backpack_takes_its_site_along(deployed: Shop, site: Path) -> None:
    assert run("delete", deployed.name, "--data", deployed.data).code == 0
    gone = deployed.text("/docs")[0]
    assert run("create", deployed.name, "--data", deployed.data).code == 0

    again = deployed.ask("/docs")

    assert (gone, again.status_code, again.json()["code"]) == (404, 404, "unknown_route")
    assert deployed.told("sites") == []


def test_site_folder_is_its_owners_alone(deployed: Shop) -> None:
    assert stat.S_IMODE(deployed.data.stat().st_mode) == 0o700


def test_unreadable_site_is_deployed_again(tmp_path: Path, site: Path) -> None:
    data = tmp_path / "data"
    run("create", "shop", "--data", data)
    run("deploy", site, "--backpack", "shop", "--data", data)
    (data / "backpacks" / "shop" / "site" / "live").write_text("{")
    with Sandbox(tmp_path, "--data", data) as sandbox:
        shop = Shop(sandbox, data, "shop")
        broken = shop.ask("/")
        again = shop.deploy(site)

        assert (broken.status_code, broken.json()["code"]) == (503, "unavailable")
        assert (again.code, shop.text()) == (0, (200, "<h1>start</h1>"))
        assert [one["version"] for one in shop.told("sites")] == [1, 2]


def test_bomb_takes_little_of_the_sandbox(tmp_path: Path) -> None:
    with Sandbox(tmp_path, "--data", tmp_path / "data") as sandbox:
        shop = Shop(sandbox, tmp_path / "data", "my-app")
        shop.deploy(write(tmp_path / "s", {"index.html": "start"}))
        shop.text()
        path = zipped(tmp_path, Packed(b"index.html"), Packed(b"b.js", bytes(1_000 * MIB), size=99))
        before = usage(sandbox)
        ended = shop.deploy(path)
        after = usage(sandbox)

    assert (ended.code, "is longer than the zip says" in ended.err) == (2, True)
    assert (after[0] - before[0] < 50, after[1] - before[1] < 1) == (True, True)


def usage(sandbox: Sandbox) -> tuple[float, float]:
    """The most megabytes and the seconds of CPU that a sandbox has taken."""
    process = Path(f"/proc/{sandbox.process.pid}")
    found = re.search(r"VmHWM:\s+(\d+) kB", (process / "status").read_text())
    assert found
    times = (process / "stat").read_text().rpartition(")")[2].split()
    return int(found[1]) / 1024, (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")


APP = {
    "index.html": """<!doctype html><title>App</title><link rel="icon" href="data:,">
<main id="app"></main><a href="/cars/7" id="go">Car</a>
<script type="module" src="/assets/app.3f9a1c2b.mjs"></script>""",
    "assets/app.3f9a1c2b.mjs": """import { name } from "./part.mjs";
const show = () => { document.querySelector("#app").textContent = name + location.pathname; };
document.querySelector("#go").addEventListener("click", (event) => {
  event.preventDefault(); history.pushState({}, "", "/cars/7"); show();
});
show();""",
    "assets/part.mjs": 'export const name = "first";',
}


def test_single_page_app_runs_in_a_browser(shop: Shop, tmp_path: Path) -> None:
    need(find_spec("playwright"), "needs Playwright: pip install playwright")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    need(chromium, "needs a browser: apt-get install chromium")
    from playwright.sync_api import expect, sync_playwright

    told = json.loads(shop.deploy(write(tmp_path / "app", APP), "--json").out)
    errors: list[str] = []
    expect.set_options(timeout=60_000)  # ms
    with unchanged(), sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"], timeout=60_000
        )
        page = browser.new_page()
        page.on("console", lambda message: errors.append(message.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(told["url"])
        expect(page.locator("#app")).to_have_text("first/")
        page.locator("#go").click()
        expect(page.locator("#app")).to_have_text("first/cars/7")
        page.reload()
        expect(page.locator("#app")).to_have_text("first/cars/7")
        write(tmp_path / "app", {"assets/part.mjs": 'export const name = "second";'})
        assert shop.deploy(tmp_path / "app").code == 0
        page.reload()
        expect(page.locator("#app")).to_have_text("second/cars/7")
        browser.close()

    assert errors == []
