"""Rules and the API key of a backpack, as a console handles them."""

from __future__ import annotations

from typing import Any

import orjson

from ..backpacks import Config
from .calls import Call


async def get_rules(call: Call) -> bytes:
    """The rules as they were set, allowed origins among them."""
    return orjson.dumps(dict(call.backpack.config.rules.raw))


async def put_rules(call: Call) -> bytes:
    """Put rules in force in place of all there are, which the answer has as `was`; raises Conflict
    where the message has another `was`."""
    before = await call.backpack.set_rules(call.data, call.message.get("was"))
    call.beside["was"] = dict(before.raw)
    return await get_rules(call)


async def get_key(call: Call) -> bytes:
    """The API key, and until when the one before works too."""
    return orjson.dumps(shown_key(call.backpack.config))


async def post_key(call: Call) -> bytes:
    """Make a new key; the one before works on for a day, or with `now` no longer."""
    await call.backpack.rotate_key(now=call.flag("now"))
    return await get_key(call)


def shown_key(config: Config) -> dict[str, Any]:
    """`previousUntil` is in seconds since 1970, null when only one key works."""
    until = config.previous_until if config.has_previous_key else None
    return {"apiKey": config.api_key, "previousUntil": until}
