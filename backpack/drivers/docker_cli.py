"""The `docker` command: what is run of it, as argument lists, and a runner that tells its output
line by line. What is asked of the swarm without changing it is in `swarm_state`.

Nothing secret is ever an argument: whoever may list processes sees those.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence

from ..errors import Unavailable

SOCKET = "/var/run/docker.sock"  # of the daemon, where containers find it

_LAST = 3  # lines of a failure that are told
_GRACE = 5.0  # seconds that a command has to end when it is told to
_MAX_LINE = 65_536  # characters; a longer one is told in pieces


def deploy_stack(stack: str, *, from_registry: bool) -> list[str]:
    """Create or update a stack from a file on standard input; services that are not in it go.
    `from_registry`: what the names of images stand for is asked there."""
    return [
        *("docker", "stack", "deploy", "--detach=true", "--prune", "--with-registry-auth"),
        *("--resolve-image", "always" if from_registry else "never"),
        *("--compose-file", "-", stack),
    ]


def renew_service(service: str) -> list[str]:
    """Replace the tasks of a service, one by one, though nothing is wanted otherwise."""
    return ["docker", "service", "update", "--detach=true", "--quiet", "--force", service]


def remove_stack(stack: str) -> list[str]:
    return ["docker", "stack", "rm", "--detach=true", stack]


def update_service(
    service: str,
    *,
    replicas: int | None = None,
    environment: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
) -> list[str]:
    """Change a service in place, which replaces its tasks one by one where it has to: not for
    labels, which are the service's own."""
    changes = [] if replicas is None else ["--replicas", str(replicas)]
    for variable, value in (environment or {}).items():
        changes += ["--env-add", f"{variable}={value}"]
    for label, value in (labels or {}).items():
        changes += ["--label-add", f"{label}={value}"]
    return ["docker", "service", "update", "--detach=true", "--quiet", *changes, service]


def create_job(name: str, image: str, script: str) -> list[str]:
    """Run a shell script once on every node, beside the Docker daemon there, until it succeeds."""
    return [
        *("docker", "service", "create", "--detach=true", "--quiet", "--name", name),
        *("--mode", "global-job", "--restart-condition", "on-failure", "--restart-delay", "1s"),
        *("--no-resolve-image", "--user", "root", "--read-only", "--entrypoint", "sh"),
        *("--mount", f"type=bind,source={SOCKET},target={SOCKET}", image, "-c", script),
    ]


def remove_service(service: str) -> list[str]:
    return ["docker", "service", "rm", service]


def execute(container: str, *command: str) -> list[str]:
    """Run a command of Backpack in a container of it."""
    return ["docker", "exec", container, "backpack", *command]


def read_logs(service: str, *, tail: int, follow: bool) -> list[str]:
    """What the tasks of a service have written, each line with its time."""
    command = ["docker", "service", "logs", "--raw", "--timestamps", "--tail", str(tail)]
    return [*command, *(["--follow"] if follow else []), service]


async def lines(
    command: Sequence[str], given: bytes = b"", *, environ: Mapping[str, str] | None = None
) -> AsyncGenerator[str, None]:
    """Run a command and tell each line of its output, both kinds, as it comes; `given` is its
    standard input. When its reader goes away, it is ended.

    Raises Unavailable with its last lines when it fails, and when there is no such program.
    """
    process = await _start(command, environ)
    writing = asyncio.create_task(_write(process, given))
    told: list[str] = []
    try:
        assert process.stdout is not None
        async for line in _split(process.stdout):
            told = [*told, line][-_LAST:]
            yield line
        if await process.wait():
            what = " ".join(command[:3])
            raise Unavailable(f"{what} failed: {' / '.join(told) or 'it does not say why'}")
    finally:
        writing.cancel()
        await _end(process)


async def run(
    command: Sequence[str], given: bytes = b"", *, environ: Mapping[str, str] | None = None
) -> list[str]:
    """The output of a command; raises Unavailable as `lines` does."""
    return [line async for line in lines(command, given, environ=environ)]


async def _start(
    command: Sequence[str], environ: Mapping[str, str] | None
) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environ,
        )
    except FileNotFoundError as exc:
        raise Unavailable(
            "There is no docker command: install Docker (docs.docker.com/engine/install)"
        ) from exc
    except OSError as exc:
        raise Unavailable(f"Cannot run {command[0]}: {exc.strerror}") from exc


async def _write(process: asyncio.subprocess.Process, given: bytes) -> None:
    assert process.stdin is not None
    # A command that ends early does not read all of it.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(given)
        await process.stdin.drain()
    process.stdin.close()


async def _split(stream: asyncio.StreamReader) -> AsyncGenerator[str, None]:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    rest = ""
    while block := await stream.read(_MAX_LINE):
        *whole, rest = (rest + decoder.decode(block)).replace("\r", "\n").split("\n")
        for line in whole:
            if line.strip():
                yield line.rstrip()
        while len(rest) > _MAX_LINE:
            yield rest[:_MAX_LINE]
            rest = rest[_MAX_LINE:]
    if rest.strip():
        yield rest.rstrip()


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    for stop in (process.terminate, process.kill):
        with contextlib.suppress(ProcessLookupError):
            stop()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _GRACE)
            return
