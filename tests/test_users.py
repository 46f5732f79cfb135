from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from statistics import median
from typing import Any

import orjson
import pymongo
import pytest

from backpack import documents, users
from backpack.errors import BadLogin, Conflict, Invalid
from backpack.passwords import Cost, Passwords
from backpack.stores.base import Store
from backpack.stores.durable import DurableStore
from backpack.stores.mongo import FakeMongoStore, MongoStore
from backpack.users import User, Users

ANN, SECRET = "ann@example.org", "correct horse"


@pytest.fixture(params=["sqlite", "mongomock", "mongo"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    if request.param == "mongo":
        store: Store = request.getfixturevalue("mongo_store")
    else:
        store = DurableStore(None) if request.param == "sqlite" else FakeMongoStore.fresh()
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def mongo_store(mongo_url: str) -> Iterator[MongoStore]:
    database = f"backpack-test-{secrets.token_hex(6)}"
    yield MongoStore.from_url(mongo_url, database)
    with pymongo.MongoClient[dict[str, Any]](mongo_url) as client:
        client.drop_database(database)


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    passwords = Passwords.cheap()
    yield passwords
    passwords.close()


@pytest.fixture
def accounts(store: Store, passwords: Passwords) -> Users:
    return Users(store, passwords)


async def test_user_registers_and_is_verified(accounts: Users) -> None:
    user = await accounts.register(ANN, SECRET)
    assert documents.is_id(user.id)
    assert user == User(
        id=user.id, email=ANN, created_at=user.created_at, password_hash=user.password_hash
    )
    assert user.created_at <= documents.now()
    assert await accounts.verify(ANN, SECRET) == user
    assert await accounts.find(ANN) == user


async def test_users_have_ids_of_their_own(accounts: Users) -> None:
    found = [await accounts.register(f"user{n}@example.org", SECRET) for n in range(3)]
    assert [user.id for user in found] == sorted({user.id for user in found})


async def test_password_is_stored_as_a_hash(accounts: Users, store: Store) -> None:
    user = await accounts.register(ANN, SECRET)
    stored = await store.get("_users", ANN)
    assert stored
    record = orjson.loads(stored)
    assert record.pop("password").startswith("$argon2id$")
    assert record == {
        "_id": ANN,
        "id": user.id,
        "createdAt": user.created_at,
        "updatedAt": user.created_at,
    }
    assert await store.collections() == []


@pytest.mark.parametrize(
    "email, kept",
    [
        ("ann@example.org", "ann@example.org"),
        (" \t\n\f\rAnn@Example.ORG \n", "ann@example.org"),
        ("a@b", "a@b"),
        ("!#$%&'*+/=?^_`{|}~-.@x", "!#$%&'*+/=?^_`{|}~-.@x"),
        ("..@0", "..@0"),
        ("$where@example.org", "$where@example.org"),
        ("a@" + "x" * 63 + "." + "y" * 63, "a@" + "x" * 63 + "." + "y" * 63),
        ("x" * 242 + "@example.org", "x" * 242 + "@example.org"),
    ],
    ids=["plain", "trimmed", "short", "signs", "dots", "dollar", "long labels", "longest"],
)
async def test_email_is_accepted(accounts: Users, email: str, kept: str) -> None:
    user = await accounts.register(email, SECRET)
    assert user.email == kept
    assert await accounts.verify(email, SECRET) == user
    assert await accounts.find(email) == user


BAD_EMAILS = [
    None,
    7,
    ["ann@example.org"],
    {"$ne": ""},
    "",
    " ",
    "ann",
    "ann@",
    "@example.org",
    "a@b@c",
    "ann @example.org",
    "ann@example..org",
    "ann@example.org.",
    "ann@-example.org",
    "ann@example-.org",
    "ann@exa_mple.org",
    "änn@example.org",
    "ann@exämple.org",
    "ann@example.org\0",
    "ann\n@example.org",
    "\u00a0ann@example.org",
    "an\u212a@example.org",
    "ann@[127.0.0.1]",
    '"ann"@example.org',
    "Ann <ann@example.org>",
    "a@" + "x" * 64,
    "x" * 243 + "@example.org",
    "x" * 1_000_000 + "@example.org",
    "\ud800@example.org",
]


@pytest.mark.parametrize("email", BAD_EMAILS, ids=lambda email: ascii(email)[:24])
def test_bad_email_is_refused(email: object) -> None:
    with pytest.raises(Invalid) as caught:
        users.check_email(email)
    error = caught.value
    assert (error.message, error.code) == ("Invalid email address", "invalid_email")
    assert error.fields == {"email": "must be an e-mail address of at most 254 characters"}


@pytest.mark.parametrize("email", BAD_EMAILS, ids=lambda email: ascii(email)[:24])
async def test_bad_email_is_nobodys(accounts: Users, email: object) -> None:
    with pytest.raises(BadLogin):
        await accounts.verify(email, SECRET)


@pytest.mark.parametrize(
    "email, password, code",
    [
        ("ann", "short", "invalid_email"),
        (None, None, "invalid_email"),
        (ANN, "short", "weak_password"),
        (ANN, None, "weak_password"),
        (ANN, ["correct horse"], "weak_password"),
        (ANN, "x" * 1_025, "weak_password"),
        (" ANN@example.org", SECRET, "existing_user"),
    ],
    ids=[
        "e-mail first",
        "nothing",
        "password second",
        "none",
        "array",
        "too long",
        "existing third",
    ],
)
async def test_registration_is_refused(
    accounts: Users, email: object, password: object, code: str
) -> None:
    user = await accounts.register(ANN, SECRET)
    with pytest.raises(Invalid) as caught:
        await accounts.register(email, password)
    assert caught.value.code == code
    assert await accounts.verify(ANN, SECRET) == user


async def test_existing_user_is_named(accounts: Users) -> None:
    await accounts.register(ANN, SECRET)
    with pytest.raises(Conflict) as caught:
        await accounts.register(ANN, SECRET)
    assert (caught.value.message, caught.value.status) == ("Existing user", 422)
    assert caught.value.fields == {"email": "has an account already"}


async def test_one_of_many_registrations_wins(accounts: Users) -> None:
    tries = [accounts.register(ANN, f"correct horse {n}") for n in range(10)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    winners = [n for n, result in enumerate(results) if isinstance(result, User)]
    losers = [result.code for result in results if isinstance(result, Conflict)]
    assert (len(winners), losers) == (1, ["existing_user"] * 9)
    assert await accounts.verify(ANN, f"correct horse {winners[0]}") == results[winners[0]]


@pytest.mark.parametrize(
    "email, password",
    [
        ("bob@example.org", SECRET),
        (ANN, "wrong horse"),
        (ANN, ""),
        (ANN, None),
        (ANN, 7),
        (ANN, {"$ne": ""}),
        (ANN, SECRET.upper()),
        (ANN, SECRET + "\0"),
        (ANN, "x" * 100_000),
        (None, None),
    ],
    ids=[
        "unknown",
        "wrong",
        "empty",
        "missing",
        "number",
        "object",
        "case",
        "NUL",
        "huge",
        "nothing",
    ],
)
async def test_wrong_login_tells_nothing(accounts: Users, email: object, password: object) -> None:
    await accounts.register(ANN, SECRET)
    with pytest.raises(BadLogin) as caught:
        await accounts.verify(email, password)
    assert (caught.value.message, caught.value.code) == ("Wrong email or password", "bad_login")
    assert caught.value.fields is None


async def test_wrong_logins_take_the_same_time(store: Store) -> None:
    passwords = Passwords(Cost(memory=4_096, passes=1))
    accounts = Users(store, passwords)
    await accounts.register(ANN, SECRET)
    cases = [(ANN, "wrong horse"), ("bob@example.org", SECRET), (ANN, None), (ANN, "x" * 9_999)]
    spent: list[list[float]] = [[] for _ in cases]
    for _ in range(25):
        for case, times in zip(cases, spent, strict=True):
            began = time.process_time()  # of all threads, and of nobody else's load
            with pytest.raises(BadLogin):
                await accounts.verify(*case)
            times.append(time.process_time() - began)
    passwords.close()
    # Not the fastest: on a busy machine one case alone may have the one quiet moment.
    usual = [median(times) for times in spent]
    assert max(usual) < 2 * min(usual)


async def test_password_is_changed(accounts: Users) -> None:
    user = await accounts.register(ANN, SECRET)
    await accounts.change_password(user, "battery staple")
    changed = await accounts.verify(ANN, "battery staple")
    assert changed == replace(user, password_hash=changed.password_hash)
    assert await accounts.is_current(changed)
    with pytest.raises(BadLogin):
        await accounts.verify(ANN, SECRET)


async def test_change_within_the_same_millisecond_counts(
    accounts: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "now", lambda: "2026-01-31T08:09:10.123Z")
    user = await accounts.register(ANN, SECRET)
    assert await accounts.is_current(user)
    await accounts.change_password(user, SECRET)
    assert not await accounts.is_current(user)


@pytest.mark.parametrize(
    ("new", "why"),
    [("short", "must have at least 8 characters"), (None, "must be a string")],
    ids=["weak", "none"],
)
async def test_weak_new_password_is_refused(accounts: Users, new: object, why: str) -> None:
    user = await accounts.register(ANN, SECRET)
    with pytest.raises(Invalid) as caught:
        await accounts.change_password(user, new)
    assert (caught.value.code, caught.value.fields) == ("weak_password", {"new": why})
    assert await accounts.verify(ANN, SECRET) == user


async def test_password_of_nobody_is_not_changed(accounts: Users) -> None:
    user = await accounts.register(ANN, SECRET)
    with pytest.raises(BadLogin, match="Wrong password"):
        await accounts.change_password(replace(user, email="bob@example.org"), "battery staple")
    assert await accounts.find("bob@example.org") is None


async def test_wrong_password_is_called_so_when_asked(accounts: Users) -> None:
    await accounts.register(ANN, SECRET)
    for password in ("wrong horse", None):
        with pytest.raises(BadLogin, match=r"^Wrong password$"):
            await accounts.verify(ANN, password, "Wrong password")


async def test_one_of_many_changes_of_password_wins(accounts: Users) -> None:
    user = await accounts.register(ANN, SECRET)
    tries = [accounts.change_password(user, f"battery staple {n}") for n in range(5)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert [type(result) for result in results].count(BadLogin) == 4
    assert await accounts.verify(ANN, f"battery staple {results.index(None)}")


async def test_unknown_user_is_not_found(accounts: Users) -> None:
    assert await accounts.find(ANN) is None
    assert await accounts.find("no address") is None
