from __future__ import annotations

import asyncio

import pytest

from backpack.errors import BackpackError, Conflict, NotFound
from backpack.registry import Registry
from backpack.registry.developers import Developer
from tests.registry.conftest import PASSWORD, Clock


@pytest.fixture
async def ann(registry: Registry) -> Developer:
    """The operator."""
    return await registry.developers.set_up("ann@example.com", PASSWORD)


@pytest.fixture
async def bob(registry: Registry, ann: Developer) -> Developer:
    """A developer."""
    invitation = await registry.invitations.create("developer", ann)
    return await registry.invitations.accept(invitation, "bob@example.com", PASSWORD)


async def test_own_and_shared_backpacks_are_seen(
    registry: Registry, ann: Developer, bob: Developer
) -> None:
    names = ["forum", "made-by-hand", "shared", "shop"]
    await registry.backpacks.add("shop", bob)
    await registry.backpacks.add("forum", ann)
    await registry.backpacks.set_member("shared", bob, "member")

    visible = registry.backpacks.visible
    assert await visible(bob, names) == {"shared": "member", "shop": "owner"}
    assert await visible(ann, names) == dict.fromkeys(names, "owner")
    assert [await registry.backpacks.role(bob, name) for name in names] == [
        None,
        None,
        "member",
        "owner",
    ]
    assert await registry.backpacks.role(ann, "made-by-hand") == "owner"


async def test_name_is_its_owner_s(registry: Registry, ann: Developer, bob: Developer) -> None:
    assert await registry.backpacks.add("forum", ann)
    assert await registry.backpacks.add("shop", bob)
    assert not await registry.backpacks.add("shop", bob)
    assert not await registry.backpacks.add("shop", ann)

    with pytest.raises(Conflict) as refused:
        await registry.backpacks.add("forum", bob)
    assert refused.value.code == "backpack_exists"
    assert [member.developer for member in await registry.backpacks.members("shop")] == [bob]


async def test_membership_changes_and_ends(
    registry: Registry, ann: Developer, bob: Developer
) -> None:
    await registry.backpacks.add("shop", ann)
    await registry.backpacks.set_member("shop", bob, "owner")
    await registry.backpacks.set_member("shop", bob, "member")
    assert [(one.developer, one.role) for one in await registry.backpacks.members("shop")] == [
        (ann, "owner"),
        (bob, "member"),
    ]

    await registry.backpacks.remove_member("shop", bob.id)

    assert await registry.backpacks.role(bob, "shop") is None
    with pytest.raises(NotFound):
        await registry.backpacks.remove_member("shop", bob.id)
    with pytest.raises(BackpackError):
        await registry.backpacks.set_member("shop", bob, "operator")


async def test_gone_backpack_is_forgotten(
    registry: Registry, ann: Developer, bob: Developer
) -> None:
    for name in ("shop", "forum"):
        await registry.backpacks.add(name, bob)
    secret, _ = await registry.tokens.create("shop", "CI", "deploy", 30, ann)

    await registry.backpacks.settle(["forum", "other"])

    assert await registry.backpacks.of(bob) == {"forum": "owner"}
    assert await registry.tokens.use(secret) is None
    await registry.backpacks.add("shop", ann)
    assert await registry.backpacks.role(bob, "shop") is None


async def test_token_works_while_its_maker_may(registry: Registry, bob: Developer) -> None:
    await registry.backpacks.add("shop", bob)
    secret, made = await registry.tokens.create("shop", " CI ", "deploy", 30, bob)

    used = await registry.tokens.use(secret)
    assert used is not None
    assert (used.id, used.backpack, used.scope, used.name) == (
        made.id,
        "shop",
        "deploy",
        "token CI",
    )
    assert used.used_at is not None
    await registry.backpacks.set_member("shop", bob, "member")
    assert await registry.tokens.use(secret) is None
    await registry.backpacks.set_member("shop", bob, "owner")
    assert await registry.tokens.use(secret) is not None
    await registry.backpacks.remove_member("shop", bob.id)
    assert await registry.tokens.use(secret) is None


