"""Answers on the hot path: JSON that is encoded already, under headers that are encoded once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from sanic import HTTPResponse
from sanic.compat import Header


@dataclass(frozen=True)
class CommonHeaders:
    """Headers that every answer to a page of one origin has; `json_block` is their encoded form,
    with the content type of JSON before them."""

    values: Mapping[str, str] = field(default_factory=dict)
    json_block: bytes = field(init=False)

    def __post_init__(self) -> None:
        lines = [("content-type", "application/json"), *self.values.items()]
        block = "\r\n".join(f"{name}: {value}" for name, value in lines)
        object.__setattr__(self, "json_block", block.encode())


NO_HEADERS = CommonHeaders()


class EncodedJson(HTTPResponse):
    """An answer of status 200 whose body is JSON in bytes."""

    __slots__ = ("common",)

    def __init__(self, body: bytes) -> None:
        self.asgi = False
        self.body = body
        self.content_type = "application/json"
        self.stream = None
        self.status = 200
        self.headers = Header()
        self._cookies = None
        self.common = NO_HEADERS

    @property
    def processed_headers(self) -> Iterator[tuple[bytes, bytes]]:
        # The common headers go out as the tail of another's value: Sanic takes 15 us for them.
        self.headers.pop("alt-svc", None)
        last = b"\r\n" + self.common.json_block
        for name, value in self.headers.items():
            yield name.encode(), str(value).encode() + last
            last = b""
