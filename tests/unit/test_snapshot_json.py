"""The Snapshot as JSON and back."""

from __future__ import annotations

import json

import pytest

from genvd.collectors.registry import make_collectors
from genvd.config.schema import Config
from genvd.model import snapshot_json
from genvd.model.snapshot import Snapshot
from genvd.model.snapshot_json import InvalidSnapshotError
from genvd.service.monitor import Monitor


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return Monitor(Config(), make_collectors(Config(), 8)).collect()


def test_nothing_is_lost(snapshot: Snapshot) -> None:
    assert snapshot_json.load(snapshot_json.dump(snapshot)) == snapshot


def test_other_versions_are_understood(snapshot: Snapshot) -> None:
    document = json.loads(snapshot_json.dump(snapshot))
    document["invented"] = document["devices"][0]["invented"] = 1
    del document["driver_state"], document["devices"][0]["name"]
    loaded = snapshot_json.load(json.dumps(document).encode())
    assert loaded.devices
    assert loaded.devices[0].name is None
    assert loaded.driver_state == "ok"


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (b"", "Expecting value"),
        (b"\xff", "utf-8"),
        (b"[]", "the document is not an object"),
        (b"{}", "the document has no timestamp"),
        (b'{"timestamp": "now"}', "timestamp has a wrong type or value"),
        (b'{"timestamp": true}', "timestamp has a wrong type or value"),
        (b'{"timestamp": 1, "devices": {}}', "devices is not a list"),
        (b'{"timestamp": 1, "devices": [{"index": 1.5}]}', r"devices\[0\].index has a wrong type or value"),
        (b'{"timestamp": 1, "devices": [{}]}', r"devices\[0\] has no index"),
        (b"[" * 100_000, "recursion"),
    ],
)
def test_what_is_no_snapshot_is_told_where(document: bytes, problem: str) -> None:
    with pytest.raises(InvalidSnapshotError, match=problem):
        snapshot_json.load(document)
