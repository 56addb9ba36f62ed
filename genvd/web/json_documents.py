"""The JSON documents of a collection: the Snapshot (/api/v1/snapshot), and what the page shows.

/page/data.json is the overview with the last hour, /page/day.json the last day.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from genvd.analysis.history import QUANTITIES, values_of
from genvd.model import snapshot_json
from genvd.model.identity import device_keys
from genvd.overview import overview

if TYPE_CHECKING:
    from genvd.analysis.history import History, Period
    from genvd.model.device import Device
    from genvd.model.snapshot import Snapshot

_DIGITS = {"utilization": 3, "memory": 3, "temperature": 1, "power": 1}


def snapshot_document(snapshot: Snapshot, history: History) -> bytes:
    """Return the Snapshot as JSON."""
    return snapshot_json.dump(snapshot)


def page_document(snapshot: Snapshot, history: History) -> bytes:
    """Return the overview, with the last hour of each GPU.

    The current values are appended to the history, whose last point is a mean and would differ from the number shown.
    """
    shown = {**snapshot_json.as_document(overview(snapshot)), "history": _period(snapshot, history.hour)}
    return json.dumps(shown, separators=(",", ":")).encode() + b"\n"


def day_document(snapshot: Snapshot, history: History) -> bytes:
    """Return the last day of each GPU, in the form of the hour in :func:`page_document`."""
    return json.dumps(_period(snapshot, history.day), separators=(",", ":")).encode() + b"\n"


def _period(snapshot: Snapshot, period: Period) -> dict[str, object]:
    keys = device_keys(snapshot.devices or ())
    return {
        "times": [round(time) for time in (*period.times, snapshot.timestamp)],
        "devices": [_curves(period, device, keys[device.index]) for device in snapshot.devices or ()],
    }


def _curves(period: Period, device: Device, key: str) -> dict[str, list[float | None]]:
    curves = period.curves.get(key, ())
    return {
        name: [None if math.isnan(value) else round(value, _DIGITS[name]) for value in (*curve, now)]
        for name, curve, now in zip(QUANTITIES, curves, values_of(device), strict=False)
    }
