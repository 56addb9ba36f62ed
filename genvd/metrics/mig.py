"""Metrics of MIG devices."""

from __future__ import annotations

from genvd.metrics.device import of_parts


def _label(number: int | None) -> str:
    return "" if number is None else str(number)


MIG = (
    of_parts(
        "genv_mig_instance_info",
        "1, with what the MIG device is as labels; index is that of its parent, instance its number there.",
        ("instance", "uuid", "profile", "gpu_instance", "compute_instance"),
        lambda d: (
            ((m.number, m.uuid or "", m.profile or "", _label(m.gpu_instance), _label(m.compute_instance)), 1)
            for m in d.mig_instances
        ),
    ),
    of_parts(
        "genv_mig_memory_used_bytes",
        "Memory in use of the MIG device in bytes, without what the driver reserves for itself.",
        ("instance",),
        lambda d: (((m.number,), m.memory_used_bytes) for m in d.mig_instances),
    ),
    of_parts(
        "genv_mig_memory_total_bytes",
        "Memory of the MIG device in bytes.",
        ("instance",),
        lambda d: (((m.number,), m.memory_total_bytes) for m in d.mig_instances),
    ),
)
"""The group ``mig``."""
