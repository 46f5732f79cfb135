"""How much a user's files may take: counted, what is still arriving too."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from .errors import Invalid, TooLarge
from .settings import Settings

_SPAN = 5.0  # seconds that this process does not see what others have stored
_MOST = 1_000  # users whose usage is remembered


@dataclass
class Usage:
    """What the files of a user amount to; counted anew after `until`, in monotonic seconds."""

    size: int
    files: int
    until: float


class Quotas:
    """The limits of all users; `sizes_of` tells the size of each file of a user."""

    def __init__(self, settings: Settings, sizes_of: Callable[[str], AsyncIterator[int]]) -> None:
        self._settings = settings
        self._sizes_of = sizes_of
        self._usages: dict[str, Usage] = {}
        self._arriving: Counter[str] = Counter()

    async def usage(self, user: str) -> Usage:
        """What a user's files amount to; costs a look at all of them every few seconds."""
        known = self._usages.get(user)
        if known is not None and time.monotonic() < known.until:
            return known
        sizes = [size async for size in self._sizes_of(user)]
        self.forget(user)
        if len(self._usages) >= _MOST:
            del self._usages[next(iter(self._usages))]
        usage = Usage(sum(sizes), len(sizes), time.monotonic() + _SPAN)
        self._usages[user] = usage
        return usage

    def add(self, user: str, size: int, files: int) -> None:
        """Files were stored, or with negative numbers deleted."""
        if usage := self._usages.get(user):
            usage.size += size
            usage.files += files

    def forget(self, user: str) -> None:
        """Count the user's files anew at the next question."""
        self._usages.pop(user, None)

    def arrives(self, user: str, size: int) -> None:
        """So many bytes more are arriving, or with a negative number no longer."""
        self._arriving[user] += size
        if not self._arriving[user]:
            del self._arriving[user]

    def check_size(self, user: str, size: int, usage: Usage, spare: int) -> None:
        """Raise TooLarge when an upload of that size is over a limit, with all that arrives.

        `spare`: the size of the content whose place it takes.
        """
        most = self._settings.max_upload
        if size > most:
            raise TooLarge(f"A file may have at most {most} bytes", code="file_too_large")
        most = self._settings.max_user_bytes
        if usage.size - spare + self._arriving[user] > most:
            why = f"The files of a user may have at most {most} bytes together"
            raise TooLarge(why, code="quota_exceeded")

    def check_number(self, usage: Usage) -> None:
        """Raise Invalid when a user can have no other file."""
        most = self._settings.max_user_files
        if usage.files >= most:
            raise Invalid(f"A user has at most {most} files", code="too_many_files")
