"""What the command line says of other deployments that do not do what they should."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from backpack import cli, remote

TOKEN = "bkpk_very-secret"
HEAD = b"HTTP/1.1 %b\r\nconnection: close\r\n"
STEPS = HEAD % b"200 OK" + b"content-type: application/x-ndjson\r\n\r\n"


class Other:
    """A server that answers each request by the same bytes, and keeps what it was sent."""

    def __init__(self, answer: bytes | None, tls: ssl.SSLContext | None = None) -> None:
        self.sent = b""
        self._answer = answer
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        try:
            accepted, _ = self._listener.accept()
            with ExitStack() as stack:
                connection = stack.enter_context(closing(accepted))
                if self._tls is not None:
                    wrapped = self._tls.wrap_socket(connection, server_side=True)
                    connection = stack.enter_context(closing(wrapped))
                self._read(connection)
                if self._answer is None:
                    self._done.wait(30)
                else:
                    connection.sendall(self._answer)
        except OSError:  # the client has gone, or the test is over
            return

    def _read(self, connection: socket.socket) -> None:
        while b"\r\n\r\n" not in self.sent:
            self.sent += connection.recv(65_536)
        head, _, body = self.sent.partition(b"\r\n\r\n")
        lengths = [line for line in head.split(b"\r\n") if line.startswith(b"content-length: ")]
        left = int(lengths[0].split()[1]) - len(body)
        while left > 0:
            block = connection.recv(65_536)
            self.sent += block
            left -= len(block) or left

    def stop(self) -> None:
        self._done.set()
        self._listener.close()
        self._thread.join(30)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BACKPACK_TOKEN", TOKEN)
    folder = tmp_path / "dist"
    folder.mkdir()
    (folder / "index.html").write_text("<h1>Shop</h1>" * 1_000)
    return folder


def deploy(site: Path, to: str, *more: str) -> int:
    try:
        return cli.main(["deploy", str(site), "--backpack", "shop", "--to", to, *more])
    except SystemExit as exc:
        return int(exc.code or 0)


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on standard error."""
    out, err = capsys.readouterr()
    assert TOKEN not in out + err
    assert err.count("\n") == 1
    return err.removeprefix("backpack: ").removesuffix("\n")


def test_token_and_compressed_zip_go_out(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = b'{"name":"shop","version":3,"url":"https://shop.example.com"}'
    other = Other(STEPS + b'{"line":"Received \\u001b[31m1 kB"}\n{"result":%b}\n' % result)
    code = deploy(site, f"http://admin.bkpk.localhost:{other.port}/")
    other.stop()
    head, _, body = other.sent.partition(b"\r\n\r\n")

    assert (code, capsys.readouterr().out.splitlines()) == (
        0,
        ["Received ?[31m1 kB", "shop has a new site: https://shop.example.com"],
    )
    assert head.startswith(b"POST /api/backpacks/shop/site HTTP/1.1\r\n")
    assert f"\r\nhost: admin.bkpk.localhost:{other.port}\r\n".encode() in head
    assert f"\r\nauthorization: token {TOKEN}\r\n".encode() in head
    assert (body[:4], len(body) < 1_000) == (b"PK\3\4", True)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        pytest.param(
            HEAD % b"401 No" + b'\r\n{"message":"There is no such token here","code":"bad_token"}',
            "There is no such token here",
            id="refused",
        ),
        pytest.param(
            STEPS + b'{"line":"Received"}\n{"error":{"message":"no\\nzip","code":"bad_site"}}\n',
            "no?zip",
            id="fails later",
        ),
        pytest.param(
            HEAD % b"301 Moved" + b"location: https://www.example.com/\r\n\r\n",
            "is not here but at https://www.example.com/: give that with --to",
            id="redirect",
        ),
        pytest.param(
            HEAD % b"404 Not Found" + b"\r\n<h1>no</h1>",
            "this is not the admin host of a Backpack, it answers with 404",
            id="another server",
        ),
        pytest.param(
            HEAD % b"200 OK" + b'\r\n["hello"]',
            "this is not the admin host of a Backpack, it answers with 200",
            id="JSON of another",
        ),
        pytest.param(
            HEAD % b"500 Oops" + b'\r\n{"message": "Something", "code": "internal_error"}',
            "it failed; its log says why",
            id="their bug",
        ),
        pytest.param(
            STEPS + b'{"line":"Received"}\n',
            "the connection broke off; its panel shows how far it has come",
            id="broken off",
        ),
        pytest.param(
            STEPS + b"<html>\n",
            "the connection broke off; its panel shows how far it has come",
            id="no JSON",
        ),
        pytest.param(
            b"SSH-2.0-OpenSSH\r\n",
            "the connection broke off; its panel shows how far it has come",
            id="no HTTP",
        ),
        pytest.param(
            b"",
            "the connection broke off; its panel shows how far it has come",
            id="hangs up",
        ),
    ],
)
def test_what_they_answer_is_told(
    site: Path, capsys: pytest.CaptureFixture[str], answer: bytes, why: str
) -> None:
    other = Other(answer)
    origin = f"http://127.0.0.1:{other.port}"
    code = deploy(site, origin)
    other.stop()

    assert (code, said(capsys)) == (2, f"{origin}: {why}")


