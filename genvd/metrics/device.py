"""Basic metrics of each GPU, and helpers for metrics with one value per GPU or per part of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Literal

from genvd.analysis.availability import availability
from genvd.metrics.metric import Metric

if TYPE_CHECKING:
    from genvd.metrics.samples import Sample, Value
    from genvd.model.device import Device
    from genvd.model.snapshot import Snapshot


def per_device(
    name: str, help_: str, value: Callable[[Device], Value | None], type_: Literal["gauge", "counter"] = "gauge"
) -> Metric:
    """Return a metric with one value per GPU."""
    return Metric(name, help_, ("index",), lambda s: (((d.index,), value(d)) for d in s.devices or ()), type_)


def per_part(
    name: str,
    help_: str,
    labels: tuple[str, ...],
    parts: Callable[[Device], Iterable[Sample]],
    type_: Literal["gauge", "counter"] = "gauge",
) -> Metric:
    """Return a metric with values per part of a GPU, such as a fan. It has ``labels`` in addition to ``index``."""

    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        for device in snapshot.devices or ():
            for values, value in parts(device):
                yield (device.index, *values), value

    return Metric(name, help_, ("index", *labels), samples, type_)


def _device_info(device: Device) -> Iterator[Sample]:
    known = (device.uuid, device.name, device.pci_bus_id, device.architecture, device.vbios_version, device.mig_mode)
    if any(known):
        yield tuple(value or "" for value in known), 1


def _board_info(device: Device) -> Iterator[Sample]:
    board = device.board
    known = (
        board.serial,
        board.part_number,
        board.minor_number,
        board.compute_capability,
        board.pci_device_id,
        board.pci_subsystem_id,
        board.inforom_version,
        board.gsp_firmware_version,
    )
    if any(value is not None for value in known):
        yield tuple("" if value is None else value for value in known), 1


def _free(snapshot: Snapshot) -> Iterator[Sample]:
    for device in availability(snapshot) or ():
        yield (device.index,), None if device.state == "unknown" else device.state == "free"


DEVICE = (
    per_device(
        "genv_device_up",
        "1 while the GPU answers, 0 while it is lost, needs a reset, hangs or fails every call.",
        lambda d: d.up,
    ),
    Metric(
        "genv_device_free",
        "1 while no environment has the GPU attached and no process uses it, 0 while it is attached, used, down or in"
        " MIG mode without MIG devices; absent while it is not known whether it is free.",
        ("index",),
        _free,
    ),
    per_device(
        "genv_device_mig_devices",
        "Number of MIG devices of a GPU in MIG mode: with 0, nobody can use it. Absent without MIG mode, or if not all"
        " could be listed.",
        lambda d: d.mig_devices,
    ),
    per_part(
        "genv_device_info",
        "1, with the identity of the GPU as labels; mig_mode is enabled, disabled, or empty for a GPU without MIG.",
        ("uuid", "name", "pci_bus_id", "architecture", "vbios_version", "mig_mode"),
        _device_info,
    ),
    per_part(
        "genv_device_board_info",
        "1, with the board's data as labels: serial and part number, minor number (N of /dev/nvidiaN), CUDA compute"
        " capability, PCI IDs, versions of InfoROM and GSP firmware.",
        (
            "serial",
            "part_number",
            "minor_number",
            "compute_capability",
            "pci_device_id",
            "pci_subsystem_id",
            "inforom_version",
            "gsp_firmware_version",
        ),
        _board_info,
    ),
    per_device(
        "genv_device_memory_free_bytes",
        "GPU memory that is neither in use nor reserved, in bytes.",
        lambda d: d.memory_free_bytes,
    ),
    per_device(
        "genv_device_memory_reserved_bytes",
        "GPU memory that driver and firmware reserve for themselves, in bytes.",
        lambda d: d.memory_reserved_bytes,
    ),
    per_device(
        "genv_device_memory_bandwidth_utilization_ratio",
        "Share of the driver's last sample period in which GPU memory was read or written, 0 to 1.",
        lambda d: d.memory_bandwidth_ratio,
    ),
    per_device(
        "genv_device_shares_host_memory",
        "1 for a GPU without memory of its own that uses host memory; absent for others.",
        lambda d: d.shares_host_memory or None,
    ),
    Metric(
        "genv_host_memory_total_bytes",
        "Host memory in bytes; only on machines where a GPU uses host memory as its own.",
        (),
        lambda s: (((), s.host_memory.total_bytes),) if s.host_memory else (),
    ),
    Metric(
        "genv_host_memory_available_bytes",
        "Host memory available to programs, in bytes; only on machines where a GPU uses host memory as its own.",
        (),
        lambda s: (((), s.host_memory.available_bytes),) if s.host_memory else (),
    ),
)
"""Metrics of every GPU. They cannot be switched off, as the service needs these values anyway."""
