"""The panel of a real sandbox: its links from the command line, and what survives a kill."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import httpx
import pytest

from backpack.registry import FILE
from tests.sandboxes import Sandbox, command, environment

COOKIE = "__Host-backpack"


def link_by_command(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command("link", "--data", "data", *options),
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def ask(sandbox: Sandbox, method: str, path: str, cookie: str = "") -> httpx.Response:
    """What the panel answers to a browser with that session."""
    origin = sandbox.ready["admin"]
    headers = {"host": origin.removeprefix("http://"), "origin": origin}
    if cookie:
        headers["cookie"] = f"{COOKIE}={cookie}"
    kind = {"content-type": "application/x-www-form-urlencoded"} if method == "POST" else {}
    url = f"http://127.0.0.1:{sandbox.ready['port']}{path}"
    return httpx.request(method, url, headers={**headers, **kind}, timeout=30.0)


def open_link(sandbox: Sandbox, link: str) -> str:
    """The session that a link begins; "" where it does not work."""
    answer = ask(sandbox, "POST", link.removeprefix(sandbox.ready["admin"]))
    cookie: str = answer.headers.get("set-cookie", "=;")
    return cookie.partition("=")[2].partition(";")[0]


def test_links_open_the_panel_and_a_session_survives_a_kill(tmp_path: Path) -> None:
    with Sandbox(tmp_path, "--data", "data") as sandbox:
        printed = sandbox.table[3].split()[-1]
        fresh = link_by_command(tmp_path).stdout.strip()
        assert open_link(sandbox, printed) == ""
        session = open_link(sandbox, fresh)
        assert open_link(sandbox, fresh) == ""
        assert ask(sandbox, "GET", "/account", session).status_code == 200
        sandbox.stop(signal.SIGKILL)

    with Sandbox(tmp_path, "--data", "data") as again:
        assert ask(again, "GET", "/account", session).status_code == 200
        assert ask(again, "GET", "/account").status_code == 303
        as_json = json.loads(link_by_command(tmp_path, "--json").stdout)
        assert list(as_json) == ["url"]
        assert open_link(again, as_json["url"]) != ""

    assert (tmp_path / "data" / FILE).stat().st_mode & 0o777 == 0o600


def test_no_link_without_a_sandbox(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    told = link_by_command(tmp_path)

    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr == (
        "backpack: No sandbox is running: backpack dev starts one, and prints a link\n"
    )


def test_link_of_a_sandbox_in_memory(tmp_path: Path) -> None:
    pytest.importorskip("fakeredis")
    with Sandbox(tmp_path, "--memory") as sandbox:
        session = open_link(sandbox, sandbox.table[3].split()[-1])

        assert ask(sandbox, "GET", "/account", session).status_code == 200
