"""The commands beside `dev`: on a folder that nobody has open, and on one with a sandbox."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backpack import __version__, cli, folder
from backpack.stores.durable import DurableStore
from tests.sandboxes import Ended, Sandbox, command, environment

Run = Callable[..., Ended]


@pytest.fixture
def backpack(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in this process."""

    def backpack(*arguments: str | Path, stdin: str = "") -> Ended:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        try:
            code = cli.main([str(argument) for argument in arguments])
        except SystemExit as exc:
            code = int(exc.code or 0)
        out, err = capsys.readouterr()
        return Ended(code, out, err)

    return backpack


@pytest.fixture(params=["folder", "sandbox"])
def run(request: pytest.FixtureRequest, tmp_path: Path, backpack: Run) -> Iterator[Run]:
    """Runs a command on a data folder that has the backpack `shop` with the collection `cars`."""
    data = tmp_path / "data"
    assert backpack("create", "shop", "--api-key", "shop-key-1", "--data", data).code == 0
    asyncio.run(make_cars(data / "backpacks/shop/documents.sqlite3"))

    def run(*arguments: str | Path, stdin: str = "") -> Ended:
        return backpack(*arguments, "--data", data, stdin=stdin)

    if request.param == "folder":
        yield run
        return
    with Sandbox(tmp_path, "--data", data):
        yield run


async def make_cars(path: Path) -> None:
    store = DurableStore(path)
    await store.open()
    await store.create_collection("cars")
    await store.close()


def told(ended: Ended) -> Any:
    """The JSON that a command printed."""
    assert (ended.code, ended.err) == (0, "")
    return json.loads(ended.out)


def known(run: Run) -> dict[str, str]:
    return {one["name"]: one["api_key"] for one in told(run("list", "--json"))}


def test_create_makes_a_backpack(run: Run) -> None:
    made = told(run("create", "forum", "--json"))

    assert known(run) == {"shop": "shop-key-1", "forum": made["api_key"]}


def test_create_takes_an_api_key(run: Run) -> None:
    ended = run("create", "forum", "--api-key", "forum-key-1")

    assert ended == Ended(0, "forum has been made; its API key is forum-key-1\n", "")


def test_list_shows_a_table(run: Run) -> None:
    head, row = run("list").out.splitlines()

    assert head.split() == ["NAME", "API", "KEY", "FRONTEND", "BACKEND"]
    assert row.split()[:2] == ["shop", "shop-key-1"]


def test_delete_removes_a_backpack(run: Run) -> None:
    said = run("delete", "shop").out.splitlines()

    assert said[0] == "shop has been deleted"
    assert said[1].startswith("backpack restore shop brings it back, until 20")
    assert known(run) == {}
    assert run("list").out == "There are no backpacks\n"


def test_restore_brings_a_backpack_back(run: Run) -> None:
    run("rules", "shop", "-", stdin='{"cars": {"read": "public"}}')
    deleted = told(run("delete", "shop", "--json"))
    kept = told(run("trash", "--json"))
    restored = run("restore", "shop")

    assert kept == [deleted]
    assert restored == Ended(0, "shop is back; its API key is shop-key-1\n", "")
    assert told(run("rules", "shop")) == {"cars": {"read": "public"}}
    assert run("trash").out == "The trash is empty\n"


def test_restore_brings_the_last_of_a_name(run: Run) -> None:
    run("delete", "shop")
    run("create", "shop", "--api-key", "shop-key-2")
    run("delete", "shop")
    run("restore", "shop")

    assert known(run) == {"shop": "shop-key-2"}
    assert [one["name"] for one in told(run("trash", "--json"))] == ["shop"]


def test_purge_empties_the_trash_of_a_name(run: Run) -> None:
    run("create", "forum")
    run("delete", "forum")
    run("delete", "shop")
    head, *rows = run("trash").out.splitlines()

    assert head.split() == ["NAME", "DELETED", "KEPT", "UNTIL"]
    assert [row.split()[0] for row in rows] == ["forum", "shop"]
    assert run("purge", "shop") == Ended(0, "shop is gone from the trash, for good\n", "")
    assert [one["name"] for one in told(run("trash", "--json"))] == ["forum"]


def test_taken_name_is_not_restored(run: Run) -> None:
    run("delete", "shop")
    run("create", "shop", "--api-key", "shop-key-2")

    why = (
        "backpack: There is a backpack 'shop' again: delete that one first, "
        "it can be restored too\n"
    )
    assert run("restore", "shop") == Ended(2, "", why)
    assert known(run) == {"shop": "shop-key-2"}


