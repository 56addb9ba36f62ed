"""What drivers return that cannot be: the value is absent, or what was meant, and nothing else suffers."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.standin import NvLink, Scenario
from tests.support.gpus import Start, gpu
from tests.support.monitor import named, series

ALL_ONES, ALL_ONES_64 = 2**32 - 1, 2**64 - 1
INVALID_ARGUMENT, UNKNOWN = 2, 999
TOTAL, USED, RESERVED = 16000 << 20, 500 << 20, 300 << 20

THROTTLED = ("throttled_seconds_total", "reason")

# What the device says, and what is made of it: None is an absent series, a pair has the label of the series.
NONSENSE: list[tuple[dict[str, Any], dict[str | tuple[str, str, str], float | None]]] = [
    ({"temperature": 2**32 - 5}, {"temperature": -5}),
    ({"temperature": ALL_ONES}, {"temperature": None}),
    ({"temperature": 511}, {"temperature": None}),
    ({"fields": {82: f"{2**32 - 3} 1"}}, {"memory_temperature_celsius": -3}),
    ({"fields": {82: "4000 1"}}, {"memory_temperature_celsius": None}),
    (
        {"extra": {"shutdown_temperature": str(ALL_ONES), "slowdown_temperature": "1000"}},
        {
            ("temperature_threshold_celsius", "threshold", "shutdown"): None,
            ("temperature_threshold_celsius", "threshold", "slowdown"): None,
        },
    ),
    ({"utilization": 808}, {"utilization": None, "memory_bandwidth_utilization_ratio": 0}),
    ({"memory_utilization": 101}, {"utilization": 70, "memory_bandwidth_utilization_ratio": None}),
    ({"utilization": ALL_ONES}, {"utilization": None}),
    ({"encoder_utilization": 905, "decoder_utilization": 100}, {"encoder_utilization_ratio": None}),
    ({"encoder_utilization": 905, "decoder_utilization": 100}, {"decoder_utilization_ratio": 1}),
    ({"power": 4_000_000_000, "power_limit": 4_000_000_000}, {"power_watts": None, "power_limit_watts": None}),
    ({"power": ALL_ONES, "energy": ALL_ONES_64}, {"power_watts": None, "energy_joules_total": None}),
    (
        {"extra": {"min_power_limit": "0", "max_power_limit": str(2**31)}},
        {"power_limit_min_watts": 0, "power_limit_max_watts": None},
    ),
    (
        {"memory_used": 2 * TOTAL},
        {"memory_used_bytes": None, "memory_free_bytes": None, "memory_total_bytes": TOTAL},
    ),
    (
        {"memory_used": ALL_ONES_64, "memory_total": ALL_ONES_64},
        {"memory_used_bytes": None, "memory_total_bytes": None},
    ),
    (
        {"memory_used": 0, "memory_total": 0, "memory_reserved": 0},
        {"memory_used_bytes": None, "memory_total_bytes": None, "memory_free_bytes": None},
    ),
    (
        {"errors": {"nvmlDeviceGetMemoryInfo_v2": INVALID_ARGUMENT}},
        {"memory_used_bytes": USED + RESERVED, "memory_total_bytes": TOTAL, "memory_reserved_bytes": None},
    ),
    ({"errors": {"nvmlDeviceGetMemoryInfo_v2": UNKNOWN}}, {"memory_used_bytes": USED + RESERVED}),
    (
        {"fan_speeds": [30, 31], "fan_rpms": [2**20, 0]},
        {("fan_speed_rpm", "fan", "0"): None, ("fan_speed_rpm", "fan", "1"): 0},
    ),
    (
        {"fields": {193: "-300 5", 194: "300 5"}},
        {("temperature_margin_threshold_celsius", "threshold", "shutdown"): None},
    ),
    ({"fields": {(186, 2): 4_000_000_000}}, {"memory_power_watts": None}),
    ({"fields": {170: "4000000000 1", 171: 1}}, {("c2c_active", "link", "0"): None}),
    ({"fields": {170: "1 1", 171: 9, 172: "44712 1"}}, {("c2c_active", "link", "0"): None}),
    ({"extra": {"repair_status": "7 1"}}, {"channel_repair_pending": None, "tpc_repair_pending": 1}),
    ({"extra": {"unrepairable_memory": "16"}}, {"unrepairable_memory": None}),
    ({"fan_speeds": [30, 65535]}, {("fan_speed_ratio", "fan", "0"): 0.3, ("fan_speed_ratio", "fan", "1"): None}),
    (
        {"clock_sm": 0, "max_clock_sm": 0, "clock_memory": 2**31},
        {
            ("clock_hertz", "clock", "sm"): 0,
            ("clock_max_hertz", "clock", "sm"): None,
            ("clock_hertz", "clock", "memory"): None,
        },
    ),
    ({"performance_state": 20}, {"performance_state": None}),
    (
        {"pcie_generation": 0, "pcie_width": 0, "max_pcie_generation": 255, "max_pcie_width": 4096},
        {"pcie_link_generation": None, "pcie_link_width": None, "pcie_link_generation_max": None},
    ),
    (
        {"extra": {"bar1_total": "4096", "bar1_used": "5000"}},
        {"bar1_memory_used_bytes": None, "bar1_memory_total_bytes": 4096},
    ),
    ({"extra": {"bar1_total": "0"}}, {"bar1_memory_used_bytes": None, "bar1_memory_total_bytes": None}),
    # One counter under two names counts once, but for the time between their readings; two counters stay two.
    ({"fields": {75: 5 * 10**9, 269: 5 * 10**9}}, {(*THROTTLED, "thermal"): None, (*THROTTLED, "sw_thermal"): 5}),
    ({"fields": {75: 5 * 10**9 + 3000, 269: 5 * 10**9}}, {(*THROTTLED, "thermal"): None}),
    ({"fields": {75: 7 * 10**9, 269: 5 * 10**9}}, {(*THROTTLED, "thermal"): 7, (*THROTTLED, "sw_thermal"): 5}),
    ({"fields": {75: 5 * 10**9}}, {(*THROTTLED, "thermal"): 5}),
]


def test_what_cannot_be_is_absent(start: Start, scenario: Scenario) -> None:
    """One device for each, all of one monitor."""
    scenario.gpus = [gpu(number, **given) for number, (given, _) in enumerate(NONSENSE)]
    scenario.write()
    monitor = start()
    metrics = monitor.next_metrics()
    for index, (given, expected) in enumerate(NONSENSE):
        for key, value in expected.items():
            name, *label = (key,) if isinstance(key, str) else key
            labels = {label[0]: label[1]} if label else {}
            found = metrics.get(series(f"genv_device_{name}", index=index, **labels))
            assert found == (None if value is None else pytest.approx(value)), (given, key)
        assert metrics[series("genv_device_up", index=index)] == 1, given
    assert monitor.complaints == []


def test_memory_that_fails_once_does_not_become_another_memory(start: Start, scenario: Scenario) -> None:
    """The first version of the call counts the driver's reserve as used."""
    scenario.gpus = [gpu(0)]
    scenario.write()
    monitor = start()
    used = series("genv_device_memory_used_bytes", index=0)
    assert monitor.next_metrics()[used] == USED
    scenario.gpus[0].errors = {"nvmlDeviceGetMemoryInfo_v2": UNKNOWN}
    scenario.write()
    assert used not in monitor.next_metrics()


