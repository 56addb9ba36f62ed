"""The JSON documents that are made of a tick: the Snapshot for programs, and what the page shows."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import TYPE_CHECKING

from genvd import snapshot_json
from genvd.history import QUANTITIES, key_of
from genvd.overview import overview

if TYPE_CHECKING:
    from genvd.history import Past
    from genvd.model import Snapshot

_DIGITS = {"utilization": 3, "memory": 3, "temperature": 1, "power": 1}


def snapshot(machine: Snapshot, past: Past) -> bytes:
    """Return the Snapshot."""
    return snapshot_json.dump(machine)


def page_data(machine: Snapshot, past: Past) -> bytes:
    """Return the overview with the last hour of each device."""
    shown = dataclasses.asdict(overview(machine))
    shown["history"] = {
        "times": [round(time) for time in past.times],
        "devices": [_curves(past, key_of(device)) for device in machine.devices or ()],
    }
    return json.dumps(shown, separators=(",", ":")).encode() + b"\n"


def _curves(past: Past, key: str) -> dict[str, list[float | None]]:
    curves = past.curves.get(key, ())
    return {
        name: [None if math.isnan(value) else round(value, _DIGITS[name]) for value in curve]
        for name, curve in zip(QUANTITIES, curves, strict=False)
    }
