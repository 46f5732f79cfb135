"""What is visited and by whom: a running sandbox's addresses, a watched page, one of everything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.async_api import ConsoleMessage, Page


@dataclass(frozen=True)
class Sandbox:
    """Where a running `python -m backpack dev` is reached: the URLs of its first backpack."""

    admin: str
    name: str
    backend: str
    frontend: str
    connect: str
    api_key: str


def watch(page: Page) -> list[str]:
    """What goes wrong in a page from now on; refused requests are the tests' own business."""
    problems: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        refused = message.text.startswith("Failed to load resource")
        if message.type in ("error", "warning") and not refused:
            problems.append(message.text)

    page.on("console", on_console)
    page.on("pageerror", lambda error: problems.append(str(error)))
    return problems


def round_trip(email: str) -> dict[str, Any]:
    """What `page/round_trip.mjs` comes to, wherever it runs."""
    collection = f"cars-{email.partition('@')[0]}"
    return {
        "accounts": {
            "guest": _refusal(403, "forbidden", "Unauthorized"),
            "again": _refusal(
                422, "existing_user", "Existing user", {"email": "has an account already"}
            ),
            "wrong": _refusal(401, "bad_login", "Wrong email or password"),
            "same": True,
            "email": email,
        },
        "records": {
            "missing": _refusal(
                404, "unknown_collection", f"There is no collection {collection!r}"
            ),
            "created": True,
            "listed": True,
            "changed": {"brand": "Volvo & Söner", "price": 8500, "engine": {"kw": 1}},
            "reached": {"brand": "Volvo & Söner", "price": 8500, "engine": {"kw": 110}},
            "replaced": {"brand": "Saab", "price": 6000},
            "page": ["Volvo & Söner"],
            "total": 2,
            "after": ["Fiat"],
            "deleted": {"brand": "Volvo & Söner", "price": 8500, "engine": {"kw": 110}},
            "gone": 404,
            "odd": 404,
            "one": {"brand": "Saab", "price": 6000},
        },
        "files": {
            "made": {
                "filename": "a ö.txt",
                "bucket": "letters",
                "size": 7,
                "type": "text/plain",
            },
            "told": True,
            "taken": _refusal(400, "file_exists", "file already exists"),
            "nothing": _refusal(400, "no_file", "no file uploaded"),
            "renamed": {
                "filename": "b.txt",
                "bucket": "notes",
                "size": 7,
                "type": "text/plain",
            },
            "first": "Grüße",
            "message": "file overwritten",
            "second": "Hello",
            "aborted": "aborted",
            "listed": ["b.txt"],
            "deleted": "b.txt",
            "gone": 404,
        },
        "messages": {
            "made": {"brand": "Volvo"},
            "silent": "Saab",
            "changed": {"brand": "Volvo", "price": 9000},
            "replaced": {"brand": "Lancia"},
            "found": [{"brand": "Lancia"}],
            "missing": None,
            "refused": _refusal(
                0, "invalid_entry", "invalid entry", {"_id": "is set by the server"}
            ),
            "byHttp": True,
            "seen": [
                "connection",
                "create",
                "patch",
                "update",
                "find",
                "getOne",
                "error",
                "create,true",
                "delete",
            ],
            "ended": [True, 3],
        },
    }


def _refusal(
    status: int, code: str, message: str, fields: dict[str, str] | None = None
) -> dict[str, Any]:
    return {
        "name": "BackpackError",
        "status": status,
        "code": code,
        "message": message,
        "fields": fields or {},
    }
