"""One console on a backpack: messages in, answers and events out, whatever they travel by."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import orjson

from .. import backpacks, notices, sessions
from ..backpacks import Backpack, Config
from ..documents import decode
from ..errors import BackpackError, BadRequest, body
from ..events import CREATE, DELETE, MERGE, REPLACE, Event
from ..sessions import Session
from ..settings import Settings
from . import configuration, documents, people, stats, uploads
from .calls import Call, refusal
from .live import Live

Answer = Callable[[Call], Awaitable[bytes]]

MODELS: Mapping[str, Mapping[str, Answer]] = {
    "collections": {
        "get": documents.get_collections,
        "post": documents.post_collection,
        "delete": documents.delete_collection,
    },
    "documents": {
        "get": documents.get,
        "post": documents.post,
        "put": documents.put,
        "patch": documents.patch,
        "delete": documents.delete,
    },
    "indexes": {"get": documents.get_indexes},
    "key": {"get": configuration.get_key, "post": configuration.post_key},
    "requests": {"get": stats.get_requests},
    "rules": {"get": configuration.get_rules, "put": configuration.put_rules},
    "sessions": {"get": people.get_sessions, "delete": people.delete_session},
    "stats": {"get": stats.get},
    "uploads": {"get": uploads.get, "patch": uploads.patch, "delete": uploads.delete},
    "users": {
        "get": people.get,
        "post": people.post,
        "patch": people.patch,
        "delete": people.delete,
    },
}

MAX_BACKLOG = 16_777_216  # bytes of events that wait for a console that does not read

_MAX_REQUEST_ID = 200  # characters
_OVERHEAD = 65_536  # bytes of a message that are not the document in it

# What the events of records say was done, and as what consoles know it.
_ACTIONS = {
    CREATE: notices.POST,
    REPLACE: notices.PUT,
    MERGE: notices.PATCH,
    DELETE: notices.DELETE,
    "createChannel": notices.POST,
}

logger = logging.getLogger("backpack")


class Line(Protocol):
    """What a console is reached by."""

    def send(self, message: bytes) -> None:
        """Send what was asked for."""

    def push(self, message: bytes) -> None:
        """Send what was not; a line that is too slow for it is closed."""


def max_message(settings: Settings) -> int:
    """Bytes that a message may have: room for the largest document."""
    return max(settings.max_message, settings.max_document) + _OVERHEAD


class Handler:
    """The backpack's side of a console. It hears of changes from `listen` to `close`."""

    def __init__(self, backpack: Backpack, line: Line) -> None:
        self._backpack = backpack
        self._line = line
        self._config = backpack.config
        self._live = Live(backpack, self._tell)
        self._deaf: tuple[Callable[[], None], ...] = ()

    def listen(self) -> None:
        """Tell the console of every change from now on."""
        self._stop_listening()
        bus = self._backpack.bus
        self._deaf = (
            self._backpack.hub.overhear(self._changed),
            bus.listen(notices.TOPIC, self._noticed),
            bus.listen(sessions.TOPIC, self._sessions_changed),
            bus.listen(backpacks.TOPIC, self._config_changed),
            bus.listen_break(self._lose),
        )

    def close(self) -> None:
        """Tell it nothing more."""
        self._live.close()
        self._stop_listening()

    def _stop_listening(self) -> None:
        for stop in self._deaf:
            stop()
        self._deaf = ()

    async def receive(self, payload: bytes) -> None:
        """Do what a message asks for; a failure is an answer too."""
        named: dict[str, Any] = {}
        try:
            message = _read(payload)
            named = {
                name: message[name] for name in ("action", "model", "requestId") if name in message
            }
            call = Call(self._backpack, message, self._live)
            data = await self._do(call)
        except BackpackError as exc:
            failure = {"type": "failure", **named, "status": exc.status, "data": body(exc)}
            self._line.send(orjson.dumps(failure))
        else:
            answer = {"type": "success", **named, **call.beside, "data": orjson.Fragment(data)}
            self._line.send(orjson.dumps(answer))

    async def ask(self, message: Mapping[str, Any]) -> bytes:
        """The `data` of the answer to a message, which is JSON; raises BackpackError."""
        return await self._do(Call(self._backpack, message, self._live))

    async def _do(self, call: Call) -> bytes:
        answer = _find(call.message)
        try:
            return await answer(call)
        except BackpackError:
            raise
        except Exception as exc:  # our bug: it must not cost the developer the connection
            about = {"backpack": self._backpack.name}
            logger.exception("A message to the console failed", extra=about)
            raise BackpackError from exc

    # What changes

    def _changed(self, _seq: str, event: Event) -> None:
        action, _, rest = event.text.partition(",")
        known = _ACTIONS.get(action[len('{"action":"') : -1])
        if known is None or event.collection is None:
            return
        # The record stands at the end, behind names that have no quotes in them.
        record = rest.partition('"response":')[2][:-1]
        self._tell(known, "documents", record.encode(), collection=event.collection)

    def _noticed(self, _seq: str, message: Mapping[str, Any]) -> None:
        if not message:
            self._lose()
            return
        data = message["data"].encode()
        more = {"collection": message["collection"]} if "collection" in message else {}
        self._tell(message["action"], message["model"], data, **more)

    def _sessions_changed(self, _seq: str, message: Mapping[str, Any]) -> None:
        for digest in message["ended"]:
            self._tell(notices.DELETE, "sessions", orjson.dumps({"_id": digest}))
        if "begun" in message:
            session = people.shown(Session(**message["begun"]))
            self._tell(notices.POST, "sessions", orjson.dumps(session))

    def _config_changed(self, _seq: str, message: Mapping[str, Any]) -> None:
        before, self._config = self._config, Config.from_document(dict(message))
        if self._config.rules != before.rules:
            raw = dict(self._config.rules.raw)
            self._tell(notices.PUT, "rules", orjson.dumps(raw))
        if self._config.api_key != before.api_key:
            shown = configuration.shown_key(self._config)
            self._tell(notices.POST, "key", orjson.dumps(shown))

    def _lose(self) -> None:
        """Changes may have been missed."""
        self._line.push(b'{"type":"event","action":"reload","model":"*"}')

    def _tell(self, action: str, model: str, data: bytes, **more: str) -> None:
        event = {"type": "event", "action": action, "model": model, **more}
        self._line.push(orjson.dumps({**event, "data": orjson.Fragment(data)}))


def _read(payload: bytes) -> dict[str, Any]:
    message = decode(payload)
    if not isinstance(message, dict):
        raise BadRequest("A message must be a JSON object", code="bad_message")
    request = message.get("requestId")
    is_short = isinstance(request, str) and len(request) <= _MAX_REQUEST_ID
    if request is not None and not is_short and type(request) not in (int, float):
        del message["requestId"]
        raise refusal(
            "requestId", f"must be a number, or text of at most {_MAX_REQUEST_ID} characters"
        )
    return message


def _find(message: Mapping[str, Any]) -> Answer:
    """What answers a message; raises Invalid."""
    model, action = message.get("model"), message.get("action")
    if not isinstance(model, str) or model not in MODELS:
        raise refusal("model", f"must be one of {', '.join(MODELS)}")
    actions = MODELS[model]
    if not isinstance(action, str) or action not in actions:
        raise refusal("action", f"must be one of {', '.join(actions)} for {model}")
    return actions[action]
