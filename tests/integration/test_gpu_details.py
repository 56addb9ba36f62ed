"""What a real GPU tells, next to nvidia-smi."""

from __future__ import annotations

import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.monitor import Monitor, Series, named, series
from tests.support.needs import need
from tests.support.waiting import wait_for

MHZ, MIB = 1_000_000, 2**20

# A metric with its labels, where `nvidia-smi -q -x` has it, the factor to its unit, and how far apart they may be:
# both ask at moments of their own.
BESIDE: list[tuple[str, dict[str, str], str, float, float]] = [
    ("power_watts", {}, "gpu_power_readings/average_power_draw", 1, 150),
    ("power_instant_watts", {}, "gpu_power_readings/instant_power_draw", 1, 150),
    ("power_limit_min_watts", {}, "gpu_power_readings/min_power_limit", 1, 1),
    ("power_limit_max_watts", {}, "gpu_power_readings/max_power_limit", 1, 1),
    ("module_power_watts", {}, "module_power_readings/instant_power_draw", 1, 300),
    ("temperature_margin_celsius", {}, "temperature/gpu_temp_tlimit", 1, 5),
    ("encoder_sessions", {}, "encoder_stats/session_count", 1, 1),
    ("capture_sessions", {}, "fbc_stats/session_count", 1, 1),
    ("power_limit_watts", {}, "gpu_power_readings/current_power_limit", 1, 1),
    ("power_limit_default_watts", {}, "gpu_power_readings/default_power_limit", 1, 1),
    ("clock_hertz", {"clock": "memory"}, "clocks/mem_clock", MHZ, 1500 * MHZ),
    ("clock_max_hertz", {"clock": "sm"}, "max_clocks/sm_clock", MHZ, 0),
    ("clock_max_hertz", {"clock": "memory"}, "max_clocks/mem_clock", MHZ, 0),
    ("memory_temperature_celsius", {}, "temperature/memory_temp", 1, 5),
    ("memory_reserved_bytes", {}, "fb_memory_usage/reserved", MIB, MIB),
    ("memory_free_bytes", {}, "fb_memory_usage/free", MIB, 64 * MIB),
    ("bar1_memory_total_bytes", {}, "bar1_memory_usage/total", MIB, MIB),
    ("encoder_utilization_ratio", {}, "utilization/encoder_util", 0.01, 0.2),
    ("pcie_link_generation_max", {}, "pci/pci_gpu_link_info/pcie_gen/max_link_gen", 1, 0),
    ("pcie_link_width", {}, "pci/pci_gpu_link_info/link_widths/current_link_width", 1, 0),
    ("pcie_replays_total", {}, "pci/replay_counter", 1, 5),
    (
        "ecc_location_errors_total",
        {"severity": "corrected", "scope": "aggregate", "location": "dram"},
        "ecc_errors/aggregate/dram_correctable",
        *(1, 9),
    ),
    (
        "ecc_location_errors_total",
        {"severity": "corrected", "scope": "volatile", "location": "sram"},
        "ecc_errors/volatile/sram_correctable",
        *(1, 9),
    ),
    (
        "remap_banks",
        {"availability": "max"},
        "remapped_rows/row_remapper_histogram/row_remapper_histogram_max",
        *(1, 0),
    ),
    ("remapped_rows", {"cause": "corrected"}, "remapped_rows/remapped_row_corr", 1, 0),
    ("remapped_rows", {"cause": "uncorrected"}, "remapped_rows/remapped_row_unc", 1, 0),
    ("fan_speed_ratio", {"fan": "0"}, "fan_speed", 0.01, 0.1),
]


@pytest.fixture
def shown() -> Callable[[], list[ET.Element]]:
    """Returns what nvidia-smi shows of each device."""
    need(shutil.which("nvidia-smi"), "needs a GPU with the NVIDIA driver", optional=True)

    def show() -> list[ET.Element]:
        output = subprocess.run(["nvidia-smi", "-q", "-x"], check=True, capture_output=True, text=True).stdout
        return ET.fromstring(output).findall("gpu")

    return show


def number(device: ET.Element, path: str) -> float | None:
    """Return the number that begins the text at a place; None where there is none, or it is not available."""
    words = (device.findtext(path) or "N/A").split()
    try:
        return float(words[0].rstrip("x"))
    except (ValueError, IndexError):
        return None


def test_it_says_what_nvidia_smi_says_in_detail(
    shown: Callable[[], list[ET.Element]], state_directory: Path, tmp_path: Path
) -> None:
    with Monitor(["--interval", "0.5", "--config-dir", tmp_path / "out"]) as monitor:

        def agree() -> Series | None:
            metrics = monitor.next_metrics(1)
            for index, device in enumerate(shown()):
                for name, labels, path, factor, apart in BESIDE:
                    expected = number(device, path)
                    value = metrics.get(series(f"genv_device_{name}", index=index, **labels))
                    if expected is not None and value is not None:
                        assert abs(value - expected * factor) <= apart, (name, labels, value, expected)
                    else:
                        print(f"device {index}: {name} {labels}: {value}; nvidia-smi: {device.findtext(path)}")
            return metrics

        metrics = wait_for(agree, "the same values as nvidia-smi")
        infos = {dict(labels)["uuid"]: dict(labels) for _, labels in named(metrics, "genv_device_info")}
        for device in shown():
            info = infos[device.findtext("uuid") or ""]
            assert info["name"] == device.findtext("product_name")
            assert info["vbios_version"] == device.findtext("vbios_version")
            assert info["architecture"] == device.findtext("product_architecture")
            boards = named(metrics, "genv_device_board_info")
            board = next((dict(labels) for _, labels in boards if ("index", info["index"]) in labels), {})
            for label, path in (("serial", "serial"), ("part_number", "board_part_number")):
                if board.get(label):
                    assert board[label] == device.findtext(path)
        energy = named(metrics, "genv_device_energy_joules_total")
        later = named(monitor.next_metrics(4), "genv_device_energy_joules_total")
        assert all(later[key] > value for key, value in energy.items())
        assert [line for line in monitor.output if "WARNING" in line] == []
