"""How the command line reaches the backpacks of a data folder: by the control socket of the sandbox
that has it open, or by opening it itself.

A connection carries one command, `{"command", "arguments", "content"}` as JSON on one line, and
behind it as many bytes of content as it says: what a command works on is read by the process that
was started for it, since the sandbox may not see the same files.

Answered are any number of `{"line": "..."}`, a step each, and last `{"result"}` or
`{"error": {"message", "code", "fields"?}}`, each as JSON on a line; `{}` says that it goes on, and
behind `{"bytes": 12}` come so many of what the command makes.
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
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from . import errors, folder
from .errors import BackpackError, Invalid, Unavailable
from .steps import Result, Say, Steps, Take, finish, say_nothing, take_nothing

Perform = Callable[[str, Mapping[str, Any], AsyncIterator[bytes]], Steps]

_MAX_LINE = 8_388_608  # bytes
_PATH_MAX = 100  # bytes; sun_path holds 104 on macOS and 108 on Linux, unix(7)
_PATIENCE = 10.0  # seconds that a command waits for a folder in use, and for a word of a sandbox
_BEAT = 2.0  # seconds between two words of a sandbox at most
_BLOCK = 1_048_576  # bytes of content that are read at once
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
        beat = asyncio.create_task(_beat(writer))
        try:
            async with asyncio.timeout(_PATIENCE):
                asked = json.loads(await reader.readline())
            content = _received(reader, asked["content"])
            async with contextlib.aclosing(self._answers(asked, content)) as messages:
                async for message, block in messages:
                    _write(writer, message, block)
                    await writer.drain()
            # Who is still sending sees the answer only when all has been taken.
            async for _ in content:
                pass
        except (OSError, TimeoutError, ValueError, LookupError, TypeError, Unavailable):
            # The asker went away, or said nothing sensible.
            logger.debug("A control connection broke off", exc_info=True)
        finally:
            beat.cancel()
            writer.close()
            self._tasks.discard(task)

    async def _answers(
        self, asked: Mapping[str, Any], content: AsyncIterator[bytes]
    ) -> AsyncGenerator[tuple[dict[str, Any], bytes], None]:
        try:
            steps = self._perform(asked["command"], asked["arguments"], content)
            async with contextlib.aclosing(steps):
                async for step in steps:
                    yield _message(step)
        except (EOFError, TimeoutError):  # the asker went away
            raise
        except BackpackError as exc:
            yield {"error": errors.body(exc)}, b""
        except Exception as exc:  # a command that fails must not take the sandbox with it
            logger.error("A command failed", exc_info=exc)
            yield {"error": errors.body(BackpackError())}, b""


@contextlib.asynccontextmanager
async def listening(
    data: Path, lock: folder.Lock, perform: Perform, admin: str
) -> AsyncIterator[None]:
    """Take commands by a data folder's control socket, and note in its lock where that is, and the
    panel at the URL `admin`."""
    if "socket" in lock.before:
        remove_socket(Path(lock.before["socket"]))
    path = socket_path(data)
    control = ControlServer(path, perform)
    await control.start()
    lock.note({"pid": os.getpid(), "socket": str(path), "admin": admin})
    try:
        yield
    finally:
        await control.stop()


def _message(step: str | bytes | Result) -> tuple[dict[str, Any], bytes]:
    """A step as a message, and the bytes behind it."""
    if isinstance(step, bytes):
        return {"bytes": len(step)}, step
    if isinstance(step, Result):
        return {"result": step.value}, b""
    return {"line": step}, b""


def _write(writer: asyncio.StreamWriter, message: Mapping[str, Any], block: bytes = b"") -> None:
    if not writer.is_closing():
        writer.write(json.dumps(message).encode() + b"\n" + block)


async def _beat(writer: asyncio.StreamWriter) -> None:
    while True:
        await asyncio.sleep(_BEAT)
        _write(writer, {})


async def _received(reader: asyncio.StreamReader, size: int) -> AsyncIterator[bytes]:
    """The next `size` bytes as they come; raises Unavailable when there are fewer."""
    while size:
        try:
            async with asyncio.timeout(_PATIENCE):
                block = await reader.read(min(size, _BLOCK))
        except TimeoutError:
            block = b""
        if not block:
            raise Unavailable("The content broke off")
        size -= len(block)
        yield block


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


def perform(
    data: Path,
    command: str,
    arguments: Mapping[str, Any],
    content: BinaryIO | None = None,
    say: Say = say_nothing,
    take: Take = take_nothing,
) -> Any:
    """Perform a command on the backpacks of a data folder, and return its result; what it says
    before goes to `say`. `content` is a file, read from where it is.

    Raises what the command raises, and Unavailable when the folder stays in use.
    """
    ends = time.monotonic() + _PATIENCE
    while True:
        # The admin of a swarm may be starting: what it looks after cannot be opened here.
        lock = None if folder.is_of_swarm(data) else folder.try_lock(data)
        if lock is not None:
            with lock:
                return asyncio.run(_perform_here(data, command, arguments, content, say, take))
        with contextlib.suppress(ConnectionRefusedError, FileNotFoundError, KeyError):
            return ask(folder.holder(data)["socket"], command, arguments, content, say, take)
        if time.monotonic() > ends:
            raise folder.in_use(data)
        time.sleep(_LOOK)


async def _perform_here(
    data: Path,
    command: str,
    arguments: Mapping[str, Any],
    content: BinaryIO | None,
    say: Say,
    take: Take,
) -> Any:
    from .drivers.commands import Commands
    from .drivers.local import LocalDriver
    from .homes import Folder
    from .settings import from_environment
    from .tenants import Tenants

    settings = from_environment()
    tenants = Tenants(settings, Folder(data, settings))
    try:
        steps = Commands(tenants, LocalDriver(tenants)).perform(command, arguments, read(content))
        return await finish(steps, say, take)
    finally:
        await tenants.close()


async def read(file: BinaryIO | None) -> AsyncIterator[bytes]:
    """The blocks of a file, none without one."""
    while file is not None and (block := file.read(_BLOCK)):
        yield block


def ask(
    path: str,
    command: str,
    arguments: Mapping[str, Any],
    content: BinaryIO | None = None,
    say: Say = say_nothing,
    take: Take = take_nothing,
) -> Any:
    """Have a running sandbox perform a command; raises ConnectionRefusedError or FileNotFoundError
    when there is none, else what the command raises."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_PATIENCE)
        connection.connect(path)
        try:
            _send(connection, {"command": command, "arguments": arguments}, content)
            with connection.makefile("rb") as messages:
                answer = _last(messages, say, take)
        except (OSError, ValueError) as exc:
            raise Unavailable("The running sandbox did not answer") from exc
    if "error" not in answer:
        return answer["result"]
    error = answer["error"]
    if error["code"] == BackpackError.code:
        raise BackpackError("The running sandbox failed; its output says why")
    raise Invalid(error["message"], code=error["code"], fields=error.get("fields"))


def _send(connection: socket.socket, asked: Mapping[str, Any], content: BinaryIO | None) -> None:
    left = 0
    if content is not None:
        left = content.seek(0, os.SEEK_END)
        content.seek(0)
    connection.sendall(json.dumps({**asked, "content": left}).encode() + b"\n")
    while content is not None and left:
        block = content.read(min(left, _BLOCK))
        if not block:
            raise Invalid("The file became shorter while it was read")
        left -= len(block)
        connection.sendall(block)


def _last(messages: BinaryIO, say: Say, take: Take) -> dict[str, Any]:
    """The message that ends a command; lines before it go to `say`, bytes to `take`."""
    while True:
        message: dict[str, Any] = json.loads(messages.readline())
        if "line" in message:
            say(message["line"])
        elif "bytes" in message:
            take(messages.read(message["bytes"]))
        elif message:
            return message
