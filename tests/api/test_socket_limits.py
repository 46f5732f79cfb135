"""How websockets end that are too much, too slow, dead, or in the way of a stop."""

from __future__ import annotations

import json
import socket as tcp
from collections.abc import Iterator

import pytest

from backpack.homes import Memory
from backpack.settings import Settings
from backpack.testing import BackpackServer, TestBackpack, TestUser
from tests.deployments import App, not_in_swarm
from tests.talk import Socket, masked, open_raw, open_socket, read_all, unmasked


class Served:
    """A backpack under settings of its own, with one user."""

    def __init__(self, **limits: float) -> None:
        settings = Settings(dev=True, cheap_passwords=True, **limits)  # type: ignore[arg-type]
        self.server = BackpackServer(Memory, settings).start()
        self.backpack: TestBackpack = self.server.create(seed={"collections": {"cars": []}})
        self.user: TestUser = self.backpack.register()
        self.sockets: list[Socket] = []
        self.is_running = True

    @property
    def token(self) -> str:
        return self.user.client.headers["x-backpack-session"]

    def socket(self, *, user: TestUser | None = None, greeted: bool = True) -> Socket:
        token = (user or self.user).client.headers["x-backpack-session"]
        offers = ["backpack", f"backpack.session.{token}"]
        made = open_socket(f"{self.backpack.url}/", subprotocols=offers, greeted=greeted)
        self.sockets.append(made)
        return made

    def raw(self) -> tcp.socket:
        return open_raw(f"{self.backpack.url}/", self.token)

    def close(self) -> None:
        for made in self.sockets:
            made.close()
        if self.is_running:
            self.stop()

    def stop(self) -> None:
        self.is_running = False
        for client in self.backpack._clients:
            client.close()
        self.server.stop()


@pytest.fixture
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    made = Served(**getattr(request, "param", {}))
    yield made
    made.close()


def limits(**settings: float) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("served", [settings], indirect=True, ids=str)


GET_ALL = {"action": "getAll", "collection": "cars"}


@limits(max_message=500)
def test_message_has_a_limit(served: Served) -> None:
    small, large = served.socket(), served.socket()
    text = json.dumps({"action": "broadcast", "x": ""})

    small.send(text[:-2] + "x" * (500 - len(text)) + text[-2:])
    large.send(text[:-2] + "x" * (501 - len(text)) + text[-2:])

    assert small.receive()["action"] == "broadcast"
    assert large.code() == 1009


@limits(message_rate=50)
def test_flood_is_closed(served: Served) -> None:
    flooding, calm = served.socket(), served.socket()
    raw = served.raw()

    raw.sendall(masked(1, json.dumps(GET_ALL).encode()) * 500)
    for _ in range(20):
        assert calm.ask(GET_ALL)["response"] == []

    frames = unmasked(read_all(raw))
    assert frames[-1][0] == 8
    assert frames[-1][1][:2] == (4429).to_bytes(2, "big")
    assert flooding.ask(GET_ALL)["response"] == []
    raw.close()


@limits(message_rate=50)
def test_flood_of_pings_is_closed(served: Served) -> None:
    raw = served.raw()

    raw.sendall(masked(9, b"x") * 500)

    assert unmasked(read_all(raw))[-1][1][:2] == (4429).to_bytes(2, "big")
    raw.close()


@limits(message_rate=50)
@pytest.mark.parametrize(
    "flood",
    [masked(10, b"") * 500, masked(1, b"", final=False) + masked(0, b"", final=False) * 5_000],
    ids=["pongs", "fragments"],
)
def test_flood_of_what_is_no_message_is_closed(served: Served, flood: bytes) -> None:
    raw = served.raw()

    raw.sendall(flood)

    assert unmasked(read_all(raw))[-1][1][:2] == (4429).to_bytes(2, "big")
    raw.close()


def test_large_message_may_come_in_pieces(served: Served) -> None:
    socket, text = served.socket(), json.dumps({"action": "none", "x": "x" * 1_000_000})

    socket.connection.send(text[at : at + 1_000] for at in range(0, len(text), 1_000))

    assert socket.receive()["code"] == "unknown_action"


