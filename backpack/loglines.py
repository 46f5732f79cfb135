"""Lines of the log as JSON, one object each, with the id of the request that they are about."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

# What a record may say besides its message, by `extra`.
FIELDS = ("backpack", "method", "path", "status", "ms", "user", "address")


class JsonLines(logging.Formatter):
    """Formats a record as `{"time", "level", "logger", "message", "request_id"?, ...}`.

    `request_id` tells the id of the request that the running code is answering, None for none.
    """

    def __init__(self, request_id: Callable[[], str | None]) -> None:
        super().__init__()
        self._request_id = request_id

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "time": f"{at[:23]}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        request_id = self._request_id()
        if request_id is not None:
            line["request_id"] = request_id
        for name in FIELDS:
            value = getattr(record, name, None)
            if value is not None:
                line[name] = value
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        # Not by orjson: what comes from clients may hold halves of characters.
        return json.dumps(line, default=str)
