"""Metrics of whether the driver and the devices answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genvd.metrics.spec import Metric
from genvd.model import DRIVER_STATES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genvd.metrics.spec import Sample
    from genvd.model import Snapshot


def _driver_states(snapshot: Snapshot) -> Iterator[Sample]:
    for state in DRIVER_STATES:
        yield (state,), state == snapshot.driver_state
    if snapshot.driver_state not in DRIVER_STATES:
        yield (snapshot.driver_state,), True


HEALTH = (
    Metric(
        "genv_driver_state",
        "1 for the state of the NVIDIA driver that holds, 0 for the others: ok, missing, not_loaded, mismatch, hung,"
        " no_permission; failed is there only while it holds, for what none of these describes.",
        ("state",),
        _driver_states,
    ),
    Metric(
        "genv_device_up",
        "1 while the device answers, 0 while it is lost, needs a reset, hangs or fails every call.",
        ("index",),
        lambda s: (((d.index,), d.up) for d in s.devices or ()),
    ),
)
