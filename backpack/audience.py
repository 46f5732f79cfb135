"""Whom an event is for, by the rules of this moment and what each connection subscribed to.

What makes an event, and how it is delivered, is known elsewhere.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

from .events import Channel, Event
from .fanout import Peer
from .roster import Roster
from .rules import NONE, OWNER, PUBLIC, Rules


def receivers(event: Event, rules: Rules, roster: Roster) -> Sequence[Peer]:
    """The peers that an event is for; a look-up that costs what it finds."""
    access = _access(event, rules)
    found: Sequence[Peer]
    if access == NONE:
        return ()
    if access == OWNER:
        owners = _owners(event.owner)
        named = event.users
        users = owners if named is None else [user for user in named if user in owners]
        found = roster.of_users(users, event.channel)
    elif event.users is not None:
        found = roster.of_users(event.users, event.channel)
    elif event.channel is not None:
        found = roster.of_channel(event.channel)
    else:
        found = roster.all()
    if event.without:
        without = set(event.without)
        return [peer for peer in found if peer.user not in without]
    return found


def is_for(event: Event, rules: Rules, user: str, channels: Container[Channel]) -> bool:
    """Whether an event is for a peer of that user, subscribed to these channels."""
    access = _access(event, rules)
    if access == NONE or (access == OWNER and user not in _owners(event.owner)):
        return False
    if event.users is not None and user not in event.users:
        return False
    if event.channel is not None and event.channel not in channels:
        return False
    return user not in event.without


def why_not(event: Event, rules: Rules, peer: Peer, is_receiver: bool) -> str | None:
    """Why a peer does not get an event, or not yet; None for one that does."""
    if is_receiver:
        if peer.held is not None:
            return "catching up"
        return "backlog" if peer.line.is_behind else None
    access = _access(event, rules)
    if access == NONE or (access == OWNER and peer.user not in _owners(event.owner)):
        return "rule"
    if event.users is not None and peer.user not in event.users:
        return "not for this user"
    if event.channel is not None and event.channel not in (peer.channels or ()):
        return "not subscribed"
    return "not for this user"


def _access(event: Event, rules: Rules) -> str:
    return rules.of(event.collection).read if event.collection else PUBLIC


def _owners(owner: Any) -> set[str]:
    """The users who own a record, as `rules.passes` has it."""
    owners = owner if isinstance(owner, list) else [owner]
    return {one for one in owners if isinstance(one, str)}
