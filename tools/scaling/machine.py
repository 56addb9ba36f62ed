"""A busy machine of a given size that gives the same facts at every collection."""

from __future__ import annotations

import time
from dataclasses import dataclass

from genvd.collectors.base import GpuRequest
from genvd.collectors.demo import devices as demo_devices
from genvd.collectors.demo.devices import Counters
from genvd.collectors.registry import Collectors
from genvd.model.device import Device, DriverVersions
from genvd.model.facts import (
    AccountFacts,
    AccountRequest,
    Attachment,
    Context,
    EnvironmentRecord,
    GenvFacts,
    GpuFacts,
    ProcessFacts,
    ProcessOwner,
    ProcessRequest,
)

_STARTED = 1_790_000_000.0
_MEMORY = 17 * 2**30 + 2**20
_FREE = 17 * 2**20 + 2**16
_FIRST_UID, _FIRST_SHELL, _FIRST_PROCESS = 1001, 10_001, 200_001
_COUNTERS = Counters(joules=123_456_789.25, link_bytes=98_765_432_101_234.0, throttled_seconds=1234.5)


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of a machine. Each environment has one GPU attached, on which its processes compute."""

    devices: int = 0
    environments: int = 0
    processes: int = 0
    users: int = 0

    def device_of(self, process: int) -> int:
        """Return the GPU that is attached to the environment of a process."""
        return process % self.environments % self.devices


def collectors(shape: Shape) -> Collectors:
    """Return the collectors of a machine of this size."""
    return Collectors("live", _Gpus(shape), _Genv(shape), _Command(), _Processes(shape), _Accounts())


@dataclass(frozen=True, slots=True)
class _Gpus:
    shape: Shape
    name: str = "nvml"

    def collect(self, request: GpuRequest) -> GpuFacts:
        now = time.time()
        devices = tuple(
            demo_devices.without_disabled_groups(self._device(index), request.groups, now)
            for index in range(self.shape.devices)
        )
        contexts = tuple(
            Context(
                *(_FIRST_PROCESS + number, self.shape.device_of(number), _MEMORY + number),
                utilization=0.83,
                engines=demo_devices.engine_shares(0.83),
            )
            for number in range(self.shape.processes)
        )
        return GpuFacts(devices, contexts, DriverVersions("570.86.15", "12.8", "12.570.86.15"))

    def _device(self, index: int) -> Device:
        """Return a busy GPU. One that is attached to no environment is free: only the driver uses its memory."""
        used = 3 * _MEMORY if index < self.shape.environments else _FREE
        return demo_devices.make_device(index, load=0.83, celsius=67.0, used=used, counters=_COUNTERS, mig=False)


@dataclass(frozen=True, slots=True)
class _Genv:
    shape: Shape
    name: str = "genv"

    def collect(self, request: None = None) -> GenvFacts:
        environments, attachments = [], []
        for number in range(self.shape.environments):
            uid = _FIRST_UID + number % self.shape.users
            shell = _FIRST_SHELL + number
            environments.append(
                EnvironmentRecord(str(shell), uid, _name(uid), "llm-finetune", 2 * _MEMORY, 1, _STARTED, (shell,))
            )
            attachments.append(Attachment(str(shell), number % self.shape.devices, 2 * _MEMORY, _STARTED))
        return GenvFacts(tuple(environments), tuple(attachments))


class _Command:
    name = "genv_command"

    def collect(self, request: None = None) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class _Processes:
    shape: Shape
    name: str = "processes"

    def collect(self, request: ProcessRequest) -> ProcessFacts:
        shells = {shell: _FIRST_UID + (shell - _FIRST_SHELL) % self.shape.users for shell in request.environment_pids}
        return ProcessFacts(
            owners={pid: self._owner(pid - _FIRST_PROCESS) for pid in request.gpu_pids},
            live_pids=request.environment_pids,
            uids=shells,
        )

    def _owner(self, number: int) -> ProcessOwner:
        environment = number % self.shape.environments
        uid = _FIRST_UID + environment % self.shape.users
        return ProcessOwner(uid, str(_FIRST_SHELL + environment), "python3", _STARTED, "session", "session-3.scope")


class _Accounts:
    name = "accounts"

    def collect(self, request: AccountRequest) -> AccountFacts:
        return AccountFacts({uid: _name(uid) for uid in request.uids})


def _name(uid: int) -> str:
    return f"user{uid}"
