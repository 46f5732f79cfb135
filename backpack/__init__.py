"""Backpack: a self-hosted backend for web apps. Parts are imported from their modules."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
