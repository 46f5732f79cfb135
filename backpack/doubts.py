"""Contents in doubt: those of which only the documents can tell whether a file has them.

The documents and the file store cannot be changed at once. So a content is in doubt before its
document is changed, until after that; what was left in doubt is decided by what the documents name.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from .errors import BackpackError, BadRequest, NoSpace, NotFound
from .metadata import Metadata
from .quotas import Quotas
from .stores.base import FileStore

_DECIDED_AT_ONCE = 1_000  # contents, as many as a filter takes

logger = logging.getLogger("backpack")


class Doubts:
    """Decides which of a backpack's contents stay."""

    def __init__(self, contents: FileStore, metadata: Metadata, quotas: Quotas) -> None:
        self._contents = contents
        self._metadata = metadata
        self._quotas = quotas
        self._left: defaultdict[str, set[str]] = defaultdict(set)  # by user, after what failed here

    async def sweep(self) -> None:
        """Decide on what was left in doubt by a process that died."""
        try:
            left = await self._contents.doubtful()
            for at in range(0, len(left), _DECIDED_AT_ONCE):
                await self._decide_on(left[at : at + _DECIDED_AT_ONCE])
        except BackpackError as exc:
            logger.warning("Left-over files were not swept: %s", exc)

    @asynccontextmanager
    async def deciding(
        self, user: str, *, new: str | None = None, old: str | None = None, moved: bool = False
    ) -> AsyncIterator[None]:
        """A change of the documents, after which a file has the content `new` in place of `old`, or
        still `old` when it has `moved`.

        When it is refused it is the other way round, and when it fails it is decided later.
        """
        before = [old] if old else []
        after = [new] if new else []
        for content in before:
            await self._contents.doubt(content)
        try:
            yield
        except BadRequest:
            await self._contents.settle(before, after)
            raise
        except BaseException as exc:
            self._left[user].update(before, after)
            self._contents.leave(before)
            if isinstance(exc, NoSpace):  # the documents can be asked, and there may be room then
                with suppress(BackpackError):
                    await self.decide(user)
            raise
        await self._contents.settle(*((before, []) if moved else (after, before)))

    async def decide(self, user: str) -> None:
        """Decide on what changes of the user's files left in doubt when they failed."""
        if left := self._left.get(user):
            await self._decide_on(list(left))
            del self._left[user]
            self._quotas.forget(user)

    async def _decide_on(self, contents: Sequence[str]) -> None:
        """Keep of what is in doubt what the documents name, and finish renames."""
        holders = await self._metadata.holders(contents)
        for held in holders.values():
            for left in sorted(held, key=lambda one: one["moves"])[:-1]:
                with suppress(NotFound):
                    await self._metadata.change(left, lambda now: None)
        gone = [content for content in contents if content not in holders]
        await self._contents.settle(list(holders), gone)
