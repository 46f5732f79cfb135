"""How much there is of everything, what goes on at this moment, and the latest requests."""

from __future__ import annotations

import orjson

from ..following import REQUESTS, STATS
from ..queries import EVERYTHING
from .calls import Call


async def get(call: Call) -> bytes:
    """`{collections, documents, users, uploads, sockets}`; with `follow` in `data` rates come as
    events every second, until it is false."""
    backpack = call.backpack
    await _follow(call, STATS)
    names = await backpack.store.collections()
    counts = [await backpack.store.count(name, EVERYTHING) for name in names]
    return orjson.dumps(
        {
            "collections": len(names),
            "documents": sum(counts),
            "users": await backpack.users.count(),
            "uploads": await backpack.files.count(),
            "sockets": len(backpack.hub.roster.peers),
        }
    )


async def get_requests(call: Call) -> bytes:
    """The latest requests and messages of this process; with `follow` in `data` those of others and
    what comes from now on are events, until it is false."""
    await _follow(call, REQUESTS)
    return orjson.dumps(call.backpack.inspector.latest())


async def _follow(call: Call, what: str) -> None:
    wanted = call.choose("follow")
    if wanted is True:
        await call.live.follow(what)
    elif wanted is False:
        await call.live.leave(what)
