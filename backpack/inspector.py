"""The latest requests and websocket messages of one backpack, as one process has answered them.

While a console follows, each is told of as it happens, with excerpts of its bodies, and for every
broadcast who receives it; while none does, a request costs a line in a list.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from . import masking
from .audience import receivers, why_not
from .bus import Bus
from .events import Event
from .following import REQUESTS, Entry, Following
from .meters import Meters
from .realtime import Hub
from .writes import Writes

KEPT = 1_000  # requests and messages
UNSEEN = "not looked at"  # why others do not receive a broadcast, where there are too many
_MOST_SEEN = 1_000  # connections that are looked at for one broadcast
_MOST_NAMED = 100  # connections that are named for one broadcast

# A number, the time, what it is, and the arguments of that one's function in `_SHOWN`.
_Kept = tuple[int, float, str, tuple[Any, ...]]


class Inspector:
    """What one process knows of its requests, and tells of them."""

    def __init__(self, bus: Bus, hub: Hub, writes: Writes) -> None:
        self.meters = Meters()
        self.is_followed = False
        self._hub = hub
        self._writes = writes
        self._number = 0
        self._kept: deque[_Kept] = deque(maxlen=KEPT)
        self._stop_overhearing: Callable[[], None] | None = None
        self._following = Following(
            bus, hub.process, self._turned, self.latest, self.counts, self.levels
        )

    async def close(self) -> None:
        await self._following.close()

    def request(
        self,
        method: str,
        target: bytes,
        status: int,
        seconds: float,
        received: int,
        sent: int,
        user: str | None,
        address: str,
        body: bytes | None,
        answer: bytes | None,
        rule: str | None,
    ) -> None:
        """Note a request that has been answered; `received` and `sent` are bytes of bodies, `rule`
        is what refused it."""
        self.meters.request(status, seconds)
        self._number += 1
        facts = (method, target, status, seconds, received, sent, user, address, rule)
        kept = (self._number, time.time(), "request", facts)
        self._kept.append(kept)
        if self.is_followed:
            self._following.tell(lambda: self._with_bodies(kept, target, body, answer))

    def message(
        self,
        action: str,
        code: str,
        rule: str | None,
        seconds: float,
        payload: bytes,
        user: str,
        connection: int,
    ) -> None:
        """Note a message of a websocket; `code` is the error's that it was answered with, or "",
        `rule` what refused it."""
        self.meters.messages += 1
        self._number += 1
        facts = (action, code, rule, seconds, len(payload), user, connection)
        kept = (self._number, time.time(), "message", facts)
        self._kept.append(kept)
        if self.is_followed:
            self._following.tell(lambda: {**self._entry(kept), "body": masking.body(payload)})

    def _with_bodies(
        self, kept: _Kept, target: bytes, body: bytes | None, answer: bytes | None
    ) -> Entry:
        of_password = target.partition(b"?")[0].endswith(b"/password")
        shown = masking.body(body, of_password=of_password)
        return {**self._entry(kept), "body": shown, "answer": masking.body(answer)}

    def latest(self) -> list[Entry]:
        """What has been kept, the oldest first."""
        return [self._entry(kept) for kept in tuple(self._kept)]

    def counts(self) -> Mapping[str, int]:
        """How often each thing has happened since the process began."""
        return {
            "requests": self.meters.requests,
            "messages": self.meters.messages,
            "changes": self._writes.done,
            "deliveries": self._hub.deliveries,
        }

    def levels(self) -> Mapping[str, int]:
        """How many there are now."""
        return {"sockets": len(self._hub.roster.peers)}

    def _turned(self) -> None:
        """Somebody follows requests from now on, or nobody any more."""
        self.is_followed = REQUESTS in self._following.wanted
        if self.is_followed and self._stop_overhearing is None:
            self._stop_overhearing = self._hub.overhear(self._overheard)
        elif not self.is_followed and self._stop_overhearing is not None:
            self._stop_overhearing()
            self._stop_overhearing = None

    def _overheard(self, seq: str, event: Event) -> None:
        # Who is here now may be gone when the next one is looked at.
        self._following.tell(lambda: self._reception(seq, event))

    def _reception(self, seq: str, event: Event) -> Entry:
        """Who receives an event here, and why others do not."""
        rules, roster = self._hub.rules, self._hub.roster
        found = {peer.id for peer in receivers(event, rules, roster)}
        others: dict[str, int] = {}
        named: list[Entry] = []
        everybody = roster.all()
        for peer in everybody[:_MOST_SEEN]:
            reason = why_not(event, rules, peer, peer.id in found)
            if reason is not None:
                others[reason] = others.get(reason, 0) + 1
            if len(named) < _MOST_NAMED:
                named.append({"user": peer.user, "connection": peer.id, "why_not": reason})
        if len(everybody) > _MOST_SEEN:
            others[UNSEEN] = len(everybody) - _MOST_SEEN
        self._number += 1
        facts = (seq, event.text, len(found), others, named)
        return self._entry((self._number, time.time(), "broadcast", facts))

    def _entry(self, kept: _Kept) -> Entry:
        number, at, kind, facts = kept
        when = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
        named = {"id": f"{self._hub.process}-{number}", "at": f"{when[:23]}Z", "kind": kind}
        return {**named, **_SHOWN[kind](*facts)}


def _request(
    method: str,
    target: bytes,
    status: int,
    seconds: float,
    received: int,
    sent: int,
    user: str | None,
    address: str,
    rule: str | None,
) -> Entry:
    return {
        "method": method,
        "path": masking.url(target.decode("utf-8", "replace")),
        "status": status,
        "ms": round(seconds * 1_000, 2),
        "received": received,
        "sent": sent,
        "user": user,
        "address": address,
        "rule": rule,
    }


def _message(
    action: str,
    code: str,
    rule: str | None,
    seconds: float,
    received: int,
    user: str,
    connection: int,
) -> Entry:
    return {
        "action": action[:100],
        "code": code or None,
        "rule": rule,
        "ms": round(seconds * 1_000, 2),
        "received": received,
        "user": user,
        "connection": connection,
    }


def _broadcast(
    seq: str, text: str, count: int, others: Mapping[str, int], connections: list[Entry]
) -> Entry:
    return {
        "event": seq,
        "body": masking.body(text.encode()),
        "receivers": count,
        "others": others,
        "connections": connections,
    }


_SHOWN: Mapping[str, Callable[..., Entry]] = {
    "broadcast": _broadcast,
    "message": _message,
    "request": _request,
}
