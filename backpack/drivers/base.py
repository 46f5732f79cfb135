"""What runs backpacks, as command line and panel see it: the same for a sandbox and for a swarm.

Times are ISO 8601 in UTC. Long actions are `Steps`: a line for each step as it is done, and last a
Result. They begin when they are iterated, and so do they raise; who closes one in the middle ends
the action, which leaves nothing half done. Actions on one backpack that change whether and where it
runs wait for each other.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, NotRequired, Protocol, TypedDict

from ..documents import Document
from ..steps import Steps

NOBODY = "0" * 24  # whose the files are that developers upload for no user


class Described(TypedDict):
    """A backpack and its URLs, as far as it is served; `connect` is for clients that cannot resolve
    the host names."""

    name: str
    api_key: str
    backend: NotRequired[str]
    frontend: NotRequired[str]
    connect: NotRequired[str]


class Deleted(TypedDict):
    """A backpack in the trash, where `deleted_at` tells it from others of its name. It can be
    restored until `until` at least."""

    name: str
    deleted_at: str
    until: str


class Service(TypedDict):
    """A part that a backpack runs as. `reason`: why fewer run than are wanted, else empty."""

    name: str
    wanted: int
    running: int
    image: str
    reason: str


class Status(TypedDict):
    """How a backpack is. `degraded`: it answers, but something of it does not work. `reason` says
    what, and is empty when it is up. `databases`: where those are that are not its own, by their
    kind."""

    name: str
    state: Literal["up", "degraded", "down"]
    reason: str
    services: list[Service]
    databases: dict[str, str]


class SiteVersion(TypedDict):
    """A deployed version of a site. `size`: bytes of all its files; `url`: where it is served."""

    name: str
    version: int
    live: bool
    at: str
    who: str
    size: int
    files: int
    url: NotRequired[str]


class Measured(TypedDict):
    """Metrics of a service of a backpack, as text for Prometheus, by the address of each process
    that answered."""

    backpack: str
    service: str
    pages: Mapping[str, str]


class Node(TypedDict):
    """A machine that backpacks run on. `state` is such as `ready` or `down`, `availability` one of
    `active`, `pause` and `drain`."""

    id: str
    name: str
    role: Literal["manager", "worker"]
    state: str
    availability: str
    address: str
    labels: dict[str, str]


Capability = Literal["scale", "nodes", "node_changes", "databases"]


class Driver(Protocol):
    """Makes, runs, changes and deletes backpacks.

    Every method that is given the name of a backpack that is not there raises NotFound, and
    Unavailable when what runs backpacks is away.
    """

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What there is besides the rest: `scale` to any number, `nodes` to look at, `node_changes`
        to make, `databases` of one's own."""

    def names(self) -> Sequence[str]:
        """The names of all backpacks, in code point order; those in the trash are none."""

    async def describe(self, name: str) -> Described: ...

    def create(
        self, name: str, api_key: str | None = None, mongo_url: str = "", redis_url: str = ""
    ) -> Steps:
        """A new backpack, with a random API key unless one is given; with URLs it uses servers that
        are there, in place of its own. Result: Described.

        Where that fails nothing is left of it, and the error says why. Raises Invalid for a bad
        name, key or URL, and for any URL where there are no `databases`; Conflict for a taken name.
        """

    def delete(self, name: str) -> Steps:
        """Stop a backpack and move everything of it into the trash; Result: Deleted.

        Raises Invalid where there is no trash; then nothing has changed.
        """

    async def trash(self) -> list[Deleted]:
        """What can be restored, the oldest first; raises Invalid where there is no trash."""

    def restore(self, name: str, deleted_at: str | None = None) -> Steps:
        """Have the backpack back that was deleted under that name, at `deleted_at` or last, with
        its users, records, files, site, rules and key; Result: Described.

        Raises NotFound where the trash has none, Conflict when the name has been taken since.
        """

    def purge(self, name: str, deleted_at: str | None = None) -> Steps:
        """Remove for good what was deleted under that name, at `deleted_at` or ever; Result:
        `{"name"}`. Raises NotFound where the trash has none."""

    async def status(self, name: str) -> Status: ...

    def scale(self, name: str, replicas: int) -> Steps:
        """Have so many processes serve a backpack; Result: Status. Raises Invalid for a number that
        cannot be."""

    def reconnect(self, name: str, mongo_url: str = "", redis_url: str = "") -> Steps:
        """Have a backpack reach databases that are not its own by other URLs, as when their
        password has changed; an empty one stays. Result: Status.

        Where it does not run with them it goes on with those before, and the error says why. Raises
        Invalid for a bad URL, and for one of a database that is its own.
        """

    def logs(
        self, name: str, service: str | None = None, tail: int = 200, follow: bool = False
    ) -> AsyncGenerator[str, None]:
        """The last `tail` lines of what a backpack logged, of one of its services or of all, the
        oldest first; with `follow` those that come from then on too, until it is closed.

        A reader that is slow misses lines. Raises NotFound, for a service too.
        """

    def deploy(self, name: str, who: str, content: AsyncIterator[bytes]) -> Steps:
        """Make the zip that comes as `content` the site; Result: SiteVersion. `who` is noted with
        it. Until the switch, and after any failure, the version before is served.

        Raises Invalid, TooLarge, NoSpace.
        """

    async def rollback(self, name: str, version: int | None = None) -> SiteVersion:
        """Serve another version of a site again, None for the one before; raises NotFound."""

    async def sites(self, name: str) -> list[SiteVersion]:
        """The versions of a site that are kept, the oldest first."""

    def export_backup(
        self, name: str, with_key: bool = False, only: Collection[str] | None = None
    ) -> Steps:
        """Everything of a backpack as one file, or with `only` these parts of `backup.PARTS`; its
        bytes are steps. Result: `{"name", "users", "collections", "documents", "files", "bytes"}`.
        Raises NoSpace."""

    def import_backup(
        self, name: str, content: AsyncIterator[bytes], replace: bool = False
    ) -> Steps:
        """Make a backpack of such a file; with `replace` it takes the place of one there is, whose
        API key and site stay where the file brings none. Result: Described, and the counts as
        above.

        Where that fails nothing has changed. Raises Invalid, Conflict, TooLarge, NoSpace.
        """

    async def metrics(self) -> list[Measured]:
        """What processes have counted that are not this one; those have a few seconds to say it."""

    async def nodes(self) -> list[Node]: ...

    def console(self, name: str) -> AbstractAsyncContextManager[Console]:
        """The console of a backpack, to be entered."""


