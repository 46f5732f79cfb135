"""Deployments that are killed at any step: the site is the old one or the new one, and whole."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.sandboxes import Sandbox, command, environment
from tests.test_hosting import Shop, left_over, run, write

FILES = 400


def site_of(folder: Path, version: str) -> Path:
    files = {f"{n}.js": f"{version} {n} " * 500 for n in range(FILES)}
    return write(folder / f"site-{version}", {"index.html": version, **files})


def deploy_until(step: str, data: Path, site: Path) -> subprocess.Popen[str]:
    """A deployment under way that has just said `step`."""
    deploying = subprocess.Popen(
        command("deploy", site, "--backpack", "my-app", "--data", data),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert deploying.stdout is not None
    assert any(line.startswith(step) for line in deploying.stdout), deploying.communicate()[1]
    return deploying


def check_is_whole(folder: Path, versions: set[str]) -> str:
    """The version that a new sandbox serves, of which nothing is missing."""
    with Sandbox(folder, "--data", folder / "data") as sandbox:
        shop = Shop(sandbox, folder / "data", "my-app")
        version = shop.text()[1]
        assert version in versions
        for n in range(0, FILES, 40):
            assert shop.text(f"/{n}.js") == (200, f"{version} {n} " * 500)
        assert left_over(shop) == []
    return version


STEPS = ["Received", "Checked", "Unpacked", "Version"]


@pytest.mark.parametrize("step", STEPS)
def test_killed_sandbox_serves_old_or_new(tmp_path: Path, step: str) -> None:
    data = tmp_path / "data"
    with Sandbox(tmp_path, "--data", data) as sandbox:
        assert Shop(sandbox, data, "my-app").deploy(site_of(tmp_path, "old")).code == 0
        deploying = deploy_until(step, data, site_of(tmp_path, "new"))
        sandbox.stop(signal.SIGKILL)
        deploying.communicate(timeout=60)

    version = check_is_whole(tmp_path, {"old", "new"})

    assert version == "new" or step != "Version"


@pytest.mark.parametrize("step", STEPS)
def test_killed_command_leaves_old_or_new(tmp_path: Path, step: str) -> None:
    data = tmp_path / "data"
    assert run("create", "my-app", "--data", data).code == 0
    old = site_of(tmp_path, "old")
    assert run("deploy", old, "--backpack", "my-app", "--data", data).code == 0
    deploying = deploy_until(step, data, site_of(tmp_path, "new"))
    deploying.kill()
    deploying.communicate(timeout=60)

    version = check_is_whole(tmp_path, {"old", "new"})

    assert version == "new" or step != "Version"


def test_sandbox_goes_on_without_the_command(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with Sandbox(tmp_path, "--data", data) as sandbox:
        shop = Shop(sandbox, data, "my-app")
        assert shop.deploy(site_of(tmp_path, "old")).code == 0
        deploying = deploy_until("Checked", data, site_of(tmp_path, "new"))
        deploying.kill()
        deploying.communicate(timeout=60)

        assert shop.deploy(site_of(tmp_path, "last")).code == 0
        assert shop.text()[1] == "last"
        assert left_over(shop) == []
    check_is_whole(tmp_path, {"last"})
