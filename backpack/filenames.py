"""What files of users may be called, and what a name or a client says of their type.

Pure: nothing is looked up.
"""

from __future__ import annotations

import mimetypes
import re
import unicodedata

from .errors import Invalid

MAX_NAME = 255  # bytes, as most file systems have it: a file can be saved under its name

_OCTETS = "application/octet-stream"
_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,62}/[a-z0-9][a-z0-9!#$&^_.+-]{0,62}")
# Not the machine's own table, so that a name means the same everywhere.
_TYPES = mimetypes.MimeTypes()
_TYPES.add_type("image/avif", ".avif")
_TYPES.add_type("image/webp", ".webp")


def compose(name: str) -> str:
    """A name in Unicode's composed form: however an accent was typed, it is one name."""
    return unicodedata.normalize("NFC", name)


def check_filename(name: object) -> str:
    """`name`, composed, when a file may be called so; raises Invalid."""
    composed = compose(name) if isinstance(name, str) else ""
    if not composed:
        why = "must be a text that is not empty"
    elif "/" in composed or "\\" in composed or ".." in composed or composed == ".":
        why = "may not have / or \\ or .. in it"
    elif not is_plain(composed):
        why = "may not have control characters in it"
    elif len(composed.encode()) > MAX_NAME:
        why = f"must have at most {MAX_NAME} bytes in UTF-8"
    else:
        return composed
    raise _invalid("filename", why)


def check_bucket(bucket: object) -> str:
    """`bucket` when it may be one; raises Invalid."""
    if isinstance(bucket, str) and is_plain(bucket) and len(bucket.encode()) <= MAX_NAME:
        return bucket
    why = f"must be a text of at most {MAX_NAME} bytes without control characters"
    raise _invalid("bucket", why)


def type_of(sent: str, filename: str) -> str:
    """The media type that a client sent, without parameters, or else what the name stands for."""
    plain = sent.partition(";")[0].strip().lower()
    if plain != _OCTETS and _TYPE.fullmatch(plain):
        return plain
    # A colon would make it a URL.
    guessed, encoding = _TYPES.guess_type(filename.replace(":", "_"))
    return guessed if guessed and not encoding else _OCTETS


def is_type(text: object) -> bool:
    """Whether `text` is a media type without parameters."""
    return isinstance(text, str) and bool(_TYPE.fullmatch(text))


def is_plain(text: str) -> bool:
    """Whether a text has no control characters, line breaks or halves of characters."""
    return text.isprintable() or all(
        unicodedata.category(one) not in ("Cc", "Cs", "Zl", "Zp") for one in text
    )


def _invalid(field: str, why: str) -> Invalid:
    return Invalid(f"Invalid {field}", code="invalid_file", fields={field: why})
