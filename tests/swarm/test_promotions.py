"""Backups of a swarm's backpacks, and what comes from a sandbox: equal by what is read."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.backups import zipped
from tests.sandboxes import Sandbox
from tests.swarm.deployment import Deployment
from tests.swarm.load import under_load
from tests.swarm.operating import operator, token
from tests.swarm.web import LOGIN, App
from tests.test_hosting import run

BACKUP = "/tmp/shop.tar"  # in the admin
PHOTO = ("photo.png", b"\x89PNG" * 1_000, "image/png")
RULES = {"cars": {"list": "public", "read": "public"}}


def reads(deployment: Deployment, app: App) -> dict[str, Any]:
    """What is read of a backpack: by its user, by everybody, and by who runs it."""
    user = app.client.get("/me").raise_for_status().json()["id"]
    files = app.client.get(f"/uploads/{user}").raise_for_status().json()["records"]
    paths = [f"/uploads/{user}/{one['filename']}" for one in files]
    with deployment.edge.client(f"{app.name}.{deployment.lab.domain}") as site:
        page = site.get("/").text
    return {
        "records": app.all("cars"),
        "files": files,
        "contents": [app.client.get(path).raise_for_status().content for path in paths],
        "rules": deployment.inside("rules", app.name),
        "page": page,
    }


@pytest.fixture(scope="module")
def filled(deployment: Deployment, shop: App) -> App:
    """A backpack with records, a file, rules and a site; its backup is in the admin."""
    shop.collection("cars")
    for number in range(3):
        shop.add("cars", n=number)
    shop.client.post("/uploads", files={"file": PHOTO}).raise_for_status()
    set_rules(deployment, shop.name, RULES)
    deployment.deploy(shop.name, zipped({"index.html": b"the shop"}))
    deployment.inside("export", shop.name, BACKUP)
    return shop


@pytest.fixture(scope="module")
def copy(deployment: Deployment, filled: App) -> Iterator[App]:
    """Another backpack, made of that backup."""
    with deployment.lap("import"):
        made = deployment.inside("import", BACKUP, "copy")
    deployment.edge.until_answers(f"copy-be.{deployment.lab.domain}")
    app = App(deployment.edge, "copy", made["api_key"], deployment.lab.domain).again()
    yield app
    app.close()
    deployment.remove("copy")


def test_backup_makes_the_same_backpack(deployment: Deployment, filled: App, copy: App) -> None:
    assert reads(deployment, copy) == reads(deployment, filled)
    assert copy.key != filled.key


def test_replace_puts_all_of_it_back(deployment: Deployment, filled: App, copy: App) -> None:
    copy.add("cars", n=4)
    copy.client.post("/uploads", files={"file": ("b.txt", b"more")}).raise_for_status()
    set_rules(deployment, "copy", {})

    with deployment.lap("import --replace"):
        replaced = deployment.inside("import", BACKUP, "copy", "--replace")
    signed_in = copy.client.get("/me").status_code

    assert reads(deployment, copy.again()) == reads(deployment, filled)
    assert replaced["api_key"] == copy.key
    assert signed_in == 403
    assert not [name for name in deployment.traces()["volume"] if name == "bp-copy_mongo"]


def test_failed_replace_is_noticed_by_nobody(deployment: Deployment, copy: App) -> None:
    before, traces, containers = reads(deployment, copy), deployment.traces(), running(deployment)
    inside = ("exec", deployment.admin, "sh", "-c")
    deployment.lab.docker(*inside, f"head -c 4096 {BACKUP} >/tmp/cut.tar")

    with under_load(copy) as report:
        failed = deployment.attempt("import", "/tmp/cut.tar", "copy", "--replace")
    deployment.note("import --replace that fails", report)

    assert (failed.returncode, failed.stdout.count("takes the place")) == (2, 0)
    assert "ends in the middle" in failed.stderr
    assert (report.failed, report.lost) == ([], {})
    assert reads(deployment, copy) == before
    assert deployment.traces() == traces
    assert running(deployment) == containers


@pytest.fixture(scope="module")
def panel(deployment: Deployment, copy: App) -> Iterator[httpx.Client]:
    """The operator's client of the panel."""
    with closing(operator(deployment)) as client:
        yield client


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a sandbox with a backpack of the same name."""
    folder = tmp_path_factory.mktemp("sandbox")
    data, site = folder / "data", folder / "site.zip"
    site.write_bytes(zipped({"index.html": b"the new shop"}))
    with Sandbox(folder, "--data", data, "--backpack", "copy") as running:
        assert run("deploy", site, "--backpack", "copy", "--data", data).code == 0
        with running.client("copy") as client:
            account = {"email": "bo@example.com", "password": LOGIN["password"]}
            client.post("/register", json=account).raise_for_status()
            answer = client.post("/login", json={**account, "token": True}).raise_for_status()
            client.headers["x-backpack-session"] = answer.json()["token"]
            client.post("/collections", json={"collectionName": "cars"}).raise_for_status()
            client.post("/cars", json={"n": 100}).raise_for_status()
            client.post("/uploads", files={"file": ("c.txt", b"of the sandbox")})
    return data


def promote(
    deployment: Deployment, sandbox: Path, secret: str, *options: str
) -> subprocess.CompletedProcess[str]:
    """`backpack promote` on a machine that finds the lab's hosts, and trusts its authority."""
    lab = deployment.lab
    return subprocess.run(
        [
            *("docker", "--host", lab.docker_host, "run", "--rm", "--user", "root"),
            *("--volume", f"{sandbox}:/sandbox", "--volume", f"{lab.acme_root}:/root.pem:ro"),
            *("--env", "SSL_CERT_FILE=/root.pem", "--env", f"BACKPACK_TOKEN={secret}"),
            *("backpack:latest", "promote", "copy", "--data", "/sandbox"),
            *("--to", f"https://admin.{lab.domain}", *options),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_refused_promotions_change_nothing(
    deployment: Deployment, copy: App, panel: httpx.Client, sandbox: Path
) -> None:
    before = reads(deployment, copy)
    restore = token(panel, "copy", "restore")
    headers = {"authorization": f"token {restore}"}
    cut = deployment.lab.docker("exec", deployment.admin, "base64", "/tmp/cut.tar")
    path = "/api/backpacks/copy/backup"

    wrong = promote(deployment, sandbox, token(panel, "copy", "deploy"))
    unwanted = promote(deployment, sandbox, restore, "--with-data")
    with deployment.edge.client(f"admin.{deployment.lab.domain}", headers) as client:
        broken = [
            client.request(method, path, content=base64.b64decode(cut)).text.splitlines()[-1]
            for method in ("PATCH", "POST")
        ]

    assert wrong.returncode == unwanted.returncode == 2
    assert "not to restore copy" in wrong.stderr
    assert "has users, records or files" in unwanted.stderr
    assert "only rules, files, site go into a backpack" in broken[0]
    assert "ends in the middle" in broken[1]
    assert reads(deployment, copy) == before


def test_promotion_carries_rules_files_and_site(
    deployment: Deployment, copy: App, panel: httpx.Client, sandbox: Path
) -> None:
    before = reads(deployment, copy)
    with deployment.lap("promote"):
        done = promote(deployment, sandbox, token(panel, "copy", "restore"))
    after = reads(deployment, copy)

    assert (done.returncode, done.stderr) == (0, "")
    assert after == {**before, "page": "the new shop", "rules": {}}


def test_promotion_with_data_is_all_of_it(
    deployment: Deployment, copy: App, panel: httpx.Client, sandbox: Path
) -> None:
    secret = token(panel, "copy", "restore")
    with deployment.lap("promote with data"):
        done = promote(deployment, sandbox, secret, "--with-data", "--replace")
    account = {"email": "bo@example.com", "password": LOGIN["password"], "token": True}
    old = copy.client.post("/login", json=LOGIN).status_code
    session = copy.client.post("/login", json=account).raise_for_status().json()["token"]
    copy.client.headers["x-backpack-session"] = session
    after = reads(deployment, copy)

    assert (done.returncode, done.stderr) == (0, "")
    assert old == 401
    assert [one["n"] for one in after["records"]] == [100]
    assert after["contents"] == [b"of the sandbox"]
    assert after["page"] == "the new shop"


def running(deployment: Deployment) -> set[str]:
    """The ids of the containers of the other backpack."""
    label = "label=com.docker.stack.namespace=bp-copy"
    return set(deployment.lab.docker("ps", "--quiet", "--filter", label).split())


def set_rules(deployment: Deployment, name: str, rules: object) -> None:
    """Put rules in force by the command line."""
    inside = ("docker", "--host", deployment.lab.docker_host, "exec", "--interactive")
    command = [*inside, deployment.admin, "backpack", "rules", name, "-"]
    subprocess.run(command, input=json.dumps(rules).encode(), check=True, capture_output=True)
