from __future__ import annotations

import pytest

from backpack.webfiles import content_type, is_immutable, is_packable


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("index.html", "text/html; charset=utf-8"),
        ("a/b.JS", "text/javascript; charset=utf-8"),
        ("b.mjs", "text/javascript; charset=utf-8"),
        ("b.css", "text/css; charset=utf-8"),
        ("b.js.map", "application/json; charset=utf-8"),
        ("b.wasm", "application/wasm"),
        ("b.webmanifest", "application/manifest+json"),
        ("b.woff2", "font/woff2"),
        ("b.avif", "image/avif"),
        ("b.webp", "image/webp"),
        ("b.svg", "image/svg+xml"),
        ("favicon.ico", "image/x-icon"),
        ("b.tar.gz", "application/gzip"),
        ("http://b.txt", "text/plain; charset=utf-8"),
        (".well-known/apple-app-site-association", "application/octet-stream"),
        ("b.unheardof", "application/octet-stream"),
    ],
)
def test_name_tells_type(path: str, kind: str) -> None:
    assert content_type(path) == kind


@pytest.mark.parametrize(
    "path",
    [
        "app.3f9a1c2b.js",
        "assets/index-BKx2s9.js",
        "assets/index-B4Kx2s9Q.css",
        "main.073c9b0a.chunk.js",
        "main.073c9b0a.js.map",
        "app-ABCD2E45.js",
        "logo.5d5d9eefa31e5e13a6610d9fa7a283bb.svg",
        "font-1a2b3c4d.woff2",
    ],
)
def test_hash_is_seen(path: str) -> None:
    assert is_immutable(path)


@pytest.mark.parametrize(
    "path",
    [
        "app.js",
        "index.html",
        "page.3f9a1c2b.html",
        "jquery-3.7.1.min.js",
        "report-20240131.json",
        "photo-iPhone15.jpg",
        "home-HomePage.js",
        "component-library.js",
        "my-decade.js",
        "release-V2.js",
        "deadbeef.js",
        "3f9a1c2b/app.js",
        "sw.js",
        "IMG-20240131.png",
    ],
)
def test_other_names_are_no_hashes(path: str) -> None:
    assert not is_immutable(path)


def test_what_is_packed_already_is_left() -> None:
    names = ["a.js", "a.html", "a.svg", "a.json", "a.wasm", "a.ttf", "a.png", "a.woff2", "a.zip"]

    packed = [name for name in names if is_packable(name)]

    assert packed == ["a.js", "a.html", "a.svg", "a.json", "a.wasm", "a.ttf"]
