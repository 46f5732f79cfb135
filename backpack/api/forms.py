"""Forms with a file in them (multipart/form-data, RFC 7578), taken apart while they come."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from sanic.exceptions import PayloadTooLarge

from ..arrivals import Arrival
from ..errors import BadRequest, TooLarge
from .request import Request

BeforeFile = Callable[[dict[str, str]], Awaitable[object]]

_MAX_PARTS = 100
_BATCH = 1_048_576  # bytes that are written at once: a hop to a thread costs 50 us
_LARGE = 4_096  # bytes of a piece of a file; a view takes 200 bytes itself

# What is wrong with a form its sender is told; it must not fill the log.
logging.getLogger("python_multipart").setLevel(logging.ERROR)


def is_form(request: Request) -> bool:
    return _content_type(request)[0] == b"multipart/form-data"


def _content_type(request: Request) -> tuple[bytes, dict[bytes, bytes]]:
    sent = request.headers.get("content-type", "")
    return parse_options_header(sent.encode(errors="surrogateescape"))


async def read_form(
    request: Request, arrival: Arrival | None = None, before_file: BeforeFile | None = None
) -> dict[str, str]:
    """The fields of a form; its part `file`, which may stand anywhere, becomes `arrival`.

    `filename` is, when there is no such field, what the part says of itself. `before_file` may
    refuse the form by the fields that came before the file. Raises BadRequest, TooLarge, and what
    `Arrival` and `before_file` raise.
    """
    settings, stream = request.backpack.settings, cast("Any", request.stream)
    form = _Form(_content_type(request)[1].get(b"boundary", b""), arrival)
    stream.request_max_size = settings.max_body + (settings.max_upload if arrival else 0)
    stream.upgrade_websocket = False  # what asks for one is never given up by Sanic
    try:
        if (stream.request_bytes_left or 0) > stream.request_max_size:
            raise PayloadTooLarge
        while stream.request_body:
            form.feed(await stream.read() or b"")
            if form.others > settings.max_body:
                raise PayloadTooLarge
            if before_file is not None and form.waiting:
                await before_file(form.fields())
                before_file = None
            if arrival and form.waiting >= _BATCH:
                await arrival.write(form.take())
    except PayloadTooLarge as exc:
        raise TooLarge("The form is too long", code="body_too_large") from exc
    finally:
        # Of what is refused Sanic reads the rest away, behind the answer.
        stream.request_max_size = stream.protocol.request_max_size
    if arrival and form.waiting:
        await arrival.write(form.take())
    return form.finish()


class _Form:
    """What has come of a form: fields, and data of the file that waits to be taken."""

    def __init__(self, boundary: bytes, arrival: Arrival | None) -> None:
        self.waiting = 0
        self.others = 0  # bytes that are none of the file's
        self._arrival = arrival
        self._values: dict[str, bytearray] = {}
        self._sent_filename: bytes | None = None
        self._data: list[bytes | memoryview] = []
        self._into: bytearray | None = None  # the field that data belongs to; None for the file
        self._parts = 0
        self._header = [bytearray(), bytearray()]
        self._headers: dict[bytes, bytes] = {}
        self._ended = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_part_data": self._take_data,
                    "on_header_field": lambda data, start, end: self._take_header(
                        0, data[start:end]
                    ),
                    "on_header_value": lambda data, start, end: self._take_header(
                        1, data[start:end]
                    ),
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._begin_data,
                    "on_end": self._end,
                },
            )
        except FormParserError as exc:
            raise _bad("its boundary is too long") from exc
        if not boundary:
            raise _bad("its content-type has no boundary")

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes apart; raises BadRequest."""
        before = self.waiting
        try:
            self._parser.write(chunk)
        except FormParserError as exc:
            raise _bad(str(exc)) from exc
        self.others += len(chunk) - (self.waiting - before)

    def take(self) -> list[bytes | memoryview]:
        """Data of the file, in pieces."""
        data, self._data, self.waiting = self._data, [], 0
        return data

    def finish(self) -> dict[str, str]:
        """The fields of the whole form; raises BadRequest when it is not whole."""
        if not self._ended:
            raise _bad("it has no end")
        return self.fields()

    def fields(self) -> dict[str, str]:
        """The fields that have come so far."""
        try:
            fields = {name: bytes(value).decode() for name, value in self._values.items()}
            if self._sent_filename:
                fields.setdefault("filename", self._sent_filename.decode())
        except UnicodeDecodeError as exc:
            raise _bad("a field is not UTF-8") from exc
        return fields

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > _MAX_PARTS:
            raise _bad(f"it has more than {_MAX_PARTS} parts")
        self._headers = {}

    def _take_header(self, which: int, data: bytes) -> None:
        self._header[which] += data

    def _end_header(self) -> None:
        name, value = self._header
        self._headers[bytes(name).lower()] = bytes(value)
        self._header = [bytearray(), bytearray()]

    def _begin_data(self) -> None:
        kind, options = parse_options_header(self._headers.get(b"content-disposition"))
        name = options.get(b"name")
        if kind != b"form-data" or name is None:
            raise _bad("a part has no name")
        if name == b"file" and self._arrival is not None:
            self._into = None
            self._begin_file(options.get(b"filename"))
        else:
            self._into = self._values[name.decode(errors="replace")] = bytearray()

    def _begin_file(self, filename: bytes | None) -> None:
        assert self._arrival is not None
        if self._arrival.begun:
            raise _bad("it has more than one file")
        if filename == b"":  # a browser's form in which nothing was chosen
            self._into = bytearray()
            return
        self._sent_filename = filename
        self._arrival.begin(self._headers.get(b"content-type", b"").decode("latin-1"))

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        if self._into is not None:
            self._into += data[start:end]
        else:
            self._data.append(_piece(data, start, end))
            self.waiting += end - start

    def _end(self) -> None:
        self._ended = True


def _piece(data: bytes, start: int, end: int) -> bytes | memoryview:
    """A part of `data`; a large one is not copied."""
    return memoryview(data)[start:end] if end - start >= _LARGE else data[start:end]


def _bad(why: str) -> BadRequest:
    return BadRequest(f"The form cannot be read: {why}", code="bad_form")
