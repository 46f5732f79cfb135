"""A site on a swarm, which Nginx serves, row by row beside the same site in a sandbox."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from tests.backups import zipped
from tests.sandboxes import Sandbox
from tests.swarm.deployment import Deployment
from tests.swarm.web import App
from tests.test_hosting import run

SCRIPT = "const shop = 'shop';\n" * 500
FILES = {
    "index.html": "<h1>start</h1>" * 100,
    "docs/index.html": "<h1>docs</h1>",
    "dir.ext/index.html": "<h1>a folder with a dot</h1>",
    "empty/readme.txt": "no index",
    "app.js": SCRIPT,
    "assets/app.3f9a1c2b.js": SCRIPT,
    "assets/index-B4Kx2s9Q.css": "b {}",
    "page.3f9a1c2b.html": "<p>",
    "photo.png": "\x89PNG" * 900,
    "logo.svg": "<svg></svg>" * 300,
    "data.json": "{}",
    "app.js.map": "{}",
    "app.webmanifest": "{}",
    "app.wasm": "wasm",
    "font.woff2": "font",
    "feed.xml": "<feed/>",
    "read.md": "# me",
    "all.tar.gz": "packed",
    "none": "no extension",
    "a b é.txt": "space",
    "x+y.txt": "plus",
    "50%.txt": "per cent",
    ".env": "s3cret",
    ".well-known/x": "known",
    ".well-known/acme/.hidden": "hidden",
}
PAGES = {"index.html": "start", "404.html": "<h1>nothing here</h1>", "about/index.html": "about"}

Answer = tuple[int, dict[str, Any], bytes]


@dataclass(frozen=True)
class Row:
    """A request. ETAG and DATE in its headers stand for what is told of the file before."""

    path: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200

    def __str__(self) -> str:
        return " ".join((self.method, self.path, *map(": ".join, self.headers.items())))


def asked(path: str, status: int = 200, method: str = "GET", **headers: str) -> Row:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return Row(path, method, sent, status)


GZIP = "br, gzip"
ROWS = [
    # Paths
    *map(asked, ("/", "/index.html", "/docs", "/docs/", "/docs/index.html", "//docs/", "/dir.ext")),
    *map(asked, ("/dir.ext/", "/cars/7", "/cars/7/", "/cars.d/7", "/empty", "/empty/", "/docs/x")),
    *map(asked, ("/app.js?x=1&y", "/cars/7?x=a.js", "/a;b", "/a%0ab", "/a%ffb", "/index")),
    *map(asked, ("/a%20b%20%C3%A9.txt", "/x+y.txt", "/x%2By.txt", "/50%25.txt", "/app%2ejs")),
    *(asked(path, 404) for path in ("/nope.js", "/nope.js?x", "/App.js", "/INDEX.HTML", "/a..js")),
    *(asked(path, 404) for path in ("/404.html", "/a%5cb", "/a\\b", "/docs/a%5cb.js")),
    # Names that begin with a dot
    asked("/.well-known/x"),
    asked("/.well-known/nope"),
    *(asked(path, 404) for path in ("/.env", "/%2eenv", "/.git/config", "/x/.git/config", "/...")),
    *(asked(path, 404) for path in ("/.well-known", "/.well-knownx", "/.well-known/acme/.hidden")),
    # Kinds
    *map(asked, ("/app.js", "/assets/app.3f9a1c2b.js", "/assets/index-B4Kx2s9Q.css")),
    *map(asked, ("/page.3f9a1c2b.html", "/photo.png", "/logo.svg", "/data.json", "/app.js.map")),
    *map(asked, ("/app.webmanifest", "/app.wasm", "/font.woff2", "/feed.xml", "/read.md")),
    *map(asked, ("/all.tar.gz", "/none")),
    # Methods
    asked("/", method="HEAD"),
    asked("/app.js", method="HEAD"),
    asked("/nope.js", 404, "HEAD"),
    *(asked("/", 405, method) for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS")),
    *(asked(path, 405, "POST") for path in ("/app.js", "/nope.js", "/.env", "/cars/7")),
    # Compressed
    *(
        asked(path, accept_encoding=GZIP)
        for path in ("/", "/cars/7", "/app.js", "/assets/app.3f9a1c2b.js")
    ),
    *(asked(path, accept_encoding=GZIP) for path in ("/logo.svg", "/photo.png", "/data.json")),
    asked("/app.js", method="HEAD", accept_encoding=GZIP),
    asked("/app.js", accept_encoding="gzip;q=0"),
    # Parts
    asked("/app.js", 206, range="bytes=0-9"),
    asked("/app.js", 206, range="bytes=-5"),
    asked("/app.js", 206, range="bytes=10490-99999"),
    asked("/cars/7", 206, range="bytes=0-1"),
    asked("/app.js", 206, range="bytes=0-9", if_range="ETAG"),
    asked("/app.js", range="bytes=0-9", if_range='"another"'),
    asked("/app.js", range="bytes=0-1,4-5"),
    asked("/app.js", range="lines=1-2"),
    asked("/app.js", 416, range="bytes=99999-"),
    asked("/nope.js", 404, range="bytes=0-1"),
    # What is known already
    *(asked(path, 304, if_none_match="ETAG") for path in ("/", "/app.js", "/cars/7")),
    asked("/assets/app.3f9a1c2b.js", 304, if_none_match="ETAG"),
    asked("/app.js", 304, "HEAD", if_none_match="ETAG"),
    asked("/app.js", 304, if_none_match='"x", ETAG'),
    asked("/app.js", 304, if_none_match="W/ETAG"),
    asked("/app.js", 304, if_none_match="*"),
    asked("/app.js", 304, if_none_match="ETAG", accept_encoding=GZIP),
    asked("/app.js", if_none_match='"another"'),
    asked("/app.js", 304, if_modified_since="DATE"),
    asked("/app.js", if_modified_since="Thu, 01 Jan 1970 00:00:01 GMT"),
    asked("/app.js", if_modified_since="yesterday"),
]
OF_PAGES = [
    *map(asked, ("/", "/about", "/about/", "/404.html")),
    *(asked(path, 404) for path in ("/cars/7", "/nope.js", "/.env", "/about/x")),
    asked("/cars/7", 404, "HEAD"),
    asked("/cars/7", 405, "POST"),
]
OF_ALL: tuple[str, ...] = ("content-type", "allow", "referrer-policy", "x-content-type-options")
OF_CONTENT: tuple[str, ...] = (
    *("cache-control", "content-encoding", "content-range"),
    *("referrer-policy", "vary", "x-content-type-options"),
)


@dataclass(frozen=True)
class Host:
    """Where a site is served; `connect` opens a connection there."""

    name: str
    connect: Callable[[], socket.socket]

    def answer(self, row: Row) -> Answer:
        """What comes for a row, as far as it matters."""
        sent = {"accept-encoding": "identity", **row.headers}
        if "ETAG" in str(sent) or "DATE" in str(sent):
            known, _ = self._ask(row.path, "GET", {"accept-encoding": sent["accept-encoding"]})
            marks = {"ETAG": known.headers["etag"], "DATE": known.headers["last-modified"]}
            for mark, value in marks.items():
                sent = {name: text.replace(mark, value) for name, text in sent.items()}
        answer, body = self._ask(row.path, row.method, sent)
        names = OF_ALL if answer.status >= 400 else (*OF_ALL, *OF_CONTENT)
        if answer.status == 304:
            names = tuple(name for name in OF_CONTENT if name != "content-encoding")
        kept = {name: answer.headers[name] for name in names if name in answer.headers}
        if answer.status >= 400 and "content-type" in kept:
            kept["content-type"] = answer.headers.get_content_type()
        if "vary" in kept:
            kept["vary"] = kept["vary"].lower()
        if answer.status < 400:
            kept["validators"] = {"etag", "last-modified"} & {*map(str.lower, answer.headers)}
        if kept.get("content-type") == "application/json" and answer.status >= 400 and body:
            body = json.loads(body)["code"].encode()
        return answer.status, kept, body

    def _ask(
        self, path: str, method: str, headers: Mapping[str, str]
    ) -> tuple[HTTPResponse, bytes]:
        """Paths go out as they are, which is why no client does this."""
        lines = [f"{method} {path} HTTP/1.1", f"host: {self.name}", "connection: close"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        with self.connect() as connection:
            connection.sendall("\r\n".join((*lines, "", "")).encode())
            answer = HTTPResponse(connection, method=method)
            answer.begin()
            return answer, answer.read()


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    folder = tmp_path_factory.mktemp("sites")
    with Sandbox(folder, "--data", folder / "data", "--backpack", "shop") as sandbox:
        sandbox.ready["data"] = folder / "data"
        yield sandbox


@pytest.fixture(scope="module")
def hosts(deployment: Deployment, shop: App, sandbox: Sandbox) -> list[Host]:
    """The same backpack in the sandbox and on the swarm."""
    there = f"{shop.name}.{deployment.lab.domain}"
    edge, trust = deployment.edge.address, deployment.edge.trust
    return [
        Host(
            f"shop.{sandbox.ready['domain']}",
            lambda: socket.create_connection(("127.0.0.1", sandbox.ready["port"]), 30),
        ),
        Host(
            there,
            lambda: trust.wrap_socket(
                socket.create_connection((edge, 443), 30), server_hostname=there
            ),
        ),
    ]


def deploy(
    deployment: Deployment, sandbox: Sandbox, files: Mapping[str, str], folder: Path
) -> None:
    """Deploy the same zip at both."""
    content = zipped({name: text.encode() for name, text in files.items()})
    (folder / "site.zip").write_bytes(content)
    data = sandbox.ready["data"]
    assert run("deploy", folder / "site.zip", "--backpack", "shop", "--data", data).code == 0
    deployment.deploy("shop", content)


@pytest.mark.parametrize(
    ("files", "rows"), [(FILES, ROWS), (PAGES, OF_PAGES)], ids=["routes", "pages"]
)
def test_swarm_serves_as_a_sandbox_does(
    deployment: Deployment,
    sandbox: Sandbox,
    hosts: list[Host],
    tmp_path: Path,
    files: dict[str, str],
    rows: list[Row],
) -> None:
    deploy(deployment, sandbox, files, tmp_path)

    here, there = ({str(row): host.answer(row) for row in rows} for host in hosts)

    assert {row: answer[0] for row, answer in here.items()} == {
        str(row): row.status for row in rows
    }
    assert there == here


@pytest.mark.parametrize(
    "path", ["/../etc/passwd", "/%2e%2e/etc/passwd", "/..%2fetc/passwd", "/docs/..%5c..%5cx"]
)
def test_nothing_outside_is_served(hosts: list[Host], path: str) -> None:
    for host in hosts:
        status, _, body = host.answer(asked(path))

        assert b"root:" not in body
        assert status in (200, 400, 404)
