"""What the parts of a backpack's stack know each other by. All of it follows from one secret of the
deployment, so nothing of it has to be kept beside what Docker keeps."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from .stacks import BackpackSpec
from .swarm_records import Record


class Keyring:
    """Passwords and tokens of each backpack; `root` is the deployment's secret, `mongo_auth` how
    MongoDB is logged in to."""

    def __init__(self, root: str, mongo_auth: str) -> None:
        self._root = root.encode()
        self._mongo_auth = mongo_auth

    def secrets(self, record: Record) -> Mapping[str, str]:
        """What the Docker secrets of a backpack's stack hold, by the names that these have."""
        spec = record.spec
        mongo, redis = self._key(spec, "mongo"), self._key(spec, "redis")
        found = {
            "api_key": record.api_key,
            "console_token": self.console_token(spec),
            "site_token": self.site_token(spec),
            "mongo_url": record.mongo_url or self._mongo_url(mongo),
            "redis_url": record.redis_url or f"redis://:{redis}@redis:6379/0",
        }
        if not spec.external_mongo:
            found["mongo_password"] = mongo
        if not spec.external_redis:
            found["redis_conf"] = f"requirepass {redis}\n"
        return {spec.secret(kind): value for kind, value in found.items()}

    @property
    def setup_token(self) -> str:
        """What the first developer registers with."""
        return self._mac("setup")

    @property
    def metrics_token(self) -> str:
        """What who scrapes the admin's metrics shows."""
        return self._mac("metrics")

    def console_token(self, spec: BackpackSpec) -> str:
        """What the private port of a backpack asks for."""
        return self._key(spec, "console")

    def site_token(self, spec: BackpackSpec) -> str:
        """What a backpack's site service shows to get its versions."""
        return self._key(spec, "site")

    def _mongo_url(self, password: str) -> str:
        how = f"authSource=admin&authMechanism={self._mongo_auth}"
        return f"mongodb://backpack:{password}@mongo:27017/?{how}"

    def _key(self, spec: BackpackSpec, kind: str) -> str:
        return self._mac(f"{spec.stack}/{kind}")

    def _mac(self, what: str) -> str:
        return hmac.new(self._root, what.encode(), hashlib.sha256).hexdigest()
