"""The operator of a deployment, as the panel's pages act for them."""

from __future__ import annotations

import re

import httpx

from tests.swarm.deployment import EMAIL, Deployment

PASSWORD = "correct horse battery"


def operator(deployment: Deployment) -> httpx.Client:
    """A client of the admin host that is signed in: as the first one, if nobody has been before."""
    host = f"admin.{deployment.lab.domain}"
    client = deployment.edge.client(host, {"origin": f"https://{host}"})
    setup = deployment.inside("swarm", "token")["setup"]
    if setup:
        form = {"token": setup, "email": EMAIL, "password": PASSWORD}
        client.post("/setup", data=form)
    else:
        link = deployment.inside("link")["url"].partition(host)[2]
        client.post(link, data={"password": PASSWORD})
    found = re.search(r'name="csrf-token" content="([^"]+)"', client.get("/").text)
    assert found is not None
    client.headers["x-csrf-token"] = found[1]
    return client


def token(client: httpx.Client, name: str, scope: str) -> str:
    """A token for a backpack."""
    asked = {"name": f"laptop {scope}", "scope": scope, "days": 1}
    answer = client.post(f"/api/backpacks/{name}/tokens", json=asked).raise_for_status()
    return str(answer.json()["token"])
