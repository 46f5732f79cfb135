"""Who of the connected is still there: pings, and a look at sessions that may have ended.

One task for all connections of a hub, while there are any.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from contextvars import Context

from .errors import BackpackError
from .fanout import Peer
from .sessions import Session, Sessions

_TURNS = 20  # an interval is cut into so many, each with the pings of its share of the connections

logger = logging.getLogger(__name__)


class Heartbeat:
    """Cuts connections that are dead, and has those closed whose session is over.

    `peers` is the hub's own; `ended` is called with the digest of a session. `interval`: seconds
    between two pings of a connection, of which the first must have been answered by then.
    """

    def __init__(
        self,
        peers: Mapping[int, Peer],
        sessions: Sessions,
        interval: float,
        ended: Callable[[str], None],
    ) -> None:
        self._peers = peers
        self._sessions = sessions
        self._pause = interval / _TURNS
        self._ended = ended
        self._turn = 0
        self._doubtful: dict[str, Session] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, if it has not begun: somebody is there."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), context=Context())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def doubt(self, sessions: Iterable[Session]) -> None:
        """Have a look soon whether these sessions are still there: the news may be missing."""
        self._doubtful.update((session.digest, session) for session in sessions)

    async def _run(self) -> None:
        while self._peers:
            await asyncio.sleep(self._pause)
            try:
                self._beat()
                await self._look()
            except Exception:  # without it dead connections would stay for good
                logger.exception("A heartbeat failed")

    def _beat(self) -> None:
        self._turn = (self._turn + 1) % _TURNS
        now = time.time()
        for peer in tuple(self._peers.values()):
            if peer.id % _TURNS == self._turn:
                peer.line.beat()
                if peer.session.expires <= now:
                    self.doubt([peer.session])

    async def _look(self) -> None:
        for digest, session in tuple(self._doubtful.items()):
            try:
                current = await self._sessions.current(session)
            except BackpackError:
                return  # nobody can know now
            del self._doubtful[digest]
            if current is None:
                self._ended(digest)
