"""What integration tests have at hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.standin import Scenario
from tests.support.gpus import Start
from tests.support.manager import Manager
from tests.support.monitor import Monitor


@pytest.fixture
def start(nvml_library: Path, scenario: Scenario, state_directory: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts monitors on the scenario."""
    with ExitStack() as stack:

        def start_one(*arguments: str, library: Path = nvml_library) -> Monitor:
            options = ["--interval", "0.2", "--config-dir", str(tmp_path / "published"), *arguments]
            return stack.enter_context(Monitor(options, environment=scenario.environment(library)))

        yield start_one


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """Hears what a service tells its manager."""
    manager = Manager(tmp_path)
    yield manager
    manager.close()
