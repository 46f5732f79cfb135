"""What a Docker Swarm says of itself, by the Docker SDK: services and why they do not run, secrets,
volumes, networks. Which of it makes a backpack is not known here, and stacks are deployed by
`docker_cli`.

The SDK blocks, so each question goes to a thread.
"""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import docker
import requests
from docker.errors import APIError, DockerException
from docker.errors import NotFound as MissingError

from ..errors import Conflict, Invalid, NotFound, Unavailable

T = TypeVar("T")

STACK = "com.docker.stack.namespace"  # the label by which Docker itself knows what is a stack's

_ENCRYPTED = "encrypted"  # the option of an overlay network
_PATIENCE = 30  # seconds that the daemon may take for an answer
_BEGINNINGS = {
    "preparing": "its image is being fetched",
    "starting": "it has started, and is not healthy yet",
}
_FAILED = ("failed", "rejected")
_ENDED = (*_FAILED, "complete", "shutdown", "orphaned", "remove")


@dataclass(frozen=True)
class Service:
    """One service of a stack. `running` counts tasks that are healthy and as the service is now
    wanted; `reason` says why there are not as many as `wanted`, "" where there are.

    `failed`: which such tasks have failed, by id, as far as Docker remembers; `is_placed`: whether
    each has a node; `leaving`: how many run still that are as it was wanted before. What runs on
    nodes that are down, Docker does not know: it counts as ended. `update` is Docker's word for how
    far a rolling update has come, "" where there was none, and `update_reason` its sentence about
    that.
    """

    name: str
    wanted: int
    running: int
    image: str
    reason: str
    failed: frozenset[str] = frozenset()
    is_placed: bool = True
    leaving: int = 0
    update: str = ""
    update_reason: str = ""

    @property
    def is_complete(self) -> bool:
        return self.running >= self.wanted and self.update in ("", "completed")


