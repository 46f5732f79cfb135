"""From one running sandbox to another, by the command line and a token of the other one's panel."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import httpx

from tests.sandboxes import Ended, Sandbox, command, environment

ACCOUNT = {"email": "ada@example.com", "password": "correct horse battery"}


def run(folder: Path, *arguments: str | Path, **variables: str) -> Ended:
    asked = command(*arguments, "--data", folder)
    done = subprocess.run(
        asked, env={**environment(), **variables}, capture_output=True, text=True, check=False
    )
    return Ended(done.returncode, done.stdout, done.stderr)


class Panel:
    """A browser that a sandbox's one-time link has let in."""

    def __init__(self, sandbox: Sandbox, data: Path) -> None:
        self.admin: str = sandbox.ready["admin"]
        self._http = httpx.Client(
            base_url=f"http://127.0.0.1:{sandbox.ready['port']}",
            headers={"host": self.admin.removeprefix("http://"), "origin": self.admin},
            timeout=60.0,
        )
        link = json.loads(run(data, "link", "--json").out)["url"]
        opened = self._http.post(link.removeprefix(self.admin))
        self._http.headers["cookie"] = opened.headers["set-cookie"].partition(";")[0]
        page = self._http.get("/backpacks/shop").text
        found = re.search(r'name="csrf-token" content="([^"]+)"', page)
        assert found is not None, page
        self._http.headers["x-csrf-token"] = found[1]

    def token(self, scope: str) -> str:
        body = {"name": f"laptop {scope}", "scope": scope, "days": 1}
        answer = self._http.post("/api/backpacks/shop/tokens", json=body)
        answer.raise_for_status()
        secret: str = answer.json()["token"]
        return secret

    def close(self) -> None:
        self._http.close()


def fill(sandbox: Sandbox) -> Any:
    """A user and a record of theirs; the record."""
    with sandbox.client("shop") as client:
        client.post("/register", json=ACCOUNT).raise_for_status()
        token = client.post("/login", json={**ACCOUNT, "token": True}).json()["token"]
        client.headers["x-backpack-session"] = token
        client.post("/collections", json={"collectionName": "cars"}).raise_for_status()
        return client.post("/cars", json={"brand": "Volvo"}).json()


def found(sandbox: Sandbox, path: str) -> Any:
    """What the user is told who came along."""
    with sandbox.client("shop") as client:
        token = client.post("/login", json={**ACCOUNT, "token": True}).json()["token"]
        return client.get(path, headers={"x-backpack-session": token}).json()


def test_promote_from_sandbox_to_sandbox(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    site = tmp_path / "dist"
    site.mkdir()
    (site / "index.html").write_text("<h1>Shop</h1>")
    with (
        Sandbox(tmp_path, "--data", here, "--backpack", "shop") as source,
        Sandbox(tmp_path, "--data", there, "--backpack", "shop") as target,
    ):
        made = fill(source)
        assert run(here, "deploy", site, "--backpack", "shop").code == 0
        panel = Panel(target, there)
        to = ("promote", "shop", "--to", panel.admin)
        secret = panel.token("restore")
        with_data = run(here, *to, "--with-data", BACKPACK_TOKEN=secret)
        site_only = run(here, *to, "--token", secret)
        wrong = run(here, *to, BACKPACK_TOKEN=panel.token("deploy"))
        panel.close()
        record = found(target, f"/cars/{made['_id']}")
        page = target.get("shop").text

    assert (with_data.code, with_data.err) == (0, "")
    assert (site_only.code, site_only.err) == (0, "")
    assert with_data.out.splitlines()[-1] == f"shop has been promoted to {panel.admin}"
    assert record == made
    assert page == "<h1>Shop</h1>"
    assert wrong.code == 2
    assert wrong.err == (
        f"backpack: {panel.admin}: The token 'laptop deploy' is to deploy shop, not to restore "
        "shop\n"
    )