async def test_token_expires_and_is_revoked(
    registry: Registry, ann: Developer, clock: Clock
) -> None:
    revoked, made = await registry.tokens.create("shop", "CI", "deploy", 30, ann)
    expired, _ = await registry.tokens.create("shop", "CI", "restore", 1, ann)
    with pytest.raises(NotFound):
        await registry.tokens.revoke("forum", made.id)
    await registry.tokens.revoke("shop", made.id)
    clock.now += 86_400

    for secret in (revoked, expired, revoked.removeprefix("bkpk_"), "", "bkpk_"):
        assert await registry.tokens.use(secret) is None
    assert [token.revoked for token in await registry.tokens.of("shop")] == [False, True]


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        pytest.param(("", "deploy", 1), "name", id="no name"),
        pytest.param(("a\nb", "deploy", 1), "name", id="line break"),
        pytest.param(("CI", "all", 1), "scope", id="scope"),
        pytest.param(("CI", "deploy", 0), "days", id="no days"),
        pytest.param(("CI", "deploy", True), "days", id="no number"),
        pytest.param(("CI", "deploy", 366), "days", id="too many days"),
    ],
)
async def test_bad_token_is_refused(
    registry: Registry, ann: Developer, given: tuple[object, object, object], wrong: str
) -> None:
    with pytest.raises(BackpackError) as refused:
        await registry.tokens.create("shop", *given, ann)

    assert set(refused.value.fields or ()) == {wrong}


async def test_audit_shows_each_what_is_theirs(
    registry: Registry, ann: Developer, bob: Developer
) -> None:
    await registry.backpacks.add("shop", bob)
    note = registry.audit.note
    await note(bob, "backpack.create", "shop", address="192.0.2.1")
    await note(ann, "document.delete", "shop", {"collection": "cars", "count": 3})
    await note(ann, "developer.invite", detail={"role": "developer"})
    await note(None, "sign_in.refused")

    everything = [entry.action for entry in await registry.audit.visible(ann)]
    assert everything == [
        "sign_in.refused",
        "developer.invite",
        "document.delete",
        "backpack.create",
    ]
    assert [entry.action for entry in await registry.audit.visible(bob)] == everything[2:]
    latest, first = await registry.audit.of_backpack("shop")
    assert (latest.name, latest.detail) == ("ann@example.com", {"collection": "cars", "count": 3})
    assert (first.who, first.address) == (bob.id, "192.0.2.1")
    assert await registry.audit.of_backpack("shop", before=latest.id) == [first]
    assert await registry.audit.of_backpack("shop", limit=1) == [latest]


@pytest.mark.parametrize("who", [None, "carol@example.com"])
@pytest.mark.parametrize("role", ["operator", "developer"])
async def test_audit_is_read_by_indexes(
    registry: Registry, ann: Developer, bob: Developer, role: str, who: str | None
) -> None:
    await registry.backpacks.add("shop", bob)
    for number in range(30):
        await registry.audit.note(ann, "document.delete", f"other-{number}")
        await registry.audit.note((ann, bob)[number % 2], "document.create", "shop")
    asked: list[str] = []
    connection = registry._database._connection

    await connection.set_trace_callback(asked.append)
    found = await registry.audit.visible(ann if role == "operator" else bob, who=who, limit=20)

    plan = await connection.execute_fetchall(f"EXPLAIN QUERY PLAN {asked[-1]}")
    steps = [row["detail"] for row in plan]
    assert len(found) == (20 if who is None else 0)
    # An operator who asks for all reads the latest rows of the table, as far as the limit.
    assert "SCAN audit" not in steps or (role, who) == ("operator", None)


async def test_audit_of_an_earlier_backpack_is_not_shown(
    registry: Registry, ann: Developer, bob: Developer
) -> None:
    await registry.backpacks.add("shop", ann)
    await registry.audit.note(ann, "document.delete", "shop")
    await registry.backpacks.remove("shop")
    await asyncio.sleep(0.002)  # times are of milliseconds
    await registry.backpacks.add("shop", bob)
    await registry.audit.note(ann, "member.set", "shop")

    assert [entry.action for entry in await registry.audit.visible(bob)] == ["member.set"]
    assert len(await registry.audit.visible(ann)) == 2


async def test_deployments_are_noted(registry: Registry) -> None:
    for version in (1, 2):
        await registry.deployments.note("shop", version, "ann@example.com", 1_000)

    latest, first = await registry.deployments.of("shop")
    assert (latest.version, first.version, first.who, first.size) == (
        2,
        1,
        "ann@example.com",
        1_000,
    )
    assert await registry.deployments.of("forum") == []