def test_just_too_large_in_fragments_is_closed(served: Served) -> None:
    raw, half = served.raw(), b"x" * 524_288

    raw.sendall(masked(1, half, final=False) + masked(0, half, final=False) + masked(0, b"x"))

    assert unmasked(read_all(raw))[-1][1][:2] == (1009).to_bytes(2, "big")
    raw.close()


def test_slow_sender_of_half_a_frame_holds_up_nobody(served: Served) -> None:
    raw, other = served.raw(), served.socket()

    for byte in masked(1, json.dumps(GET_ALL).encode())[:-1]:
        raw.sendall(bytes([byte]))
        assert other.ask(GET_ALL)["response"] == []
    raw.shutdown(tcp.SHUT_WR)

    assert [opcode for opcode, _ in unmasked(read_all(raw))] == [1]
    raw.close()


@limits(ping_interval=0.4)
def test_half_open_connection_is_cut(served: Served) -> None:
    half = served.raw()

    half.sendall(masked(1, json.dumps(GET_ALL).encode())[:9])

    assert {opcode for opcode, _ in unmasked(read_all(half))[1:]} == {9}
    half.close()


@limits(max_sockets=2)
def test_sockets_of_a_user_have_a_limit(served: Served) -> None:
    first, _ = served.socket(), served.socket()

    assert served.socket(greeted=False).code() == 4429
    assert served.socket(user=served.backpack.register()).ask(GET_ALL)["response"] == []
    first.close()
    assert served.socket().ask(GET_ALL)["response"] == []


@limits(ping_interval=0.4)
def test_dead_peer_is_cut(served: Served) -> None:
    alive, dead = served.socket(), served.raw()

    opcodes = [opcode for opcode, _ in unmasked(read_all(dead))]

    assert (opcodes[0], set(opcodes[1:])) == (1, {9})
    assert alive.receive() == {"action": "close", "userId": served.user.id}
    assert alive.ask(GET_ALL)["response"] == []
    dead.close()


@limits(max_backlog=100_000)
def test_slow_reader_is_closed(served: Served) -> None:
    healthy, slow = served.socket(), served.raw()
    writer = served.user.client
    body = {"s": "x" * 200_000}

    written, ended = 0, False
    while not ended:  # as much as the buffers of the system hold comes before
        writer.post("/cars", json=body).raise_for_status()
        written += 1
        ended = healthy.receive()["action"] == "close"
        assert written < 1_000

    opcode, payload = unmasked(read_all(slow))[-1]
    assert (opcode, payload[:2]) == (8, (1013).to_bytes(2, "big"))
    slow.close()


def test_large_answer_is_no_backlog(served: Served) -> None:
    served.backpack.seed({"collections": {"big": [{"s": "x" * 100_000} for _ in range(100)]}})
    slow = served.raw()

    slow.sendall(masked(1, b'{"action":"getAll","collection":"big"}') * 3)
    received = bytearray()
    while len(received) < 30_000_000:
        received += slow.recv(1_000_000)
    slow.sendall(masked(8, b""))

    frames = unmasked(bytes(received) + read_all(slow))
    assert [len(payload) > 10_000_000 for _, payload in frames] == [False, True, True, True, False]
    slow.close()


@limits(session_ttl=5, ping_interval=0.4)
def test_expired_session_is_closed(served: Served) -> None:
    assert served.socket().code() == 4401


def test_stop_closes(served: Served) -> None:
    one, two = served.socket(), served.socket()

    served.stop()

    assert (one.code(), two.code()) == (1012, 1012)


def test_stop_does_not_wait_for_deaf_peers(served: Served) -> None:
    raw = served.raw()

    served.stop()

    assert unmasked(read_all(raw))[-1][1][:2] == (1012).to_bytes(2, "big")
    raw.close()


@not_in_swarm  # where backpacks are used again
def test_deletion_of_backpack_closes(deployment: BackpackServer) -> None:
    app = App(deployment.create(), deployment.port)
    made = app.socket()

    app.backpack.close()

    assert made.code() == 1012
    app.hang_up()
