"""What the panel's pages send: forms of plain pages, and JSON."""

from __future__ import annotations

from urllib.parse import parse_qsl

from ..api.request import Request, receive_body
from ..errors import BadRequest

_MOST = 20  # fields


def is_form(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/x-www-form-urlencoded"


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form, the last of each name; raises BadRequest, TooLarge."""
    await receive_body(request)
    if not is_form(request):
        raise BadRequest("A form must be sent", code="bad_body")
    try:
        text = request.body.decode("ascii")
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST, errors="strict"))
    except ValueError as exc:
        raise BadRequest("The form cannot be read", code="bad_body") from exc
