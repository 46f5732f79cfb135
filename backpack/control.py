"""How the command line reaches the backpacks of a data folder: by the control socket of the sandbox
that has it open, or by opening it itself.

A connection carries one command, each way a JSON object on one line: `{"command", "arguments"}`,
answered by `{"result"}` or `{"error": {"message", "code", "fields"?}}`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from . import errors, folder
from .errors import BackpackError, Invalid, Unavailable

Perform = Callable[[str, Mapping[str, Any]], Awaitable[Any]]

_MAX_LINE = 8_388_608  # bytes
_PATH_MAX = 100  # bytes; sun_path holds 104 on macOS and 108 on Linux, unix(7)
_PATIENCE = 10.0  # seconds that a command waits for a folder in use, and for its own end
_LOOK = 0.05  # seconds between two looks at a folder in use

logger = logging.getLogger("backpack")


class ControlServer:
    """A sandbox's side: commands come in by a Unix socket that only its owner can connect to."""

    def __init__(self, path: Path, perform: Perform) -> None:
        self._path = path
        self._perform = perform
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        """Accept commands; a socket that is left over from a killed sandbox is replaced."""
        remove_socket(self._path)
        listener = socket.socket(socket.AF_UNIX)
        before = os.umask(0o177)
        try:
            listener.bind(str(self._path))
        finally:
            os.umask(before)
        self._server = await asyncio.start_unix_server(
            self._connected, sock=listener, limit=_MAX_LINE
        )

    async def stop(self) -> None:
        """Let the commands under way end, and remove the socket."""
        assert self._server is not None
        self._server.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_PATIENCE)
        for task in self._tasks:
            task.cancel()
        remove_socket(self._path)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            async with asyncio.timeout(_PATIENCE):
                line = await reader.readline()
            writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
            await writer.drain()
        except (OSError, TimeoutError, ValueError):  # the asker went away, or said nothing sensible
            logger.debug("A control connection broke off", exc_info=True)
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            asked = json.loads(line)
            return {"result": await self._perform(asked["command"], asked["arguments"])}
        except BackpackError as exc:
            return {"error": errors.body(exc)}
        except Exception as exc:  # a command that fails must not take the sandbox with it
            logger.error("A command failed", exc_info=exc)
            return {"error": errors.body(BackpackError())}


def socket_path(data: Path) -> Path:
    """Where the control socket of a data folder goes: into it, if the path is not too long."""
    inside = data.resolve() / "control"
    if len(os.fsencode(inside)) <= _PATH_MAX:
        return inside
    return Path(tempfile.mkdtemp(prefix="backpack-")) / "control"


def remove_socket(path: Path) -> None:
    """Remove a control socket, and the folder that was made for it alone."""
    if not path.is_socket():
        return
    path.unlink()
    if path.parent.name.startswith("backpack-"):
        with contextlib.suppress(OSError):  # somebody keeps something there
            path.parent.rmdir()


def perform(data: Path, command: str, arguments: Mapping[str, Any]) -> Any:
    """Perform a command on the backpacks of a data folder, and return its result.

    Raises what the command raises, and Unavailable when the folder stays in use.
    """
    ends = time.monotonic() + _PATIENCE
    while True:
        lock = folder.try_lock(data)
        if lock is not None:
            with lock:
                return asyncio.run(_perform_here(data, command, arguments))
        with contextlib.suppress(ConnectionRefusedError, FileNotFoundError, KeyError):
            return ask(folder.holder(data)["socket"], command, arguments)
        if time.monotonic() > ends:
            raise folder.in_use(data)
        time.sleep(_LOOK)


async def _perform_here(data: Path, command: str, arguments: Mapping[str, Any]) -> Any:
    from .drivers.local import LocalDriver
    from .homes import Folder
    from .settings import from_environment
    from .tenants import Tenants

    settings = from_environment()
    tenants = Tenants(settings, Folder(data, settings))
    try:
        return await LocalDriver(tenants).perform(command, arguments)
    finally:
        await tenants.close()


def ask(path: str, command: str, arguments: Mapping[str, Any]) -> Any:
    """Have a running sandbox perform a command; raises ConnectionRefusedError or FileNotFoundError
    when there is none, else what the command raises."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_PATIENCE)
        connection.connect(path)
        asked = {"command": command, "arguments": arguments}
        try:
            connection.sendall(json.dumps(asked).encode() + b"\n")
            with connection.makefile("rb") as answers:
                answer = json.loads(answers.readline())
        except (OSError, ValueError) as exc:
            raise Unavailable("The running sandbox did not answer") from exc
    if "error" not in answer:
        return answer["result"]
    error = answer["error"]
    if error["code"] == BackpackError.code:
        raise BackpackError("The running sandbox failed; its output says why")
    raise Invalid(error["message"], code=error["code"], fields=error.get("fields"))
