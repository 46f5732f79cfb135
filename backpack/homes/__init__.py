"""Where the backpacks of one process are kept: a folder, memory, or servers that others share.

Engines are imported when they are needed.
"""

from __future__ import annotations

from .folder import Folder
from .memory import Memory
from .servers import Servers

__all__ = ["Folder", "Memory", "Servers"]
