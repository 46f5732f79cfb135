"""Documents as values: JSON in and out, checks, ids, stamps, merge and replace.

Nothing here waits or stores.
"""

from __future__ import annotations

import json
import math
import os
import re
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson

from .errors import BadRequest, Invalid, TooLarge

Document = dict[str, Any]

MAX_NESTING = 64
STAMPS = ("_id", "createdAt", "updatedAt")
# The MongoDB store keeps a revision in the document under this name; no client may use it.
REVISION = "_backpackRevision"

_INT64 = 2**63
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")


class Ids:
    """A source of document ids: 24 hex digits, each greater than the one before.

    The layout is an ObjectId's (4 bytes of seconds, 5 that tell processes apart, a counter of 3),
    but two of the five carry the fraction of the second, so that ids made after a restart, or on
    another replica, sort by time as well.
    """

    def __init__(self) -> None:
        self._process = int.from_bytes(os.urandom(3)) << 24
        self._tick = 0
        self._count = 0

    def __call__(self) -> str:
        tick = time.time_ns() * 65_536 // 1_000_000_000
        if tick > self._tick:
            self._tick, self._count = tick, 0
        else:
            self._count += 1
            if self._count == 1 << 24:
                self._tick, self._count = self._tick + 1, 0
        return f"{self._tick << 48 | self._process | self._count:024x}"


def is_id(text: object) -> bool:
    """Whether `text` is written as an id is: 24 lower-case hex digits."""
    return isinstance(text, str) and len(text) == 24 and not text.strip("0123456789abcdef")


def is_time(text: object) -> bool:
    """Whether `text` is a time as documents carry it."""
    if not isinstance(text, str) or not _TIME.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def now() -> str:
    """The time as documents carry it: ISO 8601 in UTC with milliseconds,
    `2026-01-31T08:09:10.123Z`."""
    seconds, rest = divmod(time.time_ns(), 1_000_000_000)
    return f"{_second(seconds)}.{rest // 1_000_000:03}Z"


@lru_cache(maxsize=1)
def _second(seconds: int) -> str:
    # Written once a second: every time it would be 2 us of a create.
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]


