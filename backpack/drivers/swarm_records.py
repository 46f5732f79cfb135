"""What the admin of a swarm keeps about each backpack, as one JSON file each: that it is there,
what it is deployed from, and what is being done to it, so that a crash can be made good.

Everything here blocks for less than a disk write takes; nothing here talks to Docker.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import orjson

from ..errors import NoSpace, NotFound, Unavailable
from .stacks import BackpackSpec

# `making` and `restoring`: its stack is being deployed. `importing`: and filled with a backup;
# `filling`: the same beside the one that it will take the place of, which is `replaced` then.
# `reconnecting`: it is being deployed with other URLs of its databases than these.
# `deleting`: the stack is being removed, the data stay. `deleted`: it is in the trash. `purging`:
# the data go too.
State = Literal[
    "making",
    "up",
    "importing",
    "filling",
    "reconnecting",
    "deleting",
    "deleted",
    "restoring",
    "replaced",
    "purging",
]
LEFT: tuple[State, ...] = ("deleting", "purging")  # has to end, and may run still


@dataclass(frozen=True)
class Record:
    """A backpack. `api_key` is the one that it had when that was last seen; times are in
    milliseconds since 1970, `deleted_at` is 0 outside the trash. The URLs are of databases that are
    not its stack's own."""

    spec: BackpackSpec
    state: State
    api_key: str
    created_at: int
    deleted_at: int = 0
    mongo_url: str = field(default="", repr=False)
    redis_url: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def stack(self) -> str:
        return self.spec.stack

    @property
    def is_external(self) -> bool:
        """Whether it uses databases that are not its stack's own."""
        return bool(self.mongo_url or self.redis_url)

    @property
    def is_there(self) -> bool:
        """Whether its name leads to it; what is being made has its name already."""
        return self.state in ("making", "up", "importing", "reconnecting", "restoring")


class Records:
    """All records, in memory and in `folder`, a file each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._known: dict[str, Record] = {}
        for path in folder.glob("*.json"):
            record = _read(path)
            self._known[record.stack] = record

    def names(self) -> list[str]:
        """The names that lead to a backpack, in code point order."""
        return sorted(record.name for record in self._known.values() if record.is_there)

    def all(self) -> list[Record]:
        """Every record, the oldest first."""
        return sorted(self._known.values(), key=lambda record: record.created_at)

    def find(self, name: str) -> Record | None:
        """The backpack that a name leads to."""
        # A deleted one's name may have been taken since.
        there = (one for one in self.of(name) if one.is_there)
        return next(there, None)

    def get(self, name: str) -> Record:
        """The same; raises NotFound."""
        found = self.find(name)
        if found is None:
            raise unknown(name)
        return found

    def deleted(self, name: str | None = None) -> list[Record]:
        """What is in the trash or on its way there, of one name or of all, the oldest first."""
        chosen = self.all() if name is None else self.of(name)
        found = [record for record in chosen if record.state in ("deleting", "deleted")]
        return sorted(found, key=lambda record: record.deleted_at)

    def next_generation(self, name: str) -> int:
        """One more than that of any backpack that was made under a name and is not yet purged."""
        return 1 + max((record.spec.generation for record in self.of(name)), default=0)

    def of(self, name: str) -> list[Record]:
        """Every record of a name, whatever is done to it."""
        return [record for record in self._known.values() if record.name == name]

    def latest(self, record: Record) -> Record:
        """What is known by now of the backpack of a record; raises NotFound when it is gone."""
        found = self._known.get(record.stack)
        if found is None:
            raise unknown(record.name)
        return found

    def put(self, record: Record) -> Record:
        """Keep a record in the place of the one of its stack; answers it. Raises NoSpace,
        Unavailable."""
        try:
            _write(self._path(record.stack), asdict(record))
        except OSError as exc:
            if exc.errno in (errno.ENOSPC, errno.EDQUOT):
                raise NoSpace from exc
            raise Unavailable(f"The admin's disk does not take anything: {exc.strerror}") from exc
        self._known[record.stack] = record
        return record

    def change(self, record: Record, **changes: Any) -> Record:
        """Note that a backpack is to be deployed otherwise; answers the new record."""
        return self.put(replace(record, spec=replace(record.spec, **changes)))

    def mark(self, record: Record, state: State) -> Record:
        """Note what is being done to a backpack, or that it is done; answers the new record."""
        at = now() if state == "deleting" else record.deleted_at
        return self.put(replace(record, state=state, deleted_at=0 if state == "up" else at))

    def remove(self, record: Record) -> None:
        self._path(record.stack).unlink(missing_ok=True)
        self._known.pop(record.stack, None)

    def _path(self, stack: str) -> Path:
        return self._folder / f"{stack}.json"


def unknown(name: str) -> NotFound:
    return NotFound(f"There is no backpack {name!r}", code="unknown_backpack")


def now() -> int:
    return int(time.time() * 1_000)


def _write(path: Path, stored: Mapping[str, Any]) -> None:
    beside = path.with_suffix(".new")
    with beside.open("wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(orjson.dumps(stored, option=orjson.OPT_INDENT_2))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _read(path: Path) -> Record:
    """What was written, by another version of Backpack too."""
    stored = _known(Record, orjson.loads(path.read_bytes()))
    return Record(**{**stored, "spec": BackpackSpec(**_known(BackpackSpec, stored["spec"]))})


def _known(kind: type[Record | BackpackSpec], stored: Mapping[str, Any]) -> dict[str, Any]:
    names = {option.name for option in fields(kind)}
    return {name: value for name, value in stored.items() if name in names}
