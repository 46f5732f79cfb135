"""A message of a console, read and checked: `{action, model, data?, requestId?}` and what its model
takes besides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..backpacks import Backpack
from ..errors import Invalid

if TYPE_CHECKING:
    from .live import Live

MAX_LIMIT = 1_000  # items of a page
_USUAL_LIMIT = 50
_MAX_SKIP = 10**9


@dataclass(frozen=True, slots=True)
class Page:
    """Which items are wanted."""

    skip: int
    limit: int


@dataclass(frozen=True, slots=True)
class Call:
    """A message to the console of a backpack. `beside`: what its answer says besides `data`."""

    backpack: Backpack
    message: Mapping[str, Any]
    live: Live
    beside: dict[str, Any] = field(default_factory=dict)

    @property
    def data(self) -> Any:
        return self.message.get("data")

    @property
    def page(self) -> Page:
        """`skip` and `limit`; raises Invalid."""
        return Page(
            self._number("skip", 0, 0, _MAX_SKIP),
            self._number("limit", _USUAL_LIMIT, 1, MAX_LIMIT),
        )

    def _number(self, name: str, usual: int, least: int, most: int) -> int:
        value = self.message.get(name, usual)
        if type(value) is not int or not least <= value <= most:
            raise refusal(name, f"must be a whole number from {least} to {most}")
        return value

    def text(self, name: str, usual: str | None = None) -> str:
        """A member that is text; raises Invalid."""
        return _text(self.message, name, usual)

    def choice(self, name: str, usual: str, choices: Mapping[str, Any]) -> str:
        """A member that is one of `choices`; raises Invalid."""
        chosen = self.text(name, usual)
        if chosen not in choices:
            raise refusal(name, f"must be one of {', '.join(choices)}")
        return chosen

    @property
    def fields(self) -> Mapping[str, Any]:
        """`data` as a JSON object; raises Invalid."""
        return fields(self.data)

    def field(self, name: str, usual: str | None = None) -> str:
        """A member of `data` that is text; raises Invalid."""
        return _text(self.fields, name, usual)

    def flag(self, name: str) -> bool:
        """A member of `data` that is true or false, or is missing; raises Invalid."""
        return bool(self.choose(name))

    def choose(self, name: str) -> bool | None:
        """The same, None where it is missing."""
        value = fields({} if self.data is None else self.data).get(name)
        if value is not None and not isinstance(value, bool):
            raise refusal(name, "must be true or false")
        return value


def fields(data: Any) -> Mapping[str, Any]:
    """`data` as a JSON object; raises Invalid."""
    if not isinstance(data, dict):
        raise refusal("data", "must be a JSON object")
    return data


def several(data: Any) -> list[Any]:
    """`data` as the list that it is, or a list of it alone; raises Invalid for too many."""
    entries = data if isinstance(data, list) else [data]
    if len(entries) > MAX_LIMIT:
        raise refusal("data", f"may have at most {MAX_LIMIT} entries")
    return entries


def refusal(name: str, why: str) -> Invalid:
    """What is raised for a member of a message that is wrong."""
    return Invalid(f"{name} {why}", code="bad_message", fields={name: why})


def _text(members: Mapping[str, Any], name: str, usual: str | None) -> str:
    value = members.get(name, usual)
    if not isinstance(value, str):
        raise refusal(name, "must be text")
    return value
