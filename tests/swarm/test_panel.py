"""The panel of a swarm, as an operator uses it from the first day on: each test goes on where the
one before has ended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.backups import zipped
from tests.swarm.deployment import EMAIL, Deployment
from tests.swarm.desk import PATIENCE, Desk, browser
from tests.swarm.lab import Lab, Node
from tests.swarm.web import LOGIN, App, until

if TYPE_CHECKING:
    from playwright.sync_api import Page

NAME, COPY = "walk", "walk-copy"
HOME = f"/backpacks/{NAME}"
PASSWORD = "correct horse battery"
IMAGE = "{{.Spec.TaskTemplate.ContainerSpec.Image}}"


@pytest.fixture(scope="module")
def desk(
    deployment: Deployment, worker: Node, lab: Lab, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Desk]:
    """The operator's, who has registered with the set-up token."""
    deployment.edge.until_answers(f"admin.{lab.domain}")  # with its certificate
    # What other tests have upgraded to.
    lab.docker("tag", "backpack:latest", "backpack:next", node=worker)
    with browser(lab, tmp_path_factory.mktemp("home")) as opened:
        context = opened.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(PATIENCE * 1_000)
        made = Desk(context, f"https://admin.{lab.domain}")
        page = made.open()
        page.get_by_label("Set-up token").fill(deployment.setup)
        page.get_by_label("E-mail").fill(EMAIL)
        page.get_by_label("Password").fill(PASSWORD)
        made.press("Set up")
        page.wait_for_url(f"{made.url}/")
        yield made
        assert made.errors == []
    lab.docker("node", "update", "--label-rm", "backpack.data", worker.name)


@pytest.fixture(scope="module")
def app(desk: Desk, deployment: Deployment, lab: Lab) -> Iterator[App]:
    """The backpack that the operator has made, with a user and the collection `cars`."""
    key = desk.open(HOME).locator("#api-key").inner_text()
    for host in (f"{NAME}-be", NAME):
        deployment.edge.until_answers(f"{host}.{lab.domain}")
    made = App(deployment.edge, NAME, key, lab.domain).login()
    made.collection("cars")
    yield made
    made.close()


def images(page: Page) -> dict[str, str]:
    """The version of each service."""
    rows = page.locator("#services tr").all()
    return {
        row.get_by_role("rowheader").inner_text(): row.locator("code").inner_text() for row in rows
    }


def test_operator_is_known_by_a_safe_cookie(desk: Desk) -> None:
    (cookie,) = desk.context.cookies()

    assert (cookie["name"], cookie["path"], cookie["domain"]) == (
        "__Host-backpack",
        "/",
        desk.url.removeprefix("https://"),
    )
    assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Strict")
    assert desk.page.evaluate("isSecureContext")


def test_nodes_are_shown_and_labelled(desk: Desk, lab: Lab, worker: Node) -> None:
    from playwright.sync_api import expect

    page = desk.open("/nodes")
    expect(page.locator("#nodes tr")).to_have_count(2)
    expect(desk.row("nodes", lab.nodes[0].name)).to_contain_text("manager")
    row = desk.row("nodes", worker.name)
    row.get_by_role("button", name="Add a label").click()
    desk.answer("Add", Key="backpack.data", Value="true")
    expect(row).to_contain_text("backpack.data=true")

    desk.press("Add a node")
    desk.answer("Show the command", password="wrong")
    expect(desk.window.get_by_role("alert")).to_contain_text("password")
    desk.answer("Show the command", password=PASSWORD)
    token = lab.docker("swarm", "join-token", "--quiet", "worker").strip()
    expect(desk.window.locator("code")).to_have_text(
        f"docker swarm join --token {token} {lab.edge}:2377"
    )


def test_backpack_is_created_before_ones_eyes(desk: Desk, deployment: Deployment) -> None:
    from playwright.sync_api import expect

    page = desk.open()
    with deployment.lap("create by the panel"):
        desk.press("New backpack")
        desk.answer("Create", Name=NAME)
        expect(desk.window.locator(".steps")).to_contain_text(f"Deploying bp-{NAME}")
        desk.becomes(f"{NAME} is ready")
    expect(desk.window.locator(".steps")).to_contain_text("api: 1 of 1 running")
    expect(desk.window.locator("code")).to_contain_text(
        f"https://{NAME}-be.{deployment.lab.domain}"
    )

    desk.window.get_by_role("link", name="Open it").click()
    expect(page.locator("#state")).to_have_text("up")
    expect(page.locator("#services tr .state.up")).to_have_count(5)
    assert images(page) == {
        name: deployment.lab.docker(
            "service", "inspect", f"bp-{NAME}_{name}", "--format", IMAGE
        ).strip()
        for name in ("api", "files", "mongo", "redis", "site")
    }


