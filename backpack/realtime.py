"""The hub of one backpack: who of the connected gets which event.

Every process of the backpack has one; events reach all of them by the bus. It knows no HTTP and no
frames.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import Context
from typing import Any

import orjson

from . import events
from .audience import is_for, receivers
from .bus import Bus
from .errors import Unavailable
from .events import RELOAD, Asker, Change, Channel, Drop, Event, State, notice
from .fanout import Fanout, Message, Peer
from .heartbeat import Heartbeat
from .lines import Lines
from .losses import TOPIC as LOSSES
from .losses import Losses
from .presence import Place, Presence
from .revisions import Revisions
from .roster import Roster
from .rules import Rules
from .sessions import TOPIC as SESSIONS
from .sessions import Sessions
from .watchers import Watchers

TOPIC = "events"  # of the bus; messages are events

SESSION_ENDED, RESTART = 4401, 1012  # close codes
Overhearer = Callable[[str, Event], None]

_LEARNED = 1_000  # messages that a process looks at which were sent before it was there
_GATHER = 0.1  # seconds in which ends of connections are told of together
_GATHERED = 100  # users whose ends are told of at once


class Hub:
    """Delivers what is announced on any process of the backpack to the connections of this one.

    `rules` is replaced as a whole when the backpack's rules change. `channel_exists` tells whether
    a channel is there, None where it never can have been.
    """

    def __init__(
        self,
        bus: Bus,
        rules: Rules,
        sessions: Sessions,
        channel_exists: Callable[[Channel], Awaitable[bool | None]],
        ping_interval: float,
    ) -> None:
        self.rules = rules
        self.process = secrets.token_hex(8)
        self.deliveries = 0  # to receivers of this process, since it began
        self.lines = Lines()
        self.roster = Roster()
        self.revisions = Revisions()
        self._fanout = Fanout()
        self._watchers = Watchers(self._fanout)
        self.presence = Presence(bus, self.process, self._watchers.tell)
        self._bus = bus
        self._channel_exists = channel_exists
        self._numbers = itertools.count(1)
        self._losses = Losses(bus)
        self._overhearers: tuple[Overhearer, ...] = ()
        self._heartbeat = Heartbeat(self.roster.peers, sessions, ping_interval, self.end_session)
        self._noting: dict[int, list[Drop]] = {}
        self._left: dict[str, None] = {}  # users with a connection that ended, in this order
        self._telling: asyncio.Task[None] | None = None
        self._deaf = (
            bus.listen(TOPIC, self._event_sent),
            bus.listen(LOSSES, self._losses_told),
            bus.listen(SESSIONS, self._sessions_ended),
            bus.listen_break(self._doubt_all),
            bus.listen_loss(self._lose),
        )

    async def open(self) -> None:
        """Learn which states of records have been told of: an older one may come late, to clients
        that were told by another process. Raises Unavailable."""
        for _, topic, message in await self._bus.latest(_LEARNED):
            if topic == TOPIC and "revision" in message:
                self.revisions.learn(Event.from_message(message))

    async def close(self) -> None:
        """Close what is connected and stop listening to the bus."""
        await self.lines.close(RESTART)
        await self._heartbeat.close()
        await self.presence.close()
        await self._losses.close()
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.wait([self._telling])
        for stop in self._deaf:
            stop()

    # Who is here

    def number(self) -> int:
        """A number for a new peer of this process."""
        return next(self._numbers)

    def add(self, peer: Peer) -> None:
        self.roster.add(peer)
        self.presence.come(peer.user, None)
        self._heartbeat.start()
        # It may have ended after it was found, and before this moment.
        self._heartbeat.doubt([peer.session])

    def remove(self, peer: Peer) -> None:
        """Forget a peer, and tell the others that its connection has ended."""
        channels = tuple(peer.channels or ())
        if not self.roster.remove(peer):
            return
        for place in (None, *channels):
            self.presence.go(peer.user, place)
        self._watchers.remove_all(peer)
        if not self.lines.are_closing:  # who is here will soon be on another process
            self._left[peer.user] = None
            if self._telling is None or self._telling.done():
                loop = asyncio.get_running_loop()
                self._telling = loop.create_task(self._tell_left(), context=Context())

    async def _tell_left(self) -> None:
        """Tell whose connections have ended: of many at once so that they can be joined."""
        while self._left:
            await asyncio.sleep(_GATHER)
            users = list(itertools.islice(self._left, _GATHERED))
            for user in users:
                del self._left[user]
            with suppress(Unavailable):  # those who would hear it are cut off
                await self._send([Event(notice(action="close", userId=user)) for user in users])

    def subscribe(self, peer: Peer, channel: Channel, state: State) -> None:
        if self.roster.subscribe(peer, channel, state):
            self.presence.come(peer.user, channel)

    def unsubscribe(self, peer: Peer, channel: Channel) -> None:
        if self.roster.unsubscribe(peer, channel):
            self.presence.go(peer.user, channel)
            self._watchers.remove(peer, channel)

    def watch(self, peer: Peer, place: Place) -> None:
        """Tell a peer from now on who comes to a place and goes."""
        if peer.id in self.roster.peers:
            self._watchers.add(peer, place)

    # What is announced

    def check(self) -> None:
        """Raise Unavailable when it is known that an announcement would."""
        self._bus.check()

    async def announce(self, changes: Sequence[Change]) -> None:
        """Tell who may see it about finished writes, in this order.

        Raises Unavailable; then those who resume are told to read anew once that is possible.
        """
        records = [orjson.loads(change.record) for change in changes]
        with self._losses.unless_told() as drops:
            for change, record in zip(changes, records, strict=True):
                drops += events.drops_of(change, record)
            made = [
                events.of_change(change, record, await self._reach(record))
                for change, record in zip(changes, records, strict=True)
            ]
            await self._send(made)

    def doubt(self, until: Callable[[], Awaitable[object]]) -> None:
        """A write may be stored that nobody will announce: those who resume are told to read anew,
        once that is possible: when `until` does not raise Unavailable."""
        self._losses.owe(until)

    async def tell_to_reload(self) -> None:
        """Have those who resume read everything anew; raises Unavailable."""
        await self._bus.send(LOSSES, {"drops": []})

    async def pass_on(self, message: Mapping[str, Any], asker: Asker) -> None:
        """Send a client's message to whom it is for, by its own words; raises Unavailable."""
        reached = await self._reach(message)
        text = orjson.dumps(message).decode()
        await self._send([Event(text, channel=reached.channel, users=reached.users, asker=asker)])

    async def send(self, event: Event) -> None:
        """Deliver the event of a finished write on every process; fails as `announce` does."""
        await self.send_all([event])

    async def send_all(self, announced: Sequence[Event]) -> None:
        """Deliver events of finished writes in this order; fails as `announce` does."""
        with self._losses.unless_told() as drops:
            drops += [event.dropped for event in announced if event.dropped is not None]
            await self._send(announced)

    async def _send(self, announced: Sequence[Event]) -> None:
        wide = [event.message() for event in announced if not event.is_for_asker]
        if wide:
            await self._send_wide(wide, announced)
        for event in announced:
            if event.is_for_asker:
                self._answer(event)

    async def _send_wide(
        self, messages: Sequence[Mapping[str, Any]], announced: Sequence[Event]
    ) -> None:
        """Send by the bus. What it fails to send may have been stored all the same, and come
        before the failure is known, or after it: either way there is one answer."""
        askers = [(event.asker, self._asker(event)) for event in announced]
        for _, peer in askers:
            if peer is not None:
                peer.answered = None
        try:
            await self._bus.send_all(TOPIC, messages)
        except Unavailable:
            for asker, peer in askers:
                if peer is None or asker is None:
                    continue
                if peer.answered == asker:
                    return
                peer.failed = {*(peer.failed or ()), asker}
            raise

    async def _reach(self, data: Mapping[str, Any]) -> events.Reach:
        reached = events.reach(data)
        if reached.channel is None:
            return reached
        exists = await self._channel_exists(reached.channel)
        if exists is None:
            return events.Reach()
        return reached if exists else events.Reach(users=())

    # What is delivered

    def _event_sent(self, seq: str, message: Mapping[str, Any]) -> None:
        # With nobody here, all that counts is which state of a record came last.
        if self.roster.peers or self._overhearers or "revision" in message:
            event = Event.from_message(message)
            if self.revisions.is_late(event, seq):
                self._answer(event)
            else:
                for overhearer in self._overhearers:
                    overhearer(seq, event)
                self._deliver(event, seq)
            if event.dropped is not None:
                self._drop(event.dropped)

    def overhear(self, overhearer: Overhearer) -> Callable[[], None]:
        """Call `overhearer` with each event that is delivered, whoever it is for, and the `seq` it
        has in every process. Returns what ends it."""
        self._overhearers = (*self._overhearers, overhearer)

        def end() -> None:
            self._overhearers = tuple(one for one in self._overhearers if one is not overhearer)

        return end

    def then(self, call: Callable[[], None]) -> None:
        """Call when all events that have come here so far have been delivered."""
        self._fanout.then(call)

    def _deliver(self, event: Event, seq: str) -> None:
        found = receivers(event, self.rules, self.roster)
        self.deliveries += len(found)
        text = event.text.encode()
        asker = self._asker(event)
        if asker is not None and is_for(event, self.rules, asker.user, asker.channels or ()):
            asker.answered = event.asker
            self._fanout.add(found, Message(text, seq, asker, _answer_of(event)))
        else:
            self._fanout.add(found, Message(text, seq))
            self._answer(event)

    def _answer(self, event: Event) -> None:
        """Answer an asker that is no receiver."""
        asker = self._asker(event)
        if asker is not None:
            asker.answered = event.asker
            message = Message(b"", "", asker, _answer_of(event), with_seq=False)
            self._fanout.add((asker,), message)

    def _asker(self, event: Event) -> Peer | None:
        """The peer here that is to be answered."""
        asker = event.asker
        if asker is None or asker.process != self.process:
            return None
        if asker.request is None and event.answer is None:
            return None
        peer = self.roster.peers.get(asker.connection)
        return None if peer is None or asker in (peer.failed or ()) else peer

    @contextmanager
    def noting_drops(self) -> Iterator[list[Drop]]:
        """Which subscriptions end while something is looked up: it may be known before, and the
        new subscription come after."""
        noted: list[Drop] = []
        self._noting[id(noted)] = noted
        try:
            yield noted
        finally:
            del self._noting[id(noted)]

    def _drop(self, drop: Drop) -> None:
        channel = drop.channel
        for noted in self._noting.values():
            noted.append(drop)
        for peer in self.roster.of_channel(channel):
            assert peer.channels is not None
            if drop.ends(channel, peer.user, peer.channels[channel]):
                self.unsubscribe(peer, channel)
        for peer in self._watchers.of(channel):
            if drop.user in (None, peer.user) and channel not in (peer.channels or ()):
                self._watchers.remove(peer, channel)

    def _sessions_ended(self, _seq: str, message: Mapping[str, Any]) -> None:
        for digest in message["ended"]:
            self.end_session(digest)

    def _doubt_all(self) -> None:
        self._heartbeat.doubt(peer.session for peer in self.roster.all())

    def _lose(self) -> None:
        """Events are missing: who can be told so, is."""
        for peer in self.roster.all():
            if peer.held is not None:
                # What it is being told may end before the gap, and what it is kept behind it.
                peer.line.close(RESTART, "Try again")
        self._tell_to_reload(self._bus.position)

    def _losses_told(self, seq: str, message: Mapping[str, Any]) -> None:
        for written in message["drops"]:
            self._drop(Drop.read(written))
        self._tell_to_reload(seq)

    def _tell_to_reload(self, seq: str) -> None:
        told = [peer for peer in self.roster.all() if peer.resumes]
        self._fanout.add(told, Message(RELOAD.encode(), seq))

    def end_session(self, digest: str) -> None:
        """Close the connections of a session that is over."""
        for peer in self.roster.of_session(digest):
            peer.line.close(SESSION_ENDED, "The session has ended")


def _answer_of(event: Event) -> bytes:
    text = event.answer or event.text
    if event.asker is None or event.asker.request is None:
        return text.encode()
    return f'{text[:-1]},"requestId":{event.asker.request}}}'.encode()
