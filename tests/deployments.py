"""What the HTTP contract is checked on: one running server per kind of store, and an app on a fresh
backpack of it."""

from __future__ import annotations

import functools
import itertools
import json
import os
import socket as tcp
import ssl
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest

from backpack.homes import Folder, Memory, Servers
from backpack.testing import BackpackServer, Seed, T, TestBackpack
from tests.replicas import SETTINGS, Replica
from tests.services import need
from tests.talk import Frame, Socket, dial, open_raw, open_socket

if TYPE_CHECKING:
    from tests.swarm.pool import Pool


class Shared(BackpackServer):
    """Looks after backpacks that other processes serve at `addresses`, to be asked in turn.

    `trust`: what their certificates hang on, where they have any.
    """

    addresses: Sequence[str]
    trust: ssl.SSLContext | None = None
    had_sockets = False  # since it was emptied

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        done = super().call(work)
        self.catch_up()
        return done

    def catch_up(self) -> None:
        """Return when all processes have heard all that was sent on a bus so far."""
        raise NotImplementedError


class Replicated(Shared):
    """Two processes that serve the same backpacks; a third, this one, looks after them."""

    def __init__(self, mongo_url: str, redis_url: str, files: Path) -> None:
        super().__init__(lambda settings: Servers(settings, mongo_url, redis_url, files), SETTINGS)
        self._replicas = [Replica(mongo_url, redis_url, files) for _ in range(2)]

    def start(self) -> BackpackServer:
        super().start()
        self.port = self._replicas[0].port
        self.addresses = [f"http://127.0.0.1:{replica.port}" for replica in self._replicas]
        return self

    def stop(self) -> None:
        for replica in self._replicas:
            replica.stop()
        super().stop()

    def create(self, name: str | None = None, *, seed: Seed | None = None) -> TestBackpack:
        made = super().create(name, seed=seed)
        for replica in self._replicas:
            replica.open(made.name)
        return made

    def delete(self, name: str) -> None:
        for replica in self._replicas:
            replica.close(name)
        super().delete(name)

    def catch_up(self) -> None:
        """Return when both processes have heard all that was sent on a bus so far."""
        for replica in self._replicas:
            replica.catch_up()


# For tests that reach into the process that serves: on all deployments of one process.
in_process = pytest.mark.parametrize("deployment", ["memory", "sqlite", "mongo"], indirect=True)


# Of MongoDB two processes: what one says alone, both say, and `in_process` asks one.
_KINDS = ["memory", "sqlite", "replicas"]

# For tests of what is said on the way to a process, which a proxy has a say in, and of what the
# swarm's backpacks are not for: on all deployments but the swarm.
not_in_swarm = pytest.mark.parametrize("deployment", _KINDS, indirect=True)

# A swarm takes minutes to ask everything, so that is for who wants it, and on how many nodes: "1,2"
# is a swarm of one, and another one of two.
_SWARMS = {
    f"swarm-{one}": int(one) for one in os.environ.get("BACKPACK_SWARM", "").split(",") if one
}
_WITH_SWARMS = [*_KINDS, *(pytest.param(one, marks=pytest.mark.swarm) for one in _SWARMS)]


_running = {swarm: ExitStack() for swarm in _SWARMS}


def end_swarm(name: str) -> None:
    """End a swarm that nothing more is asked of: it keeps half a processor busy."""
    _running[name].close()


@pytest.fixture(scope="session", params=_WITH_SWARMS)
def deployment(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BackpackServer | Pool]:
    """A server on a free port, once on each kind of store; of `replicas` there are two, and in a
    swarm they are containers behind Traefik."""
    if request.param in _SWARMS:
        with _running[request.param] as stack:
            yield stack.enter_context(
                _pool(_SWARMS[request.param], tmp_path_factory.mktemp("files"))
            )
        return
    server: BackpackServer
    if request.param == "memory":
        server = BackpackServer(Memory, SETTINGS)
    elif request.param == "sqlite":
        folder = tmp_path_factory.mktemp("backpacks")
        server = BackpackServer(lambda settings: Folder(folder, settings), SETTINGS)
    else:
        mongo_url = request.getfixturevalue("mongo_url")
        redis_url = request.getfixturevalue("redis_url")
        files = tmp_path_factory.mktemp("files")
        if request.param == "mongo":
            home = functools.partial(Servers, mongo_url=mongo_url, redis_url=redis_url, files=files)
            server = BackpackServer(home, SETTINGS)
        else:
            server = Replicated(mongo_url, redis_url, files)
    server.start()
    yield server
    server.stop()