def decode(body: bytes) -> Any:
    """The value of a JSON text that a client sent.

    Raises BadRequest when it is no JSON (RFC 8259) in UTF-8, Invalid when a number or the depth
    is out of bounds.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        if "depth limit" in str(exc):
            raise Invalid(f"Nested deeper than {MAX_NESTING} levels", code="too_deep") from exc
        if "number is infinity" in str(exc):
            raise Invalid("A number is too large for JSON clients", code="bad_number") from exc
        raise BadRequest(f"Not valid JSON: {exc}", code="bad_json") from exc
    if _check_values(value, 1):
        # orjson reads integers over 64 bits as floats; only a second look tells them from 1e20.
        json.loads(body, parse_int=_int64)
    return value


def _int64(digits: str) -> int:
    value = int(digits) if len(digits) < 25 else _INT64
    if not -_INT64 <= value < _INT64:
        raise Invalid("An integer does not fit into 64 bits", code="bad_number")
    return value


def _check_values(value: Any, depth: int) -> bool:
    """Check numbers and depth; True when a float is so large that it may have been an integer."""
    kind = type(value)
    if kind is dict:
        value = value.values()
    elif kind is int:
        if not -_INT64 <= value < _INT64:
            raise Invalid("An integer does not fit into 64 bits", code="bad_number")
        return False
    elif kind is float:
        if not math.isfinite(value):
            raise Invalid("A number is not finite", code="bad_number")
        return bool(abs(value) >= _INT64)
    elif kind is not list:
        return False
    if depth > MAX_NESTING:
        raise Invalid(f"Nested deeper than {MAX_NESTING} levels", code="too_deep")
    suspicious = False
    for item in value:
        suspicious |= _check_values(item, depth + 1)
    return suspicious


def encode(value: Any, limit: int | None = None) -> bytes:
    """`value` as JSON; raises TooLarge when that is longer than `limit` bytes."""
    encoded = orjson.dumps(value)
    if limit is not None and len(encoded) > limit:
        raise TooLarge(f"A document may have at most {limit} bytes", code="document_too_large")
    return encoded


def check(data: object) -> Document:
    """`data` as a document that may be stored; raises Invalid when it is none or a name is bad."""
    if not isinstance(data, dict):
        raise Invalid("invalid entry", code="invalid_entry", fields={"": "must be a JSON object"})
    _check_names(data)
    return data


def check_stored(data: object) -> Document:
    """`data` as a record that was stored before, with its stamps; raises Invalid."""
    record = check(data)
    wrong = {}
    if not is_id(record.get("_id")):
        wrong["_id"] = "must be 24 hex digits"
    for name in STAMPS[1:]:
        if not is_time(record.get(name)):
            wrong[name] = "must be a time such as 2026-01-31T08:09:10.123Z"
    if wrong:
        raise Invalid("invalid entry", code="invalid_entry", fields=wrong)
    return record


def _check_names(value: Any) -> None:
    if type(value) is dict:
        for name, item in value.items():
            if not name or name[0] == "$" or "." in name or "\0" in name or name == REVISION:
                raise _bad_name(name)
            if type(item) in (dict, list):
                _check_names(item)
    elif type(value) is list:
        for item in value:
            if type(item) in (dict, list):
                _check_names(item)


def _bad_name(name: str) -> Invalid:
    why = (
        "is reserved"
        if name == REVISION
        else "a field name may not be empty, start with $, or contain . or NUL"
    )
    return Invalid("invalid entry", code="invalid_entry", fields={name: why})


def stamp(data: Document, record_id: str, at: str) -> Document:
    """A new record of `data`; raises Invalid when `data` brings a stamp of its own."""
    for name in STAMPS:
        if name in data:
            raise Invalid(
                "invalid entry", code="invalid_entry", fields={name: "is set by the server"}
            )
    return {"_id": record_id, **data, "createdAt": at, "updatedAt": at}


def replace(old: Document, data: Document, at: str) -> Document:
    """`old` with all its data replaced by `data`; stamps may be repeated, but not changed."""
    for name in STAMPS:
        if name in data and data[name] != old[name]:
            raise Invalid("invalid entry", code="invalid_entry", fields={name: "cannot be changed"})
    plain = {name: value for name, value in data.items() if name not in STAMPS}
    return {"_id": old["_id"], **plain, "createdAt": old["createdAt"], "updatedAt": at}


def check_merge(patch: object) -> Document:
    """`patch` as one that `merge` takes; raises Invalid for bad names and overlapping paths."""
    if not isinstance(patch, dict):
        raise Invalid("invalid entry", code="invalid_entry", fields={"": "must be a JSON object"})
    paths = set(patch)
    for path, value in patch.items():
        parts = path.split(".")
        if len(parts) > MAX_NESTING:
            raise Invalid(f"Nested deeper than {MAX_NESTING} levels", code="too_deep")
        for part in parts:
            if not part or part[0] == "$" or "\0" in part or part == REVISION:
                raise _bad_name(path)
        for cut in range(1, len(parts)):
            if ".".join(parts[:cut]) in paths:
                raise Invalid(
                    "invalid entry", code="invalid_entry", fields={path: "overlaps another path"}
                )
        _check_names(value)
    return patch


def index_of(part: str) -> int:
    """The index that a part of a dotted path means in an array, -1 when none, as for `01`."""
    if not part.isascii() or not part.isdigit() or (part[0] == "0" and part != "0"):
        return -1
    return int(part[:19])


def merge(old: Document, patch: Document, at: str) -> Document:
    """`old` after `patch`: names at the top are set, dotted ones reach inside, None removes.

    Objects are replaced, not merged; removing what is not there changes nothing, and an array's
    element is removed by becoming null, as MongoDB does both. Raises Invalid when a stamp would
    change, when a path to be set runs through a value that has no fields, or past an array's end.
    `old` stays as it is.
    """
    new = dict(old)
    for path, value in patch.items():
        head = path.partition(".")[0]
        if head in STAMPS:
            if path != head or value != old[head]:
                raise Invalid(
                    "invalid entry", code="invalid_entry", fields={path: "cannot be changed"}
                )
        elif head == path:
            _assign(new, path, value)
        elif head in new or value is not None:
            new[head] = _merged(new.get(head, {}), path.split(".")[1:], value, path)
    _check_values(new, 1)
    new["updatedAt"] = at
    return new


def _assign(target: Document, name: str, value: Any) -> None:
    if value is None:
        target.pop(name, None)
    else:
        target[name] = value


def _merged(container: Any, rest: list[str], value: Any, path: str) -> Any:
    """A copy of `container` with the place at `rest` set; the original may be shared, so it is left
    alone."""
    name, deeper = rest[0], rest[1:]
    if isinstance(container, dict):
        branch: Any = dict(container)
        if deeper:
            if value is None and name not in branch:
                return branch
            branch[name] = _merged(branch.get(name, {}), deeper, value, path)
        else:
            _assign(branch, name, value)
        return branch
    if isinstance(container, list):
        place = index_of(name)
        if not 0 <= place < len(container):
            if value is None:
                return container
            raise Invalid(
                "invalid entry", code="invalid_entry", fields={path: "is no place in the array"}
            )
        branch = list(container)
        branch[place] = _merged(branch[place], deeper, value, path) if deeper else value
        return branch
    if value is None:
        return container
    raise Invalid(
        "invalid entry", code="invalid_entry", fields={path: "runs through a value without fields"}
    )
