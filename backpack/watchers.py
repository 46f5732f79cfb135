"""Who of the connected wants to be told who comes to a place and goes."""

from __future__ import annotations

from .events import notice
from .fanout import Fanout, Message, Peer
from .presence import Place


class Watchers:
    """The watchers of one hub, by place; they are told by `fanout`."""

    def __init__(self, fanout: Fanout) -> None:
        self._fanout = fanout
        self._by_place: dict[Place, set[Peer]] = {}

    def add(self, peer: Peer, place: Place) -> None:
        if peer.watches is None:
            peer.watches = set()
        peer.watches.add(place)
        self._by_place.setdefault(place, set()).add(peer)

    def remove(self, peer: Peer, place: Place) -> None:
        if peer.watches is not None and place in peer.watches:
            peer.watches.remove(place)
            self._by_place[place].discard(peer)
            if not self._by_place[place]:
                del self._by_place[place]

    def remove_all(self, peer: Peer) -> None:
        for place in tuple(peer.watches or ()):
            self.remove(peer, place)

    def of(self, place: Place) -> tuple[Peer, ...]:
        return tuple(self._by_place.get(place, ()))

    def tell(self, place: Place, user: str, has_come: bool) -> None:
        """Tell the watchers of a place that a user has come or gone."""
        peers = self.of(place)
        if not peers:
            return
        named = {} if place is None else {"channelType": place.kind, "channelId": place.id}
        text = notice(action="presence", **named, **{"joined" if has_come else "left": user})
        self._fanout.add(peers, Message(text.encode(), "", with_seq=False))
