"""A deployment of Backpack in a lab: put up as a user does, and asked by the command line."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.sandboxes import command
from tests.swarm.lab import Lab
from tests.swarm.web import App, Edge

EMAIL = "ops@example.com"


class Deployment:
    """`laps`: seconds that each step took, by its name."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.edge = Edge(lab)
        self.laps: dict[str, float] = {}
        self.notes: list[str] = []
        self.setup = ""
        # A machine without a name server tells so after a second.
        patience = {"RES_OPTIONS": "timeout:1 attempts:1"}
        self._environment = {**os.environ, **patience, "DOCKER_HOST": lab.docker_host}

    def up(self, *options: str) -> dict[str, Any]:
        """Put it up, with the lab's certificate authority."""
        with self.lap("swarm up"):
            made = json.loads(
                self.swarm(
                    *("up", "--domain", self.lab.domain, "--email", EMAIL, "--json"),
                    *("--ca", self.lab.acme_url, "--ca-root", str(self.lab.acme_ca), *options),
                )
            )
        assert isinstance(made, dict)
        self.setup = made["setup"] or self.setup
        return made

    def swarm(self, *words: str) -> str:
        """What `backpack swarm` says."""
        return self.finished("swarm", *words).stdout

    def finished(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command of Backpack that has been run on this machine."""
        done = subprocess.run(
            command(*words), env=self._environment, capture_output=True, text=True, timeout=300
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    @property
    def admin(self) -> str:
        """The id of the admin's container."""
        return self.lab.docker("ps", "--quiet", "--filter", "name=backpack_admin").strip()

    def inside(self, *words: str) -> Any:
        """The result of a command of Backpack inside the admin."""
        return json.loads(self.lab.docker("exec", self.admin, "backpack", *words, "--json"))

    def containers(self, app: App) -> set[str]:
        """The ids of the containers of a backpack's API, on the first machine."""
        name = f"name=^bp-{app.name}_api"
        return set(self.lab.docker("ps", "--quiet", "--filter", name).split())

    def kill(self, service: str) -> None:
        """End a container of a service, as `kill -9` does."""
        found = self.lab.docker("ps", "--quiet", "--filter", f"name=^{service}").split()
        self.lab.docker("kill", found[0])

    def attempt(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of Backpack inside the admin, which may fail."""
        return subprocess.run(
            ["docker", "--host", self.lab.docker_host, "exec", self.admin, "backpack", *words],
            capture_output=True,
            text=True,
            timeout=300,
        )

    def deploy(self, name: str, site: bytes) -> None:
        """Make a zip the site of a backpack."""
        inside = ("docker", "--host", self.lab.docker_host, "exec", "--interactive", self.admin)
        subprocess.run([*inside, "sh", "-c", "cat >/tmp/site.zip"], input=site, check=True)
        self.inside("deploy", "/tmp/site.zip", "--backpack", name)

    def traces(self) -> dict[str, list[str]]:
        """The names of everything that there is in the swarm."""
        return {
            kind: sorted(self.lab.docker(kind, "ls", "--format", "{{.Name}}").split())
            for kind in ("service", "network", "volume", "secret", "config")
        }

    def status(self) -> Any:
        """What `backpack swarm status` tells."""
        return json.loads(self.swarm("status", "--json"))

    def note(self, what: str, report: object) -> None:
        """Keep what a load test has found, to be told at the end."""
        self.notes.append(f"{what}: {report}")

    def create(self, name: str) -> App:
        """A new backpack, as soon as its backend answers."""
        with self.lap(f"create {name}"):
            made = self.inside("create", name)
        with self.lap(f"first 200 of {name}"):
            self.edge.until_answers(f"{name}-be.{self.lab.domain}")
        return App(self.edge, name, made["api_key"], self.lab.domain)

    def remove(self, name: str) -> None:
        """Delete a backpack and everything in it."""
        self.inside("delete", name)
        self.inside("purge", name)

    def told(self) -> str:
        """How long each step took."""
        laps = [f"{seconds:6.1f} s  {what}" for what, seconds in self.laps.items()]
        return "\n".join(["", *laps, *self.notes])

    @contextmanager
    def lap(self, what: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.laps[what] = time.monotonic() - began
