"""Regular expressions: RE2's syntax, one meaning in this process and in MongoDB.

RE2 matches in time linear in the text, whatever the pattern; it knows no look-around and no back
references. MongoDB hands patterns to PCRE2, which reads some of RE2's syntax differently. Where
they differ, the pattern is rewritten for one of the two:

- `\\s` has the vertical tab, as in PCRE2.
- `\\w`, `\\pL` and the like keep to their characters under the flag i, as in PCRE2.
- `$` without the flag m is the end of the text only, and `^` with it is the start of every line,
  also of an empty one after the last line feed, both as in RE2.

Two differences are left. Under the flag i, a named set within brackets, as in `[\\w-]`, has its
letters' other cases here (U+017F and U+212A for s and k, all of `[\\p{Lu}]`), and not in PCRE2.
And `\\B` with nothing beside it is found within a character of several bytes.

`docs/http.md` tells clients so. Sources: https://github.com/google/re2/wiki/Syntax and the manual
pages pcre2pattern(3) and pcre2compat(3).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import re2  # type: ignore[import-untyped]

from .errors import Invalid

MAX_PATTERN = 1_000
FLAGS = "ims"

# RE2's instructions; `\pL` alone has 1,200. The worst patterns take 2.5 ns for each of them and
# each byte of text (measured with `[ab]*a[ab]{900}c`), so 7 s for a text of 1 MiB; the GIL is
# free then.
_MAX_PROGRAM = 2_500
# What a compiled pattern may come to fill, the program and the states that texts led it to. RE2
# would take 8 MiB; hundreds are remembered, and who asks chooses them.
_MAX_MEMORY = 1_048_576  # bytes
_REPEAT = re.compile(r"[*+?]|\{\d+(?:,\d*)?\}")
_GROUP = re.compile(r"\(\?(?:P?<\w+>|(?P<on>[imsU]*)(?P<off>-[imsU]+)?(?P<end>[:)]))")
_ESCAPE = re.compile(r"\\(?:[pP](?:\{[^}]*\}|.)|x(?:\{[^}]*\}|..)|0[0-7]{0,2}|.)", re.DOTALL)
_POSIX_CLASS = re.compile(r"\[:\^?\w+:\]")
# What takes at least one character, so that `^` before it cannot be at the end of the text.
_SOMETHING = re.compile(r"(?:\\[dDsSwW\W]|[^\\^$|(){}\[*+?])(?![*?{])")


@lru_cache(maxsize=128)
def compile_pattern(pattern: str, flags: str = "") -> Callable[[str], bool]:
    """A function that says whether a text contains a match.

    Raises Invalid when the pattern is no RE2 syntax, too long or too complex, or a flag unknown.
    """
    _check(pattern, flags)
    ours = _Rewriting(pattern, flags).ours
    regexp = _compiled(f"(?{flags}){ours}" if flags else ours)
    if regexp.programsize > _MAX_PROGRAM:
        raise _bad("the pattern is too complex")

    def contains(text: str) -> bool:
        return regexp.search(text.encode()) is not None

    return contains


def for_mongodb(pattern: str, flags: str = "") -> str:
    """`pattern`, which `compile_pattern` took, so that MongoDB finds the same with these flags."""
    return _Rewriting(pattern, flags).theirs


def _check(pattern: str, flags: str) -> None:
    if "x" in flags:
        raise _bad("the option x is not supported: write the pattern without spaces and comments")
    if flags.strip(FLAGS) or len(set(flags)) < len(flags):
        raise _bad(f"options are letters of {FLAGS}, each once")
    if len(pattern) > MAX_PATTERN:
        raise _bad(f"a pattern may have at most {MAX_PATTERN} characters")
    if "\0" in pattern:
        raise _bad("a pattern may not contain NUL")
    _compiled(pattern)


def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = _MAX_MEMORY
    try:
        return re2.compile(pattern, options=options)
    except re2.error as exc:
        reason = exc.args[0]
        text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        if "too large" in text:
            raise _bad("the pattern is too complex") from exc
        raise _bad(f"not a pattern in RE2 syntax: {text}") from exc


def _bad(why: str) -> Invalid:
    return Invalid(why, code="bad_filter")


class _Rewriting:
    """`ours` for RE2 and `theirs` for PCRE2, of a pattern that RE2 accepts."""

    def __init__(self, pattern: str, flags: str) -> None:
        self.ours = self.theirs = ""
        self._text = pattern
        self._lines = ["m" in flags]  # the flag m, for each open group
        self._folds = "i" in flags or "(?" in pattern
        self._repeatable = False
        at = 0
        while at < len(pattern):
            at = self._step(at)

    def _step(self, at: int) -> int:
        text, char = self._text, self._text[at]
        repeat = _REPEAT.match(text, at)
        if repeat:
            return self._repeat(repeat)
        self._repeatable = True
        if char == "\\":
            return self._escape(at)
        if char == "[":
            return self._class(at)
        if char == "(":
            return self._open(at)
        if char == ")":
            self._lines.pop()
        if char in "^$":
            return self._anchor(at)
        return self._put(at + 1, char, "\\{" if char == "{" else char)

    def _put(self, end: int, ours: str, theirs: str | None = None) -> int:
        self.ours += ours
        self.theirs += ours if theirs is None else theirs
        return end

    def _repeat(self, repeat: re.Match[str]) -> int:
        if not self._repeatable:
            raise _bad(f"not a pattern: nothing to repeat before {repeat[0]}")
        end = repeat.end() + (self._text[repeat.end() :][:1] == "?")
        return self._put(end, self._text[repeat.start() : end])

    def _anchor(self, at: int) -> int:
        self._repeatable = False
        if self._text[at] == "$":
            return self._put(at + 1, "$", "$" if self._lines[-1] else "\\z")
        exotic = self._lines[-1] and not _SOMETHING.match(self._text, at + 1)
        return self._put(at + 1, "^", r"(?<![^\n])" if exotic else "^")

    def _open(self, at: int) -> int:
        group = _GROUP.match(self._text, at)
        if group is None:
            self._lines.append(self._lines[-1])
            return self._put(at + 1, "(")
        if group["end"] is None:
            self._lines.append(self._lines[-1])
            return self._put(group.end(), "(?:")
        lines = "m" in group["on"] or (self._lines[-1] and "m" not in (group["off"] or ""))
        if group["end"] == ":":
            self._lines.append(lines)
        else:
            self._lines[-1] = lines
            self._repeatable = False
        return self._put(group.end(), group[0])

    def _escape(self, at: int) -> int:
        if self._text[at + 1] == "Q":
            end = self._text.find("\\E", at)
            quoted = self._text[at + 2 : end if end >= 0 else None]
            return self._put(end + 2 if end >= 0 else len(self._text), re2.escape(quoted))
        escape = _escaped(self._text, at)
        self._repeatable = escape[1] not in "AzbB"
        same = {"\\s": "[[:space:]]", "\\S": "[[:^space:]]", "\\v": "\\x0b"}.get(escape, escape)
        exact = self._folds and escape[1] in "wWpP"
        return self._put(at + len(escape), f"(?-i:{same})" if exact else same)

    def _class(self, at: int) -> int:
        start, text = at, self._text
        at += 2 if text.startswith("^", at + 1) else 1
        self._put(at, text[start:at])
        first = at
        while text[at] != "]" or at == first:
            at = self._class_item(at)
        return self._put(at + 1, "]")

    def _class_item(self, at: int) -> int:
        """One character, range or named set of a bracket expression; `-` and `[` are spelt out."""
        named = _POSIX_CLASS.match(self._text, at)
        if named:
            return self._put(named.end(), named[0])
        low, end = self._class_char(at)
        sets = {"\\s": "[:space:]", "\\S": "[:^space:]"}
        if low in sets or low[:2] in ("\\d", "\\D", "\\w", "\\W", "\\p", "\\P"):
            return self._put(end, sets.get(low, low))
        if self._text[end] != "-" or self._text[end + 1] == "]":
            return self._put(end, low)
        high, end = self._class_char(end + 1)
        return self._put(end, f"{low}-{high}")

    def _class_char(self, at: int) -> tuple[str, int]:
        char = self._text[at]
        if char == "\\":
            escape = _escaped(self._text, at)
            return "\\x0b" if escape == "\\v" else escape, at + len(escape)
        return f"\\{char}" if char in "-[]^" else char, at + 1


def _escaped(text: str, at: int) -> str:
    """The escape sequence at `at`."""
    found = _ESCAPE.match(text, at)
    if found is None or found[0][1] in "123456789C":
        raise _bad("not a pattern in RE2 syntax: back references and \\C are not supported")
    return found[0]
