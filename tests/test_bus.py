from __future__ import annotations

import asyncio
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Self

import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as NoConnection

from backpack.bus import Bus, LocalBus
from backpack.errors import Unavailable
from backpack.redis_bus import RedisBus, redis_client
from tests.services import free_port, need

PATIENCE = 10.0  # seconds until what is waited for counts as missing


class Heard:
    """What a bus delivered on a topic, and how often it told of a break, and of a loss."""

    def __init__(self, bus: Bus, topic: str = "cars") -> None:
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self.breaks = self.losses = 0
        self._news = asyncio.Event()
        self.stop = bus.listen(topic, self._hear)
        self.stop_breaks = bus.listen_break(self._hear_break)
        self.stop_losses = bus.listen_loss(self._hear_loss)

    def _hear(self, seq: str, message: dict[str, Any]) -> None:
        self.messages.append((seq, message))
        self._news.set()

    def _hear_break(self) -> None:
        self.breaks += 1
        self._news.set()

    def _hear_loss(self) -> None:
        self.losses += 1
        self._news.set()

    @property
    def contents(self) -> list[dict[str, Any]]:
        return [message for _, message in self.messages]

    async def until(self, happened: Callable[[Heard], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not happened(self):
                self._news.clear()
                await self._news.wait()

    async def count(self, number: int) -> None:
        await self.until(lambda heard: len(heard.messages) >= number)


class BusContract:
    """What every bus promises. A subclass has the fixtures `bus` (opened, of capacity 200) and
    `other_run`: a `seq` that is not this bus's."""

    async def test_message_is_delivered(self, bus: Bus) -> None:
        heard = Heard(bus)
        message = {"a": [1, None, {"b": "é\u2028"}], "c": 1.5, "d": True}
        seq = await bus.send("cars", message)
        await heard.count(1)
        assert heard.messages == [(seq, message)]

    async def test_messages_come_once_and_in_order(self, bus: Bus) -> None:
        heard = Heard(bus)
        sent = [(await bus.send("cars", {"n": n}), {"n": n}) for n in range(150)]
        await heard.count(150)
        await bus.send("cars", {"n": "last"})
        await heard.count(151)
        assert heard.messages[:150] == sent
        assert (len(heard.messages), heard.breaks) == (151, 0)

    async def test_messages_of_many_senders_have_one_order(self, bus: Bus) -> None:
        one, two = Heard(bus), Heard(bus)
        seqs = await asyncio.gather(*(bus.send("cars", {"n": n}) for n in range(50)))
        await one.count(50)
        await two.count(50)
        assert one.messages == two.messages
        assert {seq for seq, _ in one.messages} == set(seqs)
        assert len(set(seqs)) == 50

    @pytest.mark.parametrize("number", [0, 1, 5])
    async def test_messages_sent_together_keep_their_order(self, bus: Bus, number: int) -> None:
        heard = Heard(bus)
        await bus.send_all("cars", [{"n": n} for n in range(number)])
        await bus.send("cars", {"n": "last"})
        await heard.count(number + 1)
        assert heard.contents == [*({"n": n} for n in range(number)), {"n": "last"}]

    async def test_topics_are_kept_apart(self, bus: Bus) -> None:
        cars, boats = Heard(bus, "cars"), Heard(bus, "boats")
        await bus.send("cars", {"n": 1})
        await bus.send("boats", {"n": 2})
        await boats.count(1)
        assert (cars.contents, boats.contents) == ([{"n": 1}], [{"n": 2}])

    async def test_listener_may_stop(self, bus: Bus) -> None:
        stopped, listening = Heard(bus), Heard(bus)
        stopped.stop()
        stopped.stop()
        await bus.send("cars", {"n": 1})
        await listening.count(1)
        assert stopped.messages == []

    async def test_function_that_listens_twice_stops_once_each(self, bus: Bus) -> None:
        calls: list[str] = []

        def listener(seq: str, _message: dict[str, Any]) -> None:
            calls.append(seq)

        first, second = bus.listen("cars", listener), bus.listen("cars", listener)
        end = Heard(bus)
        seqs = [await bus.send("cars", {})]
        await end.count(1)
        first()
        seqs.append(await bus.send("cars", {}))
        await end.count(2)
        second()
        await bus.send("cars", {})
        await end.count(3)
        assert calls == [seqs[0], seqs[0], seqs[1]]

    async def test_listener_that_raises_is_logged(
        self, bus: Bus, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(_seq: str, _message: dict[str, Any]) -> None:
            raise RuntimeError("listener's own fault")

        bus.listen("cars", fail)
        heard = Heard(bus)
        await bus.send("cars", {"n": 1})
        await bus.send("cars", {"n": 2})
        await heard.count(2)
        assert heard.contents == [{"n": 1}, {"n": 2}]
        assert [record.message for record in caplog.records] == ["A listener to 'cars' failed"] * 2

    async def test_sender_may_change_its_message_afterwards(self, bus: Bus) -> None:
        heard, start = Heard(bus), bus.position
        message = {"n": 1}
        await bus.send("cars", message)
        message["n"] = 2
        await heard.count(1)
        assert heard.contents == [{"n": 1}]
        assert await bus.replay(start) == [(heard.messages[0][0], "cars", {"n": 1})]

    async def test_position_is_of_the_last_message_heard(self, bus: Bus) -> None:
        heard, start = Heard(bus), bus.position
        seq = await bus.send("cars", {})
        await heard.count(1)
        assert bus.position == seq != start

    async def test_replay_gives_what_came_after(self, bus: Bus) -> None:
        start = bus.position
        assert await bus.replay(start) == []
        sent = [
            (await bus.send(topic, {"n": n}), topic, {"n": n})
            for n, topic in enumerate(["cars", "boats", "cars"])
        ]
        assert await bus.replay(start) == sent
        assert await bus.replay(sent[0][0]) == sent[1:]
        assert await bus.replay(sent[2][0]) == []

    @pytest.mark.parametrize("count", [1, 3, 9])
    async def test_latest_are_the_last_that_are_held(self, bus: Bus, count: int) -> None:
        seqs = [await bus.send("cars", {"n": n}) for n in range(3)]
        sent = [(seq, "cars", {"n": n}) for n, seq in enumerate(seqs)]
        assert await bus.latest(count) == sent[max(0, 3 - count) :]

    async def test_replay_tells_what_is_no_longer_held(self, bus: Bus) -> None:
        start = bus.position
        first = await bus.send("cars", {})
        for n in range(500):
            last = await bus.send("cars", {"n": n})
        assert await bus.replay(start) is None
        assert await bus.replay(first) is None
        assert await bus.replay(last) == []

    async def test_replay_knows_no_other_run(self, bus: Bus, other_run: str) -> None:
        await bus.send("cars", {})
        assert await bus.replay(other_run) is None

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "-",
            "0",
            "+",
            "0-0-0",
            "a-b",
            "$",
            "\0",
            "٣-٤",
            "9" * 21 + "-0",
            "9" * 20 + "-0",
            "1" * 9000,
        ],
    )
    async def test_replay_survives_any_text(self, bus: Bus, text: str) -> None:
        seq = await bus.send("cars", {})
        assert await bus.replay(text) is None
        assert await bus.replay(seq + text) in (None, [])
        assert await bus.replay(seq.partition("-")[0] + "-" + "9" * 19) is None

    async def test_nothing_is_left_after_close(self, bus: Bus) -> None:
        await bus.send("cars", {})
        await bus.close()
        tasks = [task.get_name() for task in asyncio.all_tasks()]
        assert not [name for name in tasks if name.startswith("bus")]
        await bus.close()


class TestLocalBus(BusContract):
    @pytest.fixture
    async def bus(self) -> AsyncIterator[Bus]:
        bus = LocalBus(capacity=200)
        await bus.open()
        yield bus
        await bus.close()

    @pytest.fixture
    def other_run(self) -> str:
        return LocalBus().position

    async def test_message_is_delivered_before_send_returns(self, bus: Bus) -> None:
        heard = Heard(bus)
        await bus.send("cars", {"n": 1})
        assert heard.contents == [{"n": 1}]

    async def test_held_messages_have_room(self) -> None:
        bus = LocalBus(room=10_000)
        start = bus.position
        seqs = [await bus.send("cars", {"text": "x" * 3_000}) for _ in range(5)]
        held = await bus.replay(seqs[2])
        assert held is not None
        assert [seq for seq, _, _ in held] == seqs[3:]
        assert await bus.replay(start) is None


class RedisBusContract(BusContract):
    """What a bus over Redis promises besides; a subclass has the fixture `redis` as well."""

    @pytest.fixture
    def stream(self) -> str:
        return f"stream-{secrets.token_hex(8)}"

    @pytest.fixture
    async def bus(self, redis: Redis, stream: str) -> AsyncIterator[Bus]:
        bus = RedisBus(redis, stream, capacity=200)
        await bus.open()
        yield bus
        await bus.close()

    @pytest.fixture
    async def other(self, redis: Redis, stream: str) -> AsyncIterator[Bus]:
        bus = RedisBus(redis, stream, capacity=200)
        await bus.open()
        yield bus
        await bus.close()

    @pytest.fixture
    def other_run(self) -> str:
        return "1-1"

    async def test_two_processes_hear_the_same(self, bus: Bus, other: Bus) -> None:
        here, there = Heard(bus), Heard(other)
        await asyncio.gather(
            *(sender.send("cars", {"n": n}) for n in range(100) for sender in (bus, other))
        )
        await here.count(200)
        await there.count(200)
        assert here.messages == there.messages

    async def test_later_process_replays_what_came_before(
        self, bus: Bus, redis: Redis, stream: str
    ) -> None:
        seqs = [await bus.send("cars", {"n": n}) for n in range(3)]
        late = RedisBus(redis, stream)
        await late.open()
        heard = Heard(late)
        assert late.position == seqs[2]
        assert await late.replay(seqs[0]) == [(seqs[n], "cars", {"n": n}) for n in (1, 2)]
        await bus.send("cars", {"n": 3})
        await heard.count(1)
        assert heard.contents == [{"n": 3}]
        await late.close()

    async def test_large_messages_shorten_the_stream(self, redis: Redis, stream: str) -> None:
        bus = RedisBus(redis, stream, room=1_000_000)
        await bus.open()
        for _ in range(400):
            await bus.send("cars", {"text": "x" * 50_000})
        # Redis trims by whole nodes of up to 100 entries.
        assert await redis.xlen(stream) < 200
        await bus.close()

    async def test_streams_are_kept_apart(self, bus: Bus, redis: Redis) -> None:
        foreign = RedisBus(redis, "another")
        await foreign.open()
        heard = Heard(bus)
        await foreign.send("cars", {"n": 1})
        await bus.send("cars", {"n": 2})
        await heard.count(1)
        assert heard.contents == [{"n": 2}]
        await foreign.close()

    async def test_process_that_is_left_behind_is_told(
        self, bus: Bus, redis: Redis, stream: str
    ) -> None:
        heard = Heard(bus)
        await bus.send("cars", {"n": -1})
        await heard.count(1)
        pipe = redis.pipeline(transaction=True)
        for n in range(500):
            fields: dict[Any, Any] = {"topic": "cars", "message": f'{{"n":{n}}}'}
            pipe.xadd(stream, fields, maxlen=200, approximate=False)
        await pipe.execute()
        await heard.count(201)
        assert [message["n"] for message in heard.contents] == [-1, *range(300, 500)]
        assert (heard.breaks, heard.losses) == (1, 1)

    async def test_entry_of_somebody_else_is_passed_over(
        self, bus: Bus, redis: Redis, stream: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        heard, start = Heard(bus), bus.position
        await redis.xadd(stream, {"what": "is this"})
        await redis.xadd(stream, {"topic": "cars", "message": "{no json"})
        seq = await bus.send("cars", {"n": 1})
        await heard.count(1)
        assert heard.messages == [(seq, {"n": 1})]
        assert await bus.replay(start) == [(seq, "cars", {"n": 1})]
        assert "is no message" in caplog.text
        assert heard.breaks == 0


class TestRedisBusOnFake(RedisBusContract):
    @pytest.fixture
    def server(self) -> FakeServer:
        return FakeServer()

    @pytest.fixture
    async def redis(self, server: FakeServer) -> AsyncIterator[Redis]:
        redis = FakeAsyncRedis(server=server, max_connections=1_000)
        yield redis
        await redis.aclose()

    async def test_send_fails_while_redis_is_away(self, bus: Bus, server: FakeServer) -> None:
        heard = Heard(bus)
        server.connected = False
        with pytest.raises(Unavailable):
            await bus.send("cars", {"n": 1})
        with pytest.raises(Unavailable):
            await bus.replay(bus.position)
        await heard.until(lambda heard: heard.breaks == 1)
        with pytest.raises(Unavailable):
            bus.check()
        server.connected = True
        await bus.send("cars", {"n": 2})
        await heard.count(1)
        bus.check()
        assert (heard.contents, heard.breaks, heard.losses) == ([{"n": 2}], 1, 0)

    async def test_open_fails_while_redis_is_away(self, server: FakeServer) -> None:
        server.connected = False
        with pytest.raises(Unavailable):
            await RedisBus(FakeAsyncRedis(server=server), "cars").open()

    async def test_break_listener_may_stop_or_raise(
        self, bus: Bus, server: FakeServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail() -> None:
            raise RuntimeError("listener's own fault")

        bus.listen_break(fail)
        stopped, heard = Heard(bus), Heard(bus)
        stopped.stop_breaks()
        server.connected = False
        await heard.until(lambda heard: heard.breaks == 1)
        assert stopped.breaks == 0
        assert "listener's own fault" in caplog.text


class TestRedisBus(RedisBusContract):
    @pytest.fixture
    async def redis(self, redis_url: str) -> AsyncIterator[Redis]:
        redis = redis_client(redis_url)
        yield redis
        await redis.aclose()

    async def test_lost_connection_misses_nothing(
        self, bus: Bus, redis: Redis, redis_url: str, stream: str
    ) -> None:
        heard = Heard(bus)
        await bus.send("cars", {"n": 0})
        await heard.count(1)
        async with redis_client(redis_url) as outsider:
            pipe = outsider.pipeline()
            pipe.client_kill_filter(_type="normal", skipme=True)
            for n in range(1, 150):
                pipe.xadd(stream, {"topic": "cars", "message": f'{{"n":{n}}}'})
            await pipe.execute()
        await heard.count(150)
        assert heard.contents == [{"n": n} for n in range(150)]
        assert (heard.breaks, heard.losses) == (1, 0)

    async def test_lost_connection_tells_of_lost_messages(
        self, bus: Bus, redis_url: str, stream: str
    ) -> None:
        heard = Heard(bus)
        await bus.send("cars", {"n": 0})
        await heard.count(1)
        async with redis_client(redis_url) as outsider:
            pipe = outsider.pipeline()
            pipe.client_kill_filter(_type="normal", skipme=True)
            for n in range(1, 10):
                pipe.xadd(
                    stream,
                    {"topic": "cars", "message": f'{{"n":{n}}}'},
                    maxlen=3,
                    approximate=False,
                )
            await pipe.execute()
        await heard.count(4)
        assert heard.contents == [{"n": n} for n in (0, 7, 8, 9)]
        assert (heard.breaks, heard.losses) == (2, 1)

    async def test_close_leaves_no_connection(self, redis_url: str, stream: str) -> None:
        async with redis_client(redis_url) as outsider:
            before = {client["id"] for client in await outsider.client_list()}
            async with redis_client(redis_url) as redis:
                bus = RedisBus(redis, stream)
                await bus.open()
                await bus.send("cars", {})
                await bus.close()
            async with asyncio.timeout(PATIENCE):
                while {client["id"] for client in await outsider.client_list()} - before:
                    await asyncio.sleep(0.01)

    async def test_close_is_prompt_at_any_moment(self, redis: Redis, stream: str) -> None:
        for turns in range(40):
            bus = RedisBus(redis, stream)
            bus._BLOCK = 4.0
            await bus.open()
            for _ in range(turns):
                await asyncio.sleep(0)
            async with asyncio.timeout(3.5):  # less than a read takes
                await bus.close()

    async def test_message_whose_answer_is_lost_is_sent_once(
        self, bus: Bus, redis_url: str, stream: str
    ) -> None:
        heard = Heard(bus)
        async with DeafProxy(redis_url) as proxy, redis_client(proxy.url) as redis:
            cut_off = RedisBus(redis, stream)
            with pytest.raises(Unavailable):
                await cut_off.send("cars", {"n": 1})
        await bus.send("cars", {"n": 2})
        await heard.until(lambda heard: heard.contents[-1:] == [{"n": 2}])
        assert heard.contents == [{"n": 1}, {"n": 2}]


class DeafProxy:
    """A way to Redis on which the answer to an XADD is lost with its connection."""

    def __init__(self, redis_url: str) -> None:
        self._redis_port = int(redis_url.rpartition(":")[2].partition("/")[0])

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"redis://127.0.0.1:{port}/0"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        redis, commands = await asyncio.open_connection("127.0.0.1", self._redis_port)
        while command := await client.read(65_536):
            commands.write(command)
            answer = await redis.read(65_536)
            if b"XADD" in command:
                break
            answers.write(answer)
        commands.close()
        answers.close()


class OwnRedis:
    """A redis-server of a test's own, to be killed."""

    def __init__(self, folder: Path, *options: str) -> None:
        binary = shutil.which("redis-server")
        need(binary, "needs redis-server: apt-get install redis-server")
        port = free_port()
        self.url = f"redis://127.0.0.1:{port}/0"
        self._command = [
            str(binary),
            "--bind",
            "127.0.0.1",
            "--port",
            str(port),
            "--save",
            "",
            *options,
        ]
        self._folder = folder

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            *self._command, cwd=self._folder, stdout=subprocess.DEVNULL
        )
        async with asyncio.timeout(PATIENCE), redis_client(self.url) as redis:
            while not await answers(redis):
                await asyncio.sleep(0.02)

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()


async def answers(redis: Redis) -> bool:
    try:
        return bool(await redis.ping())
    except NoConnection:
        return False


@pytest.fixture(params=["durable", "forgetful"])
async def own_redis(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OwnRedis]:
    durable = ("--appendonly", "yes", "--appendfsync", "always")
    server = OwnRedis(tmp_path, *(durable if request.param == "durable" else ()))
    await server.start()
    yield server
    await server.kill()


async def test_bus_survives_restart_of_redis(own_redis: OwnRedis) -> None:
    async with redis_client(own_redis.url) as mine, redis_client(own_redis.url) as theirs:
        here, there = RedisBus(mine, "s"), RedisBus(theirs, "s")
        await here.open()
        await there.open()
        heard = Heard(there)
        await asyncio.gather(*(here.send("cars", {"n": n}) for n in range(10)))
        await heard.count(10)

        await own_redis.kill()
        await heard.until(lambda heard: heard.breaks == 1)
        with pytest.raises(Unavailable):
            await here.send("cars", {"n": "lost"})

        await own_redis.start()
        # At once, so that every connection that was idle meanwhile is asked for.
        await asyncio.gather(*(here.send("cars", {"n": n}) for n in range(10, 20)))
        await heard.count(20)
        assert sorted(message["n"] for message in heard.contents) == list(range(20))
        assert heard.breaks == (1 if "--appendonly" in own_redis._command else 2)
        await here.close()
        await there.close()


@pytest.mark.parametrize("own_redis", ["forgetful"], indirect=True)
async def test_bus_follows_redis_whose_clock_went_back(own_redis: OwnRedis) -> None:
    async with redis_client(own_redis.url) as redis:
        bus = RedisBus(redis, "s")
        await redis.xadd("s", {"topic": "cars", "message": "{}"}, id="9999999999999-0")
        await bus.open()
        heard = Heard(bus)
        await own_redis.kill()
        await heard.until(lambda heard: heard.breaks == 1)
        await own_redis.start()
        await heard.until(lambda heard: heard.breaks == 2)
        await bus.send("cars", {"n": 1})
        await heard.count(1)
        assert heard.contents == [{"n": 1}]
        await bus.close()


@pytest.mark.parametrize("own_redis", ["forgetful"], indirect=True)
async def test_silent_redis_is_given_up(own_redis: OwnRedis) -> None:
    async with redis_client(own_redis.url) as redis:
        bus = RedisBus(redis, "s", timeout=1.0)
        await bus.open()
        heard = Heard(bus)
        own_redis.process.send_signal(signal.SIGSTOP)
        with pytest.raises(Unavailable):
            await bus.send("cars", {"n": 1})
        await heard.until(lambda heard: heard.breaks == 1)
        await bus.close()


def test_local_bus_needs_no_redis() -> None:
    code = (
        "import sys, backpack.redis_bus, backpack.stores.sessions; sys.exit('redis' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
