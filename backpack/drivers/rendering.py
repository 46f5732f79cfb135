"""Templates of the folder `swarm` as text that Docker reads, where a value cannot become more than
a value: each is written as JSON, and what came out is read back and compared."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..assets import folder
from ..errors import BackpackError, Invalid


@dataclass(frozen=True)
class Part:
    """What a service has to be, whatever its template says else."""

    image: str
    networks: Collection[str]
    secrets: Collection[str] = ()
    volumes: Collection[str] = ()  # by name; a path is a folder of the machine
    ports: Collection[int | str] = ()  # that others reach


def render(template: str, parts: Mapping[str, Part], **values: Any) -> str:
    """The text of a template; raises BackpackError when it says other services than `parts`."""
    environment = Environment(
        loader=FileSystemLoader(folder("swarm")),
        undefined=StrictUndefined,
        finalize=_as_value,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # `finalize` does it
    )
    text = environment.get_template(template).render(values)
    found = _parts(text)
    if found != {name: _plain(part) for name, part in parts.items()}:
        raise BackpackError(f"{template} does not say what it was made to say")
    return text


def _as_value(value: object) -> str:
    """JSON is YAML; a dollar sign would be the begin of a variable to Docker."""
    return json.dumps(value).replace("$", "$$")


def _parts(text: str) -> dict[str, Any]:
    try:
        import yaml
    except ImportError as exc:
        raise Invalid("This needs more packages: pip install 'backpack-baas[swarm]'") from exc
    services = yaml.safe_load(text.replace("$$", "$"))["services"]
    return {name: _plain(_part(service)) for name, service in services.items()}


def _part(service: Mapping[str, Any]) -> Part:
    return Part(
        image=service["image"],
        networks=list(service.get("networks", ())),
        secrets=[secret["source"] for secret in service.get("secrets", ())],
        volumes=[
            volume["source"] for volume in service.get("volumes", ()) if volume["type"] != "tmpfs"
        ],
        ports=[
            port if isinstance(port, str) else port["published"]
            for port in service.get("ports", ())
        ],
    )


def _plain(part: Part) -> tuple[object, ...]:
    return (
        part.image,
        *(sorted(names) for names in (part.networks, part.secrets, part.volumes)),
        sorted(map(str, part.ports)),
    )
