"""Ports of containers that no network leads to, on this machine: a process in the network of the
container takes what connects here. The module itself is the program that is run."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
from pathlib import Path

from tests.sandboxes import environment
from tests.swarm.lab import Lab, Node


class Forwarding:
    """What connects to `port` of this machine is connected to a port of a container."""

    def __init__(self, lab: Lab, node: Node, container: str, port: int) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port: int = listener.getsockname()[1]
            number = listener.fileno()
            self._process = subprocess.Popen(
                lab.inside_container(
                    node, container, sys.executable, "-m", __name__, str(number), str(port)
                ),
                cwd=Path(__file__).parents[2],
                env=environment(),
                pass_fds=[number],
            )

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


async def _serve(number: int, port: int) -> None:
    listener = socket.socket(fileno=number)

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            there, back = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(_copy(reader, back), _copy(there, writer))

    async with await asyncio.start_server(converse, sock=listener) as server:
        await server.serve_forever()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


if __name__ == "__main__":
    asyncio.run(_serve(*map(int, sys.argv[1:])))
