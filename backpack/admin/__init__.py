"""The admin host: the panel, and what frontends load from it; mounted once under its role."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..drivers.base import Driver
from ..holdings import Holdings
from ..registry import Registry
from .accounts import accounts
from .archives import archives
from .backpacks import backpacks
from .backups import backups
from .contents import contents
from .entrance import entrance
from .files import files
from .log import log
from .members import members
from .metrics import metrics
from .nodes import nodes
from .panel import panel
from .relay import relay
from .routes import admin
from .sites import sites
from .statics import statics
from .tokens import tokens


@dataclass(frozen=True)
class Panel:
    """What the panel works on: the registry says who may do what, the driver does it."""

    registry: Registry
    driver: Driver
    holdings: Holdings = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "holdings", Holdings(self.driver, self.registry))

    async def close(self) -> None:
        """Wait for what is under way, and close the registry."""
        await self.holdings.close()
        await self.registry.close()


BLUEPRINTS = (admin, statics)
# Only where there is a panel.
PANEL = (
    archives,
    accounts,
    backpacks,
    backups,
    contents,
    entrance,
    files,
    log,
    members,
    metrics,
    nodes,
    panel,
    relay,
    sites,
    tokens,
)
