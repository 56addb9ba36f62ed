"""What is declared as a dependency is what the running monitor works with."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.standin import Gpu, Process, Scenario
from tests.support.manager import Manager
from tests.support.monitor import Monitor
from tests.support.waiting import wait_for

# Runs the monitor, and writes down whose functions its own functions call: not what is called only to define its
# modules, which is what an import does.
_WATCHED = """
import os, runpy, sys, threading

own, path, seen = os.path.realpath(sys.argv.pop(1)) + os.sep, sys.argv.pop(1), set()

def watch(frame, event, _):
    if event == "call" and frame.f_code.co_filename not in seen:
        caller = frame.f_back
        if caller and caller.f_code.co_name != "<module>" and caller.f_code.co_filename.startswith(own):
            seen.add(frame.f_code.co_filename)
            with open(path, "a") as file:
                print(os.path.realpath(frame.f_code.co_filename), file=file)

threading.setprofile(watch)
sys.setprofile(watch)
runpy.run_module("genvd", run_name="__main__")
"""


def _declared() -> Iterator[importlib.metadata.Distribution]:
    """Return what is always installed together with the monitor."""
    for requirement in map(Requirement, importlib.metadata.requires("genvd") or ()):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield importlib.metadata.distribution(requirement.name)


def _files(distribution: importlib.metadata.Distribution) -> set[str]:
    return {os.path.realpath(str(file.locate())) for file in distribution.files or () if file.suffix == ".py"}


@pytest.fixture
def called(
    scenario: Scenario, nvml_library: Path, state_directory: Path, manager: Manager, tmp_path: Path
) -> Iterator[Path]:
    """Run a monitor on a machine with a GPU and a process on it; give where it writes whom it calls."""
    scenario.gpus = [Gpu("GPU-0", processes=[Process(os.getpid(), 1 << 30)])]
    scenario.write()
    path, configuration = tmp_path / "called", tmp_path / "monitor.yaml"
    path.touch()
    configuration.write_text("collect: {interval: 1s}\n")
    command = (sys.executable, "-c", _WATCHED, str(Path(__file__).parents[2] / "genvd"), path, "run")
    arguments: list[str | Path] = ["--config", configuration, "--config-dir", tmp_path / "published"]
    environment = {**scenario.environment(nvml_library), **manager.environment}
    with Monitor(arguments, environment, command=command) as monitor:
        assert monitor.metrics()
        yield path


def test_the_running_monitor_calls_each_dependency(called: Path) -> None:
    unused = {distribution.name: _files(distribution) for distribution in _declared()}

    def all_called() -> bool:
        files = set(called.read_text().splitlines())
        for name in [name for name, own in unused.items() if own & files]:
            del unused[name]
        return not unused

    try:
        wait_for(all_called, "a call of each dependency", seconds=30)
    except AssertionError:
        pytest.fail(f"declared as dependencies, but not called by the running monitor: {sorted(unused)}")