def test_processes_are_changed(desk: Desk, app: App, deployment: Deployment) -> None:
    from playwright.sync_api import expect

    page = desk.open(HOME)
    api = desk.row("services", "api")
    for replicas in ("3", "2"):
        expect(api).to_contain_text("up")
        with deployment.lap(f"{replicas} processes by the panel"):
            desk.press("Change the number")
            desk.answer("Change", Processes=replicas)
            expect(desk.window).to_have_count(0)
        expect(api).to_contain_text(f"{replicas} of {replicas}")
    expect(page.locator("#state")).to_have_text("up")


def test_log_is_of_one_service_or_all(desk: Desk, app: App) -> None:
    from playwright.sync_api import expect

    page = desk.open(HOME)
    expect(page.locator("#logs")).to_contain_text(" mongo ")
    page.get_by_label("Service", exact=True).select_option("api")
    expect(page.locator("#logs")).to_contain_text(f" api Backpack serves {app.host}")
    expect(page.locator("#logs")).not_to_contain_text(" mongo ")


def test_pages_show_what_the_app_does(desk: Desk, app: App) -> None:
    from playwright.sync_api import expect

    page = desk.open(f"{HOME}/data?collection=cars")
    expect(page.locator("#connection")).to_have_text("Live")
    volvo = app.add("cars", brand="Volvo")
    expect(page.get_by_role("gridcell", name="Volvo", exact=True)).to_be_visible()
    app.client.patch(f"/cars/{volvo['_id']}", json={"brand": "Saab"}).raise_for_status()
    expect(page.get_by_role("gridcell", name="Saab", exact=True)).to_be_visible()

    page = desk.open(f"{HOME}/files")
    expect(page.locator("#connection")).to_have_text("Live")
    app.client.post(
        "/uploads",
        data={"bucket": "letters", "filename": "a.txt"},
        files={"file": ("a.txt", b"Hello")},
    ).raise_for_status()
    expect(page.get_by_text("a.txt", exact=True).first).to_be_visible()

    page = desk.open(f"{HOME}/users")
    expect(page.get_by_text(LOGIN["email"]).first).to_be_visible()


def test_requests_of_all_processes_are_seen(desk: Desk, app: App) -> None:
    from playwright.sync_api import expect

    page = desk.open(f"{HOME}/requests")
    expect(page.locator("#connection")).to_have_text("Live")
    expect(page.get_by_role("button", name="/register", exact=True)).to_be_visible()
    sockets = [app.socket() for _ in range(6)]  # Traefik takes turns
    paths = [f"/cars?limit={number}" for number in range(1, 13)]
    for path in paths:
        app.client.get(path).raise_for_status()
    app.client.post("/cars", json={"brand": "Fiat"}).raise_for_status()

    broadcast = page.get_by_role("button", name="create cars")
    row = page.locator("#requests tr").filter(has=broadcast)
    expect(row).to_contain_text("to 6")
    for path in paths:
        expect(page.get_by_role("button", name=path, exact=True)).to_be_visible()
    expect(broadcast).to_have_count(1)
    times = page.locator("#requests time").all_inner_texts()
    assert times == sorted(times, reverse=True)
    asked = [one for one in desk.entries if one.get("path") in paths]
    # A third one serves what comes until it ends.
    assert len({one["id"].rpartition("-")[0] for one in asked}) >= 2
    broadcast.click()
    expect(desk.window.get_by_text("received it", exact=True)).to_have_count(6)
    for socket in sockets:
        socket.close()


