"""What the edge says and logs, and what Docker knows of the databases behind it."""

from __future__ import annotations

import json
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest

from backpack.drivers.stacks import site_files
from tests.swarm.deployment import Deployment
from tests.swarm.lab import Lab
from tests.swarm.lab.images import BACKPACK, NGINX
from tests.swarm.web import App, until

EDGE = "backpack_traefik"
SECRET = "a-token-that-nobody-else-may-read"
# An admin that has one page for every site.
ADMIN = """
import io, tarfile
from http.server import BaseHTTPRequestHandler, HTTPServer
class Admin(BaseHTTPRequestHandler):
    def do_GET(self):
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w") as tar:
            entry = tarfile.TarInfo("index.html")
            entry.size = 5
            tar.addfile(entry, io.BytesIO(b"there"))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(made.getvalue())
HTTPServer(("", 3000), Admin).serve_forever()
"""


def logged(lab: Lab, service: str) -> list[str]:
    """The lines that the containers of a service on the first machine have logged."""
    found = lab.docker("ps", "--all", "--quiet", "--filter", f"name=^{service}").split()
    read = ("docker", "--host", lab.docker_host, "logs")
    every = [
        subprocess.run([*read, one], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True)
        for one in found
    ]
    return [line for one in every for line in one.stdout.decode().splitlines()]


def inspected(lab: Lab, service: str) -> Any:
    found = lab.docker("ps", "--quiet", "--filter", f"name=^{service}").split()
    return json.loads(lab.docker("inspect", found[0]))[0]


@pytest.mark.parametrize("label", ["admin", "shop"])
def test_admin_and_site_are_asked_by_https_alone(
    deployment: Deployment, shop: App, label: str
) -> None:
    host = f"{label}.{deployment.lab.domain}"
    deployment.edge.until_answers(host)
    with deployment.edge.client(host) as client:
        secure = client.get("/", follow_redirects=False)
    plain = httpx.get(f"http://{deployment.edge.address}/x", headers={"host": host})

    assert secure.headers["strict-transport-security"] == "max-age=31536000"
    assert plain.status_code in (301, 308)
    assert plain.headers["location"] == f"https://{host}/x"


def test_request_has_one_id_in_both_logs(lab: Lab, shop: App) -> None:
    request_id = shop.client.get("/me").headers["x-request-id"]

    def lines(service: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in logged(lab, service) if request_id in line]

    (edge,) = until(lambda: lines(EDGE), "the edge has logged it")
    (backend,) = until(lambda: lines("bp-shop_api"), "the backend has logged it")
    assert (edge["origin_X-Request-Id"], edge["RequestPath"]) == (request_id, "/me")
    assert (backend["request_id"], backend["path"], backend["status"]) == (request_id, "/me", 200)


def test_edge_logs_no_tokens(deployment: Deployment, lab: Lab, shop: App) -> None:
    host = f"admin.{lab.domain}"
    with deployment.edge.client(host) as client:
        for path in ("reset", "open", "invitations"):
            client.get(f"/{path}/{SECRET}")
            httpx.get(f"http://{deployment.edge.address}/{path}/{SECRET}", headers={"host": host})
    request_id = shop.client.get(f"/me?apiKey={SECRET}").headers["x-request-id"]
    until(lambda: any(request_id in line for line in logged(lab, EDGE)), "logged")

    assert [line for line in logged(lab, EDGE) if SECRET in line] == []


def test_metrics_of_admin_have_those_of_backpacks(deployment: Deployment, shop: App) -> None:
    token = deployment.inside("swarm", "metrics-token")["metrics"]
    with deployment.edge.client(f"admin.{deployment.lab.domain}") as client:
        page = client.get("/metrics", headers={"authorization": f"Bearer {token}"}).text
        refused = client.get("/metrics", headers={"authorization": "Bearer x"})

    assert refused.status_code == 401
    assert 'backpack_up{backpack="shop"} 1' in page.splitlines()
    for service in ("api", "files"):
        ours = [
            line for line in page.splitlines() if f'backpack="shop",service="{service}"' in line
        ]
        assert any(line.startswith("process_cpu_seconds_total{") for line in ours)
        assert any(line.startswith("backpack_requests_total{") for line in page.splitlines())
    assert page.count("# TYPE backpack_requests_total") == 1


