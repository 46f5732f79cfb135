"""What was done and told in a run, and what must be true of it; plain values and comparisons.

A request without an answer may have happened or not. Times are those of the one clock of the test,
so that of two requests of which one ended before the other started the order is known.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

Document = dict[str, Any]
Channel = tuple[str, str]  # channelType, channelId

OK, FAILED, UNKNOWN = "ok", "failed", "unknown"
WRITES = ("create", "update", "patch", "delete")
MESSAGES = ("open", "close", "broadcast")


@dataclass(eq=False)
class Request:
    """One request; `record` is what it was answered with."""

    action: str
    user: str
    client: int
    link: int
    started: float
    collection: str = ""
    record_id: str = ""
    channel: Channel | None = None
    number: int = 0  # of a write: the `w` of what it writes
    ended: float = math.inf
    outcome: str = UNKNOWN
    record: Document = field(default_factory=dict)

    @property
    def may_have_happened(self) -> bool:
        return self.outcome != FAILED

    def is_before(self, other: Request) -> bool:
        return self.ended < other.started


@dataclass(frozen=True)
class Told:
    """A frame that a client was sent."""

    at: float
    link: int
    frame: Document


@dataclass
class Log:
    """What one client was told; `greeted`: when, by link."""

    client: int
    user: str
    resumes: bool
    told: list[Told] = field(default_factory=list)
    greeted: list[float] = field(default_factory=list)
    dialled: list[float] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)


@dataclass
class History:
    """A whole run. `replicated`: of writes that overlap, processes may leave out the earlier."""

    replicated: bool
    requests: list[Request] = field(default_factory=list)
    logs: list[Log] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    final: dict[tuple[str, str], Document] = field(default_factory=dict)
    members: dict[str, list[Channel]] = field(default_factory=dict)

    def problems(self) -> list[str]:
        """Everything that must not be."""
        return [*self.faults, *_Checks(self).run()]


class _Checks:
    def __init__(self, history: History) -> None:
        self.history = history
        requests = history.requests
        self.writes = {one.number: one for one in requests if one.number}
        self.by_record: dict[tuple[str, str], list[Request]] = defaultdict(list)
        self.deletes: dict[tuple[str, str], list[Request]] = defaultdict(list)
        self.moves: dict[tuple[str, Channel], list[Request]] = defaultdict(list)
        self.ends: dict[Channel, list[Request]] = defaultdict(list)
        self.subscribing: dict[tuple[int, int], list[Request]] = defaultdict(list)
        for one in requests:
            if one.action in WRITES and one.may_have_happened:
                record_id = one.record_id or one.record.get("_id", "")
                self.by_record[(one.collection, record_id)].append(one)
                if one.action == "delete":
                    self.deletes[(one.collection, record_id)].append(one)
            if one.action == "deleteChannel" and one.channel and one.may_have_happened:
                self.ends[one.channel].append(one)
            elif one.channel and one.action != "changeChannel" and one.may_have_happened:
                self.moves[(one.user, one.channel)].append(one)
            if one.action in ("joinUsersChannels", "joinChannel", "createChannel"):
                self.subscribing[(one.client, one.link)].append(one)

    def run(self) -> Iterator[str]:
        for log in self.history.logs:
            yield from self._answers(log)
            yield from self._seen(log)
            yield from self._seqs(log)
            yield from self._once(log)
            yield from self._complete(log)
            yield from self._ordered(log)
        yield from self._membership()

    def _answers(self, log: Log) -> Iterator[str]:
        answers = Counter(one.frame["requestId"] for one in log.told if "requestId" in one.frame)
        for request, times in answers.items():
            if request not in log.asked:
                yield f"client {log.client} got an answer to {request}, which it never asked"
            if times > 1:
                yield f"client {log.client} got {times} answers to {request}"
        for one in log.told:
            if one.frame.get("code") == "internal_error":
                yield f"client {log.client}: {one.frame}"

    def _seen(self, log: Log) -> Iterator[str]:
        """Nothing to one who may not see it, and nothing that never was."""
        for one in log.told:
            data = _data(one.frame)
            write = self.writes.get(data.get("w", 0)) if data else None
            if data is None:
                continue
            what = f"client {log.client} ({log.user}) was told {one.frame}"
            if one.frame["action"] != "delete" and write is None:
                yield f"{what}, which nobody wrote"
            if write is not None and not write.may_have_happened:
                yield f"{what}, which was refused"
            if one.frame.get("collection") == "diaries" and data.get("userId") != log.user:
                yield f"{what}: the diary of somebody else"
            if "requestId" in one.frame:
                continue
            if data.get("broadcast") is False:
                yield f"{what}: it is for nobody"
            elif data.get("broadcast") == "false":
                if data.get("userId") != log.user:
                    yield f"{what}: it is for another user"
            elif "channelId" in data and write and one.frame["action"] != "delete":
                channel = (data["channelType"], data["channelId"])
                if not self._may_be_subscribed(log, channel, write, one):
                    yield f"{what}: it is not in that channel"

    def _may_be_subscribed(self, log: Log, channel: Channel, write: Request, told: Told) -> bool:
        if any(end.outcome == OK and end.is_before(write) for end in self.ends[channel]):
            return False
        moves = self.moves[(log.user, channel)]
        enters = [one for one in moves if one.action != "leaveChannel" and one.started < told.at]
        if not log.resumes:
            mine = self.subscribing[(log.client, told.link)]
            if not any(one.channel in (channel, None) and one.started < told.at for one in mine):
                return False
        for left in (one for one in moves if one.action == "leaveChannel" and one.outcome == OK):
            if left.is_before(write) and all(enter.is_before(left) for enter in enters):
                return False
        return bool(enters)

    def _seqs(self, log: Log) -> Iterator[str]:
        """They rise, but for those of another run of the server, which begins with a reload."""
        last: list[int] = []
        run = ""
        for one in log.told:
            seq = one.frame.get("seq")
            if not isinstance(seq, str) or one.frame["action"] == "connection":
                continue
            head, _, tail = seq.partition("-")
            if one.frame["action"] == "reload":
                last, run = [], head
                continue
            now = [int(head), int(tail)] if self.history.replicated else [int(tail)]
            if not self.history.replicated and head != run and run and last:
                yield f"client {log.client} was not told to reload before {one.frame}"
            if last and now <= last:
                yield f"client {log.client} was told {one.frame} after the seq {last}"
            last, run = now, head

    def _once(self, log: Log) -> Iterator[str]:
        # Who got an answer as no receiver may have become one by the time that it resumes.
        told = [one for one in log.told if "seq" in one.frame or not log.resumes]
        times = Counter((0 if log.resumes else link, key) for link, key, _ in _events(told))
        for (_, key), count in times.items():
            if count > 1:
                yield f"client {log.client} was told {count} times of {key}"

    def _complete(self, log: Log) -> Iterator[str]:
        """Nothing is lost for one who resumes, or is connected until the end."""
        if not log.greeted:
            yield f"client {log.client} was never greeted"
            return
        got = {key for _, key, _ in _events(log.told)}
        since = log.greeted[0] if log.resumes else log.greeted[-1]
        reloads = [one.at for one in log.told if one.frame["action"] == "reload"]
        reloaded = max(reloads, default=-math.inf)
        for write in self.history.requests:
            key = _key_of(write)
            if key is None or key in got or write.outcome != OK:
                continue
            if write.started <= max(since, reloaded) or not self._is_for(log, write):
                continue
            if self.history.replicated and self._is_overtaken(write):
                continue
            yield f"client {log.client} ({log.user}) was never told of {write}"

    def _is_for(self, log: Log, write: Request) -> bool:
        record = write.record
        if write.collection == "diaries" and record.get("userId") != log.user:
            return False
        wanted = record.get("broadcast")
        if wanted is False:
            return False
        if wanted == "false":
            return bool(record.get("userId") == log.user)
        if "channelId" in record:
            channel = (record["channelType"], record["channelId"])
            return self._must_be_subscribed(log, channel, write)
        return True

    def _must_be_subscribed(self, log: Log, channel: Channel, write: Request) -> bool:
        """Whether a client was in a channel before a write, and stayed to the end."""
        moves = self.moves[(log.user, channel)]
        if self.ends[channel] or any(one.action == "leaveChannel" for one in moves):
            return False
        last = len(log.greeted) - 1
        for one in (move for move in moves if move.outcome == OK):
            stays = log.resumes or one.link == last
            if one.client == log.client and stays and one.is_before(write):
                return True
            for dialled, greeted in zip(log.dialled[1:], log.greeted[1:], strict=True):
                if log.resumes and one.ended < dialled and greeted < write.started:
                    return True
        return False

    def _is_overtaken(self, write: Request) -> bool:
        record_id = write.record_id or write.record.get("_id", "")
        others = self.by_record[(write.collection, record_id)]
        # The next write may be told of before: by another process, which was quicker.
        return any(other is not write and not other.is_before(write) for other in others)

    def _ordered(self, log: Log) -> Iterator[str]:
        """Events of one record come in the order of its writes, the last state last."""
        received: dict[tuple[str, str], list[Request]] = defaultdict(list)
        # Who asked is answered also where its write was overtaken, and so is no event any more.
        told = [one for one in log.told if "seq" in one.frame or "requestId" not in one.frame]
        for _, key, record in _events(told):
            write = self.writes.get(key) if isinstance(key, int) else None
            if isinstance(key, tuple):
                (write,) = self.deletes[key] if len(self.deletes[key]) == 1 else (None,)
            if write is not None and write.action in WRITES:
                received[(write.collection, record["_id"])].append(write)
        for key, writes in received.items():
            newest = writes[0]
            for write in writes[1:]:
                if write.is_before(newest):
                    yield f"client {log.client} was told of {write} after {newest}"
                if write.started > newest.started:
                    newest = write
            if any(one.outcome == UNKNOWN for one in self.by_record[key]):
                continue
            final = self.history.final.get(key)
            for write in writes[:-1]:
                is_final = write.action == "delete" if final is None else write.number == final["w"]
                if is_final and write is not writes[-1]:
                    yield f"client {log.client} was told of {writes[-1]} after the last {write}"

    def _membership(self) -> Iterator[str]:
        channels = {channel for _, channel in self.moves}
        for user, held in self.history.members.items():
            for channel, times in Counter(held).items():
                if times > 1:
                    yield f"{user} is {times} times in {channel}"
            for channel in channels:
                possible = self._possible(user, channel)
                if (channel in held) not in possible:
                    yield f"{user} in {channel}: {channel in held}, where {possible} may be"

    def _possible(self, user: str, channel: Channel) -> set[bool]:
        if any(end.outcome == OK for end in self.ends[channel]):
            return {False}
        moves = self.moves[(user, channel)]
        found = {False} if self.ends[channel] or all(m.outcome == UNKNOWN for m in moves) else set()
        for one in moves:
            later = (other for other in moves if other.outcome == OK and one.is_before(other))
            if next(later, None) is None:
                found.add(one.action != "leaveChannel")
        return found


def _data(frame: Document) -> Document | None:
    """The record or message that a frame is about, where it tells of a write."""
    if frame["action"] in MESSAGES:
        return frame if "w" in frame else None
    response = frame.get("response")
    return response if frame["action"] in WRITES and isinstance(response, dict) else None


def _events(told: Iterable[Told]) -> Iterator[tuple[int, Any, Document]]:
    """The link, what it is known by, and the record of each event among some frames."""
    for one in told:
        data = _data(one.frame)
        if data is None:
            continue
        if one.frame["action"] == "delete":
            yield one.link, (one.frame["collection"], data["_id"]), data
        else:
            yield one.link, data["w"], data


def _key_of(write: Request) -> Any:
    if write.action == "delete":
        return (write.collection, write.record_id)
    return write.number or None
