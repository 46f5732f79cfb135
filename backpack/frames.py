"""WebSocket frames as values: bytes to messages and back (RFC 6455, the server's side).

Pure: nothing here reads, writes or waits. No extension is spoken.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import pack, unpack_from

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

NORMAL, PROTOCOL_ERROR, UNSUPPORTED, BAD_TEXT, TOO_BIG = 1000, 1002, 1003, 1007, 1009

_FINAL, _RESERVED, _OPCODE, _MASKED, _LENGTH = 0x80, 0x70, 0x0F, 0x80, 0x7F
_MAX_CONTROL = 125  # bytes of a control frame's payload


class BadFrame(Exception):
    """The peer broke the protocol; `code` is what to close with."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def encode(opcode: int, payload: bytes) -> bytes:
    """One whole unmasked frame."""
    size = len(payload)
    if size < 126:
        return pack("!BB", _FINAL | opcode, size) + payload
    if size < 65_536:
        return pack("!BBH", _FINAL | opcode, 126, size) + payload
    return pack("!BBQ", _FINAL | opcode, 127, size) + payload


def text(payload: bytes) -> bytes:
    """The frame of a text message; `payload` is UTF-8."""
    return encode(TEXT, payload)


def close(code: int, reason: str = "") -> bytes:
    """The frame that begins or answers a closing handshake."""
    return encode(CLOSE, pack("!H", code) + reason.encode()[: _MAX_CONTROL - 2])


def closing_code(payload: bytes) -> int:
    """The code to answer a close frame of the peer with: its own, 1000 where it gave none."""
    if not payload:
        return NORMAL
    code: int = unpack_from("!H", payload)[0] if len(payload) > 1 else 0
    # RFC 6455, section 7.4: these never stand in a frame.
    if not (1000 <= code <= 1014 or 3000 <= code <= 4999) or code in (1004, 1005, 1006):
        raise BadFrame(PROTOCOL_ERROR, "No such close code")
    _check_utf8(payload[2:])
    return code


class Parser:
    """Turns what a client sends into messages, however it is cut into pieces.

    `limit`: bytes of a message, all its fragments together.
    """

    __slots__ = ("_buffer", "_fragments", "_kind", "_limit", "_size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._fragments: list[bytes] = []
        self._kind = CONTINUATION  # of the message whose fragments are coming
        self._size = 0  # bytes of these fragments

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """The messages and control frames that `data` completes, each an opcode and a payload; for
        a fragment that completes nothing CONTINUATION and nothing, so that they can be counted.

        Raises BadFrame where the client breaks the protocol; nothing may be fed after that.
        """
        self._buffer += data
        while (frame := self._take()) is not None:
            first, payload = frame
            opcode = first & _OPCODE
            if opcode >= CLOSE:
                yield opcode, payload
            else:
                yield self._assemble(opcode, payload, first & _FINAL) or _FRAGMENT

    def _take(self) -> tuple[int, bytes] | None:
        """The first byte and the unmasked payload of the next frame, when it is there whole."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        first, second = buffer[0], buffer[1]
        size, start = second & _LENGTH, 2
        self._check_head(first, second, size)
        if size > 125:
            form, start = ("!H", 4) if size == 126 else ("!Q", 10)
            if len(buffer) < start:
                return None
            size = unpack_from(form, buffer, 2)[0]
        if not first & _OPCODE & CLOSE and self._size + size > self._limit:
            raise BadFrame(TOO_BIG, f"A message may have at most {self._limit} bytes")
        end = start + 4 + size
        if len(buffer) < end:
            return None
        payload = _unmask(bytes(buffer[start + 4 : end]), bytes(buffer[start : start + 4]))
        del buffer[:end]
        return first, payload

    def _check_head(self, first: int, second: int, size: int) -> None:
        opcode = first & _OPCODE
        if first & _RESERVED:
            raise BadFrame(PROTOCOL_ERROR, "No extension was agreed on")
        if not second & _MASKED:
            raise BadFrame(PROTOCOL_ERROR, "Clients mask their frames")
        if opcode not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
            raise BadFrame(PROTOCOL_ERROR, "No such opcode")
        if opcode >= CLOSE and (not first & _FINAL or size > _MAX_CONTROL):
            raise BadFrame(PROTOCOL_ERROR, "Control frames are short and whole")
        if opcode in (TEXT, BINARY) and self._kind:
            raise BadFrame(PROTOCOL_ERROR, "The message before has not ended")
        if opcode == CONTINUATION and not self._kind:
            raise BadFrame(PROTOCOL_ERROR, "There is no message to continue")

    def _assemble(self, opcode: int, payload: bytes, final: int) -> tuple[int, bytes] | None:
        """The message that a data frame completes, if it does."""
        kind = opcode or self._kind
        if not final or self._fragments:
            self._kind = kind
            self._size += len(payload)
            if payload or not self._fragments:  # empty ones would cost memory without a limit
                self._fragments.append(payload)
        elif self._kind:
            self._fragments.append(payload)
        if not final:
            return None
        if self._kind:
            payload = b"".join(self._fragments)
            self._kind, self._fragments, self._size = CONTINUATION, [], 0
        if kind == TEXT:
            _check_utf8(payload)
        return kind, payload


_FRAGMENT = (CONTINUATION, b"")


def _unmask(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    stretched = (mask * (size // 4 + 1))[:size]
    # As one number each: the only way to XOR that Python has in C.
    return (int.from_bytes(payload, "little") ^ int.from_bytes(stretched, "little")).to_bytes(
        size, "little"
    )


def _check_utf8(payload: bytes) -> None:
    try:
        payload.decode()
    except UnicodeDecodeError as exc:
        raise BadFrame(BAD_TEXT, "Not valid UTF-8") from exc
