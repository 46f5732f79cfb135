"""Conditional and partial requests: what of a content the client has, what it wants, and how.

RFC 9110, sections 12.5.3, 13 and 14.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from functools import lru_cache

from ..errors import BadRange

_MAX_CODINGS = 200  # characters of an `accept-encoding` that are looked at, and remembered
_RANGE = re.compile(r"bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Shown:
    """A content as clients know it: by its tag, and since when it is there (seconds since 1970)."""

    etag: str
    since: int
    size: int

    @property
    def headers(self) -> dict[str, str]:
        """By which clients can ask again whether it has changed."""
        return {"etag": self.etag, "last-modified": formatdate(self.since, usegmt=True)}


@dataclass(frozen=True)
class Span:
    """The wanted part of a file, of which `whole` says whether it is all of it."""

    start: int
    length: int
    whole: bool

    def headers(self, size: int) -> dict[str, str]:
        """What an answer with this part of `size` bytes says of it."""
        headers = {"content-length": str(self.length), "accept-ranges": "bytes"}
        if not self.whole:
            headers["content-range"] = f"bytes {self.start}-{self.start + self.length - 1}/{size}"
        return headers


def is_unchanged(headers: Mapping[str, str], shown: Shown) -> bool:
    """Whether the client has the file already (RFC 9110, sections 13.1.2, 13.1.3 and 13.2.2)."""
    known = headers.get("if-none-match")
    if known is not None:
        tags = [tag.strip().removeprefix("W/") for tag in known.split(",")]
        return "*" in tags or shown.etag in tags
    since = _seconds(headers.get("if-modified-since"))
    return since is not None and shown.since <= since


def find_span(headers: Mapping[str, str], shown: Shown) -> Span:
    """The part that is asked for; several at once are answered by the whole, as malformed ranges
    are (RFC 9110, section 14.2).

    Raises BadRange when there is no such part.
    """
    size = shown.size
    asked = _RANGE.fullmatch(headers.get("range", ""))
    if asked is None or not _is_current(headers.get("if-range"), shown):
        return Span(0, size, whole=True)
    first, last = asked.groups()
    if not (first or last) or (first and last and int(last) < int(first)):
        return Span(0, size, whole=True)
    start = int(first) if first else max(0, size - int(last))
    end = min(int(last) + 1, size) if first and last else size
    if start >= end:
        raise BadRange(size=size)
    return Span(start, end - start, whole=False)


def takes_gzip(headers: Mapping[str, str]) -> bool:
    """Whether the client takes a content that is compressed by gzip."""
    return _takes_gzip(headers.get("accept-encoding", "")[:_MAX_CODINGS])


@lru_cache(maxsize=256)
def _takes_gzip(accepted: str) -> bool:
    """Whether an `accept-encoding` header allows gzip (RFC 9110, section 12.5.3)."""
    weights: dict[str, str] = {}
    for coding in accepted.lower().split(","):
        name, _, weight = coding.partition(";")
        weights[name.strip()] = weight.replace(" ", "").removeprefix("q=")
    weight = weights.get("gzip", weights.get("x-gzip", weights.get("*", "0")))
    return weight.strip("0.") != "" or weight == ""


def _is_current(condition: str | None, shown: Shown) -> bool:
    if condition is None:
        return True
    if condition.lstrip().startswith(('"', "W/")):
        return condition.strip() == shown.etag
    return _seconds(condition) == shown.since


def _seconds(date: str | None) -> int | None:
    try:
        return int(parsedate_to_datetime(date).timestamp()) if date else None
    except (ValueError, OverflowError):
        return None
