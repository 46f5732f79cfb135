"""What clients say over a websocket: a table from actions to calls of services.

The rules are the services'; here a message is read and an answer written.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import orjson

from .. import frames
from ..backpacks import Backpack
from ..channels import Caller
from ..documents import decode
from ..errors import BackpackError, BadRequest, Forbidden, Invalid, NotFound, frame, rule_of
from ..events import Asker, Channel
from ..fanout import Peer
from ..queries import Query, parse_filter
from ..realtime import SESSION_ENDED

logger = logging.getLogger("backpack")

_GREETING = b'{"action":"connection","response":"Websocket connection established"}'
_MAX_REQUEST_ID = 200  # characters


def greet(backpack: Backpack, peer: Peer, resume: str | None) -> str:
    """Say the first words to a new client; the `seq` of this moment.

    Who has missed something reads the `seq` that it came with: it may be gone again before it is
    told the rest.
    """
    position = backpack.bus.position
    greeting = _GREETING if resume is None else _with_seq(_GREETING, resume or position)
    peer.line.send(frames.text(greeting))
    return position


def _with_seq(text: bytes, seq: str) -> bytes:
    # What a client sends may be anything.
    return b'%b,"seq":%b}' % (text[:-1], orjson.dumps(seq))


@dataclass(frozen=True, slots=True)
class Call:
    """A message of a client: `request` is its `requestId` as JSON."""

    backpack: Backpack
    peer: Peer
    action: str
    message: dict[str, Any]
    request: str | None

    @property
    def user(self) -> str:
        return self.peer.user

    @property
    def asker(self) -> Asker:
        return Asker(self.backpack.hub.process, self.peer.id, self.request)

    @property
    def caller(self) -> Caller:
        return Caller(self.peer, self.asker)

    def text(self, name: str) -> str:
        """A member that must be text; raises Invalid."""
        value = self.message.get(name)
        if not isinstance(value, str):
            raise Invalid(f"{name} must be text", code="bad_message", fields={name: "must be text"})
        return value

    def answer(self, answer: bytes) -> None:
        """Send a JSON object to the asker alone."""
        if self.request is not None:
            answer = b'%b,"requestId":%b}' % (answer[:-1], self.request.encode())
        self.peer.line.send(frames.text(answer))

    def answer_with(self, response: bytes) -> None:
        """Send the answer of a data action, whose `response` is JSON."""
        self.answer(
            b'{"action":"%b","collection":"%b","response":%b}'
            % (self.action.encode(), self.text("collection").encode(), response)
        )


async def receive(backpack: Backpack, peer: Peer, payload: bytes) -> None:
    """Do what a message asks for; a failure is an answer too."""
    began, action, code = perf_counter(), "", ""
    rule: str | None = None
    try:
        message = decode(payload)
        if not isinstance(message, dict):
            raise BadRequest("A message must be a JSON object", code="bad_message")
        request = _request(message.pop("requestId", None))
        asked = message.get("action")
        if not isinstance(asked, str):
            raise BadRequest("A message needs an action, which is text", code="bad_message")
        action = asked
        if not await _is_logged_in(backpack, peer):
            peer.line.close(SESSION_ENDED, "The session has ended")
            return
        if action not in ACTIONS:
            raise BadRequest(f"There is no action {action[:100]!r}", code="unknown_action")
        await ACTIONS[action](Call(backpack, peer, action, message, request))
    except BackpackError as exc:
        code = exc.code
        rule = rule_of(exc)
        _answer_error(peer, payload, exc)
    except Exception:  # our bug: it must not cost the client its connection
        code = BackpackError.code
        logger.exception("A websocket message failed", extra={"backpack": backpack.name})
        _answer_error(peer, payload, BackpackError())
    seconds = perf_counter() - began
    backpack.inspector.message(action, code, rule, seconds, payload, peer.user, peer.id)


def _request(value: Any) -> str | None:
    """A `requestId` as JSON; raises Invalid where it is none."""
    if value is None:
        return None
    is_short = isinstance(value, str) and len(value) <= _MAX_REQUEST_ID
    if not is_short and type(value) not in (int, float):
        why = f"must be a number, or text of at most {_MAX_REQUEST_ID} characters"
        raise Invalid(f"requestId {why}", code="bad_message", fields={"requestId": why})
    return orjson.dumps(value).decode()


def _answer_error(peer: Peer, payload: bytes, exc: BackpackError) -> None:
    try:
        message = orjson.loads(payload)
    except orjson.JSONDecodeError:
        message = None
    asked = message if isinstance(message, dict) else {}
    action = asked.get("action")
    text = orjson.dumps(frame(exc, action[:100] if isinstance(action, str) else None))
    with suppress(Invalid):
        request = _request(asked.get("requestId"))
        if request is not None:
            text = b'%b,"requestId":%b}' % (text[:-1], request.encode())
    peer.line.send(frames.text(text))


async def _is_logged_in(backpack: Backpack, peer: Peer) -> bool:
    sessions = backpack.sessions
    session = await sessions.current(peer.session)
    if session is None:
        return False
    if sessions.is_due(session):
        await sessions.renew(session)
    return True


async def find(call: Call) -> None:
    query = Query(filter=parse_filter(call.message.get("query", {})))
    await _answer_page(call, query)


async def get_all(call: Call) -> None:
    await _answer_page(call, Query())


async def _answer_page(call: Call, query: Query) -> None:
    page = await call.backpack.records.find(call.text("collection"), query, call.user)
    call.answer_with(b"[" + b",".join(page.records) + b"]")


async def get_one(call: Call) -> None:
    collection, record_id = call.text("collection"), call.text("id")
    try:
        found = await call.backpack.records.get(collection, record_id, call.user)
    except NotFound as exc:
        if exc.code != NotFound.code:
            raise  # it is the collection that is not there
        found = b"null"
    call.answer_with(found)


async def create(call: Call) -> None:
    records, collection = call.backpack.records, call.text("collection")
    await records.admit("create", collection, call.user)
    data = call.message.get("data", {})
    made = await records.create(collection, data, call.user, call.asker)
    if isinstance(data, list):
        call.answer_with(made)


async def replace(call: Call) -> None:
    records, collection = call.backpack.records, call.text("collection")
    await records.admit("update", collection, call.user)
    data = call.message.get("data")
    await records.replace(collection, call.text("id"), data, call.user, call.asker)


async def merge(call: Call) -> None:
    records, collection = call.backpack.records, call.text("collection")
    await records.admit("update", collection, call.user)
    patch = call.message.get("data")
    await records.merge(collection, call.text("id"), patch, call.user, call.asker)


async def delete(call: Call) -> None:
    records, collection = call.backpack.records, call.text("collection")
    await records.admit("delete", collection, call.user)
    await records.delete(collection, call.text("id"), call.user, call.asker)


def _info(call: Call) -> str:
    return call.text("usersInformationCollection")


def _channel(call: Call) -> Channel:
    return Channel(call.text("channelType"), call.text("channelId"))


def _answer_about(call: Call, channel: Channel, record: bytes) -> None:
    named = {"userId": call.user, "channelType": channel.kind, "channelId": channel.id}
    members = {"action": call.action, **named, "response": orjson.Fragment(record)}
    call.answer(orjson.dumps(members))


async def join_users_channels(call: Call) -> None:
    joined = await call.backpack.channels.join_all(_info(call), call.caller)
    call.answer(orjson.dumps({"action": call.action, "usersChannels": joined}))


async def create_channel(call: Call) -> None:
    kind, name = call.text("channelType"), call.text("name")
    await call.backpack.channels.create(_info(call), kind, name, call.caller)


async def join_channel(call: Call) -> None:
    await call.backpack.channels.join(_info(call), _channel(call), call.caller)


async def leave_channel(call: Call) -> None:
    await call.backpack.channels.leave(_info(call), _channel(call), call.caller)


async def change_channel(call: Call) -> None:
    channel = _channel(call)
    record = await call.backpack.channels.change(_info(call), channel, call.caller)
    _answer_about(call, channel, record)


async def delete_channel(call: Call) -> None:
    messages = call.text("channelMessagesCollection")
    await call.backpack.channels.delete(_info(call), messages, _channel(call), call.caller)


async def presence(call: Call) -> None:
    named: dict[str, str] = {}
    channel = None
    if "channelType" in call.message or "channelId" in call.message:
        channel = _channel(call)
        named = {"channelType": channel.kind, "channelId": channel.id}
        if not await call.backpack.channels.is_member(channel, call.peer):
            raise Forbidden
    hub = call.backpack.hub
    users = await hub.presence.users(channel)
    hub.watch(call.peer, channel)
    call.answer(orjson.dumps({"action": call.action, **named, "users": users}))


async def pass_on(call: Call) -> None:
    message = {**call.message, "userId": call.user}
    await call.backpack.records.admit_message(message, call.user)
    await call.backpack.hub.pass_on(message, call.asker)


ACTIONS: dict[str, Callable[[Call], Awaitable[None]]] = {
    "find": find,
    "getAll": get_all,
    "getOne": get_one,
    "create": create,
    "update": replace,
    "patch": merge,
    "delete": delete,
    "open": pass_on,
    "close": pass_on,
    "broadcast": pass_on,
    "presence": presence,
    "joinUsersChannels": join_users_channels,
    "createChannel": create_channel,
    "joinChannel": join_channel,
    "leaveChannel": leave_channel,
    "changeChannel": change_channel,
    "deleteChannel": delete_channel,
}
