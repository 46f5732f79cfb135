"""Zips that are none, that lie, or that would take too much."""

from __future__ import annotations

import os
import stat
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backpack.archives import Archive, Limits
from backpack.errors import BackpackError, Invalid
from backpack.versions import choose
from tests.zips import Packed, deflate, zip_of

LIMITS = Limits(size=50_000_000, count=1_000, ratio=100)
INDEX = Packed(b"index.html", b"<h1>shop</h1>")
MIB = 1_048_576


def unpacked(data: bytes, folder: Path) -> dict[str, bytes]:
    """What a site gets of a zip, by path."""
    path = folder / "site.zip"
    path.write_bytes(data)
    file = os.open(path, os.O_RDONLY)
    try:
        archive = Archive(file, LIMITS)
        found = choose(archive.entries())
        return {path: b"".join(archive.content(entry)) for path, entry in found.items()}
    finally:
        os.close(file)


def reason(data: bytes, folder: Path) -> str:
    """Why a zip is refused."""
    with pytest.raises(Invalid) as caught:
        unpacked(data, folder)
    assert caught.value.code == "bad_site"
    return caught.value.message


def test_plain_zip_is_unpacked(tmp_path: Path) -> None:
    stored = Packed(b"a/b.txt", b"stored", method=0)
    folder = Packed(b"a/", mode=stat.S_IFDIR | 0o755)
    accent = Packed("cafe\u0301.txt".encode(), b"composed")
    old = Packed("ü.txt".encode("cp437"), b"old")

    assert unpacked(zip_of(folder, INDEX, stored, accent, old), tmp_path) == {
        "index.html": b"<h1>shop</h1>",
        "a/b.txt": b"stored",
        "café.txt": b"composed",
        "ü.txt": b"old",
    }


def test_single_folder_is_left_out(tmp_path: Path) -> None:
    data = zip_of(
        Packed(b"dist/index.html", b"1"),
        Packed(b"dist/a.js", b"2"),
        Packed(b"__MACOSX/dist/._a.js", b"3"),
        Packed(b".DS_Store", b"4"),
    )

    assert unpacked(data, tmp_path) == {"index.html": b"1", "a.js": b"2"}


def test_hidden_files_are_left_out(tmp_path: Path) -> None:
    data = zip_of(INDEX, Packed(b".env", b"s3cret"), Packed(b".git/config"), Packed(b"a/.b/c"))
    known = Packed(b".well-known/x", b"shown")

    assert unpacked(data, tmp_path).keys() == {"index.html"}
    assert unpacked(zip_of(INDEX, known), tmp_path).keys() == {"index.html", ".well-known/x"}


@pytest.mark.parametrize(
    "names",
    [[b"a.html"], [b"a/b.html", b"a/c/index.html"], [b"a/index.html", b"b/x.js"], []],
    ids=["root", "too deep", "two folders", "empty"],
)
def test_start_page_is_needed(names: list[bytes], tmp_path: Path) -> None:
    assert "There is no index.html" in reason(zip_of(*map(Packed, names)), tmp_path)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (b"../x", "has . or .."),
        (b"a/../../x", "has . or .."),
        (b"a/./x", "has . or .."),
        (b"a//x", "nothing between"),
        (b"..", "has . or .."),
        (b"/etc/passwd", "is no path inside"),
        (b"//x/y", "is no path inside"),
        (b"C:/x", "is no path inside"),
        (b"c:x", "is no path inside"),
        (b"", "is no path inside"),
        (b"/", "is no path inside"),
        (b"a\\b", "folders are separated by /"),
        (b"..\\x", "folders are separated by /"),
        (b"\\\\server\\x", "folders are separated by /"),
        (b"a\0.html", "control characters"),
        (b"a\n.html", "control characters"),
        (b"a\x7f.html", "control characters"),
        ("a\u2028".encode(), "control characters"),
        (b"x" * 300, "is too long"),
        (b"/".join([b"x" * 200] * 6), "is too long"),
        (b".git/../../x", "has . or .."),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_path_is_refused(name: bytes, why: str, tmp_path: Path) -> None:
    assert why in reason(zip_of(INDEX, Packed(name)), tmp_path)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (b"a.js", b"A.JS"),
        ("stra\u00dfe".encode(), b"STRASSE"),
        (b"a", b"a/"),
        (b"a/b", b"A/B"),
    ],
    ids=["case", "folding", "folder", "deep"],
)
def test_one_path_for_two_is_refused(first: bytes, second: bytes, tmp_path: Path) -> None:
    why = "are one file on some disks"

    assert why in reason(zip_of(INDEX, Packed(first), Packed(second)), tmp_path)
    assert why in reason(zip_of(Packed(second), INDEX, Packed(first)), tmp_path)


