"""Metrics of GPU memory health: ECC errors, remapped rows, retired pages, pending repairs."""

from __future__ import annotations

from genvd.metrics.device import per_device, per_part

MEMORY_HEALTH = (
    per_device(
        "genv_device_ecc_enabled",
        "1 when the device corrects errors of its memory (ECC), else 0.",
        lambda d: d.health.ecc_enabled,
    ),
    per_part(
        "genv_device_ecc_errors_total",
        "Memory errors by severity (corrected, uncorrected) and scope (volatile: since the driver was loaded,"
        " aggregate: in the life of the device).",
        ("severity", "scope"),
        lambda d: (((e.severity, e.scope), e.count) for e in d.health.ecc_errors),
        "counter",
    ),
    per_device(
        "genv_device_ecc_pending",
        "1 when the device is to correct errors of its memory after the next restart, else 0.",
        lambda d: d.health.ecc_pending,
    ),
    per_part(
        "genv_device_ecc_location_errors_total",
        "Memory errors by where they were: dram and sram, before Turing l1_cache, l2_cache, dram, register_file,"
        " texture_memory, shared_memory, cbu; by severity (corrected, uncorrected) and scope (volatile: since the"
        " driver was loaded, aggregate: in the life of the device).",
        ("severity", "scope", "location"),
        lambda d: (((e.severity, e.scope, e.location), e.count) for e in d.health.placed_errors),
        "counter",
    ),
    per_part(
        "genv_device_sram_uncorrected_errors_total",
        "Uncorrected errors of SRAM in the life of the device, by source: l2, sm, pcie, microcontroller or other.",
        ("source",),
        lambda d: (((e.kind,), e.count) for e in d.health.sram_errors),
        "counter",
    ),
    per_device(
        "genv_device_sram_threshold_exceeded",
        "1 when the device has so many uncorrected errors of SRAM that NVIDIA's diagnosis calls for another device,"
        " else 0.",
        lambda d: d.health.sram_threshold_exceeded,
    ),
    per_part(
        "genv_device_remapped_rows",
        "Rows of memory that were replaced by spare ones for corrected or uncorrected errors.",
        ("cause",),
        lambda d: (
            (("corrected",), d.health.remapped_rows_corrected),
            (("uncorrected",), d.health.remapped_rows_uncorrected),
        ),
    ),
    per_device(
        "genv_device_remap_pending",
        "1 when the device has to be reset to finish a row remapping, else 0.",
        lambda d: d.health.remap_pending,
    ),
    per_device(
        "genv_device_remap_failed",
        "1 when a row could not be remapped, else 0.",
        lambda d: d.health.remap_failed,
    ),
    per_part(
        "genv_device_remap_banks",
        "Banks of memory by the spare rows that they have left: availability max, high, partial, low or none.",
        ("availability",),
        lambda d: (((banks.availability,), banks.count) for banks in d.health.remap_banks),
    ),
    per_part(
        "genv_device_retired_pages",
        "Pages of memory that are out of use for repeated single-bit or for double-bit errors; Ampere and later devices"
        " remap rows.",
        ("cause",),
        lambda d: (
            (("single_bit",), d.health.retired_pages_single_bit),
            (("double_bit",), d.health.retired_pages_double_bit),
        ),
    ),
    per_device(
        "genv_device_retirement_pending",
        "1 when the machine has to be restarted to finish retiring pages, else 0.",
        lambda d: d.health.retirement_pending,
    ),
    per_device(
        "genv_device_channel_repair_pending",
        "1 when the device has to be reset to repair a channel of its memory, else 0.",
        lambda d: d.health.channel_repair_pending,
    ),
    per_device(
        "genv_device_tpc_repair_pending",
        "1 when the device has to be reset to repair a texture processing cluster (TPC, a group of SMs), else 0.",
        lambda d: d.health.tpc_repair_pending,
    ),
    per_device(
        "genv_device_unrepairable_memory",
        "1 when the device has memory that cannot be repaired, else 0; Hopper and later, driver 590 and later.",
        lambda d: d.health.unrepairable_memory,
    ),
)
"""The group ``memory_health``."""
