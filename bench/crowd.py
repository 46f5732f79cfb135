"""A crowd of connected clients that wait for what a server tells them, and writers that cause it.

One thread for thousands of sockets: it counts bytes and reads nothing into them, so that a server
written in anything has more to do than its audience.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_PATIENCE = 30.0  # seconds until what must come has come
_QUIET = 2.0  # seconds without a byte after which nothing is on its way
_BUFFER = 262_144  # bytes of one read

_buffer = bytearray(_BUFFER)


@dataclass(frozen=True)
class Opening:
    """How a client connects: `request` is sent to `port`, the answer is whole at `ends_with`."""

    port: int
    request: bytes
    ends_with: bytes


def connect(openings: Sequence[Opening]) -> list[tuple[socket.socket, bytes]]:
    """Open connections, a hundred at a time; each with the answer that it got."""
    opened: list[tuple[socket.socket, bytes]] = []
    for start in range(0, len(openings), 100):
        some = openings[start : start + 100]
        sockets = [socket.create_connection(("127.0.0.1", one.port)) for one in some]
        for one, own in zip(some, sockets, strict=True):
            own.sendall(one.request)
        for one, own in zip(some, sockets, strict=True):
            own.settimeout(_PATIENCE)
            answer = b""
            while one.ends_with not in answer:
                piece = own.recv(65_536)
                if not piece:
                    raise SystemExit(f"the connection was closed after {answer!r}")
                answer += piece
            own.setblocking(False)
            opened.append((own, answer))
    return opened


class Writer:
    """A connection that sends the same request again and again."""

    def __init__(self, port: int, request: bytes) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self._request = request
        self.answered = 0

    def send(self) -> None:
        self.socket.sendall(self._request)

    def receive(self) -> None:
        answer = self.socket.recv(65_536)
        if not answer.startswith(b"HTTP/1.1 2"):
            raise SystemExit(f"a write was answered with {answer!r}")
        self.answered += 1


class Crowd:
    """Connected clients who all get the same."""

    def __init__(self, sockets: Sequence[socket.socket]) -> None:
        self.size = len(sockets)
        self._sockets = sockets
        self._epoll = select.epoll()
        self._reads: dict[int, Callable[[bytearray], int]] = {}
        for one in sockets:
            self._epoll.register(one, select.EPOLLIN)
            self._reads[one.fileno()] = one.recv_into
        self._writers: dict[int, Writer] = {}
        self.bytes = 0

    def close(self) -> None:
        for one in self._sockets:
            one.close()
        self._epoll.close()

    def wait_for(self, size: int) -> None:
        """Return when so many bytes have come in all; ends the run when there are more, or less."""
        while self.bytes < size and self._turn(_PATIENCE):
            pass
        if self.bytes != size:
            raise SystemExit(f"{self.size} clients got {self.bytes} bytes, not {size}")

    def size_of(self, writer: Writer) -> int:
        """The bytes that a write brings to each client."""
        before = self.bytes
        self._write(writer)
        while self._turn(_QUIET):
            pass
        size, rest = divmod(self.bytes - before, self.size)
        if rest or not size:
            raise SystemExit(f"{self.size} clients got {self.bytes - before} bytes of one write")
        return size

    def _write(self, writer: Writer) -> None:
        writer.send()
        writer.receive()

    def receipts(self, writer: Writer, size: int) -> list[float]:
        """Seconds from the sending of a write until each client has the `size` bytes of it."""
        missing = dict.fromkeys(self._reads, size)
        waits: list[float] = []
        sent = time.perf_counter()
        writer.send()
        while missing:
            ready = self._epoll.poll(_PATIENCE)
            if not ready:
                raise SystemExit(f"{len(missing)} clients did not get what was written")
            for handle, _ in ready:
                came = self._reads[handle](_buffer)
                self.bytes += came
                if came >= missing[handle]:
                    waits.append(time.perf_counter() - sent)
                    del missing[handle]
                else:
                    missing[handle] -= self._check(came)
        writer.receive()
        return waits

    def flood(self, writers: Sequence[Writer], seconds: float) -> float:
        """Have all writers write for so long; the bytes that came, per second of that."""
        for one in writers:
            self._epoll.register(one.socket, select.EPOLLIN)
            self._writers[one.socket.fileno()] = one
            one.send()
        before, began = self.bytes, time.perf_counter()
        while time.perf_counter() < began + seconds:
            if not self._turn(_PATIENCE):
                raise SystemExit("nothing is answered and nothing comes")
        rate = (self.bytes - before) / (time.perf_counter() - began)
        for one in writers:
            self._epoll.unregister(one.socket)
            del self._writers[one.socket.fileno()]
        for one in writers:
            one.receive()
        return rate

    def _turn(self, timeout: float) -> bool:
        """Read whatever is there; False when nothing comes in time."""
        ready = self._epoll.poll(timeout)
        reads, came = self._reads, 0
        for handle, _ in ready:
            read = reads.get(handle)
            if read is not None:
                came += self._check(read(_buffer))
            else:
                writer = self._writers[handle]
                writer.receive()
                writer.send()
        self.bytes += came
        return bool(ready)

    @staticmethod
    def _check(came: int) -> int:
        if not came:
            raise SystemExit("the server closed the connection of a client")
        return came


def websocket_opening(port: int, host: str, path: str, token: str) -> Opening:
    """How a client other than a page opens a websocket to a backpack."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"host: {host}",
        "upgrade: websocket",
        "connection: upgrade",
        "sec-websocket-version: 13",
        "sec-websocket-key: MDEyMzQ1Njc4OWFiY2RlZg==",
        f"sec-websocket-protocol: backpack, backpack.session.{token}",
    ]
    return Opening(port, ("\r\n".join(lines) + "\r\n\r\n").encode(), b'established"}')