class App:
    """A web app's view of its backpack, by the backend's host name, for several actors.

    `wire_faults`: below it is the Mongo-wire server, which cannot keep all that MongoDB does.
    Actors: `nokey`, `wrongkey`, `guest` (the key alone), and users by any other name, who are
    registered when they first act.
    """

    def __init__(self, backpack: TestBackpack, port: int, *, wire_faults: bool = False) -> None:
        self.backpack = backpack
        self.wire_faults = wire_faults
        self.host = urlsplit(backpack.backend).netloc
        server = backpack._server
        self._shared = server if isinstance(server, Shared) else None
        self._trust = self._shared.trust if self._shared else None
        self._http = httpx.Client(
            headers={"host": self.host}, verify=self._trust or False, timeout=30.0
        )
        one = [f"http://127.0.0.1:{port}"]
        self._addresses = itertools.cycle(self._shared.addresses if self._shared else one)
        self._users: dict[str, tuple[str, str]] = {}
        self._sockets: list[Socket] = []
        self._marker: Socket | None = None
        self._marks = itertools.count(1)

    @property
    def cookie(self) -> str:
        """The name of the session's cookie, which `secure` follows in what sets it."""
        return "__Host-backpack_session" if self._trust else "backpack_session"

    @property
    def secure(self) -> str:
        return "; Secure" if self._trust else ""

    def user_id(self, actor: str) -> str:
        return self._user(actor)[0]

    def token(self, actor: str) -> str:
        return self._user(actor)[1]

    def _user(self, actor: str) -> tuple[str, str]:
        if actor not in self._users:
            user = self.backpack.register(f"{actor}@example.com")
            self._users[actor] = (user.id, user.client.headers["x-backpack-session"])
        return self._users[actor]

    def headers(self, actor: str) -> dict[str, str]:
        if actor == "nokey":
            return {}
        if actor == "wrongkey":
            return {"authorization": "key not-the-key"}
        headers = {"authorization": f"key {self.backpack.api_key}"}
        if actor != "guest":
            headers["x-backpack-session"] = self.token(actor)
        return headers

    def ask(
        self,
        call: str,
        body: Any = None,
        *,
        actor: str = "user",
        content: bytes | None = None,
        headers: Mapping[str, str | bytes] | None = None,
    ) -> httpx.Response:
        """Send `call`, such as `GET /cars`, with `body` as JSON or `content` as it is.

        Of several processes that serve the backpack they are asked in turn.
        """
        method, _, path = call.partition(" ")
        if body is not None:
            content = json.dumps(body).encode()
        sent = {**self.headers(actor), **(headers or {})}
        answer = self._http.request(
            method,
            next(self._addresses) + path,
            content=content,
            headers=[
                (name.encode(), value.encode() if isinstance(value, str) else value)
                for name, value in sent.items()
            ],
            extensions={"sni_hostname": self.host} if self._trust else None,
        )
        # Also of what is between a client and the processes.
        assert answer.status_code < 500 or "json" in answer.headers["content-type"], answer.text
        if self._shared and method != "GET":
            self._shared.catch_up()
        return answer

    def make(self, collection: str, *records: dict[str, Any], actor: str = "user") -> list[Any]:
        """Make a collection with records; returns them as they were answered."""
        self.backpack.seed({"collections": {collection: []}})
        return [self.ask(f"POST /{collection}", record, actor=actor).json() for record in records]

    @property
    def address(self) -> str:
        """Where the backpack is served: on one process after the other, where it is several."""
        return next(self._addresses)

    def socket(
        self, actor: str = "user", *, resume: str | None = None, greeted: bool = True
    ) -> Socket:
        """A websocket of a user, by the session's token; it is closed with the app."""
        query = "" if resume is None else f"?resume={resume}"
        offers = ["backpack", f"backpack.session.{self.token(actor)}"]
        return self.connect(f"/{query}", subprotocols=offers, greeted=greeted)

    def connect(self, path: str = "/", **options: Any) -> Socket:
        """A websocket, as `talk.open_socket` takes the options; it is closed with the app."""
        self._note_socket()
        made = open_socket(self.address + path, host=self.host, trust=self._trust, **options)
        self._sockets.append(made)
        return made

    def _note_socket(self) -> None:
        if self._shared:
            self._shared.had_sockets = True

    def dial(self, *, window: int | None = None) -> tcp.socket:
        """A bare connection, within TLS where that is spoken.

        `window`: bytes that may be on their way here and not read yet.
        """
        return dial(self.address, host=self.host, trust=self._trust, window=window)

    def raw_socket(self) -> tcp.socket:
        """A websocket of `user` as a bare connection, with nothing read."""
        self._note_socket()
        return open_raw(self.address, self.token("user"), host=self.host, trust=self._trust)

    def heard(self, *sockets: Socket, after: Socket | None = None) -> list[list[Frame]]:
        """What each of some sockets has been told until now, and not received yet; also of all that
        the socket `after` has asked for, whose answers may be still to come.

        A message that goes to everybody marks the place: what was sent before comes before it.
        """
        mark = {"action": "broadcast", "mark": next(self._marks)}
        if after is not None:
            after.send(mark)
        else:
            if self._marker is None:
                self._marker = self.socket("marker")
            self._marker.ask(mark)
        return [socket.until(mark) for socket in sockets]

    def rotate_key(self, *, now: bool = False) -> None:
        """Change the API key, and use the new one."""
        backpack = self.backpack
        backpack.api_key = backpack._server.call(backpack._backpack.rotate_key(now=now))

    def hang_up(self) -> None:
        """Close the connections, and leave the backpack."""
        self._http.close()
        for made in self._sockets:
            made.close()

    def close(self) -> None:
        self.hang_up()
        self.backpack.close()


@contextmanager
def _pool(nodes: int, folder: Path) -> Iterator[Pool]:
    """Backpacks of a swarm of their own."""
    from tests.swarm.lab import Images, missing, opened
    from tests.swarm.lab.images import cache
    from tests.swarm.pool import Pool

    reason = missing()
    need(reason is None, f"{reason}")
    with opened(Images(cache())) as lab:
        for _ in range(1, nodes):
            lab.join()
        pool = Pool(lab, folder)
        pool.start()
        yield pool
        pool.stop()


@pytest.fixture
def app(deployment: BackpackServer, request: pytest.FixtureRequest) -> Iterator[App]:
    """An app on a backpack of its own."""
    on_mongo = request.node.callspec.params["deployment"] in ("mongo", "replicas", *_SWARMS)
    on_wire = on_mongo and not os.environ.get("MONGO_URL")
    made = App(deployment.create(), deployment.port, wire_faults=on_wire)
    yield made
    made.close()
