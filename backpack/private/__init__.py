"""The second port of a served backpack: its console, contents of files, backups and metrics, for
whoever has the token. It has no other host, no cookies and no pages."""

from __future__ import annotations

from .backups import backups
from .console import console
from .files import files
from .state import state

BLUEPRINTS = (backups, console, files, state)
