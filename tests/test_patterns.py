from __future__ import annotations

import ctypes
import ctypes.util
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backpack.errors import Invalid
from backpack.patterns import MAX_PATTERN, compile_pattern, for_mongodb
from tests.services import need

Pcre = Callable[[str, str, list[str]], list[bool]]

_FLAGS = {"i": 0x8, "m": 0x400, "s": 0x20}  # PCRE2_CASELESS, _MULTILINE, _DOTALL
_UTF = 0x80000


@pytest.fixture(scope="module")
def pcre() -> Iterator[Pcre]:
    """PCRE2 with the options that MongoDB gives it: does each text contain the pattern?"""
    name = ctypes.util.find_library("pcre2-8")
    need(name, "needs the PCRE2 library: apt-get install libpcre2-8-0")
    library = ctypes.CDLL(name)
    library.pcre2_compile_8.restype = ctypes.c_void_p
    library.pcre2_match_data_create_8.restype = ctypes.c_void_p
    found = ctypes.c_void_p(library.pcre2_match_data_create_8(1, None))

    def search(pattern: str, flags: str, texts: list[str]) -> list[bool]:
        encoded = pattern.encode()
        options = _UTF | sum(_FLAGS[flag] for flag in flags)
        error, offset = ctypes.c_int(), ctypes.c_size_t()
        size = ctypes.c_size_t(len(encoded))
        code = ctypes.c_void_p(
            library.pcre2_compile_8(
                encoded, size, options, ctypes.byref(error), ctypes.byref(offset), None
            )
        )
        assert code, f"PCRE2 refuses {pattern!r}: error {error.value} at {offset.value}"
        answers = [_matches(code, text.encode()) for text in texts]
        library.pcre2_code_free_8(code)
        return answers

    def _matches(code: ctypes.c_void_p, text: bytes) -> bool:
        size, start = ctypes.c_size_t(len(text)), ctypes.c_size_t(0)
        result: int = library.pcre2_match_8(code, text, size, start, 0, found, None)
        assert result >= -1
        return result >= 0

    yield search
    library.pcre2_match_data_free_8(found)


@pytest.mark.parametrize(
    ("pattern", "flags", "text", "expected"),
    [
        ("b", "", "abc", True),
        ("B", "", "abc", False),
        ("B", "i", "abc", True),
        ("É", "i", "é", True),
        ("a.c", "", "a\nc", False),
        ("a.c", "s", "a\nc", True),
        ("^b", "", "a\nb", False),
        ("^b", "m", "a\nb", True),
        ("(?m)^b", "", "a\nb", True),
        ("", "", "", True),
        ("^.$", "", "👋", True),
        # RE2 and PCRE2 differ in these; see the module.
        ("a$", "", "a\n", False),
        ("a$", "m", "a\n", True),
        ("^$", "m", "a\n", True),
        ("\\s", "", "\x0b", True),
        ("[^\\s]", "", "\x0b", False),
        ("\\v", "", "\n", False),
        ("\\w", "i", "\u017f", False),
        ("\\p{Lu}", "i", "a", False),
        ("x{,2}", "", "x{,2}", True),
        ("[[.a.]]", "", "a]", True),
    ],
)
def test_patterns_find(pattern: str, flags: str, text: str, expected: bool, pcre: Pcre) -> None:
    assert compile_pattern(pattern, flags)(text) is expected
    assert pcre(for_mongodb(pattern, flags), flags, [text]) == [expected]


