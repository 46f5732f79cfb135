"""Forms with files in them, as tests send them."""

from __future__ import annotations

from typing import Any

import httpx

from tests.deployments import App

Part = tuple[str, bytes] | tuple[str, bytes, str]

BOUNDARY = "a-boundary"
FORM = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}


def form(*parts: tuple[str, str | Part]) -> bytes:
    """A form of parts in this order: (name, text), or (name, (filename, content, type))."""
    body = bytearray()
    for name, value in parts:
        head = f'content-disposition: form-data; name="{name}"'
        if isinstance(value, str):
            content = value.encode()
        else:
            filename, content, *kind = value
            head += f'; filename="{filename}"'
            head += f"\r\ncontent-type: {kind[0]}" if kind else ""
        body += f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode() + content + b"\r\n"
    return bytes(body) + f"--{BOUNDARY}--\r\n".encode()


def send(
    app: App, call: str, *parts: tuple[str, str | Part], actor: str = "user"
) -> httpx.Response:
    """Send a form of `parts`."""
    return app.ask(call, content=form(*parts), headers=FORM, actor=actor)


def upload(
    app: App, filename: str, content: bytes = b"content", kind: str = "", *, actor: str = "user"
) -> Any:
    """Upload a file and return its metadata."""
    part: Part = ("blob", content, kind) if kind else ("blob", content)
    answer = send(
        app, "POST /uploads", ("bucket", "b"), ("filename", filename), ("file", part), actor=actor
    )
    assert answer.status_code == 200, answer.text
    return answer.json()
