"""Every way a request can fail, and the only map from a failure to a status and a message.

BackpackError                500  the base class: never raised itself
├── BadRequest               400  the request cannot be understood
│   ├── BadKey               401  API key missing or wrong
│   ├── BadLogin             401  e-mail or password wrong
│   ├── NotSignedIn          401  the panel is for developers who have signed in
│   ├── Forbidden            403  not logged in, or not allowed
│   ├── NotFound             404  nothing here, or nothing the caller may see
│   ├── WrongMethod          405  the path exists, the method does not
│   ├── UpgradeRequired      426  a websocket of another version than 13
│   ├── TooLarge             413  body, document or file over its limit
│   ├── BadRange             416  a file is shorter than where the wanted part begins
│   ├── Invalid              422  understood, but not acceptable
│   │   └── Conflict         422  it exists already
│   └── TooMany              429  slow down, `retry_after` seconds
├── Unavailable              503  a part that is needed is away or overloaded
│   ├── ReadOnly             503  the disk can only be read
│   ├── Refused              503  a database does not take the user or the password of its URL
│   └── Unanswered           503  it went away in the middle of a write
├── TooSlow                  504  a query passed its deadline
└── NoSpace                  507  the disk is full
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class BackpackError(Exception):
    """A failure the client is told about.

    `message` is shown to the client as it is; `code` is a stable word for programs;
    `fields` maps names of request fields to what is wrong with each.
    """

    status = 500
    code = "internal_error"
    message = "Something went wrong on the server"

    def __init__(
        self,
        message: str | None = None,
        *,
        code: str | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        self.message = message or type(self).message
        self.code = code or type(self).code
        self.fields = dict(fields) if fields else None
        super().__init__(self.message)

    @property
    def headers(self) -> dict[str, str]:
        """Headers the answer must carry besides the usual ones."""
        return {}


class BadRequest(BackpackError):
    status = 400
    code = "bad_request"
    message = "The request cannot be understood"


class BadKey(BadRequest):
    status = 401
    code = "bad_key"
    message = "Check your auth tokens"


class BadLogin(BadRequest):
    status = 401
    code = "bad_login"
    message = "Wrong email or password"


class NotSignedIn(BadRequest):
    status = 401
    code = "not_signed_in"
    message = "Sign in first"


class Forbidden(BadRequest):
    """`rule`: the one that refused, such as `cars.list: owner`; None where it was none. Developers
    see it, and no client."""

    status = 403
    code = "forbidden"
    message = "Unauthorized"
    rule: str | None = None


class NotFound(BadRequest):
    status = 404
    code = "not_found"
    message = "Not found"


class WrongMethod(BadRequest):
    """`allowed`: the methods that the path knows, for the `allow` header."""

    status = 405
    code = "wrong_method"
    message = "This path does not know that method"

    def __init__(self, message: str | None = None, *, allowed: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.allowed = allowed

    @property
    def headers(self) -> dict[str, str]:
        return {"allow": ", ".join(self.allowed)}


class UpgradeRequired(BadRequest):
    status = 426
    code = "bad_upgrade"
    message = "Websockets of version 13 are spoken here"

    @property
    def headers(self) -> dict[str, str]:
        return {"upgrade": "websocket", "sec-websocket-version": "13"}


class TooLarge(BadRequest):
    status = 413
    code = "too_large"
    message = "Too large"


class BadRange(BadRequest):
    """`size`: that of the whole file, for the `content-range` header."""

    status = 416
    code = "bad_range"
    message = "The file has no such part"

    def __init__(self, message: str | None = None, *, size: int) -> None:
        super().__init__(message)
        self.size = size

    @property
    def headers(self) -> dict[str, str]:
        return {"content-range": f"bytes */{self.size}"}


class Invalid(BadRequest):
    status = 422
    code = "invalid"
    message = "Not acceptable"


class Conflict(Invalid):
    code = "conflict"
    message = "It exists already"


class TooMany(BadRequest):
    """`retry_after`: seconds until another try can succeed."""

    status = 429
    code = "too_many"
    message = "Too many attempts, try again later"

    def __init__(self, message: str | None = None, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        return {"retry-after": str(self.retry_after)}


class Unavailable(BackpackError):
    status = 503
    code = "unavailable"
    message = "Temporarily not available, try again"

    @property
    def headers(self) -> dict[str, str]:
        return {"retry-after": "1"}


class ReadOnly(Unavailable):
    code = "read_only"
    message = (
        "The server's database or its disk is read-only: nothing was changed; let it be written, "
        "then try again"
    )


class Refused(Unavailable):
    message = "The database refuses the user or the password"


class Unanswered(Unavailable):
    """What was to be written may be written all the same."""


class TooSlow(BackpackError):
    status = 504
    code = "too_slow"
    message = "The query took too long"


class NoSpace(BackpackError):
    status = 507
    code = "no_space"
    message = (
        "The server's disk is full: nothing was changed; free some space there, then try again"
    )


def body(exc: BackpackError) -> dict[str, Any]:
    """What the client gets: `{"message", "code"}`, and `"fields"` where single fields are wrong."""
    answer: dict[str, Any] = {"message": exc.message, "code": exc.code}
    if exc.fields:
        answer["fields"] = exc.fields
    return answer


def from_body(status: int, body: object) -> BackpackError:
    """The error that another process answered with, by its status and what `body` made of it."""
    told = body if isinstance(body, dict) else {}
    message, code = str(told.get("message", "")), str(told.get("code", ""))
    fields = told.get("fields")
    if status == TooMany.status:
        return TooMany(message, retry_after=1)
    kind = Conflict if code in _CONFLICTS else _KINDS.get(status, BackpackError)
    error = kind(message or None, code=code or None, fields=fields or None)
    error.status = status or error.status
    return error


_KINDS: Mapping[int, type[BackpackError]] = {
    kind.status: kind
    for kind in (
        BadRequest,
        BadKey,
        Forbidden,
        NotFound,
        TooLarge,
        Invalid,
        Unavailable,
        TooSlow,
        NoSpace,
    )
}
_CONFLICTS = (Conflict.code, "backpack_exists", "changed_meanwhile", "existing_user")


def rule_of(exc: BackpackError) -> str | None:
    """The rule that refused what failed, if one did."""
    return exc.rule if isinstance(exc, Forbidden) else None


def frame(exc: BackpackError, action: str | None) -> dict[str, Any]:
    """What a websocket gets in place of the answer to `action`; None where that is unknown."""
    return {"action": "error", **body(exc), "request": action}