def test_deleted_name_is_free(run: Run) -> None:
    run("rules", "shop", "-", stdin='{"cars": {"read": "public"}}')
    run("delete", "shop")
    run("create", "shop", "--api-key", "shop-key-2")

    assert known(run) == {"shop": "shop-key-2"}
    assert told(run("rules", "shop")) == {}


def test_key_shows_the_key(run: Run) -> None:
    assert run("key", "shop").out == "shop-key-1\n"


def test_key_rotate_keeps_the_old_one_a_day(run: Run) -> None:
    rotated = told(run("key", "shop", "--rotate", "--json"))

    assert rotated == told(run("key", "shop", "--json"))
    assert rotated["api_key"] != "shop-key-1"
    assert rotated["previous_until"] is not None


def test_key_rotate_now_ends_the_old_one(run: Run) -> None:
    rotated = told(run("key", "shop", "--rotate", "--now", "--json"))

    assert rotated == {"name": "shop", "api_key": rotated["api_key"], "previous_until": None}
    assert rotated["api_key"] != "shop-key-1"


def test_rules_are_put_in_force(run: Run, tmp_path: Path) -> None:
    rules = {"cars": {"read": "public", "list": "public"}, "files.read": "owner"}
    file = tmp_path / "rules.json"
    file.write_text(json.dumps(rules), "utf-8")

    assert told(run("rules", "shop", file, "--json")) == rules
    assert told(run("rules", "shop")) == rules


def test_rules_come_from_stdin(run: Run) -> None:
    ended = run("rules", "shop", "-", stdin='{"cars": {"read": "public"}}')

    assert ended == Ended(0, "The rules of shop are in force\n", "")
    assert told(run("rules", "shop")) == {"cars": {"read": "public"}}


def test_indexes_are_pinned_and_listed(run: Run) -> None:
    pinned = told(run("indexes", "shop", "cars", "--pin", "brand,-price", "--json"))

    assert pinned == [
        {
            "collection": "cars",
            "fields": "brand,-price",
            "state": "pinned",
            "elements": False,
            "uses": 0,
        }
    ]
    assert told(run("indexes", "shop", "--json")) == pinned
    head, row = run("indexes", "shop", "cars").out.splitlines()
    assert head.split() == ["COLLECTION", "FIELDS", "STATE", "OF", "USES"]
    assert row.split() == ["cars", "brand,-price", "pinned", "values", "0"]


def test_indexes_are_forbidden_and_released(run: Run) -> None:
    run("indexes", "shop", "cars", "--pin=-price")
    (forbidden,) = told(run("indexes", "shop", "cars", "--forbid", "price", "--json"))

    assert (forbidden["fields"], forbidden["state"]) == ("price", "forbidden")
    assert run("indexes", "shop", "cars", "--release", "price").out == "There are no indexes\n"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(
            '{"cars":\n {"read" "user"}}',
            "is no JSON: Expecting ':' delimiter at line 2, column 10",
            id="no JSON",
        ),
        pytest.param("[]", ": Rules must be a JSON object", id="no object"),
        pytest.param(
            '{"cars": {"read": "all"}, "users": {}}',
            ": cars.read must be one of public, user, owner, none; "
            "users is no collection: the name is reserved",
            id="two wrong entries",
        ),
    ],
)
def test_bad_rules_say_where(run: Run, tmp_path: Path, content: str, why: str) -> None:
    file = tmp_path / "rules.json"
    file.write_text(content, "utf-8")

    ended = run("rules", "shop", file)

    assert ended == Ended(2, "", f"backpack: {file}{'' if why[0] == ':' else ' '}{why}\n")
    assert told(run("rules", "shop")) == {}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        pytest.param(
            ("create", "shop"), "There is a backpack 'shop' already", id="name that is taken"
        ),
        pytest.param(
            ("create", "Shop"),
            "'Shop' cannot be the name of a backpack: it must have up to 41 lower-case letters, "
            "digits and hyphens, a letter first",
            id="bad name",
        ),
        pytest.param(
            ("create", "admin"),
            "'admin' cannot be the name of a backpack: it is reserved",
            id="reserved name",
        ),
        pytest.param(
            ("create", "forum", "--api-key", "a b"),
            "An API key has 8 to 128 letters, digits or any of ._~+/=-",
            id="bad key",
        ),
        pytest.param(
            ("delete", "forum"), "There is no backpack 'forum'; there are: shop", id="delete"
        ),
        pytest.param(
            ("restore", "shop"),
            "There is no backpack 'shop' in the trash; there is: nothing",
            id="restore",
        ),
        pytest.param(
            ("purge", "shop"),
            "There is no backpack 'shop' in the trash; there is: nothing",
            id="purge",
        ),
        pytest.param(("key", "forum"), "There is no backpack 'forum'; there are: shop", id="key"),
        pytest.param(
            ("rules", "forum"), "There is no backpack 'forum'; there are: shop", id="rules"
        ),
        pytest.param(
            ("indexes", "shop", "boats"), "There is no collection 'boats'", id="no collection"
        ),
        pytest.param(
            ("indexes", "shop", "--pin", "n"),
            "Name the collection too: backpack indexes NAME COLLECTION",
            id="--pin alone",
        ),
        pytest.param(
            ("indexes", "shop", "cars", "--pin", "a,b,c"),
            "There can be no index on 'a,b,c': an index has at most 2 paths",
            id="too many paths",
        ),
        pytest.param(
            ("indexes", "shop", "cars", "--release", "n"),
            "'n' is neither pinned nor forbidden in 'cars'",
            id="nothing to release",
        ),
        pytest.param(("key", "shop", "--now"), "--now goes with --rotate", id="--now alone"),
        pytest.param(
            ("rules", "shop", "missing.json"),
            "Cannot read missing.json: No such file or directory",
            id="no rules file",
        ),
    ],
)
def test_refusal_is_one_line(run: Run, arguments: tuple[str, ...], why: str) -> None:
    assert run(*arguments) == Ended(2, "", f"backpack: {why}\n")