class Swarm:
    """Asks and changes one swarm, by the daemon of a manager: the one of `DOCKER_HOST`, otherwise
    of this machine."""

    def __init__(self) -> None:
        self._known: docker.DockerClient | None = None
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(thread_name_prefix="docker")

    @property
    def _docker(self) -> Any:  # the stubs know half of it
        with self._lock:
            if self._known is None:
                self._known = docker.from_env(timeout=_PATIENCE)
            return self._known.api

    async def ask(self, question: Callable[[Any], T]) -> T:
        """The answer to a question to the SDK's low-level client, asked in a thread; what it raises
        is raised as an error of ours."""
        return await self._ask(lambda: question(self._docker))

    async def _ask(self, question: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, _translated, question)

    async def close(self) -> None:
        """Close the connections, once the questions have been answered that nobody waits for."""
        await asyncio.to_thread(self._threads.shutdown)
        if self._known is not None:
            await asyncio.to_thread(self._known.close)

    async def info(self) -> dict[str, Any]:
        """What the daemon says of itself, as `docker info` shows it."""
        return await self._ask(lambda: self._docker.info())

    async def services(self, stack: str) -> list[Service]:
        """The services of a stack, by name; none where there is no such stack."""

        def ask() -> list[Service]:
            chosen = {"label": f"{STACK}={stack}"}
            services = self._docker.services(filters=chosen)
            tasks = self._living_tasks(chosen)
            found = [_service(stack, one, tasks) for one in services]
            return sorted(found, key=lambda service: service.name)

        return await self._ask(ask)

    async def outdated(self, stack: str) -> list[str]:
        """The services of a stack that are wanted as they run, but with another image on this
        machine than their image's name stands for by now. One that is being changed is none of
        them: it gets the image with that, or goes back."""

        def ask() -> list[str]:
            found = set()
            chosen = {"label": f"{STACK}={stack}"}
            tasks = {one["ID"]: one for one in self._docker.tasks(filters=chosen)}
            for one in self._docker.containers(filters=chosen):
                service = one["Labels"]["com.docker.swarm.service.name"]
                task = tasks.get(one["Labels"]["com.docker.swarm.task.id"])
                with suppress(MissingError):  # it has no name any more: nothing has taken it
                    template = self._docker.inspect_service(service)["Spec"]["TaskTemplate"]
                    wanted = self._docker.inspect_image(template["ContainerSpec"]["Image"])
                    if task and _is_of(task, template) and wanted["Id"] != one["ImageID"]:
                        found.add(service)
            return sorted(found)

        return await self._ask(ask)

    async def stacks(self, label: str) -> dict[str, str]:
        """Which stacks have services with `label`, and its value there."""

        def ask() -> dict[str, str]:
            services = self._docker.services(filters={"label": label})
            labels = [one["Spec"]["Labels"] for one in services]
            return {one[STACK]: one[label] for one in labels if STACK in one}

        return await self._ask(ask)

    async def environment(self, service: str) -> dict[str, str]:
        """The environment that a service is given; raises NotFound."""

        def ask() -> dict[str, str]:
            found = self._docker.inspect_service(service)
            wanted = found["Spec"]["TaskTemplate"]["ContainerSpec"].get("Env") or []
            return dict(one.partition("=")[::2] for one in wanted)

        return await self._ask(ask)

    async def service_image(self, service: str) -> str:
        """The image of a service, "" where there is none."""

        def ask() -> str:
            found = self._docker.services(filters={"name": service})
            specs = [one["Spec"] for one in found if one["Spec"]["Name"] == service]
            return str(specs[0]["TaskTemplate"]["ContainerSpec"]["Image"]) if specs else ""

        return await self._ask(ask)

    async def container(self, service: str) -> str:
        """The id of a container of a service on this machine, "" where none runs."""
        chosen = {"label": f"com.docker.swarm.service.name={service}"}
        found = await self._ask(lambda: self._docker.containers(filters=chosen))
        return str(found[0]["Id"]) if found else ""

    async def published(
        self, ports: Collection[int], stack: str
    ) -> tuple[set[int], dict[int, str]]:
        """Which of these ports are published by a stack, and which by whom else."""

        def ask() -> tuple[set[int], dict[int, str]]:
            ours: set[int] = set()
            others: dict[int, str] = {}
            for service in self._docker.services():
                is_ours = service["Spec"]["Labels"].get(STACK) == stack
                for one in (service.get("Endpoint") or {}).get("Ports") or ():
                    if one.get("PublishedPort") in ports and is_ours:
                        ours.add(one["PublishedPort"])
                    elif one.get("PublishedPort") in ports:
                        others[one["PublishedPort"]] = f"service {service['Spec']['Name']}"
            for container in self._docker.containers():
                if "com.docker.swarm.service.name" not in container["Labels"]:
                    for one in container["Ports"]:
                        if one.get("PublicPort") in ports:
                            name = container["Names"][0].strip("/")
                            others[one["PublicPort"]] = f"container {name}"
            return ours, others

        return await self._ask(ask)

    async def is_left(self, stack: str) -> str:
        """What of a stack is still there, in words; "" where nothing is."""

        def ask() -> str:
            chosen = {"label": f"{STACK}={stack}"}
            if self._docker.services(filters=chosen):
                return "services"
            tasks = self._living_tasks(chosen)
            if any(one["Status"]["State"] not in _ENDED for one in tasks):
                return "containers"
            if self._docker.containers(all=True, filters=chosen):
                return "containers"
            return "networks" if self._docker.networks(filters=chosen) else ""

        return await self._ask(ask)

    def _living_tasks(self, chosen: Mapping[str, str]) -> list[dict[str, Any]]:
        """Tasks but for those on nodes that are down, which stay as they were last seen there."""
        down = {one["ID"] for one in self._docker.nodes() if one["Status"]["State"] == "down"}
        tasks = self._docker.tasks(filters=chosen)
        return [one for one in tasks if one.get("NodeID") not in down]

    async def make_network(self, name: str, subnet: str, encrypted: bool) -> None:
        """An overlay network that all stacks may join; one that is there already stays."""
        options = {_ENCRYPTED: ""} if encrypted else {}

        def ask() -> None:
            if not any(one["Name"] == name for one in self._docker.networks(names=[name])):
                pool = docker.types.IPAMPool(subnet=subnet)
                addresses = docker.types.IPAMConfig(pool_configs=[pool])
                self._docker.create_network(
                    name, driver="overlay", options=options, ipam=addresses, attachable=True
                )

        await self._ask(ask)

    async def is_encrypted(self, network: str) -> bool | None:
        """Whether a network encrypts what goes from node to node; None where there is none."""

        def ask() -> bool | None:
            for one in self._docker.networks(names=[network]):
                if one["Name"] == network:  # which others may begin with
                    return _ENCRYPTED in (one["Options"] or {})
            return None

        return await self._ask(ask)

    async def remove_network(self, name: str) -> None:
        await self._ask(lambda: _unless_missing(lambda: self._docker.remove_network(name)))

    async def remove_networks(self, stack: str) -> None:
        """Remove the networks of a stack, but for those that are in use."""

        def ask() -> None:
            for network in self._docker.networks(filters={"label": f"{STACK}={stack}"}):
                with suppress(APIError):
                    self._docker.remove_network(network["Id"])

        await self._ask(ask)

    async def secrets(self, label: str) -> set[str]:
        """The names of the secrets with a label, given as `key=value`."""
        found = await self._ask(lambda: self._docker.secrets(filters={"label": label}))
        return {one["Spec"]["Name"] for one in found}

    async def secret_labels(self, key: str) -> set[str]:
        """The values that secrets have for a label."""
        found = await self._ask(lambda: self._docker.secrets(filters={"label": key}))
        return {one["Spec"]["Labels"][key] for one in found}

    async def make_secret(self, name: str, value: str, labels: Mapping[str, str]) -> None:
        """A secret of this name; raises Conflict where there is one."""
        await self._ask(
            lambda: self._docker.create_secret(name, value.encode(), labels=dict(labels))
        )

    async def remove_secret(self, name: str) -> None:
        await self._ask(lambda: _unless_missing(lambda: self._docker.remove_secret(name)))

    async def config(self, name: str) -> str | None:
        """The text of a config, None where there is none."""

        def ask() -> str | None:
            found = self._docker.configs(filters={"name": name})
            texts = [one["Spec"]["Data"] for one in found if one["Spec"]["Name"] == name]
            return base64.b64decode(texts[0]).decode() if texts else None

        return await self._ask(ask)

    async def make_config(self, name: str, text: str) -> None:
        """A config of this name; raises Conflict where there is one."""
        await self._ask(lambda: self._docker.create_config(name, text.encode()))

    async def remove_config(self, name: str) -> None:
        await self._ask(lambda: _unless_missing(lambda: self._docker.remove_config(name)))

    async def volumes(self, stack: str) -> set[str]:
        """The names of a stack's volumes on this node; what other nodes have, each knows alone."""
        chosen = {"label": f"{STACK}={stack}"}
        found = await self._ask(lambda: self._docker.volumes(filters=chosen)["Volumes"])
        return {one["Name"] for one in found or ()}

    async def remove_volume(self, name: str) -> None:
        """Remove a volume of this node; raises Conflict while a container has it."""
        await self._ask(lambda: _unless_missing(lambda: self._docker.remove_volume(name)))


