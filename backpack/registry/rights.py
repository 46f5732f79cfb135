"""Word of rights that have ended, for whoever has let somebody in for longer than a request."""

from __future__ import annotations

from collections.abc import Callable


class Rights:
    """Tells its listeners that a session, a role or a membership is not what it was: they look for
    themselves at what is theirs."""

    def __init__(self) -> None:
        self._listeners: set[Callable[[], None]] = set()

    def listen(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have `callback` called after each change; what is returned ends that."""
        self._listeners.add(callback)
        return lambda: self._listeners.discard(callback)

    def changed(self) -> None:
        for callback in tuple(self._listeners):
            callback()
