from __future__ import annotations

import pytest

from backpack import assets
from backpack.webfiles import HASHED, content_type, is_immutable, is_packable


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
        "assets/index-B4Kx2s9Q.css",
        "main.073c9b0a.chunk.js",
        "main.073c9b0a.js.map",
        "main-ABCD2E45.js",
        "assets/css/index.B4Kx2s9Q.css",
        "docs/_astro/hoisted.Dq3x_7Pa.js",
        "_nuxt/BQ2v8fJr.js",
        "chunks/a-B4-x2s_Q.js",
        "_next/static/chunks/main-app.js",
        "_app/immutable/entry/start.js",
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
        "report-Q3Sales.pdf",
        "logo-Q4Update.png",
        "app-v2Beta1.js",
        "photo-IMG2020b.jpg",
        "notes-20240101a.txt",
        "spec-V2FINAL2.pdf",
        "index-B4Kx2s9Q.js",
        "assets/logo-Q4Update.png",
        "assets/hero-original.jpg",
        "assets/home-HomePage.js",
        "assets/photo-IMG2020b.jpg",
        "assets/Q3_Sales.css",
        "static/icon-settings.svg",
        "static/x1-y2-z3.js",
        "_next/static/page.html",
    ],
)
def test_other_names_are_no_hashes(path: str) -> None:
    assert not is_immutable(path)


def test_nginx_judges_alike() -> None:
    lines = (assets.folder("swarm") / "site.conf").read_text("utf-8").splitlines()
    kept = [line.split('"')[1] for line in lines if "immutable" in line]

    assert kept == [f"~{pattern}" for pattern in HASHED]


def test_what_is_packed_already_is_left() -> None:
    names = ["a.js", "a.html", "a.svg", "a.json", "a.wasm", "a.ttf", "a.png", "a.woff2", "a.zip"]

    packed = [name for name in names if is_packable(name)]

    assert packed == ["a.js", "a.html", "a.svg", "a.json", "a.wasm", "a.ttf"]
