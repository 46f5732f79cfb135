"""The panel's own files."""

from __future__ import annotations

import httpx
import pytest

from backpack.pages import ADMIN_STATIC, static_version
from backpack.testing import BackpackServer

MAX_SCRIPTS = 80_000  # bytes, compressed


def get(server: BackpackServer, path: str, **headers: str) -> httpx.Response:
    headers = {"host": "admin.bkpk.localhost", "accept-encoding": "identity", **headers}
    return httpx.get(f"http://127.0.0.1:{server.port}{path}", headers=headers, verify=False)


def test_static_file_is_asked_for_again(backpack_server: BackpackServer) -> None:
    answer = get(backpack_server, "/static/panel/api.js")
    again = get(
        backpack_server, "/static/panel/api.js", **{"if-none-match": answer.headers["etag"]}
    )

    assert b"\n/**\n" in (ADMIN_STATIC / "panel" / "api.js").read_bytes()
    assert b"\n/**\n" not in get(backpack_server, "/static/panel/api.js").content
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert (again.status_code, again.content) == (304, b"")


def test_static_file_of_this_version_is_kept(backpack_server: BackpackServer) -> None:
    kept = get(backpack_server, f"/static/{static_version()}/panel/api.js")
    other = get(backpack_server, "/static/v-0123456789abcdef/panel/api.js")

    assert kept.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert other.headers["cache-control"] == "no-cache"
    assert kept.content == other.content
    assert b"export class ApiError" in kept.content


def test_static_file_is_compressed(backpack_server: BackpackServer) -> None:
    plain = get(backpack_server, "/static/panel.css")
    packed = get(backpack_server, "/static/panel.css", **{"accept-encoding": "gzip"})
    declined = get(backpack_server, "/static/panel.css", **{"accept-encoding": "gzip;q=0"})

    assert packed.headers["content-encoding"] == "gzip"
    assert packed.text == plain.text == declined.text
    assert int(packed.headers["content-length"]) < len(plain.content) / 2
    assert "content-encoding" not in declined.headers


@pytest.mark.parametrize(
    "path",
    [
        "/static/",
        "/static/nothing.js",
        "/static/panel",
        "/static/../frame.py",
        "/static/%2e%2e/frame.py",
        "/static/panel/..%2f..%2fframe.py",
        "/static//etc/passwd",
        "/static/v-0/",
        "/static/v-0/../frame.py",
        "/static/v-0/%2e%2e/frame.py",
        "/static/v-0//etc/passwd",
    ],
)
def test_other_files_are_no_statics(backpack_server: BackpackServer, path: str) -> None:
    assert get(backpack_server, path).status_code == 404


def test_scripts_of_the_panel_are_small(backpack_server: BackpackServer) -> None:
    """All of them together; a page loads a part."""
    paths = [path.relative_to(ADMIN_STATIC).as_posix() for path in ADMIN_STATIC.rglob("*.js")]
    answers = [
        get(backpack_server, f"/static/{path}", **{"accept-encoding": "gzip"}) for path in paths
    ]

    assert len(paths) > 30
    assert sum(int(answer.headers["content-length"]) for answer in answers) <= MAX_SCRIPTS
