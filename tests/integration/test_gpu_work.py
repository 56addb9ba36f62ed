"""A process that computes on a real GPU, and one that only holds memory of it."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.cuda import HELD, cuda_process
from tests.support.monitor import Monitor, named, series
from tests.support.needs import need
from tests.support.waiting import wait_for


class Pair(NamedTuple):
    """Their pids."""

    worker: int
    holder: int


@pytest.fixture
def pair(state_directory: Path) -> Iterator[Pair]:
    """One that computes in environment 78 and one that holds memory in 79; both environments hold the first device."""
    need(shutil.which("nvidia-smi"), "needs a GPU with the NVIDIA driver", optional=True)
    with cuda_process("78", computes=True) as worker, cuda_process("79") as holder:
        now = time.strftime("%d/%m/%Y %H:%M:%S")
        environments = [
            {
                "eid": eid,
                "uid": os.getuid(),
                "username": None,
                "creation": now,
                "pids": [pid],
                "kernel_ids": [],
                "config": {"name": None, "gpu_memory": None, "gpus": 1},
            }
            for eid, pid in (("78", worker), ("79", holder))
        ]
        attachments = [{"eid": eid, "gpu_memory": None, "time": now} for eid in ("78", "79")]
        device = {"index": 0, "total_memory": "16384mi", "attachments": attachments}
        (state_directory / "envs.json").write_text(json.dumps({"envs": environments}))
        (state_directory / "devices.json").write_text(json.dumps({"devices": [device]}))
        yield Pair(worker, holder)


def test_who_computes_is_told_from_who_holds_memory(pair: Pair, tmp_path: Path) -> None:
    worker = series("genv_process_utilization_ratio", pid=pair.worker, eid=78, device=0)
    holder = series("genv_process_utilization_ratio", pid=pair.holder, eid=79, device=0)
    with Monitor(["--interval", "1", "--config-dir", tmp_path / "out"]) as monitor:
        wait_for(lambda: monitor.metrics().get(series("genv_environment_idle_seconds", eid=78)) == 0, "it works")
        if worker not in wait_for(lambda: monitor.next_metrics(3), "what processes do"):
            pytest.skip("the driver tells of no process what it does (a MIG device, a virtual GPU)")

        def busy() -> bool:
            metrics = monitor.next_metrics(1)
            return metrics.get(worker, 0) > 0.5 and metrics.get(series("genv_device_utilization", index=0), 100) > 50

        wait_for(busy, "the process takes most of the device")
        metrics = monitor.next_metrics(3)
        assert metrics.get(holder, 0) < 0.05
        assert metrics[series("genv_environment_idle_seconds", eid=79)] > 0
        for eid, pid in (("78", pair.worker), ("79", pair.holder)):
            assert metrics[series("genv_process_used_gpu_memory_bytes", pid=pid, eid=eid, device=0)] >= HELD
            assert metrics[series("genv_environment_used_gpu_memory_bytes", eid=eid, device=0)] >= HELD
        # Only from Hopper on, and where the driver lets the monitor.
        for ratio in named(metrics, "genv_device_sm_active_ratio", "genv_device_graphics_active_ratio"):
            if ("index", "0") in ratio[1]:
                assert metrics[ratio] > 0.5, ratio
