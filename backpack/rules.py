"""Access rules as values: read from JSON, checked, and asked.

Pure: what to do with an answer is the caller's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .documents import Document
from .errors import Forbidden, Invalid
from .origins import is_origin
from .queries import EVERYTHING, Filter, both, equals

PUBLIC, USER, OWNER, NONE = "public", "user", "owner", "none"
ACTIONS = ("list", "read", "create", "update", "delete")
POST, MEMBER = "post", "member"
OWNER_FIELD = "userId"

COLLECTION_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
RESERVED_COLLECTIONS = frozenset(
    ("users", "uploads", "collections", "register", "login", "logout", "me", "healthz", "metrics")
)


@dataclass(frozen=True)
class CollectionRules:
    """Who may do what with the records of one collection: each value is one of public, user, owner,
    none.

    `post` is about its records as channels: who may write into them, user or member.
    """

    list: str = USER
    read: str = USER
    create: str = USER
    update: str = USER
    delete: str = USER
    post: str = USER

    @property
    def owned(self) -> bool:
        """Whether `userId` is the server's field here: one of the rules speaks of the owner."""
        return OWNER in (self.list, self.read, self.create, self.update, self.delete)


DEFAULT = CollectionRules()


@dataclass(frozen=True)
class Rules:
    """The rules of one backpack. `raw` is the JSON object they were read from; into channels of
    the collections `members_only` only their members may write."""

    collections: Mapping[str, CollectionRules] = field(default_factory=dict)
    members_only: frozenset[str] = frozenset()
    collections_create: str = USER
    collections_list: str = USER
    files_read: str = USER
    files_list: str = USER
    origins: frozenset[str] = frozenset()
    browser_tokens: bool = False
    raw: Mapping[str, Any] = field(default_factory=dict)

    def of(self, collection: str) -> CollectionRules:
        return self.collections.get(collection, DEFAULT)


NO_RULES = Rules()


def check_collection_name(name: object) -> str:
    """`name` when a collection may be called so; raises Invalid otherwise."""
    if not isinstance(name, str) or not COLLECTION_NAME.fullmatch(name):
        why = "must be a letter, then up to 63 letters, digits, _ or -"
    elif name.lower() in RESERVED_COLLECTIONS:
        why = "is reserved"
    else:
        return name
    raise Invalid(
        "Invalid collection name", code="bad_collection_name", fields={"collectionName": why}
    )


_MOST_NAME = 100  # characters of a rule's name where it is told

# Rules are read on the event loop, and kept in memory by each process: at most so many collections,
# with the settings below, and origins.
_MAX_ENTRIES = 2_000
_MAX_ORIGINS = 100

# The settings of a whole backpack have a dot in their names, which no collection has.
_WIDE = {
    "collections.create": (PUBLIC, USER, NONE),
    "collections.list": (PUBLIC, USER, NONE),
    "files.read": (PUBLIC, USER, OWNER, NONE),
    "files.list": (PUBLIC, USER, OWNER, NONE),
}


def parse(raw: object) -> Rules:
    """Rules from a JSON object such as `{"cars": {"update": "owner"}, "files.read": "public"}`.

    Raises Invalid; its `fields` name each wrong entry.
    """
    if not isinstance(raw, dict):
        raise Invalid("Rules must be a JSON object", code="bad_rules")
    if len(raw) > _MAX_ENTRIES:
        raise Invalid(f"Rules may have at most {_MAX_ENTRIES:,} entries", code="bad_rules")
    wrong: dict[str, str] = {}
    wide: dict[str, Any] = {}
    collections: dict[str, CollectionRules] = {}
    for name, value in raw.items():
        if name in _WIDE:
            wide[name.replace(".", "_")] = value
            if value not in _WIDE[name]:
                wrong[name] = f"must be one of {', '.join(_WIDE[name])}"
        elif name == "cors.origins":
            wide["origins"] = _origins(value, wrong)
        elif name == "tokens.browser":
            wide["browser_tokens"] = value
            if not isinstance(value, bool):
                wrong[name] = "must be true or false"
        else:
            collections[name] = _collection(name, value, wrong)
    if wrong:
        entry, why = next(iter(wrong.items()))
        raise Invalid(f"Invalid rules: {entry} {why}", code="bad_rules", fields=wrong)
    closed = frozenset(name for name, held in collections.items() if held.post == MEMBER)
    return Rules(collections=collections, members_only=closed, raw=raw, **wide)