def _service(stack: str, service: dict[str, Any], tasks: Sequence[dict[str, Any]]) -> Service:
    template = service["Spec"]["TaskTemplate"]
    mine = [one for one in tasks if one["ServiceID"] == service["ID"]]
    current = [one for one in mine if _is_of(one, template)]
    desired = [one for one in current if _is_wanted(one)]
    running = sum(one["Status"]["State"] == "running" for one in desired)
    wanted = _wanted(service["Spec"]["Mode"], desired)
    update = service.get("UpdateStatus") or {}
    return Service(
        name=service["Spec"]["Name"].removeprefix(f"{stack}_"),
        wanted=wanted,
        running=running,
        image=template["ContainerSpec"]["Image"].partition("@")[0],
        reason="" if running >= wanted else _reason(current),
        failed=frozenset(one["ID"] for one in current if one["Status"]["State"] in _FAILED),
        is_placed=all(one.get("NodeID") for one in desired),
        leaving=sum(one["Status"]["State"] == "running" for one in mine if one not in current),
        update=update.get("State", ""),
        update_reason=update.get("Message", ""),
    )


def _wanted(mode: Mapping[str, Any], desired: Sequence[Any]) -> int:
    if "Replicated" in mode:
        return int(mode["Replicated"].get("Replicas", 1))
    return len(desired)


def _is_of(task: Mapping[str, Any], template: Mapping[str, Any]) -> bool:
    """Whether a task was made as its service is wanted now."""
    spec = task["Spec"]
    return all(spec.get(key) == template.get(key) for key in {*spec, *template} - {"Runtime"})


def _reason(tasks: Sequence[Mapping[str, Any]]) -> str:
    """Why not all of these tasks run: what went wrong last, else how far the latest one is."""
    latest = sorted(tasks, key=lambda task: str(task["Status"]["Timestamp"]), reverse=True)
    for task in latest:
        status = task["Status"]
        # One that was ended may have an error of its end, which is nobody's reason.
        if status.get("Err") and (_is_wanted(task) or status["State"] in _FAILED):
            return str(status["Err"])
    states = (task["Status"]["State"] for task in latest if _is_wanted(task))
    return _BEGINNINGS.get(next(states, ""), "it is about to start")


def _is_wanted(task: Mapping[str, Any]) -> bool:
    return bool(task["DesiredState"] == "running")


def _unless_missing(change: Callable[[], Any]) -> None:
    try:
        change()
    except MissingError:
        return


def _translated(question: Callable[[], T]) -> T:
    """The answer to a question; what Docker or the way to it refuses, as an error of ours."""
    try:
        return question()
    except MissingError as exc:
        raise NotFound(_sentence(exc)) from exc
    except APIError as exc:
        if exc.status_code == 409:
            raise Conflict(_sentence(exc)) from exc
        if exc.is_client_error():
            raise Invalid(_sentence(exc)) from exc
        raise Unavailable(_sentence(exc)) from exc
    except (DockerException, requests.RequestException) as exc:
        raise Unavailable(f"Docker cannot be reached: {_cause(exc)}") from exc


def _cause(exc: BaseException) -> str:
    """Why there is no connection; the SDK wraps that in several of its own words."""
    while exc.__cause__ or exc.__context__:
        exc = exc.__cause__ or exc.__context__ or exc
        if isinstance(exc, PermissionError):
            return "this user may not use its socket (sudo, or --user root in a container)"
        if isinstance(exc, OSError) and exc.strerror:
            return f"{exc.strerror}: is it installed and started?"
    return str(exc)


def _sentence(exc: APIError) -> str:
    said = str(exc.explanation or exc)
    return said.removeprefix("rpc error: ").partition("desc = ")[2] or said
