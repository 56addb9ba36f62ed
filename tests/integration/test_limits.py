"""What is used up: descriptors, memory, and the patience of whoever lists processes."""

from __future__ import annotations

import re
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.standin import Gpu, Process, Scenario
from tests.support.manager import Manager
from tests.support.monitor import PROGRAM, Monitor, named, series
from tests.support.needs import need_command
from tests.support.scarcity import many_descriptors
from tests.support.waiting import wait_for

MIB = 2**20
FORGED_PID = 3_000_000
"""And above: no process of this machine."""
PROCESSES = 10_000
CONNECTIONS = 1500
UNIT = Path(__file__).parents[2] / "systemd" / "genv-monitor.service"


def memory_max() -> int:
    """The limit that the unit sets, in bytes."""
    match = re.search(r"^MemoryMax=(\d+)M$", UNIT.read_text(), re.MULTILINE)
    assert match
    return int(match[1]) * MIB


def peak_bytes(process: psutil.Process) -> int:
    match = re.search(r"^VmHWM:\s*(\d+) kB$", Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE)
    assert match
    return int(match[1]) * 1024


@pytest.fixture
def crowd() -> Iterator[ExitStack]:
    """Connections that are closed with the test."""
    with many_descriptors(CONNECTIONS), ExitStack() as stack:
        yield stack


@dataclass(frozen=True)
class Setting:
    """How a monitor is started."""

    descriptors: int = 1024
    interval: float = 0.2


@pytest.fixture
def monitor(
    scenario: Scenario,
    nvml_library: Path,
    state_directory: Path,
    tmp_path: Path,
    manager: Manager,
    request: pytest.FixtureRequest,
) -> Iterator[Monitor]:
    """A monitor of one GPU."""
    setting: Setting = getattr(request, "param", Setting())
    (state_directory / "envs.json").write_text('{"envs": []}')
    scenario.gpus = [Gpu("GPU-0", temperature=40)]
    scenario.write()
    command: list[str | Path] = [need_command("prlimit", "util-linux"), f"--nofile={setting.descriptors}", PROGRAM]
    options: list[str | Path] = ["-i", str(setting.interval), "--config-dir", tmp_path / "published"]
    with Monitor(
        options, command=command, environment={**scenario.environment(nvml_library), **manager.environment}
    ) as running:
        yield running
        assert running.stop() == 0
        assert "Traceback" not in running.log


def all_is_well(monitor: Monitor) -> bool:
    found = monitor.metrics()
    succeeded = named(found, "genv_monitor_collector_success")
    return all(succeeded.values()) and found[series("genv_device_temperature", index=0)] == 40


@pytest.mark.parametrize("monitor", [Setting(128), Setting(1024)], indirect=True, ids=["few", "usual"])
def test_connections_without_end_leave_descriptors_for_what_matters(monitor: Monitor, crowd: ExitStack) -> None:
    """Far more than there are descriptors; a good scraper comes in between."""
    for number in range(CONNECTIONS):
        with suppress(OSError):  # it may refuse
            crowd.enter_context(socket.create_connection((monitor.host, monitor.port), timeout=5))
        if number % 150 == 0:
            assert all_is_well(monitor)
    monitor.next_metrics(3)
    assert all_is_well(monitor)
    assert len(monitor.output) < 20, monitor.log


def test_no_descriptor_is_left_for_a_while(monitor: Monitor, manager: Manager) -> None:
    process = psutil.Process(monitor.process.pid)
    before = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (3, before[1]))
    with ExitStack() as waiting:
        for _ in range(20):
            waiting.enter_context(socket.create_connection((monitor.host, monitor.port), timeout=5))
        wait_for(lambda: "Too many open files" in monitor.log, "it is told")
        beats = len(manager.said("WATCHDOG=1"))
        wait_for(lambda: len(manager.said("WATCHDOG=1")) > beats + 5, "the ticks go on meanwhile")
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, before)
    wait_for(lambda: all_is_well(monitor), "all is well again")
    monitor.next_metrics(3)
    assert len(monitor.output) < 20, monitor.log


@pytest.mark.parametrize("monitor", [Setting(interval=1.0)], indirect=True, ids=["1s"])
def test_ten_thousand_processes_in_one_tick(monitor: Monitor, scenario: Scenario) -> None:
    process = psutil.Process(monitor.process.pid)
    held = []
    for _ in range(2):
        crowd = [Process(FORGED_PID + number, MIB) for number in range(PROCESSES)]
        scenario.gpus = [Gpu("GPU-0", temperature=40, processes=crowd), Gpu("GPU-1", temperature=55)]
        scenario.write()
        wait_for(lambda: monitor.metrics()[series("genv_processes_total")] == PROCESSES, "all are counted")
        found = monitor.next_metrics()
        assert found[series("genv_device_temperature", index=1)] == 55
        for headers in ({}, {"Accept": "application/openmetrics-text", "Accept-Encoding": "gzip"}):
            assert monitor.get("/metrics", headers).status == 200
        assert monitor.get("/api/v1/snapshot").status == 200

        scenario.gpus = [Gpu("GPU-0", temperature=40)]
        scenario.write()
        wait_for(lambda: monitor.metrics()[series("genv_processes_total")] == 0, "all are gone")
        held.append(process.memory_info().rss)
    assert all_is_well(monitor)
    assert peak_bytes(process) < memory_max() / 4
    assert held[-1] - held[0] < 16 * MIB, "what the first crowd took is used again by the second"
