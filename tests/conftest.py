"""Fixtures of all tests; the real services they need are in `services`, what is served in `deployments`."""

from __future__ import annotations

from tests.deployments import app, deployment
from tests.services import mongo_url, redis_url

__all__ = ["app", "deployment", "mongo_url", "redis_url"]
