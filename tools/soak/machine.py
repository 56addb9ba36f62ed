"""The machine of the soak test: GPUs, environments and real processes that change all the time."""

from __future__ import annotations

import json
import os
import subprocess
from collections import deque
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pynvml

from tests.standin import Gpu, Mig, Process, Scenario, build

if TYPE_CHECKING:
    from pathlib import Path

_PROCESSES = 6
_FORGED = 40
"""Number of environments in the state file without a process."""
_MEMORY = 80 << 30


class ChangingMachine:
    """A machine with the stand-in for NVML; a context manager."""

    def __init__(self, directory: Path) -> None:
        """Create the machine.

        Args:
            directory: an empty directory for all files of the machine.
        """
        self._state = directory / "genv"
        self._state.mkdir()
        self._scenario = Scenario(directory / "nvml")
        self._library = build(directory / "lib")
        self._processes: deque[tuple[str, subprocess.Popen[bytes]]] = deque()
        self._round = 0

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables for a program to run on the machine."""
        return {**self._scenario.environment(self._library), "GENV_TMPDIR": str(self._state)}

    def __enter__(self) -> ChangingMachine:
        self.change()
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as stack:
            for entry in self._processes:
                stack.callback(_end, entry[1])

    def change(self) -> None:
        """Change the machine: something else in every round, sometimes an error."""
        self._round += 1
        eid = f"soak-{self._round}"
        self._processes.append((eid, _start(eid)))
        if len(self._processes) > _PROCESSES:
            _end(self._processes.popleft()[1])
        self._change_devices()
        self._change_state()

    def _change_devices(self) -> None:
        number = self._round
        self._scenario.gpus = [self._device(index) for index in range(3 + number % 3)]
        self._scenario.gpus[-1].errors = {"*": pynvml.NVML_ERROR_GPU_IS_LOST} if number % 5 == 0 else {}
        self._scenario.errors = {"*": pynvml.NVML_ERROR_UNKNOWN} if number % 11 == 0 else {}
        if number % 7 == 0:
            self._scenario.remove()
        else:
            self._scenario.write()

    def _device(self, index: int) -> Gpu:
        number = self._round
        running = [Process(process.pid, number << 20) for _, process in list(self._processes)[index % 2 :: 2]]
        gone = [Process(4_000_000 + (number * 100 + extra) % 100_000, None) for extra in range(10)]
        instance = Mig(f"MIG-{number}", processes=running[:1]) if index == 1 and number % 4 == 0 else None
        return Gpu(
            f"GPU-{index}",
            temperature=30 + number % 50,
            utilization=number % 101,
            memory_total=_MEMORY,
            memory_used=number << 20,
            processes=[*running, *gone],
            migs={0: instance} if instance else {},
        )

    def _change_state(self) -> None:
        moment = "23/11/2026 17:36:19"
        forged = [(f"forged-{self._round}-{extra}", 4_000_000 + extra) for extra in range(_FORGED)]
        claims = [*((eid, process.pid) for eid, process in self._processes), *forged]
        environments = [
            {
                "eid": eid,
                "uid": os.getuid(),
                "username": f"user{self._round % 17}",
                "creation": moment,
                "config": {"name": eid, "gpu_memory": "4g", "gpus": 1},
                "pids": [pid],
                "kernel_ids": [f"kernel-{eid}"] if self._round % 3 == 0 else [],
            }
            for eid, pid in claims
        ]
        devices = [
            {"index": index, "attachments": [{"eid": eid, "gpu_memory": None, "time": moment} for eid, _ in claims]}
            for index in range(4)
        ]
        self._write("envs.json", {"envs": environments})
        self._write("devices.json", {"devices": devices}, half=self._round % 13 == 0)

    def _write(self, name: str, document: Any, *, half: bool = False) -> None:
        text = json.dumps(document)
        temporary = self._state / f".{name}"
        temporary.write_text(text[: len(text) // 2] if half else text)
        temporary.replace(self._state / name)


def _start(eid: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "infinity"], env={**os.environ, "GENV_ENVIRONMENT_ID": eid})


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