@pytest.mark.parametrize(
    ("pattern", "flags", "why"),
    [
        ("(", "", "missing )"),
        ("a(?=b)", "", "invalid perl operator: (?="),
        ("(?<!a)b", "", "invalid perl operator: (?<"),
        ("(a)\\1", "", "invalid escape sequence: \\1"),
        ("\\12", "", "back references and \\C are not supported"),
        ("\\C", "", "back references and \\C are not supported"),
        ("(?>a)", "", "invalid perl operator: (?>"),
        ("a++", "", "bad repetition operator: ++"),
        ("^*", "", "nothing to repeat before *"),
        ("(?i)*", "", "no argument for repetition operator: *"),
        ("a(?i){2}", "", "nothing to repeat before {2}"),
        ("a\0", "", "may not contain NUL"),
        ("a" * (MAX_PATTERN + 1), "", "at most 1000 characters"),
        ("((a{1,100}){1,10}b){1,9}", "", "invalid repetition size"),
        ("\\pL{1,99}", "", "the pattern is too complex"),
        ("a b", "x", "the option x is not supported"),
        ("a", "g", "options are letters of ims"),
        ("a", "ii", "options are letters of ims"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_patterns_out_of_bounds_are_refused(
    pattern: str, flags: str, why: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Invalid) as caught:
        compile_pattern(pattern, flags)
    assert why in caught.value.message
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("pattern", "flags", "expected"),
    [
        ("^foo.*bar", "", "^foo.*bar"),
        ("^a$|b", "", "^a\\z|b"),
        ("^a$", "m", "^a$"),
        ("^ *a", "m", "(?<![^\\n]) *a"),
        ("(?m:^$)$", "", "(?m:(?<![^\\n])$)\\z"),
        ("(?P<year>\\d{4})", "", "(?:\\d{4})"),
        ("[$^{-]", "", "[$\\^{\\-]"),
        ("\\Qa$\\E+", "", "a\\$+"),
    ],
    ids=str,
)
def test_patterns_for_mongodb_are_spelt_out(pattern: str, flags: str, expected: str) -> None:
    compile_pattern(pattern, flags)
    assert for_mongodb(pattern, flags) == expected


_PIECES = [
    r"a",
    r"b",
    r"k",
    r".",
    r"^",
    r"$",
    r"\s",
    r"\S",
    r"\v",
    r"\d",
    r"\D",
    r"\w",
    r"\W",
    r"\b",
    r"\A",
    r"\z",
    r"[ab]",
    r"[^a]",
    r"[\s-a]",
    r"[\S]",
    r"[a-c-e]",
    r"[]a]",
    r"[^]a]",
    r"[[a]",
    r"[[.a.]]",
    r"[[=a=]]",
    r"[a-]",
    r"[--a]",
    r"[^\d-]",
    r"[\pL]",
    r"\pL",
    r"\p{Lu}",
    r"\P{L}",
    r"(?i)",
    r"(?m)",
    r"(?s)",
    r"(?-m)",
    r"(?m:^)",
    r"(?-m:$)",
    r"(?im-s:^.a)",
    r"(?P<n>a)",
    r"(?<q>k)",
    r"(",
    r"(?:",
    r")",
    r"|",
    r"*",
    r"+",
    r"?",
    r"{2}",
    r"{,2}",
    r"{1,}",
    r"{0,2}?",
    r"{",
    r"}",
    r"\n",
    r"\Qa.*\E",
    r"\x41",
    r"\x{e9}",
    r"é",
    r"É",
    r"\012",
    r"\.",
    r"\-",
    r"-",
    r"#",
    r"&&",
    r"[\v]",
    r"[^\v\s]",
    r"[^^]",
    r"[a^]",
    r"[\]]",
    r"[\-a]",
    r"[[:alpha:]]",
    "\n",
    " ",
]


@settings(max_examples=500)
@given(
    st.lists(st.sampled_from(_PIECES), min_size=1, max_size=6).map("".join),
    st.sets(st.sampled_from("ims")).map(sorted).map("".join),
    st.lists(st.text("abcekABK\n\r\v éÉ1_-{}.[]=^:&x,2\\", max_size=5), min_size=8, max_size=8),
)
def test_patterns_mean_the_same_to_pcre2(
    pcre: Pcre, pattern: str, flags: str, texts: list[str]
) -> None:
    pattern += ")" * (pattern.count("(") - pattern.count(")"))
    texts += ["", "\n", "a\n", "a\nb\n"]
    try:
        contains = compile_pattern(pattern, flags)
    except Invalid:
        return
    assert pcre(for_mongodb(pattern, flags), flags, texts) == [contains(text) for text in texts]


def test_patterns_take_little_memory() -> None:
    statistics = Path("/proc/self/statm")
    need(statistics.exists(), "needs the proc file system of Linux")

    def resident() -> int:
        return int(statistics.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    numbers = random.Random(7)
    text = "".join(numbers.choices("ab", k=20_000))
    before = resident()

    # Each leads to another state with nearly every letter; RE2 keeps them as long as there is room.
    kept = [compile_pattern(f"x{n}|[ab]*a[ab]{{{100 + n}}}c") for n in range(40)]
    assert not any(contains(text) for contains in kept)

    assert resident() - before < 40 * 1_500_000
