"""What Sanic itself can do here: a constant JSON answer of 150 bytes.

Usage: floor.py READY_FILE.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import uvloop
from sanic import HTTPResponse, Request, Sanic

from backpack.server import Server

BODY = json.dumps({"pad": "x" * 139}).encode()

app = Sanic("floor", configure_logging=False)


@app.get("/")
async def constant(_: Request) -> HTTPResponse:
    return HTTPResponse(BODY, content_type="application/json")


async def main() -> None:
    server = Server(app)
    await server.start("127.0.0.1", 0)
    Path(sys.argv[1]).write_text(json.dumps({"port": server.port}))
    await asyncio.Event().wait()


if __name__ == "__main__":
    assert len(BODY) == 150
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