def _collection(name: str, value: object, wrong: dict[str, str]) -> CollectionRules:
    try:
        check_collection_name(name)
    except Invalid as exc:
        wrong[name] = (
            f"is no collection: the name {exc.fields['collectionName']}" if exc.fields else ""
        )
        return DEFAULT
    if not isinstance(value, dict):
        wrong[name] = f"must be an object with some of {', '.join(ACTIONS)}"
        return DEFAULT
    for action, access in value.items():
        if action == POST:
            if access not in (USER, MEMBER):
                wrong[f"{name}.{POST}"] = "must be one of user, member"
        elif action not in ACTIONS:
            wrong[f"{name}.{action}"] = f"is no action: there are {', '.join((*ACTIONS, POST))}"
        elif access not in (PUBLIC, USER, OWNER, NONE):
            wrong[f"{name}.{action}"] = "must be one of public, user, owner, none"
    if any(entry.startswith(f"{name}.") for entry in wrong):
        return DEFAULT
    return CollectionRules(**value)


def _origins(value: object, wrong: dict[str, str]) -> frozenset[str]:
    if not isinstance(value, list):
        wrong["cors.origins"] = "must be a list of origins such as https://www.example.com"
        return frozenset()
    if len(value) > _MAX_ORIGINS:
        wrong["cors.origins"] = f"may have at most {_MAX_ORIGINS} origins"
        return frozenset()
    for origin in value:
        if not isinstance(origin, str) or not is_origin(origin):
            wrong["cors.origins"] = (
                f"has {origin!r}, which is no origin such as https://www.example.com"
            )
            return frozenset()
    return frozenset(value)


def admit(access: str, user: str | None, *rule: str) -> None:
    """Raise Forbidden when nobody like `user` (an id, None for a guest) passes `access`, whatever
    the record. `rule` names what has it, such as `cars` and `list`."""
    if access == NONE or (user is None and access != PUBLIC):
        raise refused(access, *rule)


def refused(access: str, *rule: str) -> Forbidden:
    """What is raised where `access`, which the rule of that name has, lets somebody do nothing."""
    failure = Forbidden()
    # Names come from clients, and may be none of a collection.
    failure.rule = f"{'.'.join(rule)[:_MOST_NAME]}: {access}"
    return failure


def passes(access: str, user: str | None, record: Document) -> bool:
    """Whether `user` passes `access` on this record."""
    if access == PUBLIC:
        return True
    if access == NONE or user is None:
        return False
    if access == USER:
        return True
    # As MongoDB's equality has it, and with it `visible`: an array matches by its elements.
    owner = record.get(OWNER_FIELD)
    return owner == user or (isinstance(owner, list) and user in owner)


def visible(rules: CollectionRules, user: str | None, asked: Filter = EVERYTHING) -> Filter | None:
    """`asked`, narrowed to what `user` may list and read; None when that can be nothing."""
    for access in (rules.list, rules.read):
        if access == NONE or (user is None and access != PUBLIC):
            return None
    if user is not None and OWNER in (rules.list, rules.read):
        return both(equals(OWNER_FIELD, user), asked)
    return asked


def check_owner(rules: CollectionRules, data: Document, owner: object) -> None:
    """Raise Invalid when `data` would give a record of an owned collection another owner than
    `owner`."""
    if rules.owned and OWNER_FIELD in data and data[OWNER_FIELD] != owner:
        raise Invalid(
            "invalid entry", code="invalid_entry", fields={OWNER_FIELD: "is set by the server"}
        )
