from __future__ import annotations

import asyncio

import pytest

from backpack.errors import BackpackError, BadLogin, Conflict, Forbidden, Invalid, NotFound
from backpack.registry import Registry
from backpack.registry.invitations import INVITATION_TTL, LINK_TTL
from tests.registry.conftest import PASSWORD, Clock


async def test_first_developer_is_operator(registry: Registry) -> None:
    made = await registry.developers.set_up(" Ann@Example.com", PASSWORD)

    assert (made.email, made.role, made.is_operator) == ("ann@example.com", "operator", True)
    assert await registry.developers.verify("ANN@example.com", PASSWORD) == made
    assert "argon2" not in repr(made)


async def test_set_up_works_once(registry: Registry) -> None:
    tries = [registry.developers.set_up(f"d{n}@example.com", PASSWORD) for n in range(3)]
    done = await asyncio.gather(*tries, return_exceptions=True)

    assert sorted(type(one).__name__ for one in done) == ["Developer", "Forbidden", "Forbidden"]


@pytest.mark.parametrize(
    ("email", "password"),
    [
        pytest.param("ann@example.com", "wrong password", id="wrong password"),
        pytest.param("bob@example.com", PASSWORD, id="unknown address"),
        pytest.param(None, None, id="nothing"),
        pytest.param(["ann@example.com"], {"a": 1}, id="no strings"),
    ],
)
async def test_wrong_login_is_refused(registry: Registry, email: object, password: object) -> None:
    await registry.developers.set_up("ann@example.com", PASSWORD)

    with pytest.raises(BadLogin):
        await registry.developers.verify(email, password)


async def test_operator_without_password_cannot_log_in(registry: Registry) -> None:
    made = await registry.developers.sandbox_operator()

    assert await registry.developers.sandbox_operator() == made
    assert (made.email, made.name) == (None, "operator")
    with pytest.raises(BadLogin):
        await registry.developers.verify(None, "")
    await registry.developers.set_login(made, "ann@example.com", PASSWORD)
    assert (await registry.developers.verify("ann@example.com", PASSWORD)).id == made.id
    with pytest.raises(Conflict):
        await registry.developers.set_login(made, "ann@example.com", PASSWORD)


async def test_password_changes_once_from_the_same(registry: Registry) -> None:
    ann = await registry.developers.set_up("ann@example.com", PASSWORD)
    await registry.developers.change_password(ann, "another password")

    with pytest.raises(BadLogin):
        await registry.developers.change_password(ann, "a third password")
    with pytest.raises(BadLogin):
        await registry.developers.verify("ann@example.com", PASSWORD)
    assert (await registry.developers.verify("ann@example.com", "another password")).id == ann.id


async def test_last_operator_stays(registry: Registry) -> None:
    ann = await registry.developers.set_up("ann@example.com", PASSWORD)

    with pytest.raises(Conflict) as refused:
        await registry.developers.remove(ann.id)
    assert refused.value.code == "last_operator"
    with pytest.raises(Conflict):
        await registry.developers.change_role(ann.id, "developer")
    with pytest.raises(NotFound):
        await registry.developers.remove("0" * 24)
    assert await registry.developers.list() == [ann]


async def test_of_two_operators_one_stays(registry: Registry) -> None:
    ann = await registry.developers.set_up("ann@example.com", PASSWORD)
    token = await registry.invitations.create("operator", ann)
    bob = await registry.invitations.accept(token, "bob@example.com", PASSWORD)

    tries = [registry.developers.remove(one.id) for one in (ann, bob)]
    done = await asyncio.gather(*tries, return_exceptions=True)

    assert sorted(type(one).__name__ for one in done) == ["Conflict", "NoneType"]
    assert len(await registry.developers.list()) == 1


async def test_invitation_works_once(registry: Registry) -> None:
    ann = await registry.developers.set_up("ann@example.com", PASSWORD)
    token = await registry.invitations.create("developer", ann)
    (open_one,) = await registry.invitations.list()

    tries = [registry.invitations.accept(token, f"d{n}@example.com", PASSWORD) for n in range(3)]
    done = await asyncio.gather(*tries, return_exceptions=True)

    assert (open_one.role, open_one.invited_by) == ("developer", "ann@example.com")
    assert sorted(type(one).__name__ for one in done) == ["Developer", "NotFound", "NotFound"]
    assert await registry.invitations.list() == []