def test_databases_are_well_and_have_few_rights(lab: Lab, shop: App) -> None:
    found = {name: inspected(lab, f"bp-shop_{name}") for name in ("mongo", "redis")}

    for one in found.values():
        assert one["State"]["Health"]["Status"] == "healthy"
        assert one["HostConfig"]["ReadonlyRootfs"]
    assert [one["HostConfig"]["CapDrop"] for one in found.values()] == [["ALL"], ["ALL"]]
    assert found["redis"]["HostConfig"]["CapAdd"] is None


@pytest.mark.parametrize("service", ["mongo", "redis"])
def test_database_that_hangs_is_not_well(lab: Lab, shop: App, service: str) -> None:
    """Connections are accepted still, by the kernel."""
    found = inspected(lab, f"bp-shop_{service}")
    look = ("exec", found["Id"], "timeout", "4", *found["Config"]["Healthcheck"]["Test"][1:])

    lab.docker(*look)
    lab.docker("kill", "--signal", "STOP", found["Id"])
    try:
        with pytest.raises(RuntimeError):
            lab.docker(*look)
    finally:
        lab.docker("kill", "--signal", "CONT", found["Id"])


def test_site_waits_for_an_admin_that_has_just_begun(lab: Lab) -> None:
    """A container finds the admin by its name when Docker has seen that it is well."""
    files = site_files()
    environment = {
        "BACKPACK_STACK": "bp-shop",
        "BACKPACK_ADMIN": "admin.lab.test",
        "BACKPACK_SITE_VERSION": "1",
        "NGINX_CONF": files["site_conf"],
        "NGINX_TYPES": files["site_types"],
    }
    given = [word for pair in environment.items() for word in ("--env", "=".join(pair))]
    place = ("--name", "late-site", "--tmpfs", "/var/lib/site", "--network", "late", "--detach")
    lab.docker("network", "create", "late")
    script = ("--entrypoint", "sh", NGINX, "-euc", files["site_script"])
    site = lab.docker("run", *place, *given, *script).strip()
    until(lambda: "wget:" in "".join(logged(lab, "late-site")), "it has looked for the admin")
    alias = ("--network", "late", "--network-alias", "admin", "--detach")
    admin = lab.docker("run", *alias, "--entrypoint", "python", BACKPACK, "-c", ADMIN).strip()

    def serves() -> bool:
        page = ("wget", "-q", "-O", "-", "http://127.0.0.1:8080/")
        with suppress(RuntimeError):  # Nginx has not begun
            return lab.docker("exec", site, *page) == "there"
        return False

    until(serves, "the site is there")
    lab.docker("rm", "--force", site, admin)
    lab.docker("network", "rm", "late")


@pytest.fixture
def tardy(deployment: Deployment, lab: Lab) -> Iterator[str]:
    """The host of a backpack to which DNS does not lead; the admin looks at it again and again."""
    host = f"tardy-be.{lab.domain}"
    deployment.swarm("up", "--set", "certificate_interval=2")
    lab.lead(host, "127.0.0.1")
    deployment.inside("create", "tardy")
    yield host
    lab.lead(host)
    deployment.remove("tardy")
    deployment.swarm("up", "--set", "certificate_interval=3600")
    deployment.edge.until_answers(f"admin.{lab.domain}")  # whose process is another by now


def test_certificate_comes_when_dns_is_mended(deployment: Deployment, lab: Lab, tardy: str) -> None:
    """Nothing else happens to the edge's routes meanwhile."""
    before, admin = tries(lab, tardy), deployment.admin
    until(lambda: tries(lab, tardy) > before + 1, "it is tried again and again")
    with pytest.raises(ssl.SSLCertVerificationError):
        deployment.edge.issuer(tardy)

    lab.lead(tardy)
    with deployment.lap("DNS mended until there is a certificate"):
        deployment.edge.until_answers(tardy)

    assert deployment.admin == admin  # which has not begun anew


def tries(lab: Lab, host: str) -> int:
    """How often the edge has failed to get a certificate for a host."""
    return sum("Unable to obtain ACME" in one and host in one for one in logged(lab, EDGE))