def test_site_is_deployed_while_a_backup_becomes_a_backpack(
    desk: Desk, app: App, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    page = desk.open(f"{HOME}/site")
    site = desk.context.new_page()
    live = page.locator("#versions tr").filter(has_text="live").get_by_role("rowheader")
    with desk.second() as other:
        begin_import(other, tmp_path / "backup.tar")
        for number in ("1", "2"):
            file = tmp_path / f"{number}.zip"
            # Of one size, as a page is that names another script by its hash.
            file.write_bytes(zipped({"index.html": f"<h1>Version {number}</h1>".encode()}))
            page.set_input_files("#zip", file)
            expect(live).to_have_text(number)
            see(site, f"https://{NAME}.{app.domain}", f"Version {number}")
        desk.press("Roll back to version 1")
        expect(live).to_have_text("1")
        see(site, f"https://{NAME}.{app.domain}", "Version 1")

        other.becomes(f"{COPY} is ready")
        expect(other.window.locator(".steps")).to_contain_text("Imported 1 user")
        other.window.get_by_role("link", name="Open it").click()
        other.page.wait_for_url(f"**/{COPY}")
        other.open(f"/backpacks/{COPY}/data?collection=cars")
        expect(other.page.get_by_role("gridcell", name="Saab", exact=True)).to_be_visible()
    site.close()


def see(site: Page, url: str, text: str) -> None:
    """Return when a site shows this to who has been there before."""

    def look() -> bool:
        site.goto(url)
        return site.locator("body").inner_text() == text

    until(look, f"{url} shows {text}", PATIENCE)


def begin_import(desk: Desk, file: Path) -> None:
    """Have a backup of the backpack become another one."""
    page = desk.open(f"{HOME}/backup")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    download.value.save_as(file)
    desk.press("As a new backpack")
    desk.window.get_by_label("Backup").set_input_files(file)
    desk.answer("Import", Name=COPY)


def test_drained_node_shows_in_the_state(desk: Desk, app: App, worker: Node) -> None:
    from playwright.sync_api import expect

    page = desk.open("/nodes")
    row = desk.row("nodes", worker.name)
    row.get_by_role("button", name="Drain").click()
    desk.answer("Drain")
    expect(row.locator(".state")).to_have_text("ready, drain")

    page = desk.open()
    state = desk.row("rows", NAME).locator(".state")
    expect(state).to_contain_text("mongo: 0 of 1 run, no suitable node")
    desk.row("rows", NAME).get_by_role("link", name=NAME, exact=True).click()
    expect(desk.row("services", "redis")).to_contain_text("down: no suitable node")
    expect(page.locator("#state")).to_contain_text("mongo: 0 of 1 run, no suitable node")

    page = desk.open("/nodes")
    row.get_by_role("button", name="Activate").click()
    expect(row.locator(".state")).to_have_text("ready")
    page = desk.open(HOME)
    expect(page.locator("#state")).to_have_text("up")
    until(lambda: app.client.get("/cars").status_code == 200, "its backend answers")


def test_service_that_cannot_run_is_named(desk: Desk, app: App, lab: Lab) -> None:
    from playwright.sync_api import expect

    page = desk.open(HOME)
    nowhere = ("node.labels.there==nowhere", f"bp-{NAME}_files")
    lab.docker("service", "update", "--detach", "--constraint-add", *nowhere)
    expect(page.locator("#state")).to_contain_text("degraded: files: 0 of 1 run, no suitable node")
    expect(desk.row("services", "files")).to_contain_text("0 of 1")
    lab.docker("service", "update", "--detach", "--constraint-rm", *nowhere)


def test_deleted_backpacks_come_back_or_go(desk: Desk, app: App, deployment: Deployment) -> None:
    from playwright.sync_api import expect

    with desk.second() as other:
        for seat, name in ((desk, NAME), (other, COPY)):
            seat.open()
            seat.press(f"Delete {name}")
            seat.answer("Delete", Type=name)
        for seat, name in ((desk, NAME), (other, COPY)):
            expect(seat.window).to_have_count(0)
            expect(seat.row("deleted", name)).to_be_visible()
        assert app.client.get("/cars").status_code == 404
        desk.press(f"Restore {NAME}")
        other.press(f"Delete for good {COPY}")
        other.answer("Delete for good", Type=COPY)
        for seat, name in ((desk, NAME), (other, COPY)):
            expect(seat.window).to_have_count(0)
            expect(seat.row("deleted", name)).to_have_count(0)

    expect(desk.row("rows", NAME).locator(".state")).to_have_text("up")
    until(lambda: app.client.get("/cars").status_code == 200, "its backend answers")
    assert [car["brand"] for car in app.all("cars")] == ["Saab", "Fiat"]
    left = json.dumps(deployment.traces())
    assert f"bp-{NAME}_api" in left
    assert COPY not in left
