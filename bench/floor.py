"""What Sanic itself can do here: a constant JSON answer of 150 bytes.

Usage: floor.py READY_FILE.
"""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any

from sanic import HTTPResponse, Request, Sanic

BODY = json.dumps({"pad": "x" * 139}).encode()

app = Sanic("floor", configure_logging=False)


@app.get("/")
async def constant(_: Request) -> HTTPResponse:
    return HTTPResponse(BODY, content_type="application/json")


@app.after_server_start
async def tell(_app: Any) -> None:
    Path(sys.argv[1]).write_text(json.dumps({"port": listener.getsockname()[1]}))


if __name__ == "__main__":
    assert len(BODY) == 150
    listener = socket.create_server(("127.0.0.1", 0), backlog=1_024)
    app.run(sock=listener, single_process=True, access_log=False, motd=False)
