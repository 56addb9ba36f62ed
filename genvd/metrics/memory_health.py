"""Metrics of GPU memory health: ECC errors, remapped rows, retired pages, pending repairs."""

from __future__ import annotations

from genvd.metrics.device import per_device, per_part

MEMORY_HEALTH = (
    per_device(
        "genv_device_ecc_enabled",
        "1 when error correction (ECC) of the GPU memory is on, else 0.",
        lambda d: d.health.ecc_enabled,
    ),
    per_part(
        "genv_device_ecc_errors_total",
        "Memory errors found by ECC, by severity (corrected, uncorrected) and scope (volatile: since the driver was"
        " loaded, aggregate: lifetime of the GPU).",
        ("severity", "scope"),
        lambda d: (((e.severity, e.scope), e.count) for e in d.health.ecc_errors),
        "counter",
    ),
    per_device(
        "genv_device_ecc_pending",
        "1 when ECC will be on after the next restart, else 0.",
        lambda d: d.health.ecc_pending,
    ),
    per_part(
        "genv_device_ecc_location_errors_total",
        "Memory errors by location (dram, sram; before Turing l1_cache, l2_cache, dram, register_file, texture_memory,"
        " shared_memory, cbu), severity (corrected, uncorrected) and scope (volatile: since the driver was loaded,"
        " aggregate: lifetime of the GPU).",
        ("severity", "scope", "location"),
        lambda d: (((e.severity, e.scope, e.location), e.count) for e in d.health.placed_errors),
        "counter",
    ),
    per_part(
        "genv_device_sram_uncorrected_errors_total",
        "Uncorrected SRAM errors in the lifetime of the GPU, by source: l2, sm, pcie, microcontroller or other.",
        ("source",),
        lambda d: (((e.kind,), e.count) for e in d.health.sram_errors),
        "counter",
    ),
    per_device(
        "genv_device_sram_threshold_exceeded",
        "1 when the GPU has so many uncorrected SRAM errors that NVIDIA recommends replacing it, else 0.",
        lambda d: d.health.sram_threshold_exceeded,
    ),
    per_part(
        "genv_device_remapped_rows",
        "Memory rows remapped to spare rows, by cause (corrected or uncorrected errors).",
        ("cause",),
        lambda d: (
            (("corrected",), d.health.remapped_rows_corrected),
            (("uncorrected",), d.health.remapped_rows_uncorrected),
        ),
    ),
    per_device(
        "genv_device_remap_pending",
        "1 when the GPU needs a reset to finish a row remapping, else 0.",
        lambda d: d.health.remap_pending,
    ),
    per_device(
        "genv_device_remap_failed",
        "1 when a row could not be remapped, else 0.",
        lambda d: d.health.remap_failed,
    ),
    per_part(
        "genv_device_remap_banks",
        "Memory banks by their remaining spare rows; availability is max, high, partial, low or none.",
        ("availability",),
        lambda d: (((banks.availability,), banks.count) for banks in d.health.remap_banks),
    ),
    per_part(
        "genv_device_retired_pages",
        "Retired memory pages by cause (repeated single-bit errors, or double-bit errors); Ampere and later GPUs remap"
        " rows instead.",
        ("cause",),
        lambda d: (
            (("single_bit",), d.health.retired_pages_single_bit),
            (("double_bit",), d.health.retired_pages_double_bit),
        ),
    ),
    per_device(
        "genv_device_retirement_pending",
        "1 when the machine needs a restart to finish retiring pages, else 0.",
        lambda d: d.health.retirement_pending,
    ),
    per_device(
        "genv_device_channel_repair_pending",
        "1 when the GPU needs a reset to repair a memory channel, else 0.",
        lambda d: d.health.channel_repair_pending,
    ),
    per_device(
        "genv_device_tpc_repair_pending",
        "1 when the GPU needs a reset to repair a texture processing cluster (TPC, a group of SMs), else 0.",
        lambda d: d.health.tpc_repair_pending,
    ),
    per_device(
        "genv_device_unrepairable_memory",
        "1 when the GPU has memory that cannot be repaired, else 0; Hopper and later, driver 590 and later.",
        lambda d: d.health.unrepairable_memory,
    ),
)
"""The group ``memory_health``."""
