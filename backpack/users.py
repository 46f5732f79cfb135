"""Accounts: an e-mail address with a password, each address once.

Being logged in is the matter of sessions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import orjson

from . import documents, passwords
from .documents import Document
from .errors import BadLogin, Conflict, Invalid, NotFound
from .passwords import Passwords
from .queries import EVERYTHING, Query, equals, parse_filter
from .stores.base import Store

MAX_EMAIL = 254  # characters, as many as SMTP can carry (RFC 3696, erratum 1690)

WRONG_PASSWORD = "Wrong password"  # to who is logged in, and so known to have the account

COLLECTION = "_users"

SORTS: Mapping[str, tuple[tuple[str, int], ...]] = {
    "email": (("_id", 1),),
    "-email": (("_id", -1),),
    "createdAt": (("createdAt", 1),),
    "-createdAt": (("createdAt", -1),),
}

# WHATWG HTML, "valid e-mail address"
_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_EMAIL = re.compile(rf"[a-zA-Z0-9.!#$%&'*+/=?^_`{{|}}~-]+@{_LABEL}(?:\.{_LABEL})*")


@dataclass(frozen=True)
class User:
    """`id`: 24 hex digits. `created_at` is as documents carry times; `password_hash` is what the
    password is verified by."""

    id: str
    email: str
    created_at: str
    password_hash: str = field(repr=False)


class Users:
    """The accounts of one backpack, kept in its store under the normalised e-mail address."""

    def __init__(self, store: Store, passwords: Passwords) -> None:
        self._store = store
        self._passwords = passwords
        self._ids = documents.Ids()

    async def register(self, email: object, password: object) -> User:
        """A new account.

        Raises Invalid for an e-mail address that is none or a weak password, Conflict for an
        address that has an account (also when another call came first), in this order.
        """
        address, chosen = check_email(email), passwords.check(password)
        if await self._record(address):
            raise _existing()
        at = documents.now()
        record = {
            "_id": address,
            "id": self._ids(),
            "password": await self._passwords.hash(chosen),
            "createdAt": at,
            "updatedAt": at,
        }
        try:
            await self._store.insert(COLLECTION, [record])
        except Conflict as exc:
            raise _existing() from exc
        return _user(record)

    async def verify(self, email: object, password: object, wrong: str | None = None) -> User:
        """The user of that e-mail address and password.

        Raises BadLogin otherwise, with the message `wrong` where one is given: the same after the
        same time, whatever is wrong or missing.
        """
        address = normalise(email)
        record = await self._record(address) if address else None
        right = await self._passwords.verify(record["password"] if record else None, password)
        if not record or not right:
            raise BadLogin(wrong)
        return _user(record)

    async def is_current(self, user: User) -> bool:
        """Whether the account is as it was when `user` was verified, with the same password.

        Its hash tells, by its salt also when the same one was chosen again; two changes can have
        the same time.
        """
        return await self.find(user.email) == user

    async def change_password(self, user: User, new: object) -> None:
        """Give an account another password; `user` comes from `verify`.

        Raises Invalid for a weak one, BadLogin when another call changed it since.
        """
        chosen = passwords.check(new, "new")
        replacement = {"password": await self._passwords.hash(chosen), "updatedAt": documents.now()}

        def edit(stored: Document) -> Document:
            if stored["password"] != user.password_hash:
                raise BadLogin(WRONG_PASSWORD)
            return {**stored, **replacement}

        if not await self._store.change(COLLECTION, user.email, edit):
            raise BadLogin(WRONG_PASSWORD)

    async def find(self, email: str) -> User | None:
        """The account of that e-mail address; None when there is none."""
        address = normalise(email)
        record = await self._record(address) if address else None
        return _user(record) if record else None

    async def page(
        self, search: str, sort: str, skip: int, limit: int
    ) -> tuple[list[Document], int]:
        """Accounts as `shown`, and how many there are: those with `search` in their address, or as
        their id. `sort`: one of `SORTS`."""
        wanted = EVERYTHING
        if search:
            part = {"$regex": re.escape(search.lower())}
            wanted = parse_filter({"$or": [{"_id": part}, {"id": search}]})
        query = Query(wanted, SORTS[sort], skip, limit)
        found = [shown(orjson.loads(one)) for one in await self._store.find(COLLECTION, query)]
        return found, await self._store.count(COLLECTION, wanted)

    async def of_id(self, user_id: str) -> User | None:
        """The account of that id; a search, where `find` is a look-up."""
        found = await self._store.find(COLLECTION, Query(equals("id", user_id), limit=1))
        return _user(orjson.loads(found[0])) if found else None

    async def set_password(self, user: User, new: object) -> None:
        """Give an account another password, whatever it was; raises Invalid, NotFound."""
        chosen = passwords.check(new)
        replacement = {"password": await self._passwords.hash(chosen), "updatedAt": documents.now()}
        if not await self._store.change(COLLECTION, user.email, lambda old: {**old, **replacement}):
            raise unknown()

    async def delete(self, user: User) -> None:
        """Delete an account; raises NotFound."""

        def remove(stored: Document) -> None:
            if stored["id"] != user.id:
                raise unknown()

        if not await self._store.change(COLLECTION, user.email, remove):
            raise unknown()

    async def count(self) -> int:
        return await self._store.count(COLLECTION, EVERYTHING)

    async def restore(self, accounts: list[Document]) -> None:
        """Store accounts that `check_stored` accepted; raises Conflict."""
        await self._store.insert(COLLECTION, accounts)

    async def _record(self, address: str) -> Document | None:
        encoded = await self._store.get(COLLECTION, address)
        return orjson.loads(encoded) if encoded else None


def normalise(email: object) -> str | None:
    """An e-mail address as accounts have it: trimmed, in lower case; None when it is none."""
    # Checked before it is put in lower case, which turns some other letters into ASCII ones.
    address = email.strip(" \t\n\f\r") if isinstance(email, str) else ""
    if len(address) > MAX_EMAIL or not _EMAIL.fullmatch(address):
        return None
    return address.lower()


def check_email(email: object) -> str:
    """`email` normalised; raises Invalid when it is no e-mail address."""
    address = normalise(email)
    if address is None:
        why = f"must be an e-mail address of at most {MAX_EMAIL} characters"
        raise Invalid("Invalid email address", code="invalid_email", fields={"email": why})
    return address


def check_stored(data: object) -> Document:
    """`data` as an account that was stored before; raises Invalid."""
    account = data if isinstance(data, dict) else {}
    checks: dict[str, Callable[[object], bool]] = {
        "_id": lambda text: text is not None and normalise(text) == text,
        "id": documents.is_id,
        "password": passwords.is_hash,
        "createdAt": documents.is_time,
        "updatedAt": documents.is_time,
    }
    wrong = {name: "is missing or wrong" for name in checks if not checks[name](account.get(name))}
    wrong |= {name: "is unknown" for name in account if name not in checks}
    if wrong:
        raise Invalid("Not an account", code="invalid_entry", fields=wrong)
    return account


def shown(record: Document) -> Document:
    """A stored account as developers see it: never its password."""
    stamps = {name: record[name] for name in ("createdAt", "updatedAt")}
    return {"_id": record["id"], "email": record["_id"], **stamps}


def unknown() -> NotFound:
    return NotFound("There is no such user", code="unknown_user")


def _existing() -> Conflict:
    return Conflict(
        "Existing user", code="existing_user", fields={"email": "has an account already"}
    )


def _user(record: Document) -> User:
    return User(
        id=record["id"],
        email=record["_id"],
        created_at=record["createdAt"],
        password_hash=record["password"],
    )
