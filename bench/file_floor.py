"""What Sanic itself can do with files: its own static files, and a body that is copied to a file.

Usage: file_floor.py READY_FILE FOLDER. Serves `FOLDER/file` at `/file`, writes to `FOLDER/copy-N`.
"""

from __future__ import annotations

import itertools
import json
import socket
import sys
from pathlib import Path
from typing import Any

from sanic import HTTPResponse, Request, Sanic, text

ready, folder = Path(sys.argv[1]), Path(sys.argv[2])
numbers = itertools.count()
app = Sanic("file-floor", configure_logging=False)
app.static("/file", folder / "file")


@app.put("/copy", stream=True)
async def copy(request: Request) -> HTTPResponse:
    stream: Any = request.stream
    part = folder / f"copy-{next(numbers)}"
    with part.open("wb") as file:
        while (chunk := await stream.read()) is not None:
            file.write(chunk)
    # Not over an older copy: ext4 would write that to the disk first (auto_da_alloc, ext4(5)).
    part.unlink()
    return text("copied")


@app.after_server_start
async def tell(_app: Any) -> None:
    ready.write_text(json.dumps({"port": listener.getsockname()[1]}))


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", 0), backlog=1_024)
    app.run(sock=listener, single_process=True, access_log=False, motd=False)