def test_list_names_urls_of_a_sandbox(tmp_path: Path, backpack: Run) -> None:
    with Sandbox(tmp_path, "--data", "data") as sandbox:
        found = told(backpack("list", "--json", "--data", tmp_path / "data"))

    assert found == sandbox.ready["backpacks"]


def test_rotated_key_works_in_a_sandbox(tmp_path: Path, backpack: Run) -> None:
    with Sandbox(tmp_path, "--data", "data") as sandbox, sandbox.client() as client:
        rotate = ("key", "my-app", "--rotate", "--json", "--data", tmp_path / "data")
        new = told(backpack(*rotate))["api_key"]
        both = [
            client.get("/", headers={"authorization": f"key {key}"}).status_code
            for key in (sandbox["my-app"]["api_key"], new)
        ]
        backpack(*rotate, "--now")
        neither = client.get("/", headers={"authorization": f"key {new}"}).status_code

    assert (both, neither) == ([200, 200], 401)


def test_created_backpack_is_served_at_once(tmp_path: Path, backpack: Run) -> None:
    with Sandbox(tmp_path, "--data", "data") as sandbox:
        backpack("create", "forum", "--data", tmp_path / "data")
        there = sandbox.get("forum").status_code
        backpack("delete", "forum", "--data", tmp_path / "data")
        gone = sandbox.get("forum").status_code

    assert (there, gone) == (200, 404)


def test_index_that_made_itself_is_shown(tmp_path: Path, backpack: Run) -> None:
    account = {"email": "ada@example.com", "password": "correct horse battery"}
    show = ("indexes", "my-app", "cars", "--json", "--data", tmp_path / "data")
    with Sandbox(tmp_path, "--data", "data") as sandbox, sandbox.client() as client:
        client.post("/register", json=account).raise_for_status()
        token = client.post("/login", json={**account, "token": True}).json()["token"]
        client.headers["x-backpack-session"] = token
        client.post("/collections", json={"collectionName": "cars"}).raise_for_status()
        for start in (0, 1_000):
            cars = [{"price": start + n} for n in range(1_000)]
            client.post("/cars", json=cars).raise_for_status()
        page: dict[str, str | int] = {
            "filter": '{"price": {"$gt": 500}}',
            "sort": "-price",
            "limit": 2,
        }
        found = told(backpack(*show))
        while not found:  # it is made beside the requests
            prices = [one["price"] for one in client.get("/cars", params=page).json()]
            assert prices == [1_999, 1_998]
            found = told(backpack(*show))

    assert [(one["fields"], one["state"]) for one in found] == [("-price", "automatic")]


