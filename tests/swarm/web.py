"""Clients of a lab's edge: every host is there, and its authority has signed their certificates."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.swarm.lab import Lab
from tests.talk import Socket

PATIENCE = 30.0  # seconds for one answer

LOGIN = {"email": "ada@example.com", "password": "correct horse battery"}


class Edge:
    """What there is behind ports 80 and 443 of a lab."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.address = lab.edge
        self.trust = ssl.create_default_context(cafile=str(lab.acme_root))
        # Two threads use a websocket. With TLS 1.3 the one that reads is handed tickets meanwhile,
        # for which OpenSSL changes what the other one writes by: at times neither goes on.
        self.trust.maximum_version = ssl.TLSVersion.TLSv1_2

    def client(self, host: str, headers: Mapping[str, str] | None = None) -> httpx.Client:
        """A client of one host."""
        return httpx.Client(
            base_url=f"https://{self.address}",
            headers={"host": host, **(headers or {})},
            transport=_Named(host, self.trust),
            timeout=PATIENCE,
        )

    def issuer(self, host: str) -> str:
        """Who has signed the certificate of a host; raises ssl.SSLError for one that is not
        trusted."""
        with (
            socket.create_connection((self.address, 443), PATIENCE) as raw,
            self.trust.wrap_socket(raw, server_hostname=host) as secure,
        ):
            found: Any = secure.getpeercert()
        return str(dict(part[0] for part in found["issuer"])["commonName"])

    def until_answers(self, host: str, path: str = "/healthz", patience: float = 60.0) -> float:
        """Seconds until a host answers 200 with a certificate that is trusted."""
        began = time.monotonic()
        last: object = None
        while time.monotonic() - began < patience:
            try:
                with self.client(host) as client:
                    answer = client.get(path)
                if answer.status_code == 200:
                    return time.monotonic() - began
                last = answer.text
            except httpx.TransportError as exc:
                last = exc
            time.sleep(0.05)
        log = self.lab.docker("service", "logs", "--raw", "--tail", "30", "backpack_traefik")
        raise AssertionError(f"{host} does not answer: {last}\n{log}")


class _Named(httpx.HTTPTransport):
    """Asks for the certificate of `host`, whatever address the URL has."""

    def __init__(self, host: str, trust: ssl.SSLContext) -> None:
        super().__init__(verify=trust)
        self._host = host

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions = {**request.extensions, "sni_hostname": self._host}
        return super().handle_request(request)


@dataclass
class App:
    """A backpack as its users have it: `client` has its key, and after `login` a session."""

    edge: Edge
    name: str
    key: str
    domain: str
    token: str = field(default="", repr=False)

    @property
    def host(self) -> str:
        return f"{self.name}-be.{self.domain}"

    def __post_init__(self) -> None:
        self.client = self.edge.client(self.host, {"authorization": f"key {self.key}"})

    def login(self) -> App:
        """Register and sign in a user."""
        self.client.post("/register", json=LOGIN).raise_for_status()
        return self.again()

    def again(self) -> App:
        """Sign in the user once more."""
        answer = self.client.post("/login", json={**LOGIN, "token": True}).raise_for_status()
        self.token = answer.json()["token"]
        self.client.headers["x-backpack-session"] = self.token
        return self

    def collection(self, name: str) -> None:
        self.client.post("/collections", json={"collectionName": name}).raise_for_status()

    def add(self, collection: str, **document: Any) -> dict[str, Any]:
        made = self.client.post(f"/{collection}", json=document).raise_for_status().json()
        assert isinstance(made, dict)
        return made

    def all(self, collection: str) -> list[dict[str, Any]]:
        found = self.client.get(f"/{collection}").raise_for_status().json()
        assert isinstance(found, list)
        return found

    def upload(self, filename: str, content: bytes) -> None:
        self.client.post(
            "/uploads",
            data={"bucket": "b", "filename": filename},
            files={"file": (filename, content)},
        ).raise_for_status()

    def socket(self, query: str = "") -> Socket:
        """A websocket of the user."""
        stack = ExitStack()
        connection = stack.enter_context(
            connect(
                f"wss://{self.host}/{query}",
                sock=socket.create_connection((self.edge.address, 443), PATIENCE),
                ssl=self.edge.trust,
                server_hostname=self.host,
                subprotocols=[
                    Subprotocol(one) for one in ("backpack", f"backpack.session.{self.token}")
                ],
                compression=None,
                open_timeout=PATIENCE,
                ping_interval=None,
                max_size=None,
                max_queue=None,
            )
        )
        made = Socket(connection, stack)
        made.greeting = json.loads(connection.recv(PATIENCE))
        return made

    def close(self) -> None:
        self.client.close()


def until(look: Callable[[], Any], what: str, patience: float = 60.0) -> Any:
    """What `look` finds, as soon as that is something."""
    ends = time.monotonic() + patience
    while not (found := look()):
        assert time.monotonic() < ends, what
        time.sleep(0.1)
    return found
