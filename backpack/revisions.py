"""Which state of each record was told of last: of two processes that wrote, the second may be
quicker to say so."""

from __future__ import annotations

from collections import OrderedDict, deque

from .events import Event

_REMEMBERED = 10_000  # records whose newest revision is known


class Revisions:
    """The newest states that came to this process, and the events that came after theirs."""

    def __init__(self) -> None:
        self._newest: OrderedDict[str, int] = OrderedDict()
        self._late: deque[str] = deque(maxlen=_REMEMBERED)

    def learn(self, event: Event) -> None:
        """Know of an event that was told before this process was there."""
        self._newest[event.key] = max(event.revision, self._newest.get(event.key, 0))

    def is_late(self, event: Event, seq: str) -> bool:
        """Whether a later state of the record came before; asked once of every event, in order."""
        late = self._is_late(event)
        if late:
            self._late.append(seq)
        return late

    def was_late(self, seq: str) -> bool:
        """Whether an event that came here was late."""
        return seq in self._late

    def _is_late(self, event: Event) -> bool:
        if not event.revision:
            # Made just now; that is late when somebody has changed it already.
            return event.key in self._newest
        if event.revision <= self._newest.get(event.key, 0):
            return True
        self._newest[event.key] = event.revision
        self._newest.move_to_end(event.key)
        if len(self._newest) > _REMEMBERED:
            self._newest.popitem(last=False)
        return False
