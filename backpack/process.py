"""What every process that serves has in common: its event loop, its log, the signals that end it.

What it serves is its caller's business.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from .api.request import current_request_id
from .loglines import JsonLines
from .settings import Settings


def run(work: Coroutine[Any, Any, None], settings: Settings) -> None:
    """Run `work` to its end on an event loop of its own; the log goes to standard error."""
    import uvloop

    _log_to_stderr(settings)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


def _log_to_stderr(settings: Settings) -> None:
    # What others than this package have to say below a warning is nobody's matter.
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s"
    )
    if settings.log == "json":
        for handler in logging.getLogger().handlers:
            handler.setFormatter(JsonLines(current_request_id))
    logging.getLogger("backpack").setLevel(settings.log_level.upper())
    # Sanic warns of its own modes of running, of which this is none.
    logging.getLogger("sanic").setLevel(logging.ERROR)


def collect_less_garbage() -> None:
    """To be called when everything is made: it stays to the end, and a request leaves few cycles
    (5 us of each)."""
    gc.freeze()
    gc.set_threshold(10_000, 50, 50)


@contextmanager
def stop_signals() -> Iterator[asyncio.Event]:
    """An event for the first SIGINT or SIGTERM; a second one ends the process at once."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()

    def stop() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    yield stopping