async def test_invitation_outlives_a_taken_address(registry: Registry) -> None:
    ann = await registry.developers.set_up("ann@example.com", PASSWORD)
    token = await registry.invitations.create("developer", ann)

    with pytest.raises(Conflict):
        await registry.invitations.accept(token, "Ann@example.com", PASSWORD)
    assert await registry.invitations.find(token) is not None


async def test_invitation_expires_and_is_revoked(registry: Registry, clock: Clock) -> None:
    ann = await registry.developers.set_up("ann@example.com", PASSWORD)
    revoked = await registry.invitations.create("developer", ann)
    (open_one,) = await registry.invitations.list()
    await registry.invitations.revoke(open_one.id)
    expired = await registry.invitations.create("developer", ann)
    clock.now += INVITATION_TTL

    for token in (revoked, expired, "", None, 7, "x" * 43, "ä" * 43):
        assert await registry.invitations.find(token) is None
        with pytest.raises(NotFound):
            await registry.invitations.accept(token, "bob@example.com", PASSWORD)


async def test_link_works_once(registry: Registry, clock: Clock) -> None:
    operator = await registry.developers.sandbox_operator()
    before = await registry.links.create(operator)
    token = await registry.links.create(operator)

    assert await registry.links.find(before) is None
    assert await registry.links.find(token) == operator
    assert await registry.links.find(token, resets=True) is None
    assert await registry.links.use(token) == operator
    for used in (token, before, "", None):
        assert await registry.links.find(used) is None
        with pytest.raises(NotFound):
            await registry.links.use(used)
    late = await registry.links.create(operator)
    clock.now += LINK_TTL
    with pytest.raises(NotFound):
        await registry.links.use(late)


async def test_reset_link_ends_with_the_password(registry: Registry) -> None:
    ann = await registry.developers.set_up("ann@example.com", PASSWORD)
    token = await registry.links.create(ann, resets=True)
    await registry.developers.change_password(ann, "another fine password")

    with pytest.raises(NotFound):
        await registry.links.reset(token, PASSWORD)
    assert await registry.developers.verify("ann@example.com", "another fine password")


async def test_reset_link_sets_a_password_once(registry: Registry) -> None:
    ann = await registry.developers.set_up("ann@example.com", PASSWORD)
    session = await registry.sessions.create(ann)
    token = await registry.links.create(ann, resets=True)

    with pytest.raises(NotFound):
        await registry.links.use(token)
    with pytest.raises(Invalid):
        await registry.links.reset(token, "short")
    assert await registry.sessions.find(session) is not None
    made = await registry.links.reset(token, "another fine password")
    assert await registry.developers.get(ann.id) == made
    assert await registry.sessions.find(session) is None
    with pytest.raises(NotFound):
        await registry.links.reset(token, PASSWORD)
    with pytest.raises(BadLogin):
        await registry.developers.verify("ann@example.com", PASSWORD)


async def test_removed_developer_leaves_nothing(registry: Registry) -> None:
    ann = await registry.developers.set_up("ann@example.com", PASSWORD)
    invitation = await registry.invitations.create("developer", ann)
    bob = await registry.invitations.accept(invitation, "bob@example.com", PASSWORD)
    session = await registry.sessions.create(bob)
    link = await registry.links.create(bob)
    await registry.backpacks.add("shop", bob)
    secret, _ = await registry.tokens.create("shop", "CI", "deploy", 30, bob)

    await registry.developers.remove(bob.id)

    assert await registry.sessions.find(session) is None
    assert await registry.links.find(link) is None
    assert await registry.backpacks.members("shop") == []
    assert await registry.tokens.use(secret) is None


@pytest.mark.parametrize("role", ["", "owner", None, 1, ["operator"]])
async def test_unknown_role_is_refused(registry: Registry, role: object) -> None:
    ann = await registry.developers.set_up("ann@example.com", PASSWORD)

    for refused in (
        registry.developers.change_role(ann.id, role),
        registry.invitations.create(role, ann),
    ):
        with pytest.raises(BackpackError) as failure:
            await refused
        assert failure.value.fields == {"role": "must be operator or developer"}


async def test_set_up_is_over_with_an_operator(registry: Registry) -> None:
    await registry.developers.sandbox_operator()

    with pytest.raises(Forbidden):
        await registry.developers.set_up("ann@example.com", PASSWORD)
