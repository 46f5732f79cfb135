"""Every promise of drivers/base.py as a test. A driver's class says how to open it, and how to have
a create fail in its midst."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from datetime import datetime
from typing import Any

import pytest

from backpack.drivers.base import Driver
from backpack.errors import BackpackError, Conflict, Invalid, NotFound
from backpack.steps import Result, Steps, finish
from tests.backups import Entries, blocks, good, line, packed, sealed, unpacked, zipped

# Has the next create of a backpack of that name fail; gives what the error says.
Breaking = Callable[[str], AbstractAsyncContextManager[str]]

KEY = "key-of-tests-1"
SERVICE = {"name", "wanted", "running", "image", "reason"}
NODE = {"id", "name", "role", "state", "availability", "address", "labels"}

CALLS: dict[str, Callable[[Driver, str], Awaitable[Any]]] = {
    "describe": lambda driver, name: driver.describe(name),
    "delete": lambda driver, name: finish(driver.delete(name)),
    "restore": lambda driver, name: finish(driver.restore(name)),
    "purge": lambda driver, name: finish(driver.purge(name)),
    "status": lambda driver, name: driver.status(name),
    "scale": lambda driver, name: finish(driver.scale(name, 1)),
    "reconnect": lambda driver, name: finish(driver.reconnect(name, redis_url="redis://a/")),
    "logs": lambda driver, name: lines_of(driver, name),
    "deploy": lambda driver, name: finish(driver.deploy(name, "ada", site("first"))),
    "rollback": lambda driver, name: driver.rollback(name),
    "sites": lambda driver, name: driver.sites(name),
    "console": lambda driver, name: asked(driver, name),
    "export": lambda driver, name: finish(driver.export_backup(name)),
}


def site(text: str) -> AsyncIterator[bytes]:
    return blocks(zipped({"index.html": text.encode()}))


def backup(key: str = "", **more: bytes) -> AsyncIterator[bytes]:
    entries = good()
    if key:
        first = {part: entries[part] for part in ("manifest.json", "rules.json")}
        entries = {**first, "key.json": line({"apiKey": key}), **entries}
    return blocks(packed(sealed({**entries, **more})))


async def asked(driver: Driver, name: str) -> Any:
    async with driver.console(name) as console:
        return await console.ask("get", "rules")


async def lines_of(driver: Driver, name: str, **options: Any) -> list[str]:
    async with aclosing(driver.logs(name, **options)) as lines:
        return [line async for line in lines]


async def gone_through(steps: Steps) -> tuple[list[str], Any]:
    """The lines of an action, and its result, which must come last."""
    async with aclosing(steps):
        said = [step async for step in steps]
    result = said.pop()
    assert isinstance(result, Result)
    assert all(isinstance(line, str) and line for line in said)
    return [str(line) for line in said], result.value


async def exported(driver: Driver, name: str) -> Entries:
    """What is in a backpack, but for when that was asked."""
    taken: list[bytes] = []
    await finish(driver.export_backup(name, with_key=True), take=taken.append)
    entries = unpacked(b"".join(taken))
    return {name: entries[name] for name in entries if name not in ("manifest.json", "end.json")}


def seconds_between(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


class DriverContract:
    """`keeps_sites`: sites can be deployed."""

    keeps_sites = True

    @pytest.fixture
    async def driver(self) -> AsyncIterator[Driver]:
        raise NotImplementedError
        yield

    @pytest.fixture
    def breaking(self) -> Breaking:
        raise NotImplementedError

    @pytest.fixture
    async def name(self, driver: Driver) -> AsyncIterator[str]:
        """A name that nothing has; what has it afterwards goes."""
        name = f"test-{secrets.token_hex(4)}"
        yield name
        for action in (driver.delete, driver.purge):
            with contextlib.suppress(NotFound):
                await finish(action(name))

    @pytest.fixture
    async def made(self, driver: Driver, name: str) -> str:
        """The name of a backpack that has just been made, with KEY."""
        await finish(driver.create(name, KEY))
        return name

    @pytest.fixture
    async def standing(self, made: str) -> str:
        """The name of a backpack with KEY, for tests that leave it as good as it was. Where one
        takes long to make, it may be the same for all of them."""
        return made

    async def test_create_makes_a_backpack(self, driver: Driver, name: str) -> None:
        lines, described = await gone_through(driver.create(name))

        assert lines
        assert described["name"] == name
        assert len(described["api_key"]) >= 8
        assert described == await driver.describe(name)
        assert name in driver.names()

    async def test_create_takes_a_key(self, driver: Driver, standing: str) -> None:
        assert (await driver.describe(standing))["api_key"] == KEY

    async def test_names_are_sorted(self, driver: Driver, standing: str) -> None:
        names = list(driver.names())

        assert names == sorted(names)
        assert names.count(standing) == 1

    async def test_taken_name_is_refused(self, driver: Driver, standing: str) -> None:
        with pytest.raises(Conflict):
            await finish(driver.create(standing, "another-key"))

        assert (await driver.describe(standing))["api_key"] == KEY

    @pytest.mark.parametrize("bad", ["Shop", "a--b", "admin", "x-be", "../x", "", "x" * 42])
    async def test_bad_name_is_refused(self, driver: Driver, bad: str) -> None:
        with pytest.raises(Invalid) as caught:
            await finish(driver.create(bad))

        assert caught.value.code == "bad_name"
        assert bad not in driver.names()

    async def test_bad_key_is_refused(self, driver: Driver, name: str) -> None:
        with pytest.raises(Invalid) as caught:
            await finish(driver.create(name, "a b"))

        assert caught.value.code == "bad_key"
        assert name not in driver.names()

    @pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
    async def test_unknown_name_is_not_found(
        self, driver: Driver, name: str, call: Callable[[Driver, str], Awaitable[Any]]
    ) -> None:
        with pytest.raises(NotFound):
            await call(driver, name)

    async def test_failed_create_leaves_nothing(
        self, driver: Driver, name: str, breaking: Breaking
    ) -> None:
        async with breaking(name) as why:
            with pytest.raises(BackpackError, match=why):
                await finish(driver.create(name))
            left = [one for one in driver.names() if one == name]
        described = await finish(driver.create(name))

        assert left == []
        assert described["name"] == name
        assert name not in [one["name"] for one in await driver.trash()]

    async def test_create_that_is_closed_is_whole_or_nothing(
        self, driver: Driver, name: str
    ) -> None:
        async with aclosing(driver.create(name, KEY)) as steps:
            await anext(steps)

        if name not in driver.names():
            await finish(driver.create(name, KEY))
        assert (await driver.describe(name))["api_key"] == KEY
        assert (await driver.status(name))["state"] == "up"

    async def test_status_tells_of_each_service(self, driver: Driver, standing: str) -> None:
        status = await driver.status(standing)

        assert (status["name"], status["state"], status["reason"]) == (standing, "up", "")
        assert status["services"]
        for service in status["services"]:
            assert set(service) == SERVICE
            assert service["running"] == service["wanted"] >= 1
            assert service["reason"] == ""

    async def test_deleted_backpack_is_in_the_trash(self, driver: Driver, made: str) -> None:
        lines, deleted = await gone_through(driver.delete(made))
        kept = [one for one in await driver.trash() if one["name"] == made]

        assert lines
        assert kept == [deleted]
        assert seconds_between(deleted["deleted_at"], deleted["until"]) == 7 * 86_400
        assert made not in driver.names()
        with pytest.raises(NotFound):
            await driver.describe(made)

    async def test_delete_that_is_closed_is_whole_or_nothing(
        self, driver: Driver, made: str
    ) -> None:
        async with aclosing(driver.delete(made)) as steps:
            await anext(steps)

        if made in driver.names():
            await finish(driver.delete(made))
        assert [one["name"] for one in await driver.trash()].count(made) == 1

    async def test_restore_brings_everything_back(self, driver: Driver, name: str) -> None:
        more = {"site.zip": zipped({"index.html": b"first"})} if self.keeps_sites else {}
        imported = await finish(driver.import_backup(name, backup(KEY, **more)))
        before = await exported(driver, name)
        sites = await driver.sites(name) if self.keeps_sites else []

        await finish(driver.delete(name))
        lines, described = await gone_through(driver.restore(name))

        assert lines
        assert described["api_key"] == imported["api_key"] == KEY
        assert described == await driver.describe(name)
        assert await exported(driver, name) == before
        assert {"users/000001.ndjson", "files/000001/content", "rules.json"} < set(before)
        if self.keeps_sites:
            assert len(sites) == 1
            assert await driver.sites(name) == sites
        assert (await driver.status(name))["state"] == "up"
        assert name not in [one["name"] for one in await driver.trash()]

    async def test_restored_backpack_can_be_deleted_again(self, driver: Driver, made: str) -> None:
        for action in (driver.delete, driver.restore, driver.delete, driver.restore):
            await finish(action(made))

        assert (await driver.describe(made))["api_key"] == KEY

    async def test_backpack_that_is_there_is_not_restored(
        self, driver: Driver, standing: str
    ) -> None:
        with pytest.raises((Conflict, NotFound)):
            await finish(driver.restore(standing))

        assert (await driver.status(standing))["state"] == "up"

    async def test_purge_is_for_good(self, driver: Driver, made: str) -> None:
        await finish(driver.delete(made))
        lines, gone = await gone_through(driver.purge(made))

        assert lines
        assert gone == {"name": made}
        assert made not in [one["name"] for one in await driver.trash()]
        with pytest.raises(NotFound):
            await finish(driver.restore(made))

    async def test_purge_spares_what_is_not_deleted(self, driver: Driver, standing: str) -> None:
        with pytest.raises(NotFound):
            await finish(driver.purge(standing))

        assert (await driver.describe(standing))["api_key"] == KEY

    async def test_one_of_a_name_is_chosen(self, driver: Driver, made: str) -> None:
        first = await finish(driver.delete(made))
        await finish(driver.create(made, "key-of-another-1"))
        with pytest.raises(Conflict):
            await finish(driver.restore(made, first["deleted_at"]))
        second = await finish(driver.delete(made))

        await finish(driver.restore(made, first["deleted_at"]))
        assert (await driver.describe(made))["api_key"] == KEY
        assert [one for one in await driver.trash() if one["name"] == made] == [second]
        for action in (driver.restore, driver.purge):
            with pytest.raises(NotFound):
                await finish(action(made, first["deleted_at"]))

        await finish(driver.purge(made, second["deleted_at"]))
        assert made not in [one["name"] for one in await driver.trash()]
        assert (await driver.describe(made))["api_key"] == KEY

    async def test_purged_name_starts_empty(self, driver: Driver, name: str) -> None:
        await finish(driver.import_backup(name, backup()))
        await finish(driver.delete(name))
        await finish(driver.purge(name))
        await finish(driver.create(name, KEY))

        found = await exported(driver, name)
        assert [entry for entry in found if entry.startswith(("collections/", "files/"))] == []
        assert found["users/000001.ndjson"] == b""

    async def test_actions_on_a_backpack_wait_for_each_other(
        self, driver: Driver, name: str
    ) -> None:
        async with aclosing(driver.create(name, KEY)) as creating:
            first = await anext(creating)
            deleting = asyncio.create_task(gone_through(driver.delete(name)))
            await asyncio.sleep(0)  # it begins
            rest = [step async for step in creating]
        lines, deleted = await deleting

        assert isinstance(first, str)
        assert isinstance(rest[-1], Result)
        assert "waiting" in lines[0]
        assert deleted["name"] == name
        assert name not in driver.names()

    async def test_one_of_many_creates_wins(self, driver: Driver, name: str) -> None:
        attempts = (finish(driver.create(name, f"key-of-number-{n}")) for n in range(4))
        made = await asyncio.gather(*attempts, return_exceptions=True)

        won = [one for one in made if isinstance(one, dict)]
        lost = [one for one in made if isinstance(one, Conflict)]
        assert (len(won), len(lost)) == (1, 3)
        assert await driver.describe(name) == won[0]

    async def test_actions_on_others_do_not_wait(self, driver: Driver, standing: str) -> None:
        async with aclosing(driver.scale(standing, 1)) as scaling:
            await anext(scaling)
            other = f"{standing}-2"
            lines, _ = await gone_through(driver.create(other))
            await finish(driver.delete(other))
            await finish(driver.purge(other))

        assert [line for line in lines if "waiting" in line] == []

    async def test_scale_changes_how_many_serve(self, driver: Driver, standing: str) -> None:
        wanted = 2 if "scale" in driver.capabilities else 1
        lines, status = await gone_through(driver.scale(standing, wanted))

        assert lines
        assert status == await driver.status(standing)
        assert wanted in [service["wanted"] for service in status["services"]]

    @pytest.mark.parametrize("replicas", [0, -1, 1_000_000])
    async def test_scale_refuses_what_cannot_be(
        self, driver: Driver, standing: str, replicas: int
    ) -> None:
        with pytest.raises(Invalid):
            await finish(driver.scale(standing, replicas))

        assert (await driver.status(standing))["state"] == "up"

    async def test_scale_of_what_cannot_is_refused(self, driver: Driver, standing: str) -> None:
        if "scale" in driver.capabilities:
            return
        with pytest.raises(Invalid, match="One process"):
            await finish(driver.scale(standing, 2))

    @pytest.mark.parametrize("url", ["mongodb://db.example.com/", "http://db.example.com/", ""])
    async def test_databases_of_its_own_have_no_other_url(
        self, driver: Driver, standing: str, url: str
    ) -> None:
        before = await driver.status(standing)
        with pytest.raises(Invalid):
            await finish(driver.reconnect(standing, mongo_url=url))

        assert before["databases"] == {}
        assert await driver.status(standing) == before

    async def test_logs_are_lines(self, driver: Driver, standing: str) -> None:
        every, one = await lines_of(driver, standing), await lines_of(driver, standing, tail=1)

        assert every
        assert all("\n" not in line for line in every)
        assert len(one) == 1
        assert await lines_of(driver, standing, tail=0) == []

    async def test_logs_are_of_known_services(self, driver: Driver, standing: str) -> None:
        services = [service["name"] for service in (await driver.status(standing))["services"]]
        for service in services:
            await lines_of(driver, standing, service=service)

        with pytest.raises(NotFound):
            await lines_of(driver, standing, service="unheard-of")

    async def test_followed_logs_can_be_left(self, driver: Driver, standing: str) -> None:
        async with aclosing(driver.logs(standing, tail=1, follow=True)) as lines:
            assert await anext(lines)

    async def test_site_is_deployed_and_rolled_back(self, driver: Driver, made: str) -> None:
        if not self.keeps_sites:
            with pytest.raises(Invalid):
                await finish(driver.deploy(made, "ada", site("first")))
            return
        lines, first = await gone_through(driver.deploy(made, "ada", site("first")))
        second = await finish(driver.deploy(made, "bo", site("second")))
        back = await driver.rollback(made)

        assert len(lines) >= 3
        assert (first["version"], first["who"], first["live"]) == (1, "ada", True)
        assert (first["size"], first["files"]) == (5, 1)
        assert (second["version"], second["who"], second["live"]) == (2, "bo", True)
        assert (back["version"], back["live"]) == (1, True)
        assert [(one["version"], one["live"]) for one in await driver.sites(made)] == [
            (1, True),
            (2, False),
        ]

    async def test_refused_site_changes_nothing(self, driver: Driver, standing: str) -> None:
        with pytest.raises(Invalid):
            await finish(driver.deploy(standing, "ada", blocks(b"no zip")))

        assert not self.keeps_sites or await driver.sites(standing) == []

    async def test_console_changes_and_shows(self, driver: Driver, standing: str) -> None:
        async with driver.console(standing) as console:
            await console.ask("put", "rules", {"cars": {"read": "public"}})
            await console.ask("post", "collections", {"name": "cars"})
            await console.ask("post", "documents", {"n": 1}, collection="cars")
            stored = await console.save_file(blocks(b"content"), "a.txt", "text/plain")
            found = await console.ask("get", "documents", collection="cars")
            metadata, content = await console.read_file(stored["userId"], "a.txt")
            read = b"".join([block async for block in content])
            with pytest.raises(BackpackError) as refused:
                await console.ask("get", "documents", collection="planes")

        assert [(one["n"], found["total"]) for one in found["items"]] == [(1, 1)]
        assert (metadata["size"], read) == (7, b"content")
        assert refused.value.code == "unknown_collection"
        assert await asked(driver, standing) == {"cars": {"read": "public"}}

    async def test_console_hears_of_changes(self, driver: Driver, standing: str) -> None:
        rules = await asked(driver, standing)
        async with driver.console(standing) as listening, asyncio.timeout(60):
            messages = aiter(listening)
            await listening.send(b'{"action":"get","model":"rules","requestId":1}')
            answer = json.loads(await anext(messages))
            async with driver.console(standing) as console:
                await console.ask("post", "collections", {"name": "boats"})
                await console.ask("post", "documents", {"n": 1}, collection="boats")
            while (event := json.loads(await anext(messages)))["model"] != "documents":
                continue

        assert (answer["type"], answer["requestId"], answer["data"]) == ("success", 1, rules)
        assert (event["type"], event["action"], event["data"]["n"]) == ("event", "post", 1)

    async def test_backup_goes_round(self, driver: Driver, name: str) -> None:
        _, imported = await gone_through(driver.import_backup(name, backup()))
        first = await exported(driver, name)
        taken: list[bytes] = []
        counts = await finish(driver.export_backup(name), take=taken.append)
        if self.keeps_sites:
            await finish(driver.deploy(name, "ada", site("first")))
        if "scale" in driver.capabilities:
            await finish(driver.scale(name, 2))
        services = [(one["name"], one["wanted"]) for one in (await driver.status(name))["services"]]
        sites = await driver.sites(name) if self.keeps_sites else []
        await finish(driver.import_backup(name, blocks(b"".join(taken)), replace=True))
        after, status = await exported(driver, name), await driver.status(name)

        expected = {"users": 1, "collections": 2, "documents": 2, "files": 1, "bytes": 7}
        assert counts == {"name": name, **expected}
        assert expected.items() <= imported.items()
        assert imported["name"] == name
        assert [(one["name"], one["wanted"]) for one in status["services"]] == services
        assert not self.keeps_sites or await driver.sites(name) == sites
        assert ("site.zip" in after) is self.keeps_sites
        assert {entry: after[entry] for entry in after if entry != "site.zip"} == first
        assert (await driver.describe(name))["api_key"] == imported["api_key"]

    async def test_wrong_databases_are_refused(self, driver: Driver, name: str) -> None:
        for urls in ({"mongo_url": "http://a.example.com"}, {"redis_url": "redis://a b"}):
            with pytest.raises(Invalid):
                await finish(driver.create(name, **urls))

        assert name not in driver.names()
        if "databases" not in driver.capabilities:
            with pytest.raises(Invalid, match="are for a swarm"):
                await finish(driver.create(name, mongo_url="mongodb://a.example.com"))

    async def test_parts_are_backed_up_alone(self, driver: Driver, standing: str) -> None:
        whole = await exported(driver, standing)
        taken: list[bytes] = []
        await finish(driver.export_backup(standing, only=["rules", "files"]), take=taken.append)

        parts = unpacked(b"".join(taken))
        wanted = {"rules.json", *(entry for entry in whole if entry.startswith("files/"))}
        assert set(parts) - {"manifest.json", "end.json"} == wanted
        assert json.loads(parts["manifest.json"])["parts"] == ["rules", "files"]

    async def test_import_does_not_take_a_name(self, driver: Driver, standing: str) -> None:
        before = await exported(driver, standing)
        with pytest.raises(Conflict):
            await finish(driver.import_backup(standing, backup()))

        assert await exported(driver, standing) == before

    async def test_failed_import_leaves_nothing(self, driver: Driver, name: str) -> None:
        with pytest.raises(Invalid, match=r"manifest\.json must come first"):
            cut = packed({"rules.json": b"{}"})
            await finish(driver.import_backup(name, blocks(cut)))

        assert name not in driver.names()

    async def test_failed_import_replaces_nothing(self, driver: Driver, standing: str) -> None:
        before = await exported(driver, standing)
        with pytest.raises(Invalid, match=r"manifest\.json must come first"):
            cut = packed({"rules.json": b"{}"})
            await finish(driver.import_backup(standing, blocks(cut), replace=True))

        assert await exported(driver, standing) == before
        assert (await driver.describe(standing))["api_key"] == KEY
        assert (await driver.status(standing))["state"] == "up"

    async def test_nodes_are_told_of(self, driver: Driver) -> None:
        nodes = await driver.nodes()

        assert all(set(node) == NODE for node in nodes)
        assert "manager" in [node["role"] for node in nodes]
        assert len({node["id"] for node in nodes}) == len(nodes)

    async def test_many_actions_at_once_leave_it_whole(self, driver: Driver, name: str) -> None:
        actions = (driver.create, driver.delete, driver.restore, driver.delete)
        running = [finish(action(name)) for action in itertools.chain(actions, actions)]
        ended = await asyncio.gather(*running, return_exceptions=True)

        failed = [one for one in ended if isinstance(one, BaseException)]
        assert all(isinstance(one, (Conflict, NotFound)) for one in failed)
        there = name in driver.names()
        kept = [one for one in await driver.trash() if one["name"] == name]
        assert there or kept
        if not there:
            await finish(driver.restore(name))
        assert (await driver.status(name))["state"] == "up"
