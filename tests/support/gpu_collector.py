"""The collector of GPUs in a process of its own, which collects only when told to: ``python -m ...gpu_collector``."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

from genvd.collectors.base import DeviceGroups, GpuRequest, GroupPeriods
from genvd.collectors.nvml.collector import NvmlCollector
from genvd.model.snapshot_json import as_document

if TYPE_CHECKING:
    from pathlib import Path

    from tests.standin import Scenario

_DEADLINE = 60.0


class GpuCollector:
    """The process, from ``with`` to its end. Nothing in it depends on the clock."""

    def __init__(self, scenario: Scenario, library: Path, periods: GroupPeriods) -> None:
        """Create it; it is started by ``with``."""
        self._environment = {**os.environ, **scenario.environment(library)}
        self.periods = periods
        self.groups = DeviceGroups()
        self._number = 0

    def __enter__(self) -> GpuCollector:
        self._errors = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.gpu_collector"],
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def collect(self) -> list[dict[str, Any]]:
        """Make the next collection; return the GPUs as they are in the JSON of a Snapshot."""
        self._number += 1
        assert self._process.stdin and self._process.stdout
        order = {"number": self._number, "periods": vars_of(self.periods), "groups": vars_of(self.groups)}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        devices: list[dict[str, Any]] = json.loads(self._process.stdout.readline())
        return devices

    @property
    def log(self) -> str:
        """All that it has logged."""
        self._errors.seek(0)
        return self._errors.read()


def vars_of(values: DeviceGroups | GroupPeriods) -> dict[str, Any]:
    """Return the fields by name."""
    return values._asdict()


def main() -> None:
    """Obey until the input ends."""
    logging.basicConfig(level=logging.INFO)
    collector = NvmlCollector()
    for line in sys.stdin:
        order = json.loads(line)
        request = GpuRequest(
            time.monotonic() + _DEADLINE,
            DeviceGroups(**order["groups"]),
            order["number"],
            GroupPeriods(**order["periods"]),
        )
        facts = collector.collect(request)
        print(json.dumps([as_document(device) for device in facts.devices]), flush=True)


if __name__ == "__main__":
    main()
