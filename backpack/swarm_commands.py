"""The commands of `backpack swarm`: how they are written, and what each prints."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import Invalid, Unavailable
from .settings import is_domain
from .steps import Steps, finish, say_nothing
from .terminal import bold, say, table

if TYPE_CHECKING:
    from .drivers.installation import Installation

# Options of `up` and `upgrade` that are fields of a deployment, and what they say.
_IMAGES = {
    "image": "image of the API, the files and the admin",
    "nginx_image": "image of the sites, Nginx",
    "mongo_image": "image of the databases, MongoDB",
    "redis_image": "image of sessions and broadcasts, Redis",
    "traefik_image": "image of the edge, Traefik",
}
_MARKS = {"ok": "ok", "warning": "warn", "failure": "FAIL"}


def add(commands: Any, add_command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add `swarm` and the commands below it; `add_command` makes each of these."""
    what = "Run backpacks on a Docker Swarm."
    swarm = commands.add_parser(
        "swarm",
        help=what,
        description=what,
        epilog="example: backpack swarm up --domain example.com --email me@example.com",
    )
    below = swarm.add_subparsers(metavar="COMMAND", required=True)
    _add_up(below, add_command)
    _add_upgrade(below, add_command)
    down = add_command(
        below,
        "down",
        _down,
        "Stop everything; the data stay, and up has it all again.",
        "backpack swarm down",
    )
    down.add_argument(
        "--purge", action="store_true", help="remove all data of all backpacks, for good"
    )
    status = add_command(
        below, "status", _status, "Show what runs, and what does not.", "backpack swarm status"
    )
    doctor = add_command(
        below,
        "doctor",
        _doctor,
        "Look for what keeps a swarm of backpacks from working; tells a remedy for each.",
        "backpack swarm doctor --domain example.com",
    )
    doctor.add_argument(
        "--domain", type=_domain, help="whose DNS records to look at (the deployment's)"
    )
    add_command(
        below,
        "roll",
        _roll,
        "Deploy every backpack anew; upgrade has the admin do that.",
        "docker exec ADMIN backpack swarm roll",
    )
    token = add_command(
        below,
        "token",
        _token,
        "Print the token that the first developer registers with; up has the admin do that.",
        "docker exec ADMIN backpack swarm token",
    )
    metrics_token = add_command(
        below,
        "metrics-token",
        _metrics_token,
        "Print the token with which the metrics of the admin's host are read.",
        "docker exec ADMIN backpack swarm metrics-token",
    )
    for command in (down, status, doctor, token, metrics_token):
        command.add_argument("--json", action="store_true", help="print the result as JSON")


def _add_up(below: Any, add_command: Callable[..., argparse.ArgumentParser]) -> None:
    command = add_command(
        below,
        "up",
        _up,
        "Put up a deployment, or change the one there is.",
        "backpack swarm up --domain example.com --email me@example.com",
    )
    command.add_argument("--domain", type=_domain, help="domain that all hosts are under")
    command.add_argument("--email", help="e-mail address for the certificate authority")
    _add_images(command)
    command.add_argument(
        "--replicas", type=_count, metavar="N", help="API processes of a new backpack (1)"
    )
    command.add_argument(
        "--ca", metavar="URL", dest="acme_server", help="ACME directory (that of Let's Encrypt)"
    )
    command.add_argument(
        "--ca-root",
        type=Path,
        metavar="FILE",
        help="certificate that the ACME server's own must be signed by, as PEM",
    )
    command.add_argument(
        "--endpoints",
        choices=("vip", "dnsrr"),
        help="how services find each other (vip where the kernel has IP_VS)",
    )
    command.add_argument(
        "--set",
        type=_assignment,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another setting, such as memory.mongo=4G; may be given many times",
    )
    command.add_argument("--json", action="store_true", help="print the result as JSON")


def _add_upgrade(below: Any, add_command: Callable[..., argparse.ArgumentParser]) -> None:
    command = add_command(
        below,
        "upgrade",
        _upgrade,
        "Run other images: one after the other, and back by itself where one does not come up.",
        "backpack swarm upgrade --image registry.example.com/backpack:1.1",
    )
    _add_images(command)
    command.add_argument("--json", action="store_true", help="print the result as JSON")


def _add_images(command: argparse.ArgumentParser) -> None:
    for name, what in _IMAGES.items():
        command.add_argument(f"--{name.replace('_', '-')}", metavar="IMAGE", help=what)


