"""GPUs for the NVML stand-in with values that tests expect."""

from __future__ import annotations

from collections.abc import Callable

from tests.standin import Gpu
from tests.support.monitor import Monitor

MIB = 2**20

DEVICE_METRICS = {
    "genv_device_temperature": 40.0,
    "genv_device_utilization": 70.0,
    "genv_device_memory_used_bytes": 500.0 * MIB,
    "genv_device_memory_total_bytes": 16000.0 * MIB,
}
"""What :func:`gpu` makes them be."""

Start = Callable[..., Monitor]
"""Starts a monitor with some arguments, on ``library`` if that is given."""


def gpu(number: int, **values: object) -> Gpu:
    """Return a GPU, with some values of its own."""
    defaults: dict[str, object] = {
        "uuid": f"GPU-{number}",
        "temperature": 40,
        "utilization": 70,
        "memory_used": 500 * MIB,  # so little is memory of nobody also beside containers, as other tests start
        "memory_total": 16000 * MIB,
        "memory_reserved": 300 * MIB,
    }
    return Gpu(**{**defaults, **values})  # type: ignore[arg-type]