@pytest.mark.parametrize(
    ("to", "why"),
    [
        pytest.param(
            "http://admin.example.com",
            "http://admin.example.com would have the token unencrypted on the way: use https",
            id="plain http",
        ),
        *(
            pytest.param(
                to,
                f"{to!r} is no URL of a host: give the admin host, such as "
                "https://admin.example.com",
                id=to,
            )
            for to in (
                "admin.example.com",
                "ftp://admin.example.com",
                "https://",
                "https://admin.example.com/panel",
                "https://a:b@admin.example.com",
                "https://admin.example.com?x",
            )
        ),
        pytest.param(
            "https://admin.example.com:99999",
            "'https://admin.example.com:99999' is no URL: give the admin host, such as "
            "https://admin.example.com",
            id="port",
        ),
    ],
)
def test_url_must_be_of_a_host(
    site: Path, capsys: pytest.CaptureFixture[str], to: str, why: str
) -> None:
    assert (deploy(site, to), said(capsys)) == (2, why)


def test_token_must_be_there(
    site: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BACKPACK_TOKEN")

    assert deploy(site, "https://admin.example.com") == 2
    assert said(capsys) == (
        "https://admin.example.com wants a token: make one in its panel, and set BACKPACK_TOKEN "
        "to it"
    )


def test_token_that_can_be_none_is_not_told(
    site: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BACKPACK_TOKEN", f"{TOKEN}\r\nx: y")

    assert deploy(site, "https://admin.example.com") == 2
    assert said(capsys) == "The token is none: give it as the panel has shown it"


def test_token_comes_from_a_file_too(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BACKPACK_TOKEN")
    monkeypatch.setenv("BACKPACK_TOKEN_FILE", str(tmp_path / "token"))
    (tmp_path / "token").write_text("bkpk_of-a-file\n")
    other = Other(b"")
    deploy(site, f"http://127.0.0.1:{other.port}")
    other.stop()

    assert b"authorization: token bkpk_of-a-file\r\n" in other.sent


def test_nobody_listens(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        origin = f"https://127.0.0.1:{free.getsockname()[1]}"

    assert (deploy(site, origin), said(capsys)) == (2, f"{origin}: nobody listens there")


def test_no_such_host(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert deploy(site, "https://admin.invalid") == 2
    assert said(capsys).startswith("https://admin.invalid: there is no such host (")


def test_silence_ends(
    site: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_PATIENCE", 0.2)
    other = Other(None)
    origin = f"http://127.0.0.1:{other.port}"
    code = deploy(site, origin)
    other.stop()

    assert (code, said(capsys)) == (2, f"{origin}: it does not answer")


def answer_plainly(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(65_536)
        connection.sendall(HEAD % b"400 Bad Request")


def test_no_tls_is_told(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as plain:
        thread = threading.Thread(target=answer_plainly, args=(plain,))
        thread.start()
        origin = f"https://127.0.0.1:{plain.getsockname()[1]}"
        code = deploy(site, origin)
        thread.join(30)

    assert code == 2
    assert said(capsys).startswith(f"{origin}: it speaks no TLS (")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for `localhost` that nobody has signed, with its key."""
    path = tmp_path / "own.pem"
    asked = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    asked += ["-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", str(path), "-out", "-"]
    asked += ["-addext", "subjectAltName=DNS:localhost"]
    made = subprocess.run(asked, check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + made.stdout)
    return path


def test_certificate_must_be_signed(
    site: Path,
    certificate: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    refused, taken = Other(b"", tls), Other(STEPS + b'{"result":{"name":"shop"}}\n', tls)

    code = deploy(site, f"https://localhost:{refused.port}")
    why = said(capsys)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    other_code = deploy(site, f"https://localhost:{taken.port}")
    for other in (refused, taken):
        other.stop()

    assert code == 2
    assert why == (
        f"https://localhost:{refused.port}: its certificate is not valid: self-signed certificate"
    )
    assert refused.sent == b""
    assert other_code == 0
    assert f"token {TOKEN}".encode() in taken.sent
