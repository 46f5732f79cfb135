"""One backpack by Docker Compose: the whole file, and that it runs."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from backpack.drivers.compose import Composition, compose
from backpack.drivers.deployment import Deployment
from backpack.errors import Invalid
from tests.sandboxes import command, environment
from tests.swarm.lab import Lab
from tests.swarm.test_stacks import EXPECTED, HOSTILE
from tests.swarm.web import until

PLAIN = Deployment("bkpk.localhost")
SHOP = Composition("shop", secret="s3cret", api_key="shop-key-1")
FILES = {
    "compose": compose(PLAIN, SHOP),
    "compose-full": compose(
        Deployment("example.com", email="me@example.com", image="backpack:1.0"),
        Composition("shop", secret="s3cret", site="/srv/my $ite"),
    ),
}
PATIENCE = 60.0  # seconds


@pytest.mark.parametrize("name", FILES)
def test_file_is_as_expected(name: str) -> None:
    file = EXPECTED / f"{name}.yml"
    if os.environ.get("BACKPACK_WRITE_EXPECTED") == "1":
        file.write_text(FILES[name], "utf-8")

    assert FILES[name] == file.read_text("utf-8")


@given(st.sampled_from(["name", "api_key", "site"]), HOSTILE | HOSTILE.map("/{}".format))
@example("site", '/x"}\nservices: {evil: {image: evil}}')
@example("api_key", "$HOME-and-more")
def test_no_text_changes_structure(name: str, text: str) -> None:
    values: dict[str, Any] = {name: text}
    try:
        found = yaml.safe_load(compose(PLAIN, dataclasses.replace(SHOP, **values)))
    except Invalid:
        return

    assert list(found["services"]) == ["traefik", "api", "site", "mongo", "redis"]
    assert len(found["services"]["site"]["volumes"]) == (2 if values.get("site") else 1)
    assert found["services"]["traefik"]["ports"] == ["127.0.0.1:8000:8080"]


def test_passwords_are_the_same_next_time_and_nowhere_else(tmp_path: Path) -> None:
    def said(*words: str) -> str:
        return subprocess.run(
            command("compose", *words),
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    first, again, other = said("shop"), said("shop"), said("shop", "--data", "other")

    assert first == again
    assert (tmp_path / ".backpack" / "secret").stat().st_mode & 0o777 == 0o600
    passwords = set(re.findall(r"[0-9a-f]{32,}", first))
    assert len(passwords) == 3
    assert passwords.isdisjoint(re.findall(r"[0-9a-f]{32,}", other))


@dataclass(frozen=True)
class Composed:
    """What Docker Compose runs; `get` asks it from the machine that it runs on."""

    lab: Lab
    file: Path

    def compose(self, *words: str) -> str:
        return subprocess.run(
            [self.lab.tools / "docker-compose", "--file", self.file, *words],
            env={**os.environ, "DOCKER_HOST": self.lab.docker_host},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def ask(self, host: str, path: str, *options: str) -> tuple[int, str]:
        """Status and body of an answer."""
        url = f"http://127.0.0.1:8000{path}"
        asked = ("curl", "--silent", "--header", f"host: {host}.bkpk.localhost:8000")
        ended = subprocess.run(
            self.lab.inside(
                self.lab.nodes[0], *asked, "--write-out", "\n%{http_code}", *options, url
            ),
            capture_output=True,
            text=True,
            check=False,
        )
        body, _, status = ended.stdout.rpartition("\n")
        return int(status or 0), body

    def post(self, path: str, body: str) -> tuple[int, str]:
        key = ("--header", "authorization: key shop-key-1")
        kind = ("--header", "content-type: application/json")
        return self.ask("shop-be", path, *key, *kind, "--data", body)

    def health(self) -> dict[str, str]:
        """What Docker says of each service that it looks at."""
        rows = self.compose("ps", "--format", "{{.Service}} {{.Health}}").splitlines()
        return {service: health for service, _, health in (row.partition(" ") for row in rows)}

    def wait(self) -> None:
        ends = time.monotonic() + PATIENCE
        while self.ask("shop-be", "/healthz")[0] != 200:
            assert time.monotonic() < ends, self.compose("logs")
            time.sleep(0.1)


@pytest.fixture
def composed(lab: Lab, tmp_path: Path) -> Iterator[Composed]:
    """A backpack `shop` that Docker Compose runs on a node of the lab."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text("<h1>The shop</h1>", "utf-8")
    file = tmp_path / "compose.yml"
    file.write_text(compose(PLAIN, dataclasses.replace(SHOP, site=str(site))), "utf-8")
    made = Composed(lab, file)
    made.compose("up", "--detach", "--pull", "never")
    made.wait()
    yield made
    made.compose("down", "--volumes", "--timeout", "1")


def test_compose_runs_a_backpack(composed: Composed) -> None:
    account = '{"email": "ada@example.com", "password": "correct horse"}'

    assert composed.post("/register", account)[0] == 200
    composed.compose("down", "--timeout", "1")
    composed.compose("up", "--detach", "--pull", "never")
    composed.wait()

    well = dict.fromkeys(("api", "mongo", "redis", "site"), "healthy")
    until(lambda: composed.health() == {**well, "traefik": ""}, "all is well")
    assert composed.post("/login", account)[0] == 200
    until(lambda: composed.ask("shop", "/") == (200, "<h1>The shop</h1>"), "the site is there")
    assert composed.ask("shop", "/nope.js")[0] == 404
    assert composed.ask("shop-be", "/", "--header", "authorization: key no-key")[0] == 401