class Console(Protocol):
    """The private side of one backpack: its data as the panel shows and changes them. It is open as
    long as what `Driver.console` answers is held.

    Messages are JSON in UTF-8: `{"action", "model", "data"?, "requestId"?}` and what else the
    action takes. Iterating gives the answers to what was sent, each with its `requestId`, and
    `{"type": "event", "action", "model", "data"}` for what happens in the backpack from then on. It
    ends when the backpack does, and raises Unavailable for a reader that is too slow.
    """

    async def send(self, message: bytes) -> None:
        """Have a message handled; a failure is an answer too. Raises Unavailable once the console
        has ended."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def ask(self, action: str, model: str, data: Any = None, **more: Any) -> Any:
        """The `data` of the answer to a message, which is not iterated over besides. A failure is
        raised as a BackpackError with its code."""

    async def read_file(self, user: str, filename: str) -> tuple[Document, AsyncGenerator[bytes]]:
        """The metadata and the content of a file; raises NotFound."""

    async def save_file(
        self,
        content: AsyncIterator[bytes],
        filename: str,
        type: str,
        user: str = NOBODY,
        *,
        replace: bool = False,
    ) -> Document:
        """Make a file of a user, or with `replace` give one there is that content; its metadata.

        Raises Invalid, TooLarge, NoSpace, NotFound, and BadRequest for a name that is taken.
        """