DOUBLE, UNKNOWN_TYPE, MEMORY_TEMPERATURE = 0, 99, 82
FIELDS = (
    *range(74, 80),
    *(MEMORY_TEMPERATURE, 90, 95, 138, 139),
    *range(161, 197),
    *range(202, 222),
    *(*range(230, 235), 269, 270, 271),
)
"""All that the monitor asks for, and some beside."""

DOUBLES = ("nan", "inf", "-inf", "-1", "-1e300", "1e300", "18446744073709551615", "4294967295")
WHOLE = ("-1", str(ALL_ONES), str(ALL_ONES_64), "-9223372036854775808")
VALUES = (
    *((value, DOUBLE) for value in DOUBLES),
    *((value, kind) for value in WHOLE for kind in range(1, 7)),
    ("5", UNKNOWN_TYPE),
)


def test_no_field_value_costs_more_than_itself(start: Start, scenario: Scenario) -> None:
    """Every field of a device says the same, of every type there is."""
    scenario.gpus = [
        gpu(
            number,
            nvlinks={0: NvLink()},
            fields={(field, scope): f"{value} {kind}" for field in FIELDS for scope in (0, 1, 2)},
        )
        for number, (value, kind) in enumerate(VALUES)
    ]
    scenario.write()
    monitor = start("--interval", "1")
    metrics = monitor.next_metrics()
    for index, given in enumerate(VALUES):
        of_device = {key: value for key, value in metrics.items() if ("index", str(index)) in key[1]}
        assert of_device[series("genv_device_up", index=index)] == 1, given
        assert of_device[series("genv_device_nvlink_active", index=index, link=0)] == 1, given
        warmth = of_device.pop(series("genv_device_memory_temperature_celsius", index=index), None)
        assert warmth in (None, -1), given
        margins = named(of_device, "genv_device_temperature_margin_threshold_celsius")
        assert set(margins.values()) <= {-1, 0, 5}, given
        of_device = {key: value for key, value in of_device.items() if key not in margins}
        wrong = {key: value for key, value in of_device.items() if not math.isfinite(value) or value < 0}
        assert not wrong, given
    assert monitor.complaints == []
