"""Fixtures of all tests: real services from `services`, what is served from `deployments`."""

from __future__ import annotations

from tests.deployments import app, deployment
from tests.services import mongo_url, redis_url

__all__ = ["app", "deployment", "mongo_url", "redis_url"]
