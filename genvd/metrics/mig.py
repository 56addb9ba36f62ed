"""Metrics of MIG devices."""

from __future__ import annotations

from genvd.metrics.device import of_device, of_parts


def _label(number: int | None) -> str:
    return "" if number is None else str(number)


MIG = (
    of_device(
        "genv_device_mig_pending",
        "1 when the MIG mode of the device is to be on after the next reset, else 0.",
        lambda d: d.mig_pending,
    ),
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
    of_parts(
        "genv_mig_bar1_memory_used_bytes",
        "Memory in use of the window through which the host reaches the memory of the MIG device, in bytes; MIG devices"
        " of one GPU instance share it.",
        ("instance",),
        lambda d: (((m.number,), m.bar1_used_bytes) for m in d.mig_instances),
    ),
    of_parts(
        "genv_mig_bar1_memory_total_bytes",
        "Size of the window through which the host reaches the memory of the MIG device, in bytes.",
        ("instance",),
        lambda d: (((m.number,), m.bar1_total_bytes) for m in d.mig_instances),
    ),
    of_parts(
        "genv_mig_ecc_location_errors_total",
        "Memory errors of the MIG device by where they were: the driver has the uncorrected ones of sram since it was"
        " loaded (severity uncorrected, scope volatile).",
        ("instance", "severity", "scope", "location"),
        lambda d: (
            ((m.number, e.severity, e.scope, e.location), e.count) for m in d.mig_instances for e in m.placed_errors
        ),
        "counter",
    ),
)
"""The group ``mig``."""
