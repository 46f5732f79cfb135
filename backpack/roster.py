"""Who is connected to this process, found by user, session and channel.

A look-up costs as much as it finds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .events import Channel, State
from .fanout import Peer


class Roster:
    """The peers of one hub and what they are subscribed to."""

    def __init__(self) -> None:
        self.peers: dict[int, Peer] = {}  # by id
        self._by_user: dict[str, set[Peer]] = {}
        self._by_session: dict[str, set[Peer]] = {}
        self._by_channel: dict[Channel, set[Peer]] = {}
        # The same tuples while nobody comes or goes: copies cost, and what goes to the same
        # receivers can be joined.
        self._all: tuple[Peer, ...] | None = None
        self._subscribers: dict[Channel, tuple[Peer, ...]] = {}

    def add(self, peer: Peer) -> None:
        self.peers[peer.id] = peer
        self._by_user.setdefault(peer.user, set()).add(peer)
        self._by_session.setdefault(peer.session.digest, set()).add(peer)
        self._all = None

    def remove(self, peer: Peer) -> bool:
        """Take a peer out, with its subscriptions; False when it was out already."""
        if self.peers.pop(peer.id, None) is None:
            return False
        _discard(self._by_user, peer.user, peer)
        _discard(self._by_session, peer.session.digest, peer)
        for channel in tuple(peer.channels or ()):
            self.unsubscribe(peer, channel)
        self._all = None
        return True

    def subscribe(self, peer: Peer, channel: Channel, state: State) -> bool:
        """False when the peer was subscribed already, or is not here any more."""
        if peer.id not in self.peers:
            return False
        if peer.channels is None:
            peer.channels = {}
        known = peer.channels.get(channel)
        if known is None or not known.is_after(state):
            peer.channels[channel] = state
        if known is not None:
            return False
        self._by_channel.setdefault(channel, set()).add(peer)
        self._subscribers.pop(channel, None)
        return True

    def unsubscribe(self, peer: Peer, channel: Channel) -> bool:
        """False when the peer was not subscribed."""
        if peer.channels is None or channel not in peer.channels:
            return False
        del peer.channels[channel]
        _discard(self._by_channel, channel, peer)
        self._subscribers.pop(channel, None)
        return True

    def all(self) -> tuple[Peer, ...]:
        if self._all is None:
            self._all = tuple(self.peers.values())
        return self._all

    def of_channel(self, channel: Channel) -> tuple[Peer, ...]:
        found = self._subscribers.get(channel)
        if found is None:
            found = tuple(self._by_channel.get(channel, ()))
            if found:
                self._subscribers[channel] = found
        return found

    def of_session(self, digest: str) -> tuple[Peer, ...]:
        return tuple(self._by_session.get(digest, ()))

    def of_users(self, users: Iterable[str], channel: Channel | None = None) -> list[Peer]:
        """The peers of some users; with `channel`, those that are subscribed to it."""
        found = [peer for user in users for peer in self._by_user.get(user, ())]
        if channel is None:
            return found
        return [peer for peer in found if channel in (peer.channels or ())]


def _discard(index: dict[Any, set[Peer]], key: Any, peer: Peer) -> None:
    held = index.get(key)
    if held is not None:
        held.discard(peer)
        if not held:
            del index[key]
