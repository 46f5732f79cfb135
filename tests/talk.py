"""A client of a websocket for tests: what it is sent, in order, and nothing lost."""

from __future__ import annotations

import itertools
import json
import socket
import ssl
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

PATIENCE = 20.0  # seconds; what takes longer than this does not come

Frame = dict[str, Any]


class Socket:
    """An open websocket that has been greeted; `greeting` is what it was told."""

    def __init__(self, connection: ClientConnection, stack: ExitStack) -> None:
        self.connection = connection
        self._stack = stack
        self._numbers = itertools.count(1)
        self.greeting: Frame = {}

    def send(self, message: Any) -> None:
        """Send `message` as JSON, or text and bytes as they are."""
        raw = message if isinstance(message, (str, bytes)) else json.dumps(message)
        self.connection.send(raw)

    def receive(self) -> Frame:
        frame: Frame = json.loads(self.connection.recv(PATIENCE))
        return frame

    def ask(self, message: Mapping[str, Any]) -> Frame:
        """The answer to `message`; what comes before it is dropped."""
        request = f"test-{next(self._numbers)}"
        self.send({**message, "requestId": request})
        while True:
            frame = self.receive()
            if frame.pop("requestId", None) == request:
                return frame

    def until(self, last: Frame) -> list[Frame]:
        """All frames that come before one with the members of `last`."""
        frames: list[Frame] = []
        while True:
            frame = self.receive()
            if last.items() <= frame.items():
                return frames
            frames.append(frame)

    def code(self) -> int:
        """What the server closes with, whatever it says before."""
        try:
            while True:
                self.connection.recv(PATIENCE)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006

    def close(self) -> None:
        self._stack.close()


def open_socket(
    url: str,
    *,
    host: str | None = None,
    subprotocols: Sequence[str] = (),
    headers: Mapping[str, str] | None = None,
    greeted: bool = True,
    trust: ssl.SSLContext | None = None,
) -> Socket:
    """A websocket at an http `url`, or an https one with `trust`, with `host` in place of the one
    in it.

    Raises websockets.exceptions.InvalidStatus when it is refused.
    """
    parts = urlsplit(url)
    stack = ExitStack()
    connection = stack.enter_context(
        connect(
            f"{'wss' if trust else 'ws'}://{host or parts.netloc}{parts.path}?{parts.query}",
            sock=socket.create_connection((parts.hostname, parts.port or 443)),
            ssl=trust,
            subprotocols=[Subprotocol(one) for one in subprotocols] or None,
            additional_headers=dict(headers or {}),
            compression=None,
            open_timeout=PATIENCE,
            ping_interval=None,
            max_size=None,
            max_queue=None,
        )
    )
    made = Socket(connection, stack)
    if greeted:
        made.greeting = made.receive()
    return made


def dial(
    url: str,
    *,
    host: str | None = None,
    trust: ssl.SSLContext | None = None,
    window: int | None = None,
) -> socket.socket:
    """A bare connection to where an http `url` is served, or with `trust` an https one, whose
    certificate is that of `host`.

    `window`: bytes that may be on their way here and not read yet.
    """
    parts = urlsplit(url)
    raw = socket.socket()
    raw.settimeout(PATIENCE)
    if window is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    raw.connect((parts.hostname, parts.port or 443))
    return trust.wrap_socket(raw, server_hostname=host) if trust else raw


def open_raw(
    url: str, token: str, *, host: str | None = None, trust: ssl.SSLContext | None = None
) -> socket.socket:
    """As `dial`, and the opening handshake is done, with the session of `token`."""
    parts = urlsplit(url)
    raw = dial(url, host=host, trust=trust)
    lines = [
        f"GET {parts.path or '/'} HTTP/1.1",
        f"host: {host or parts.netloc}",
        "upgrade: websocket",
        "connection: Upgrade",
        "sec-websocket-version: 13",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
        f"sec-websocket-protocol: backpack, backpack.session.{token}",
    ]
    raw.sendall("\r\n".join([*lines, "", ""]).encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += raw.recv(1)
    assert head.startswith(b"HTTP/1.1 101 "), head
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head  # RFC 6455, section 1.3
    return raw


def read_all(raw: socket.socket) -> bytes:
    """What comes until the server ends the connection."""
    received = b""
    try:
        while data := raw.recv(65_536):
            received += data
    except ConnectionResetError:
        pass
    return received


def masked(opcode: int, payload: bytes, *, final: bool = True) -> bytes:
    """A frame as a client sends it."""
    size, mask = len(payload), b"\x01\x02\x03\x04"
    head = bytes([opcode | (0x80 if final else 0)])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65_536:
        head += bytes([0x80 | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([0x80 | 127]) + size.to_bytes(8, "big")
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def unmasked(data: bytes) -> list[tuple[int, bytes]]:
    """The opcodes and payloads of what a server sent; each frame is whole and carries no mask."""
    frames = []
    while data:
        assert data[0] & 0xF0 == 0x80
        assert data[1] < 0x80
        size, start = data[1], 2
        if size > 125:
            start = 4 if size == 126 else 10
            size = int.from_bytes(data[2:start], "big")
        assert len(data) >= start + size
        frames.append((data[0] & 0x0F, data[start : start + size]))
        data = data[start + size :]
    return frames
