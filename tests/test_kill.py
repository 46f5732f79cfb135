"""An answered write survives the end of the process, however that ends."""

from __future__ import annotations

import itertools
import json
import random
import signal
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx

from tests.sandboxes import Sandbox

ROUNDS = 20
WRITERS = 16
# So much that the log is moved into the file in the midst of it, again and again.
TEXT = "x" * 5_000


def write_until_killed(
    sandbox: Sandbox, session: dict[str, str], kept: dict[str, Any], started: threading.Barrier
) -> None:
    """Create, merge and delete, and note in `kept` what has been answered; None for deleted."""
    with sandbox.client(**session) as client:
        started.wait()
        try:
            for n in itertools.count():
                record = client.post("/notes", json={"n": n, "text": TEXT}).json()
                kept[record["_id"]] = record
                if n % 3 == 1:
                    kept[record["_id"]] = client.patch(
                        f"/notes/{record['_id']}", json={"n": -n}
                    ).json()
                if n % 5 == 4:
                    client.delete(f"/notes/{record['_id']}").raise_for_status()
                    kept[record["_id"]] = None
        except (httpx.TransportError, json.JSONDecodeError):
            return


def check_kept(client: httpx.Client, kept: dict[str, Any]) -> None:
    there = {record["_id"]: record for record in client.get("/notes?fields=n").json()}
    for record_id, record in kept.items():
        found = there.get(record_id)
        if record is None:
            assert found is None
            continue
        n = record["n"]
        # What was under way when the process died may have happened: the merge, the deletion.
        if found is not None:
            assert found["n"] in ((n, -n) if n > 0 and n % 3 == 1 else (n,))
        else:
            assert abs(n) % 5 == 4, f"answered, but lost: {record}"


def test_answered_writes_survive_kill(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path, "--data", "data")
    account = {"email": "ada@example.com", "password": "correct horse battery"}
    with sandbox.client() as guest:
        guest.post("/register", json=account).raise_for_status()
        token = guest.post("/login", json={**account, "token": True}).json()["token"]
    session = {"x-backpack-session": token}
    with sandbox.client(**session) as client:
        client.post("/collections", json={"collectionName": "notes"}).raise_for_status()
    kept: dict[str, Any] = {}

    for _ in range(ROUNDS):
        started = threading.Barrier(WRITERS + 1)
        writers = [
            threading.Thread(target=write_until_killed, args=(sandbox, session, kept, started))
            for _ in range(WRITERS)
        ]
        for writer in writers:
            writer.start()
        started.wait()
        written = len(kept)
        enough = written + random.randint(150, 350)
        while len(kept) < enough:  # the writers are in full swing
            writers[0].join(0.01)
        sandbox.stop(signal.SIGKILL)
        for writer in writers:
            writer.join()
        sandbox = Sandbox(tmp_path, "--data", "data")
        with sandbox.client(**session) as client:
            assert client.get("/me").json()["email"] == "ada@example.com"
            check_kept(client, kept)

    (file,) = tmp_path.rglob("documents.sqlite3")
    assert file.stat().st_size > 4_000_000, "the log was never moved into the file"
    assert sandbox.stop().code == 0
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("PRAGMA quick_check").fetchone() == ("ok",)