def _up(options: argparse.Namespace) -> None:
    given = _given(options, ("domain", "email", *_IMAGES, "replicas", "acme_server"))
    if options.ca_root is not None:
        given["acme_root"] = _read(options.ca_root)
    vip = None if options.endpoints is None else options.endpoints == "vip"
    made = _run(
        lambda installation: _finish(options, installation.up(given, dict(options.set), vip))
    )
    lines = [f"The panel is at {bold(made['admin'])}"]
    if made.get("setup"):
        lines.append(f"Register there with this set-up token, once: {bold(made['setup'])}")
    _show(options, made, *lines)


def _upgrade(options: argparse.Namespace) -> None:
    given = _given(options, tuple(_IMAGES))
    made = _run(lambda installation: _finish(options, installation.upgrade(given)))
    _show(options, made, "Everything is upgraded")


def _down(options: argparse.Namespace) -> None:
    made = _run(lambda installation: _finish(options, installation.down(purge=options.purge)))
    kept = "nothing of it is left" if options.purge else "the data are kept: up has it again"
    _show(options, made, f"The deployment is down; {kept}")


def _status(options: argparse.Namespace) -> None:
    found = _run(lambda installation: installation.status())
    services = [
        [one["name"], f"{one['running']}/{one['wanted']}", one["image"], one["reason"]]
        for one in found["services"]
    ]
    nodes = [[one["name"], one["role"], one["state"]] for one in found["nodes"]]
    backpacks = [[one["name"], one["state"], one["reason"]] for one in found["backpacks"]]
    _show(
        options,
        found,
        *table(["SERVICE", "RUNS", "IMAGE", ""], services),
        "",
        *table(["NODE", "ROLE", "STATE"], nodes),
        "",
        *(table(["BACKPACK", "STATE", ""], backpacks) if backpacks else ["There are no backpacks"]),
    )


def _doctor(options: argparse.Namespace) -> None:
    found = asyncio.run(_examined(options))
    if options.json:
        say(json.dumps(found, indent=2))
    failed = sum(one["state"] == "failure" for one in found)
    if failed:
        raise Invalid(f"{failed} of {len(found)} findings keep a swarm from working")


async def _examined(options: argparse.Namespace) -> list[dict[str, str]]:
    try:
        from .drivers.doctor import examine
        from .drivers.swarm_state import Swarm
    except ModuleNotFoundError as exc:
        raise _missing() from exc
    found = []
    async for finding in examine(Swarm(), options.domain):
        found.append(asdict(finding))
        if not options.json:
            say(f"{_MARKS[finding.state]:<5} {finding.what}: {finding.found}")
            if finding.remedy:
                say(f"      {finding.remedy}")
    return found


def _roll(options: argparse.Namespace) -> None:
    from . import control
    from .settings import data_from_environment

    done = control.perform(data_from_environment(), "roll", {}, say=say)
    say(f"Renewed: {', '.join(done['upgraded']) or 'there are no backpacks'}")


def _token(options: argparse.Namespace) -> None:
    from . import control
    from .settings import data_from_environment

    found = control.perform(data_from_environment(), "setup_token", {})
    _show(options, found, found["setup"] or "There is a developer already: sign in")


def _metrics_token(options: argparse.Namespace) -> None:
    from . import control
    from .settings import data_from_environment

    found = control.perform(data_from_environment(), "metrics_token", {})
    _show(options, found, found["metrics"])


def _run(work: Callable[[Installation], Coroutine[Any, Any, Any]]) -> Any:
    try:
        from .drivers.installation import Installation
        from .drivers.swarm_state import Swarm
    except ModuleNotFoundError as exc:
        raise _missing() from exc
    return asyncio.run(work(Installation(Swarm())))


def _missing() -> Unavailable:
    return Unavailable("swarm needs more packages: pip install 'backpack-baas[swarm]'")


async def _finish(options: argparse.Namespace, steps: Steps) -> Any:
    return await finish(steps, say_nothing if options.json else say)


def _show(options: argparse.Namespace, result: Any, *lines: str) -> None:
    if options.json:
        say(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        say(*lines)


def _given(options: argparse.Namespace, names: tuple[str, ...]) -> dict[str, Any]:
    every = {name: getattr(options, name) for name in names}
    return {name: value for name, value in every.items() if value is not None}


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, ValueError) as exc:
        raise Invalid(f"Cannot read {file}: {exc}") from exc


def _domain(text: str) -> str:
    if not is_domain(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no domain such as example.com")
    return text


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} must be NAME=VALUE, such as drain=10")
    return name, value


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 100")
    return int(text)
