"""Who may use the private port: whoever has its token. To all others it says 401, and no more."""

from __future__ import annotations

import hmac

from ..api.request import Request
from ..backpacks import Backpack

_SCHEME = b"bearer"


def has_token(request: Request) -> bool:
    """Whether a request carries the port's token; takes the same time for any wrong one."""
    sent = request.headers.get("authorization", "").encode(errors="surrogateescape")
    scheme, _, token = sent.partition(b" ")
    expected: bytes = request.app.ctx.token
    return hmac.compare_digest(token.strip(), expected) and scheme.lower() == _SCHEME


async def backpack_of(request: Request) -> Backpack:
    """The backpack of the port; raises Unavailable while its servers are away."""
    backpack: Backpack = await request.app.ctx.tenants.backpack(request.app.ctx.name)
    return backpack
