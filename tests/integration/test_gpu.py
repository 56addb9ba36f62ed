"""The monitor on a machine with a real GPU, next to nvidia-smi and a process that holds device memory."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cuda import HELD, cuda_process
from tests.support.monitor import Monitor, Series, series
from tests.support.needs import need
from tests.support.waiting import wait_for

MIB = 2**20


def nvidia_smi(query: str) -> list[list[str]]:
    command = ["nvidia-smi", query, "--format=csv,noheader,nounits"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [line.split(", ") for line in output.splitlines()]


@pytest.fixture
def holder() -> Iterator[int]:
    """The pid of a process in environment 77 that holds memory on the first device."""
    need(shutil.which("nvidia-smi"), "needs a GPU with the NVIDIA driver", optional=True)
    with cuda_process("77") as pid:
        yield pid


def test_it_says_what_nvidia_smi_says(holder: int, state_directory: Path, tmp_path: Path) -> None:
    with Monitor(["--interval", "0.5", "--config-dir", tmp_path / "out"]) as monitor:

        def agree() -> Series | None:
            metrics = monitor.next_metrics(1)
            rows = nvidia_smi("--query-gpu=index,temperature.gpu,memory.used,memory.total")
            for index, temperature, used, total in rows:
                assert abs(metrics[series("genv_device_temperature", index=index)] - float(temperature)) <= 3
                assert abs(metrics[series("genv_device_memory_used_bytes", index=index)] - float(used) * MIB) <= MIB
                assert abs(metrics[series("genv_device_memory_total_bytes", index=index)] - float(total) * MIB) <= MIB
            return metrics

        metrics = wait_for(agree, "the same values as nvidia-smi")
        holders = [row for row in nvidia_smi("--query-compute-apps=pid,used_gpu_memory") if row[0] == str(holder)]
        memory = metrics.get(series("genv_process_used_gpu_memory_bytes", pid=holder, eid=77, device=0))
        assert metrics[series("genv_process_devices_total", pid=holder, eid=77)] == 1
        if holders and holders[0][1].isdigit():
            assert memory is not None
            assert memory >= HELD
            assert abs(memory - float(holders[0][1]) * MIB) <= MIB
