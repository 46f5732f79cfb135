from __future__ import annotations

import pytest

from backpack.registry import Registry
from backpack.registry.developers import Developer
from backpack.registry.sessions import IDLE, LIFETIME, csrf_token
from tests.registry.conftest import PASSWORD, Clock


@pytest.fixture
async def ann(registry: Registry) -> Developer:
    return await registry.developers.set_up("ann@example.com", PASSWORD)


async def test_session_is_found_by_its_token(registry: Registry, ann: Developer) -> None:
    token = await registry.sessions.create(ann, "192.0.2.1", "x" * 1_000)
    found = await registry.sessions.find(token)

    assert found is not None
    assert (found.developer, found.address, len(found.agent)) == (ann, "192.0.2.1", 200)
    assert token not in str(found) and found.id in found.digest
    for other in ("", None, 3, found.digest, token[:-1], "x" * 43):
        assert await registry.sessions.find(other) is None


async def test_session_ends_without_use(registry: Registry, ann: Developer, clock: Clock) -> None:
    token = await registry.sessions.create(ann)
    clock.now += IDLE - 1
    assert await registry.sessions.find(token) is not None
    clock.now += IDLE - 1
    assert await registry.sessions.find(token) is not None
    clock.now += IDLE

    assert await registry.sessions.find(token) is None


async def test_session_ends_though_in_use(registry: Registry, ann: Developer, clock: Clock) -> None:
    token = await registry.sessions.create(ann)
    begun = clock.now
    while clock.now + IDLE // 2 < begun + LIFETIME:
        clock.now += IDLE // 2
        assert await registry.sessions.find(token) is not None
    clock.now = begun + LIFETIME

    assert await registry.sessions.find(token) is None


async def test_sessions_end_one_by_one_and_all(registry: Registry, ann: Developer) -> None:
    told: list[None] = []
    stop = registry.rights.listen(lambda: told.append(None))
    tokens = [await registry.sessions.create(ann) for _ in range(4)]
    kept = await registry.sessions.find(tokens[0])
    other = await registry.sessions.find(tokens[1])
    assert kept is not None and other is not None

    assert await registry.sessions.end_one(ann, other.id)
    assert not await registry.sessions.end_one(ann, other.id)
    assert len(await registry.sessions.of(ann)) == 3
    await registry.sessions.end(tokens[2])
    await registry.sessions.end_all(ann, keep=kept)
    assert await registry.sessions.of(ann) == [kept]
    stop()
    await registry.sessions.end_all(ann)
    assert await registry.sessions.of(ann) == []
    assert len(told) == 4


async def test_session_of_another_is_left_alone(registry: Registry, ann: Developer) -> None:
    invitation = await registry.invitations.create("developer", ann)
    bob = await registry.invitations.accept(invitation, "bob@example.com", PASSWORD)
    found = await registry.sessions.find(await registry.sessions.create(ann))
    assert found is not None

    assert not await registry.sessions.end_one(bob, found.id)
    assert await registry.sessions.of(ann) == [found]


def test_csrf_token_is_the_session_s_own() -> None:
    assert csrf_token("one") == csrf_token("one") != csrf_token("two")
