"""What the audit says of a change that was made by a console: which things, and never their
contents. Rules are none: who may do what is told as it was and as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

Detail = dict[str, Any]

_MOST = 100  # names in one entry
_ORIGINS = "cors.origins"  # the rule

_ACTIONS = {
    ("collections", "post"): "collection.create",
    ("collections", "delete"): "collection.delete",
    ("documents", "post"): "document.create",
    ("documents", "put"): "document.replace",
    ("documents", "patch"): "document.change",
    ("documents", "delete"): "document.delete",
    ("key", "post"): "key.rotate",
    ("rules", "put"): "rules.set",
    ("sessions", "delete"): "session.end",
    ("uploads", "patch"): "file.change",
    ("uploads", "delete"): "file.delete",
    ("users", "post"): "user.create",
    ("users", "patch"): "user.password",
    ("users", "delete"): "user.delete",
}


@dataclass(frozen=True)
class Trace:
    """A message that changes something, if it succeeds. `goes_on`: with what the one before began,
    if that is equal to it."""

    action: str
    model: str
    collection: Any
    filter: Any = None
    goes_on: bool = field(default=False, compare=False)

    def detail(self, answer: bytes) -> Detail:
        """What a successful answer says of what was changed."""
        told = orjson.loads(answer)
        if self.model == "rules":
            # Processes of a version before say nothing of it, during an upgrade.
            return _of_rules(told["was"], told["data"]) if "was" in told else {}
        return {**self._named(), **_DETAILS[self.model](told["data"])}

    def _named(self) -> Detail:
        if self.model != "documents":
            return {}
        asked = {} if self.filter is None else {"filter": self.filter}
        return {"collection": self.collection, **asked}


def trace(message: Any) -> Trace | None:
    """What a message to a console will change; None for one that changes nothing."""
    if not isinstance(message, dict):
        return None
    model, action = message.get("model"), message.get("action")
    if not isinstance(model, str) or not isinstance(action, str):
        return None
    known = _ACTIONS.get((model, action))
    if known is None:
        return None
    # Nothing else that changes something takes one.
    is_wide = (model, action) == ("documents", "delete") and message.get("data") is None
    asked = message.get("filter") if is_wide else None
    goes_on = asked is not None and message.get("goesOn") is True
    return Trace(known, model, message.get("collection"), asked, goes_on)


def together(before: Detail, more: Detail) -> Detail:
    """What is said of a change by a filter that was made in two pieces."""
    ids = [*before["ids"], *more["ids"]][:_MOST]
    return {**before, "count": before["count"] + more["count"], "ids": ids}


def _several(data: Any, named: Any) -> Detail:
    entries = data if isinstance(data, list) else [data]
    return {"count": len(entries), **named(entries[:_MOST])}


def _of_documents(data: Any) -> Detail:
    return _several(
        data,
        lambda some: {"ids": [one["_id"] if isinstance(one, dict) else one for one in some]},
    )


def _of_uploads(data: Any) -> Detail:
    return _several(
        data,
        lambda some: {
            "files": [{name: one[name] for name in ("userId", "filename")} for one in some]
        },
    )


def _of_rules(was: Mapping[str, Any], now: Mapping[str, Any]) -> Detail:
    """Each entry that is another one, and of the origins those that came and went."""
    changed = {
        name: {"from": was.get(name), "to": now.get(name)}
        for name in sorted({*was, *now} - {_ORIGINS})
        if was.get(name) != now.get(name)
    }
    before, after = was.get(_ORIGINS, []), now.get(_ORIGINS, [])
    detail = {
        "count": len(changed),
        "changed": dict(list(changed.items())[:_MOST]),
        "origins_added": [origin for origin in after if origin not in before],
        "origins_removed": [origin for origin in before if origin not in after],
    }
    return {name: value for name, value in detail.items() if value}


_DETAILS: Mapping[str, Any] = {
    "collections": lambda data: {"collection": data["name"]},
    "documents": _of_documents,
    "key": lambda data: {"now": data["previousUntil"] is None},
    # A session is told apart by the beginning of its digest.
    "sessions": lambda data: {name: value[:24] for name, value in data.items()},
    "uploads": _of_uploads,
    "users": lambda data: {name: data[name] for name in ("_id", "email")},
}
