"""The machine that all are measured on: processes of several users, genv's state files, devices of the stand-in."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.programs import compiled
from tests.standin import Gpu, Mig, Process, Sample, Scenario
from tests.support.gpu_profiles import GIB, profile

if TYPE_CHECKING:
    from collections.abc import Sequence

_FIRST_UID = 60_001
"""Of users without an account, so that none has to be made."""
_FIRST_EID = 50_000
_INSTANCES = 7
_MOVING = {
    "temperature": "+3",
    "utilization": "+7",
    "memory_utilization": "+5",
    "memory_used": "+7",
    "power": "+977",
    "energy": "+",
    "clock_graphics": "+11",
    "clock_sm": "+11",
    "clock_memory": "+11",
    "clock_video": "+11",
    "encoder_utilization": "+3",
    "decoder_utilization": "+3",
    "jpeg_utilization": "+3",
    "ofa_utilization": "+3",
    "bar1_used": "+1000",
    "pcie_receive": "+7",
    "pcie_transmit": "+7",
}
"""What is another value at each reading on a GPU at work; see README.md of the stand-in."""
_MOVING_FIELDS = (74, 138, 139, 186, 269, 270, 271)
"""Bytes of each NVLink, sent and received, the power of this moment, and the times of low clocks."""


@dataclass(frozen=True)
class Shape:
    """How much there is on the machine."""

    devices: int = 8
    processes: int = 64
    environments: int = 32
    users: int = 8
    mig: bool = False
    """Whether each device is split into seven MIG instances."""
    devices_of_process: int = 1


SMALL = Shape()
LARGE = Shape(devices=16, processes=4096, environments=1024, users=256, mig=True)


class Machine:
    """A machine of some shape, from ``with`` to its end."""

    def __init__(self, directory: Path, shape: Shape, library: Path) -> None:
        """Make it.

        Args:
            directory: where its files are to be.
            shape: how much there is on it.
            library: the directory of the stand-ins, as :func:`tests.standin.build` returns it.
        """
        self.shape = shape
        self._directory = directory
        self._library = library
        self._scenario = Scenario(directory / "nvml")

    def __enter__(self) -> Machine:
        self._directory.mkdir(parents=True)
        program = compiled("holders", self._directory)
        self._holders = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        pids = self._start_processes()
        shells, self._pids = pids[: self.shape.environments], pids[self.shape.environments :]
        self._write_state(shells)
        self.write_devices(self.shape)
        return self

    def __exit__(self, *_: object) -> None:
        self._holders.kill()
        self._holders.communicate()

    def environment(self, name: str) -> dict[str, str]:
        """Return what a program needs in its environment to live there, with a copy of genv's state of its own.

        Args:
            name: of the program, which tells copies apart.
        """
        state = self._directory / f"genv-{name}"
        if not state.exists():
            shutil.copytree(self._directory / "genv", state)
        path = f"{self._library}:{os.environ.get('PATH', os.defpath)}"
        return {**os.environ, **self._scenario.environment(self._library), "GENV_TMPDIR": str(state), "PATH": path}

    def write_devices(self, shape: Shape) -> None:
        """Have the devices hold no more processes, or each of them on more devices, than the machine has."""
        self._scenario.gpus = [_device(number, shape, self._pids[: shape.processes]) for number in range(shape.devices)]
        self._scenario.write()

    @property
    def pids(self) -> list[int]:
        """The GPU processes."""
        return self._pids

    def _uid(self, environment: int) -> int:
        return _FIRST_UID + environment % self.shape.users if os.geteuid() == 0 else os.getuid()

    def _start_processes(self) -> list[int]:
        shape = self.shape
        shells = [f"{self._uid(number)} -" for number in range(shape.environments)]
        workers = [number % shape.environments for number in range(shape.processes)]
        lines = [f"{self._uid(number)} GENV_ENVIRONMENT_ID={_FIRST_EID + number}" for number in workers]
        assert self._holders.stdin and self._holders.stdout
        self._holders.stdin.write("".join(f"{line}\n" for line in [*shells, *lines, ""]))
        self._holders.stdin.flush()
        pids = [int(line) for line in iter(self._holders.stdout.readline, "\n") if line]
        if len(pids) != shape.environments + shape.processes:
            raise RuntimeError(f"only {len(pids)} processes could be started; see ulimit -u")
        return pids

    def _write_state(self, shells: Sequence[int]) -> None:
        state = self._directory / "genv"
        state.mkdir()
        moment = time.strftime("%d/%m/%Y %H:%M:%S")  # as genv does it; a time before the process started is corrected
        environments = [
            {
                "eid": str(_FIRST_EID + number),
                "uid": self._uid(number),
                "username": f"user-{number % self.shape.users}",
                "creation": moment,
                "config": {"name": f"experiment-{number}", "gpu_memory": "40g", "gpus": 1},
                "pids": [pid],
                "kernel_ids": [],
            }
            for number, pid in enumerate(shells)
        ]
        devices = [
            {
                "index": index,
                "total_memory": "81920mi",
                "attachments": [
                    {"eid": environment["eid"], "gpu_memory": None, "time": moment}
                    for environment in environments[index :: self.shape.devices]
                ],
            }
            for index in range(self.shape.devices)
        ]
        (state / "envs.json").write_text(json.dumps({"envs": environments}))
        (state / "devices.json").write_text(json.dumps({"devices": devices}))


def _device(number: int, shape: Shape, pids: Sequence[int]) -> Gpu:
    gpu, _ = profile("H200-MIG" if shape.mig else "H200")
    gpu.uuid = f"GPU-00000000-0000-0000-0000-{number:012}"
    gpu.pci_bus_id = f"00000000:{number + 1:02X}:00.0"
    gpu.extra = {**gpu.extra, "pcie_throughput_takes": "0"}  # nobody is measured waiting
    own = [
        pid
        for place, pid in enumerate(pids)
        if (number - place // shape.environments - place) % shape.devices < shape.devices_of_process
    ]
    gpu.memory_used = len(own) * GIB
    for key, suffix in _MOVING.items():
        if key in gpu.extra:
            gpu.extra[key] += suffix
        elif (value := getattr(gpu, key, None)) is not None:
            setattr(gpu, key, None)
            gpu.extra[key] = f"{value}{suffix}"
    gpu.fields = {key: f"{value}+" if _field(key) in _MOVING_FIELDS else value for key, value in gpu.fields.items()}
    gpu.gpm = {metric: f"{value}+7" for metric, value in gpu.gpm.items()}
    gpu.samples = [Sample(pid, f"{1 + pid % 50}+7", None, "10+7", "20+7", "30+7") for pid in own]
    gpu.processes = [Process(pid, f"{GIB}+1000") for pid in own]
    if shape.mig:
        gpu.processes = [Process(pid, f"{GIB}+1000", place % _INSTANCES, 0) for place, pid in enumerate(own)]
        gpu.migs = {instance: _instance(gpu, instance) for instance in range(_INSTANCES)}
    return gpu


def _field(key: int | tuple[int, int]) -> int:
    return key if isinstance(key, int) else key[0]


def _instance(gpu: Gpu, instance: int) -> Mig:
    processes = [process for process in gpu.processes if process.gpu_instance == instance]
    uuid = f"MIG-{gpu.uuid}-{instance}"
    name = f"{gpu.name} MIG 1g.18gb"
    return Mig(uuid, name, instance, 0, memory_total=18 * GIB, memory_used=len(processes) << 20, processes=processes)
