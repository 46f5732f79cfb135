"""The admin host of another deployment, as the command line reaches it: with a token, over HTTPS.

What is wrong is told in one line; the token never is.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import json
import os
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO
from urllib.parse import quote, urlsplit

from . import __version__
from .errors import BackpackError, Invalid, Unavailable
from .steps import Say

_PATIENCE = 120.0  # seconds without a word, also while content goes out
_CONNECT = 15.0  # seconds
_BLOCK = 262_144  # bytes that are sent at once
_MAX_LINE = 1_048_576  # bytes of what is answered


@dataclass(frozen=True)
class Remote:
    """An admin host, such as https://admin.example.com."""

    origin: str
    token: str

    def __post_init__(self) -> None:
        """Raises Invalid for what is no such URL, and for what can be no token."""
        _parse(self.origin)
        if not self.token:
            raise Invalid(
                f"{self.origin} wants a token: make one in its panel, and set BACKPACK_TOKEN to it"
            )
        if not re.fullmatch("[!-~]{1,200}", self.token):
            raise Invalid("The token is none: give it as the panel has shown it")

    def send(self, method: str, path: str, content: BinaryIO, say: Say) -> Any:
        """The result of what is asked for with `content` as the body; lines before it go to `say`.

        Raises Invalid for what the other side refuses, Unavailable
        where it cannot be reached, or breaks off.
        """
        with self._explained():
            connection = _connect(self.origin)
            with contextlib.closing(connection):
                self._ask(connection, method, path, content)
                return self._result(connection.getresponse(), say)

    def _ask(
        self, connection: http.client.HTTPConnection, method: str, path: str, content: BinaryIO
    ) -> None:
        left = content.seek(0, os.SEEK_END)
        content.seek(0)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in (
            ("host", urlsplit(self.origin).netloc),
            ("authorization", f"token {self.token}"),
            ("content-type", "application/octet-stream"),
            ("content-length", str(left)),
            ("user-agent", f"backpack/{__version__}"),
        ):
            connection.putheader(name, value)
        connection.endheaders()
        # Who refuses may close before all is there: the answer says why.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while left:
                block = content.read(min(left, _BLOCK))
                if not block:
                    raise Invalid("The file became shorter while it was read")
                left -= len(block)
                connection.send(block)

    def _result(self, answer: http.client.HTTPResponse, say: Say) -> Any:
        if answer.status != 200 or answer.headers.get_content_type() != "application/x-ndjson":
            raise self._refusal(answer)
        while line := answer.readline(_MAX_LINE):
            message = json.loads(line.strip() or "{}")  # an empty one says that it goes on
            if "line" in message:
                say(_printable(message["line"]))
            elif "error" in message:
                raise self._error(message["error"])
            elif "result" in message:
                return message["result"]
        raise http.client.IncompleteRead(b"")

    def _refusal(self, answer: http.client.HTTPResponse) -> BackpackError:
        body = answer.read(_MAX_LINE)
        with contextlib.suppress(ValueError, LookupError, TypeError):
            return self._error(json.loads(body))
        if 300 <= answer.status < 400:
            where = _printable(answer.headers.get("location", "elsewhere"))[:200]
            return Invalid(f"{self.origin}: is not here but at {where}: give that with --to")
        return Invalid(
            f"{self.origin}: this is not the admin host of a Backpack, "
            f"it answers with {answer.status}"
        )

    def _error(self, error: Any) -> BackpackError:
        message, code = _printable(str(error["message"])), str(error["code"])
        if code == BackpackError.code:
            return Unavailable(f"{self.origin}: it failed; its log says why")
        return Invalid(f"{self.origin}: {message}", code=code)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Says of a connection that fails inside what is wrong with it."""
        try:
            yield
        except socket.gaierror as exc:
            why = f"there is no such host ({exc.strerror})"
        except ssl.SSLCertVerificationError as exc:
            why = f"its certificate is not valid: {exc.verify_message}"
        except ssl.SSLError as exc:
            why = f"it speaks no TLS ({exc.reason})"
        except ConnectionRefusedError:
            why = "nobody listens there"
        except TimeoutError:
            why = "it does not answer"
        except (http.client.HTTPException, ConnectionError, ValueError, TypeError, LookupError):
            why = "the connection broke off; its panel shows how far it has come"
        except OSError as exc:
            why = str(exc.strerror or exc)
        else:
            return
        raise Unavailable(f"{self.origin}: {why}")


def path_of(name: str, what: str) -> str:
    """The path of what belongs to a backpack, such as its `site`."""
    return f"/api/backpacks/{quote(name, safe='')}/{what}"


def _parse(origin: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of an admin host's URL; raises Invalid."""
    example = "give the admin host, such as https://admin.example.com"
    try:
        parts = urlsplit(origin)
        host, port = parts.hostname or "", parts.port
    except ValueError as exc:
        raise Invalid(f"{origin!r} is no URL: {example}") from exc
    is_bare = parts.path in ("", "/") and not parts.query and not parts.fragment
    if parts.scheme not in ("http", "https") or not host or not is_bare or "@" in parts.netloc:
        raise Invalid(f"{origin!r} is no URL of a host: {example}")
    if parts.scheme == "http" and not _is_here(host):
        raise Invalid(f"{origin} would have the token unencrypted on the way: use https")
    return parts.scheme, host, port


def _is_here(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _connect(origin: str) -> http.client.HTTPConnection:
    scheme, host, port = _parse(origin)
    # Not every resolver knows that names under localhost are this machine (RFC 6761).
    place = "127.0.0.1" if host.endswith(".localhost") else host
    if scheme == "http":
        connection = http.client.HTTPConnection(place, port, timeout=_CONNECT)
    else:
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(host, port, timeout=_CONNECT, context=context)
    connection.connect()
    connection.sock.settimeout(_PATIENCE)
    return connection


def _printable(text: Any) -> str:
    """What somebody else has said, without what a terminal would obey."""
    return "".join(char if char.isprintable() else "?" for char in str(text))
