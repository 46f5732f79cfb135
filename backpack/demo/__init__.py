"""The demo app of `dev --demo`, a chat: what its backpack starts with.

What it looks like and does stands in `index.html.j2` and `site/`.
"""

from __future__ import annotations

import json
from pathlib import Path

from ..tenants import Tenants

NAME = "demo"

_RULES = Path(__file__).parent / "rules.json"
_ROOMS = ("Lobby", "Kitchen table", "Travel plans")


async def prepare(tenants: Tenants) -> None:
    """Have the backpack `demo`, with rules, collections and rooms unless it has its own."""
    backpack = await (tenants.backpack if tenants.get(NAME) else tenants.create)(NAME)
    if not backpack.config.rules.raw:
        await backpack.set_rules(json.loads(_RULES.read_text("utf-8")))
    for collection in ("members", "messages", "profiles"):
        await backpack.records.create_collection(collection)
    if not await backpack.store.has_collection("rooms"):
        await backpack.records.create_collection("rooms")
        rooms = [{"channelType": "rooms", "name": name} for name in _ROOMS]
        await backpack.records.fill("rooms", rooms)
