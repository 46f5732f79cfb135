"""The contract on every store: SQLite in a file, in memory and with indexes that come and go,
mongomock, a MongoDB-wire server."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest

from backpack.stores.base import Store
from backpack.stores.durable import DurableStore
from backpack.stores.mongo import FakeMongoStore, MongoStore

from .contract import Opener, StoreContract
from .shaken import ShakenStore


class TestDurableFile(StoreContract):
    @pytest.fixture
    def opener(self, tmp_path: Path) -> Opener:
        def opener(name: str = "one", **options: Any) -> Store:
            return DurableStore(tmp_path / f"{name}.sqlite3", **options)

        return opener


class TestDurableMemory(StoreContract):
    persistent = False

    @pytest.fixture
    def opener(self) -> Opener:
        def opener(name: str = "one", **options: Any) -> Store:
            return DurableStore(None, **options)

        return opener


class TestShaken(StoreContract):
    """With indexes that are made and dropped at random."""

    @pytest.fixture
    def opener(self, tmp_path: Path) -> Opener:
        def opener(name: str = "one", **options: Any) -> Store:
            return ShakenStore(tmp_path / f"{name}.sqlite3", **options)

        return opener


class TestFakeMongo(StoreContract):
    persistent = False

    @pytest.fixture
    def opener(self) -> Opener:
        def opener(name: str = "one", **options: Any) -> Store:
            return FakeMongoStore.fresh(**options)

        return opener


class TestMongo(StoreContract):
    @pytest.fixture(autouse=True)
    def flags(self, mongo_url: str) -> None:
        # FerretDB 1.24, as tests/mongo-wire has it, refuses nested arrays, stores -0.0 as 0.0 and
        # writes names at the top unescaped into its own JSON.
        with pymongo.MongoClient[dict[str, Any]](mongo_url) as client:
            true_mongo = "ferretdbVersion" not in client.admin.command("buildInfo")
        self.nested_arrays = self.negative_zero = self.escaped_names = true_mongo

    @pytest.fixture
    def opener(self, mongo_url: str) -> Iterator[Opener]:
        prefix = f"backpack-test-{secrets.token_hex(6)}-"

        def opener(name: str = "one", **options: Any) -> Store:
            return MongoStore.from_url(mongo_url, prefix + name, **options)

        yield opener
        with pymongo.MongoClient[dict[str, Any]](mongo_url) as client:
            for name in client.list_database_names():
                if name.startswith(prefix):
                    client.drop_database(name)