def test_file_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    one = "\u00e9"
    data = zip_of(INDEX, Packed(one.encode()), Packed("e\u0301".encode()))

    assert "The file 'index.html' is in the zip twice" in reason(zip_of(INDEX, INDEX), tmp_path)
    assert f"The file {one!r} is in the zip twice" in reason(data, tmp_path)


def test_start_page_of_another_name_is_told(tmp_path: Path) -> None:
    for name in (b"INDEX.HTML", b"index.htm", b"site/Index.html"):
        why = reason(zip_of(Packed(name), Packed(b"site/a.js")), tmp_path)
        assert f"there is {name.decode()!r}" in why


def test_file_in_a_file_is_refused(tmp_path: Path) -> None:
    data = zip_of(INDEX, Packed(b"a"), Packed(b"a-b"), Packed(b"A/b/c"))

    assert "is a folder too" in reason(data, tmp_path)


FAR = zip_of(INDEX, Packed(b"a", b"a" * 99, method=0))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        pytest.param(b"", "It is no zip", id="empty"),
        pytest.param(b"<html>" * 99, "It is no zip", id="html"),
        pytest.param(FAR[:-1], "It is no zip", id="cut at the end"),
        pytest.param(FAR[:60], "It is no zip", id="cut in the middle"),
        pytest.param(FAR + b"x", "something stands behind", id="longer"),
        pytest.param(b"x" + FAR, "is not where its end says", id="moved"),
        pytest.param(zip_of(INDEX, count=2), "directory is too short", id="counts too many"),
        pytest.param(zip_of(INDEX, INDEX, count=1), "more entries than", id="counts too few"),
        pytest.param(zip_of(INDEX, count=0xFFFF), "zip64", id="zip64"),
        pytest.param(
            zip_of(INDEX, Packed(b"l", b"/etc/passwd", mode=stat.S_IFLNK | 0o777)),
            "'l' is a link",
            id="link",
        ),
        pytest.param(
            zip_of(INDEX, Packed(b"d", mode=stat.S_IFCHR | 0o666)), "neither a file", id="device"
        ),
        pytest.param(zip_of(INDEX, Packed(b"e", b"x", flags=1)), "is encrypted", id="encrypted"),
        pytest.param(zip_of(INDEX, Packed(b"e", b"x", flags=0x41)), "is encrypted", id="strong"),
        pytest.param(zip_of(INDEX, Packed(b"m", b"x", method=12)), "by method 12", id="bzip2"),
        pytest.param(zip_of(INDEX, Packed(b"\xff", flags=0x800)), "not UTF-8", id="no UTF-8"),
        pytest.param(zip_of(INDEX, Packed(b"s", b"xyz", size=2)), "longer than", id="longer"),
        pytest.param(zip_of(INDEX, Packed(b"s", b"xyz", size=4)), "shorter than", id="shorter"),
        pytest.param(
            zip_of(INDEX, Packed(b"s", b"xyz", method=0, size=2)), "two sizes", id="two sizes"
        ),
        pytest.param(zip_of(INDEX, Packed(b"s", b"xyz", checksum=1)), "is damaged", id="checksum"),
        pytest.param(
            zip_of(INDEX, Packed(b"s", b"xyz", packed=deflate(b"xyz") + b"more")),
            "has more behind it",
            id="more behind it",
        ),
        pytest.param(
            zip_of(INDEX, Packed(b"s", b"xyz" * 99, packed=deflate(b"xyz" * 99)[:-3])),
            "shorter than",
            id="stream is cut",
        ),
        pytest.param(
            zip_of(INDEX, Packed(b"s", b"xyz", packed=b"\xff\xff\xff")), "damaged", id="no deflate"
        ),
        pytest.param(
            zip_of(INDEX, Packed(b"s", b"xyz", packed_size=10_000)), "reaches into", id="too far"
        ),
        pytest.param(
            zip_of(INDEX, Packed(b"s", b"xyz", start=0)), "shares its place", id="same place"
        ),
        pytest.param(
            zip_of(INDEX, Packed(b"s", b"xyz", start=40)), "shares its place", id="overlap"
        ),
        pytest.param(
            zip_of(INDEX, Packed(b"s", b"x", local_name=b"../s")), "has . or ..", id="two names"
        ),
        pytest.param(
            zip_of(INDEX, Packed(b"s", b"x", local_name=b"t")), "is not what", id="other name"
        ),
    ],
)
def test_lie_is_refused(data: bytes, why: str, tmp_path: Path) -> None:
    assert why in reason(data, tmp_path)


