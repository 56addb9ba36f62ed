"""What integration tests have at hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.standin import Gpu, Mig, Scenario
from tests.support.gpus import Start
from tests.support.manager import Manager
from tests.support.monitor import Monitor, series
from tests.support.waiting import wait_for


@pytest.fixture
def start(nvml_library: Path, scenario: Scenario, state_directory: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts monitors on the scenario."""
    with ExitStack() as stack:

        def start_one(*arguments: str, library: Path = nvml_library) -> Monitor:
            options = ["--interval", "0.2", "--config-dir", str(tmp_path / "published"), *arguments]
            monitor = stack.enter_context(Monitor(options, environment=scenario.environment(library)))
            if not _hangs(scenario):
                wait_for(lambda: _all_answer(monitor), "the driver and the collector of processes answer")
            return monitor

        yield start_one


def _all_answer(monitor: Monitor) -> bool:
    """Return whether the driver and the processes are known: on a busy machine they may miss the first collection."""
    seen = monitor.metrics()
    hung = series("genv_driver_state", state="hung")
    processes = series("genv_monitor_collector_success", collector="processes")
    return seen.get(hung) != 1 and seen.get(processes, 1) == 1


def _hangs(scenario: Scenario) -> bool:
    subjects: list[Scenario | Gpu | Mig] = [scenario, *scenario.gpus]
    subjects += [instance for gpu in scenario.gpus for instance in gpu.migs.values()]
    return any(subject.hangs for subject in subjects)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """Hears what a service tells its manager."""
    manager = Manager(tmp_path)
    yield manager
    manager.close()
