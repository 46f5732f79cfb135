"""The sandbox as a process: how it starts, what it says, how it ends."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from backpack.errors import Invalid
from backpack.folder import prepare
from tests.sandboxes import Ended, Sandbox, command, environment

ACCOUNT = {"email": "ada@example.org", "password": "correct horse"}


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with Sandbox(tmp_path, "--data", "data") as sandbox:
        yield sandbox


def dev(folder: Path, *arguments: str | Path, **variables: str) -> Ended:
    """How `dev` ends that cannot start."""
    ended = subprocess.run(
        command("dev", *arguments),
        cwd=folder,
        env={**environment(), **variables},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def refused(why: str) -> Ended:
    return Ended(2, "", f"backpack: {why}\n")


def log_in(sandbox: Sandbox, name: str = "my-app") -> httpx.Client:
    """A client of a newly registered user."""
    with sandbox.client(name) as guest:
        guest.post("/register", json=ACCOUNT).raise_for_status()
        token = guest.post("/login", json={**ACCOUNT, "token": True}).json()["token"]
    return sandbox.client(name, **{"x-backpack-session": token})


def test_first_start_makes_my_app(sandbox: Sandbox) -> None:
    port, key = sandbox.ready["port"], sandbox["my-app"]["api_key"]

    assert sandbox.ready == {
        "port": port,
        "domain": "bkpk.localhost",
        "admin": f"http://admin.bkpk.localhost:{port}",
        "backpacks": [
            {
                "name": "my-app",
                "api_key": key,
                "backend": f"http://my-app-be.bkpk.localhost:{port}",
                "frontend": f"http://my-app.bkpk.localhost:{port}",
                "connect": f"http://127.0.0.1:{port}/~my-app",
            }
        ],
    }


def test_table_tells_all_that_a_page_needs(sandbox: Sandbox) -> None:
    described = sandbox["my-app"]
    admin, backend, key = sandbox.ready["admin"], described["backend"], described["api_key"]

    link = sandbox.table[3].split()[-1]
    assert re.fullmatch(rf"{re.escape(admin)}/open/[\w-]{{43}}", link)
    assert [line.split() for line in sandbox.table[2:9]] == [
        ["admin", admin],
        ["sign", "in", link],
        [],
        ["my-app"],
        ["frontend", described["frontend"]],
        ["backend", backend],
        ["API", "key", key],
    ]
    assert [line.strip() for line in sandbox.table[12:16]] == [
        f'<script src="{admin}/sdk.js"></script>',
        "<script>",
        f'const {{ auth, db }} = createSdk("{backend}", "{key}");',
        "</script>",
    ]


def test_it_accepts_connections_when_it_is_ready(sandbox: Sandbox) -> None:
    answers = [sandbox.get(host).status_code for host in ("admin", "my-app")]

    assert answers == [303, 200]  # the panel leads to its sign-in
    with sandbox.client() as client:
        assert client.get("/").json() == {"name": "my-app", "status": "ok"}


def test_start_is_quick_and_small(sandbox: Sandbox) -> None:
    process = Path(f"/proc/{sandbox.process.pid}")
    spent = process.joinpath("stat").read_text().rpartition(")")[2].split()
    cpu = (int(spent[11]) + int(spent[12])) / os.sysconf("SC_CLK_TCK")
    resident = int(process.joinpath("statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    assert cpu <= 1.0  # seconds
    assert resident <= 90_000_000  # bytes


def test_start_opens_few_of_many_backpacks(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "backpacks"
    with Sandbox(tmp_path, "--data", "data", "--backpack", "a00=key-of-a00") as first:
        first.stop()
    for n in range(1, 30):
        shutil.copytree(folder / "a00", folder / f"a{n:02}")
    command_line = command("dev", "--port", "0", "--data", "data")
    with subprocess.Popen(
        command_line, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True
    ) as sandbox:
        assert sandbox.stdout is not None
        said: list[str] = []
        while "Backpack is ready\n" not in said:
            said.append(sandbox.stdout.readline())
        opened = {path.parent.name for path in folder.glob("*/*-wal")}
        sandbox.terminate()

    assert opened == {f"a{n:02}" for n in range(20)}
    assert "and 10 more\n" in said


def test_start_imports_no_engine_that_it_does_not_use() -> None:
    engines = {"fakeredis", "jinja2", "mongomock_motor", "motor", "pymongo", "pytest", "redis"}
    code = "import sys, backpack.dev; print(*sys.modules)"

    loaded = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )

    assert engines.intersection(loaded.stdout.split()) == set()


def test_backpacks_are_made_or_get_their_key(tmp_path: Path) -> None:
    with Sandbox(tmp_path, "--backpack", "shop=shop-key-1", "--backpack", "forum") as first:
        forum = first["forum"]["api_key"]
    with Sandbox(tmp_path, "--backpack", "shop=shop-key-2", "--backpack", "forum") as second:
        keys = {name: second[name]["api_key"] for name in second.names}

    assert keys == {"forum": forum, "shop": "shop-key-2"}


def test_memory_leaves_nothing_behind(tmp_path: Path) -> None:
    pytest.importorskip("fakeredis")
    with Sandbox(tmp_path, "--memory", "--backpack", "shop") as sandbox:
        with log_in(sandbox, "shop") as client:
            client.post("/collections", json={"collectionName": "cars"}).raise_for_status()
        assert sandbox.names == ["shop"]
        sandbox.stop()

    assert [entry.name[:6] for entry in tmp_path.iterdir()] == ["ready-"]


def test_domain_is_the_users_choice(tmp_path: Path) -> None:
    with Sandbox(tmp_path, "--domain", "dev.example") as sandbox:
        assert sandbox["my-app"]["backend"].startswith("http://my-app-be.dev.example:")
        assert sandbox.get("my-app-be", "/healthz").status_code == 200


def test_site_is_served_as_it_is_now(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text("one", "utf-8")

    with Sandbox(tmp_path, "--backpack", "shop", "--site", "shop=site") as sandbox:
        first = sandbox.get("shop", "/cars/12")
        (site / "index.html").write_text("two", "utf-8")
        second = sandbox.get("shop", "/")

    assert (first.text, second.text) == ("one", "two")
    assert first.headers["cache-control"] == "no-store"


def test_site_file_that_cannot_be_read_is_not_there(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "odd.bin").symlink_to("/proc/self/mem")  # is a file, but fails when it is read

    with Sandbox(tmp_path, "--backpack", "shop", "--site", "shop=site") as sandbox:
        answer = sandbox.get("shop", "/odd.bin")
        ended = sandbox.stop()

    assert (answer.status_code, answer.json()["code"], ended.err) == (404, "not_found", "")


def test_site_needs_its_backpack(tmp_path: Path) -> None:
    assert dev(tmp_path, "--port", "0", "--site", "shop=.") == refused(
        "--site shop: there is no backpack 'shop'; there are: my-app. "
        "Add --backpack shop to make it"
    )


def test_port_taken_says_by_whom(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        me = Path("/proc/self/comm").read_text().strip()

        assert dev(tmp_path, "--port", str(port)) == refused(
            f"Port {port} of 127.0.0.1 is taken by {me} (process {os.getpid()}): stop that, "
            "or choose another with --port (0 takes any free one)"
        )


@pytest.mark.parametrize("host", ["192.0.2.1", "no host", "x" * 300])
def test_host_must_be_this_machine(tmp_path: Path, host: str) -> None:
    assert dev(tmp_path, "--host", host) == refused(
        f"{host!r} is no address of this machine; try --host 127.0.0.1"
    )


def test_open_host_is_warned_of(tmp_path: Path) -> None:
    with Sandbox(tmp_path, "--host", "0.0.0.0") as sandbox:
        connect = sandbox["my-app"]["connect"]
        ended = sandbox.stop()

    port = sandbox.ready["port"]
    assert connect == f"http://127.0.0.1:{port}/~my-app"
    assert ended.err == (
        "Warning: --host 0.0.0.0 opens this sandbox to the network: "
        f"whoever reaches port {port} can use it\n"
    )


def test_folder_in_use_says_by_whom(sandbox: Sandbox, tmp_path: Path) -> None:
    assert dev(tmp_path, "--port", "0", "--data", "data") == refused(
        f"The data folder data is in use by a running sandbox (process {sandbox.process.pid}, "
        f"{sandbox.ready['admin']}): stop that, or choose another with --data"
    )


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        pytest.param(
            ("--backpack", "shop-be"),
            "'shop-be' cannot be the name of a backpack: it must not end with -be, as backends do",
            id="bad name",
        ),
        pytest.param(
            ("--backpack", "shop=short"),
            "An API key has 8 to 128 letters, digits or any of ._~+/=-",
            id="bad key",
        ),
        pytest.param(
            ("--data", "/proc/nowhere"),
            "Cannot use /proc/nowhere as the data folder: No such file or directory",
            id="folder that cannot be made",
        ),
        pytest.param(
            ("--data", "/dev/null"),
            "Cannot use /dev/null as the data folder: File exists",
            id="file for a folder",
        ),
        pytest.param(
            ("--ready-file", "nowhere/ready.json"),
            "Cannot write the ready file nowhere/ready.json: there is no folder nowhere",
            id="ready file nowhere",
        ),
    ],
)
def test_refusal_to_start_is_one_line(tmp_path: Path, arguments: tuple[str, ...], why: str) -> None:
    assert dev(tmp_path, "--port", "0", *arguments) == refused(why)


def test_unreadable_folder_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    prepare(data)
    data.chmod(0)
    me = os.geteuid()
    if me == 0:  # root may read everything, so be nobody for a moment
        os.seteuid(65_534)
    try:
        with pytest.raises(Invalid) as refusal:
            prepare(data)
    finally:
        os.seteuid(me)
        data.chmod(0o700)

    assert refusal.value.message == f"Cannot use {data} as the data folder: Permission denied"


def test_bad_variable_is_one_line(tmp_path: Path) -> None:
    assert dev(tmp_path, BACKPACK_MAX_BATCH="many") == refused(
        "BACKPACK_MAX_BATCH is 'many', but must be a number"
    )


def test_old_ready_file_is_gone_before_the_start(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    ready.write_text("{}", "utf-8")

    dev(tmp_path, "--ready-file", "ready.json", "--backpack", "Bad")

    assert list(tmp_path.glob("*.json")) == []


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_signal_ends_it_quietly(sandbox: Sandbox, by: signal.Signals) -> None:
    assert sandbox.stop(by) == Ended(0, "Backpack has stopped\n", "")


def test_open_request_is_answered_before_the_end(sandbox: Sandbox, tmp_path: Path) -> None:
    with log_in(sandbox) as client:
        client.post("/collections", json={"collectionName": "cars"}).raise_for_status()
        headers = {name: client.headers[name] for name in ("authorization", "x-backpack-session")}
    body = json.dumps({"brand": "Volvo"}).encode()
    address = ("127.0.0.1", sandbox.ready["port"])
    head = [
        "POST /~my-app/cars HTTP/1.1",
        "host: 127.0.0.1",
        "expect: 100-continue",
        f"content-length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]

    with socket.create_connection(address, timeout=20) as connection:
        answers = connection.makefile("rb")
        connection.sendall("\r\n".join([*head, "", ""]).encode())
        assert answers.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert answers.readline() == b"\r\n"
        sandbox.process.terminate()
        wait_until_closed(address)
        connection.sendall(body)
        answer = answers.read()
        answers.close()

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert sandbox.process.wait(20) == 0
    with Sandbox(tmp_path, "--data", "data") as again, again.client(**headers) as client:
        found = [car["brand"] for car in client.get("/cars").json()]
    assert found == ["Volvo"]


def wait_until_closed(address: tuple[str, int]) -> None:
    while True:
        try:
            socket.create_connection(address, timeout=5).close()
        except ConnectionError:
            return


def test_idle_connection_does_not_hold_up_the_end(sandbox: Sandbox) -> None:
    with sandbox.client() as client:
        client.get("/").raise_for_status()

        assert sandbox.stop().code == 0


def test_killed_sandbox_starts_again(tmp_path: Path) -> None:
    with Sandbox(tmp_path, "--data", "data") as first:
        with log_in(first) as client:
            token = client.headers["x-backpack-session"]
        first.stop(signal.SIGKILL)
    with (
        Sandbox(tmp_path, "--data", "data") as second,
        second.client(**{"x-backpack-session": token}) as client,
    ):
        assert client.get("/me").json()["email"] == ACCOUNT["email"]
        assert second["my-app"]["api_key"] == first["my-app"]["api_key"]


def test_control_socket_is_the_owners_alone(sandbox: Sandbox, tmp_path: Path) -> None:
    mode = (tmp_path / "data" / "control").stat().st_mode

    assert (stat.S_ISSOCK(mode), stat.S_IMODE(mode)) == (True, 0o600)
    assert sandbox.stop().code == 0
    assert not (tmp_path / "data" / "control").exists()


def test_long_path_has_its_socket_elsewhere(tmp_path: Path) -> None:
    data = tmp_path.joinpath(*["a-folder-with-a-long-name"] * 5)
    with Sandbox(tmp_path, "--data", data):
        control = Path(json.loads((data / "lock").read_text("utf-8"))["socket"])
        listed = subprocess.run(
            command("list", "--data", data), env=environment(), capture_output=True, check=True
        )

    assert b"http://my-app-be" in listed.stdout
    assert (control.is_socket(), control.is_relative_to(data)) == (True, False)
    with Sandbox(tmp_path, "--data", data) as again:
        assert not control.parent.exists()
        again.stop()


def test_output_that_nobody_reads_is_no_failure(sandbox: Sandbox) -> None:
    assert sandbox.process.stdout is not None
    sandbox.process.stdout.close()
    sandbox.process.terminate()

    assert sandbox.process.wait(20) == 0
    assert sandbox.process.stderr is not None
    assert sandbox.process.stderr.read() == ""
