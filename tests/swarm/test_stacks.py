"""What Docker is told to run: whole texts, and that no value can make them say something else."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from backpack.drivers.stacks import BackpackSpec, Deployment, backpack, platform
from backpack.errors import Invalid
from tests.services import need

EXPECTED = Path(__file__).parent / "expected"
ROOT_PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
PLAIN = Deployment("example.com", email="me@example.com", node="n0de1")
FULL = Deployment(
    "apps.example.org",
    email="ops@example.org",
    node="n0de1",
    image="backpack:1.0",
    mongo_image="mongo:7.0.28",
    registry="registry.example.org:5000/ours",
    acme_server="https://acme.example.org:14000/dir",
    acme_root=ROOT_PEM,
    vip=False,
    encrypted=True,
    subnets=("10.9.0.0/20", "10.9.16.0/20"),
    constraints=("node.labels.zone == east",),
    memory={"api": "256M", "mongo": "4G", "traefik": "1G"},
    cpus={"api": "1.5", "admin": "0.5"},
    drain=10.0,
    health_interval=2,
    log_size="1m",
    log_files=7,
    settings={"session_ttl": "3600", "allowed_origins": "https://www.example.org"},
)
SHOP = BackpackSpec("shop", replicas=2, node="n0de1")
STACKS = {
    "edge": platform(PLAIN),
    "edge-full": platform(FULL),
    "backpack": backpack(PLAIN, SHOP),
    "backpack-full": backpack(
        FULL,
        BackpackSpec(
            "shop", generation=3, replicas=5, site=12, node="n0de2", memory={"redis": "2G"}
        ),
    ),
    "backpack-external": backpack(
        PLAIN, dataclasses.replace(SHOP, external_mongo=True, external_redis=True, urls=2)
    ),
}
OLDEST = 25  # the first docker command that knows `start_interval`


@pytest.mark.parametrize("name", STACKS)
def test_stack_is_as_expected(name: str) -> None:
    file = EXPECTED / f"{name}.yml"
    if os.environ.get("BACKPACK_WRITE_EXPECTED") == "1":
        file.write_text(STACKS[name], "utf-8")

    assert STACKS[name] == file.read_text("utf-8")


@pytest.mark.parametrize("name", STACKS)
def test_docker_understands_stack(name: str, tmp_path: Path) -> None:
    docker = shutil.which("docker")
    need(docker, "needs the docker command: apt-get install docker.io")
    said = subprocess.run([str(docker), "--version"], capture_output=True, text=True, check=True)
    version = int(re.findall(r"\d+", said.stdout)[0])
    need(version >= OLDEST, f"needs a docker command of version {OLDEST} or later, not {version}")
    file = tmp_path / "stack.yml"
    file.write_text(STACKS[name], "utf-8")

    read = subprocess.run(
        [str(docker), "stack", "config", "--compose-file", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (read.returncode, read.stderr) == (0, "")
    assert set(yaml.safe_load(read.stdout)["services"]) == set(
        yaml.safe_load(STACKS[name])["services"]
    )


def shape(value: Any) -> Any:
    """What a parsed text says apart from the values: keys, and lengths of lists."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return type(value)


TEXTS = [
    field.name
    for field in dataclasses.fields(Deployment)
    if isinstance(getattr(PLAIN, field.name), str) and field.name != "acme_root"
]
HOSTILE = st.text() | st.text("\"'\\{}[]$%#&*!|>:-`,.\n \taZ9@/", max_size=40)


@given(st.sampled_from(TEXTS), HOSTILE)
@example("email", '"}\n  evil: {image: evil}')
@example("domain", "a`) || Host(`b")
@example("image", "$HOME")
@example("acme_server", "https://{{.Node.ID}}/")
def test_no_text_changes_structure(name: str, text: str) -> None:
    values: dict[str, Any] = {name: text}
    try:
        changed = dataclasses.replace(PLAIN, **values)
    except Invalid:
        return

    for found, plain in (
        (platform(changed), STACKS["edge"]),
        (backpack(changed, SHOP), STACKS["backpack"]),
    ):
        assert shape(yaml.safe_load(found)) == shape(yaml.safe_load(plain))
        assert not re.search(r"(?<!\$)\$(?!\$)|\{\{", found.partition("services:")[2])


@given(st.sampled_from(["name", "node"]), HOSTILE)
def test_no_text_changes_structure_of_backpack(name: str, text: str) -> None:
    values: dict[str, Any] = {name: text}
    try:
        changed = dataclasses.replace(SHOP, **values)
    except Invalid:
        return

    found, plain = (yaml.safe_load(one) for one in (backpack(PLAIN, changed), STACKS["backpack"]))

    for stack in (found, plain):  # whose names have the backpack's in them
        for service in stack["services"].values():
            service["deploy"]["labels"] = len(service["deploy"]["labels"])
    assert shape(found) == shape(plain)


@given(HOSTILE)
def test_no_text_is_another_value(text: str) -> None:
    changes: list[dict[str, Any]] = [
        {"memory": {"api": text}},
        {"cpus": {"api": text}},
        {"settings": {"allowed_origins": text}},
        {"settings": {text: "1"}},
        {"constraints": (text,)},
        {"subnets": (text, "10.0.0.0/20")},
        {"acme_root": text},
    ]
    for changed in changes:
        try:
            deployment = dataclasses.replace(PLAIN, **changed)
        except Invalid:
            continue
        services = yaml.safe_load(backpack(deployment, SHOP))["services"]
        assert list(services) == ["api", "files", "site", "mongo", "redis"]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"domain": "not a domain"}, "domain cannot be 'not a domain'"),
        ({"replicas": 0}, "replicas cannot be '0'"),
        ({"subnets": ("10.0.0.0/8", "10.1.0.0/16")}, "subnets cannot be"),
        ({"memory": {"api": "lots"}}, "api cannot be limited to 'lots'"),
        ({"cpus": {"nobody": "1"}}, "There is no service 'nobody'"),
        ({"settings": {"colour": "red"}}, "There is no setting 'colour'"),
        ({"settings": {"domain": "example.org"}}, "There is no setting 'domain'"),
        ({"settings": {"max_body": "many"}}, "BACKPACK_MAX_BODY is 'many', but must be a number"),
        ({"ingress": True, "vip": False}, "ingress needs vip"),
        ({"encrypted": "yes"}, "encrypted cannot be 'yes'"),
        ({"settings": {"metrics_token": "x" * 16}}, "There is no setting 'metrics_token'"),
        ({"settings": {"setup_token": "x" * 16}}, "There is no setting 'setup_token'"),
    ],
)
def test_deployment_refuses(changed: dict[str, Any], why: str) -> None:
    with pytest.raises(Invalid, match=re.escape(why)):
        dataclasses.replace(PLAIN, **changed)


def test_deployment_comes_back_from_json() -> None:
    assert Deployment.from_json(FULL.to_json()) == FULL


def test_deployment_of_another_version_is_read() -> None:
    settings = '{"session_ttl": "3600", "metrics_token": "0123456789abcdef", "colour": "red"}'
    text = f'{{"domain": "example.com", "colour": "red", "settings": {settings}}}'

    assert Deployment.from_json(text) == Deployment("example.com", settings={"session_ttl": "3600"})
