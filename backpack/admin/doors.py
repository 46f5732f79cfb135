"""The pages for who is not signed in: each a question with a button, and what was wrong with the
answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

from sanic import HTTPResponse

from ..api.request import Request, drop_body
from ..errors import BackpackError, BadRequest
from ..pages import render_page
from .cookies import session_tokens
from .guards import check_origin

Handler = Callable[..., Awaitable[HTTPResponse]]

_TEMPLATE = Path(__file__).parent / "templates" / "door.html.j2"
_POLICY = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'"


@dataclass(frozen=True)
class Field:
    """An input; `filled` is what `autocomplete` says it is filled with."""

    name: str
    label: str
    type: str = "text"
    filled: str = "off"
    hint: str = ""


@dataclass(frozen=True)
class Door:
    """What a page asks for. Without a `button` it only says something; `aside` stands below."""

    title: str
    text: str = ""
    fields: tuple[Field, ...] = ()
    button: str = ""
    aside: str = ""


EMAIL = Field("email", "E-mail address", "email", "username")
PASSWORD = Field("password", "Password", "password", "current-password")
NEW_PASSWORD = Field(
    "password", "Password", "password", "new-password", "At least 8 characters; longer is better"
)


async def show(
    request: Request, door: Door, failure: BackpackError | None = None, **hidden: str
) -> HTTPResponse:
    """The page, with what was wrong; `hidden` fields come back with the form."""
    page = await render_page(
        _TEMPLATE,
        _POLICY,
        door=door,
        problem=failure.message if failure else "",
        wrong=(failure.fields or {}) if failure else {},
        given=getattr(request.ctx, "given", {}),
        hidden=hidden,
    )
    if failure is not None:
        page.status = failure.status
        page.headers.update(failure.headers)
    return page


def through(door: Callable[[Request], Door]) -> Callable[[Handler], Handler]:
    """For the answer to a door's form, which only the panel's pages may send: refusals are shown
    on the page again."""

    def decorate(handler: Handler) -> Handler:
        @wraps(handler)
        async def endpoint(
            request: Request, tenant: None, by_path: bool, **params: Any
        ) -> HTTPResponse:
            try:
                check_origin(request)
                session_tokens(request)  # too many are refused before a link is used up
                answer = await handler(request, **params)
            except BadRequest as exc:
                given = getattr(request.ctx, "given", {})
                hidden = {"next": given["next"]} if "next" in given else {}
                answer = await show(request, door(request), exc, **hidden)
            stream: Any = request.stream
            if stream.request_body:
                await drop_body(request)
            return answer

        return endpoint

    return decorate
