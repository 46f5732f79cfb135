"""What the admin of a swarm keeps of backpacks."""

from __future__ import annotations

import json
from pathlib import Path

from backpack.drivers.stacks import BackpackSpec
from backpack.drivers.swarm_records import Record, Records


def test_record_of_another_version_is_read(tmp_path: Path) -> None:
    kept = Records(tmp_path).put(Record(BackpackSpec("shop"), "up", "key", 1))
    file = tmp_path / "bp-shop.json"
    stored = json.loads(file.read_bytes())
    file.write_text(json.dumps({**stored, "hue": 1, "spec": {**stored["spec"], "hue": 1}}))

    assert Records(tmp_path).all() == [kept]