def test_commands_at_once_all_succeed(tmp_path: Path, backpack: Run) -> None:
    names = [f"app-{number}" for number in range(4)]
    running = [
        subprocess.Popen(
            command("create", name, "--data", "data"),
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.DEVNULL,
        )
        for name in names
    ]

    assert [process.wait(30) for process in running] == [0, 0, 0, 0]
    found = told(backpack("list", "--json", "--data", tmp_path / "data"))
    assert [one["name"] for one in found] == names


def test_command_waits_for_a_busy_folder(tmp_path: Path) -> None:
    data = tmp_path / "data"
    folder.prepare(data)
    lock = folder.try_lock(data)
    assert lock is not None
    waiting = subprocess.Popen(
        command("create", "shop", "--data", data),
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.communicate(timeout=1)
    lock.release()

    assert waiting.communicate(timeout=30)[0].startswith("shop has been made")


def test_missing_folder_is_told(
    tmp_path: Path, backpack: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    ended = backpack("list")

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("backpack: There is no data folder .backpack: ")
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_looked_at_is_told(tmp_path: Path, backpack: Run) -> None:
    data = tmp_path / ("x" * 300)

    assert backpack("list", "--data", data) == Ended(
        2, "", f"backpack: Cannot use {data} as the data folder: File name too long\n"
    )


def test_foreign_folder_is_left_alone(tmp_path: Path, backpack: Run) -> None:
    (tmp_path / "letter.txt").write_text("Dear Ada", "utf-8")

    ended = backpack("create", "shop", "--data", tmp_path)

    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "holds other things than backpacks" in ended.err
    assert [entry.name for entry in tmp_path.iterdir()] == ["letter.txt"]


def test_folder_is_the_owners_and_out_of_git(
    tmp_path: Path, backpack: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    backpack("create", "shop")

    data = tmp_path / ".backpack"

    assert data.stat().st_mode & 0o777 == 0o700
    assert (data / ".gitignore").read_text("utf-8") == "*\n"


def test_socket_left_by_a_dead_sandbox_is_no_hindrance(tmp_path: Path, backpack: Run) -> None:
    data = tmp_path / "data"
    backpack("create", "shop", "--data", data)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(data / "control"))
    note = {"pid": 1, "socket": str(data / "control"), "admin": "http://admin.bkpk.localhost:1"}
    (data / "lock").write_text(json.dumps(note), "utf-8")

    assert backpack("key", "shop", "--data", data).code == 0
    with Sandbox(tmp_path, "--data", data):
        assert backpack("key", "shop", "--data", data).code == 0


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        pytest.param((), "backpack: the following arguments are required: COMMAND", id="nothing"),
        pytest.param(("create",), "backpack create: the following arguments are required: NAME"),
        pytest.param(("dev", "--port", "x"), "backpack dev: argument --port: 'x' is no port"),
        pytest.param(("dev", "--port", "65536"), "backpack dev: argument --port: '65536' is no"),
        pytest.param(("dev", "--domain", "A_b"), "backpack dev: argument --domain: 'A_b' is no"),
        pytest.param(("dev", "--site", "shop"), "backpack dev: argument --site: 'shop' must be"),
        pytest.param(("dev", "--site", "a=/nowhere"), "backpack dev: argument --site: there is no"),
        pytest.param(
            ("dev", "--site", "a=/dev/null"),
            "backpack dev: argument --site: cannot read /dev/null: Not a directory",
        ),
        pytest.param(("dev", "--memory", "--data", "x"), "backpack dev: argument --data: not allo"),
    ],
)
def test_bad_arguments_are_one_line(arguments: tuple[str, ...], why: str, backpack: Run) -> None:
    ended = backpack(*arguments)

    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert ended.err.startswith(why)


def test_version_is_printed(backpack: Run) -> None:
    assert backpack("--version") == Ended(0, f"backpack {__version__}\n", "")


@pytest.mark.parametrize("name", ["dev", "create", "list", "delete", "key", "rules", "indexes"])
def test_help_has_an_example(name: str, backpack: Run) -> None:
    assert f"example: backpack {name}" in backpack(name, "--help").out


@pytest.mark.parametrize("words", [("swarm", "doctor"), ("swarm", "status"), ("admin",)])
def test_swarm_without_its_extra_says_what_to_install(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    missing = "raise ModuleNotFoundError(\"No module named 'docker'\", name='docker')\n"
    (tmp_path / "docker.py").write_text(missing, "utf-8")

    ended = subprocess.run(
        command(*words),
        env={**environment(), "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 2
    assert ended.stderr == (
        f"backpack: {words[0]} needs more packages: pip install 'backpack-baas[swarm]'\n"
    )
