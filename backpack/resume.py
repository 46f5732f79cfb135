"""What a client missed while it was away: replayed in order, none twice, and none left out.

A connection that resumes is held back from live events until it has had those it missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from . import frames
from .audience import is_for
from .bus import Bus
from .channels import Channels
from .errors import BackpackError
from .events import RELOAD, Channel, Event
from .fanout import Batch, Message, Peer, stamp
from .losses import TOPIC as LOSSES
from .realtime import RESTART, TOPIC, Hub

_AT_ONCE = 4  # replays at the same time; each may read all that is held
_MOST = 4_194_304  # bytes that are replayed; who missed more had better read anew


class Resume:
    """Brings connections of one hub up to date."""

    def __init__(self, bus: Bus, hub: Hub, channels: Channels) -> None:
        self._bus = bus
        self._hub = hub
        self._channels = channels
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def catch_up(self, peer: Peer, after: str, position: str) -> None:
        """Send what came after `after`, by today's rules and memberships, then what comes now.

        `position`: what the greeting said. The peer is held back since then. Its user's channels
        are the peer's from now on, lest it misses something before it joins them again.
        """
        try:
            async with self._turns:
                channels = await self._channels.subscribe_all(peer)
                missed = await self._bus.replay(after)
                # This process may be behind the one that the client comes from: what the client
                # has had comes here once more, and what is late is not known to be yet.
                last = missed[-1][0] if missed else after
                if missed is not None:
                    await self._bus.reach(last)
        except BackpackError:
            peer.line.close(RESTART, "Try again")
            return
        found = None if missed is None else self._visible(missed, peer, channels)
        if missed is None:
            peer.line.send(frames.text(stamp(RELOAD.encode(), position)))
            self._hub.then(lambda: peer.release(lambda seq: True))
            return
        if found is None:
            # What comes here once more is not told again.
            last = after if self._bus.is_later(after, position) else position
            peer.line.send(frames.text(stamp(RELOAD.encode(), last)))
        elif found:
            peer.line.send(Batch(found).for_peer(peer))
        self._hub.then(lambda: peer.release(lambda seq: self._bus.is_later(seq, last)))

    def _visible(
        self,
        missed: Sequence[tuple[str, str, dict[str, Any]]],
        peer: Peer,
        channels: frozenset[Channel],
    ) -> list[Message] | None:
        """The messages for a peer; None when they are too much, or not all that there was."""
        found: list[Message] = []
        newest: dict[str, int] = {}
        size = 0
        for seq, topic, content in missed:
            if topic == LOSSES:
                return None
            if topic != TOPIC:
                continue
            event = Event.from_message(content)
            if self._hub.revisions.was_late(seq) or _is_late(event, newest):
                continue
            if is_for(event, self._hub.rules, peer.user, channels):
                found.append(Message(event.text.encode(), seq))
                size += len(event.text)
                if size > _MOST:
                    return None
        return found


def _is_late(event: Event, newest: dict[str, int]) -> bool:
    if not event.key:
        return False
    known = newest.get(event.key)
    if known is not None and event.revision < known:
        return True
    newest[event.key] = event.revision
    return False