def quoted_bomb() -> bytes:
    """Entries that all say that the same content is theirs, and that it is small."""
    first = Packed(b"index.html", bytes(10 * MIB), size=99)
    return zip_of(first, *(Packed(b"%d" % n, packed=b"", size=99, start=0) for n in range(50)))


def bomb_in_a_bomb() -> bytes:
    inner = zip_of(Packed(b"zeros", bytes(40 * MIB)))
    return zip_of(INDEX, Packed(b"a.zip", inner * 900))


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: zip_of(INDEX, Packed(b"b", bytes(40 * MIB))), id="ratio"),
        pytest.param(lambda: zip_of(INDEX, Packed(b"b", bytes(60 * MIB))), id="size"),
        pytest.param(lambda: zip_of(INDEX, Packed(b"b", bytes(60 * MIB), size=9)), id="lies"),
        pytest.param(lambda: zip_of(INDEX, *(Packed(b"%d" % n) for n in range(1_000))), id="count"),
        pytest.param(
            lambda: zip_of(INDEX, *(Packed(b"%d" % n) for n in range(60_000)), count=9),
            id="count that lies",
        ),
        pytest.param(
            lambda: zip_of(*(Packed(b"%d" % n, bytes(MIB)) for n in range(49))), id="many"
        ),
        pytest.param(bomb_in_a_bomb, id="nested"),
        pytest.param(quoted_bomb, id="overlapping"),
    ],
)
def test_bomb_takes_little(make: Callable[[], bytes], tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    path.write_bytes(make())
    file = os.open(path, os.O_RDONLY)
    tracemalloc.start()
    try:
        started = time.thread_time()
        with pytest.raises(BackpackError) as caught:
            archive = Archive(file, LIMITS)
            for entry in choose(archive.entries()).values():
                for _ in archive.content(entry):
                    pass
        took = time.thread_time() - started
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        os.close(file)

    assert caught.value.code == "bad_site"
    assert (took < 1, peak < 20 * MIB) == (True, True)


NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40) | st.lists(
    st.sampled_from(["a", "B", "..", ".", "", "é", "e\u0301", "C:", "\\", "\0", "x" * 90]),
    min_size=1,
    max_size=5,
).map("/".join)


@given(st.lists(NAMES, max_size=5))
def test_any_names_are_safe_or_refused(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("zip")
    entries = [Packed(name.encode()) for name in names]
    try:
        found = unpacked(zip_of(INDEX, *entries), folder)
    except Invalid as exc:
        assert exc.code == "bad_site"
        return

    root = folder.resolve()
    for path in found:
        assert (root / path).resolve() != root
        assert (root / path).resolve().is_relative_to(root)
    assert len({path.casefold() for path in found}) == len(found)


@given(
    st.dictionaries(
        st.text("abcxyz/", min_size=1, max_size=8), st.binary(max_size=300), max_size=6
    ),
    st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
)
def test_what_python_packs_is_unpacked(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], method: int
) -> None:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        archive.writestr("index.html", "start")
        for path, content in files.items():
            archive.writestr(path, content)
    try:
        found = unpacked(packed.getvalue(), tmp_path_factory.mktemp("zip"))
    except Invalid as exc:
        assert exc.code == "bad_site"
        return

    wanted = {path: content for path, content in files.items() if not path.endswith("/")}
    assert found == {"index.html": b"start", **wanted}


@given(st.integers(0, len(FAR) - 1), st.integers(1, 255))
def test_damaged_zip_is_refused_or_right(
    tmp_path_factory: pytest.TempPathFactory, at: int, change: int
) -> None:
    data = bytearray(FAR)
    data[at] ^= change
    try:
        found = unpacked(bytes(data), tmp_path_factory.mktemp("zip"))
    except BackpackError as exc:
        assert exc.code == "bad_site"
        return

    assert set(found.values()) <= {b"<h1>shop</h1>", b"a" * 99}
