"""A simulated machine: users, environments and training jobs that come and go on devices that get warm.

Everything follows from the seed and from the number of the reading, never from the clock.
"""

from __future__ import annotations

import random
import sys
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from genvd.collectors.base import GpuRequest
from genvd.collectors.demo import devices as demo_devices
from genvd.collectors.demo import jobs as demo_people
from genvd.collectors.demo.devices import DEVICE_MEMORY, Wear
from genvd.collectors.demo.jobs import Job
from genvd.model.device import DriverVersions
from genvd.model.facts import AccountFacts, Attachment, Context, EnvironmentRecord, GenvFacts, GpuFacts, ProcessFacts

if TYPE_CHECKING:
    from genvd.model.facts import AccountRequest, ProcessRequest

USERS = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi")
PROJECTS = (
    "llm-finetune",
    "resnet-sweep",
    "diffusion",
    "protein-fold",
    "speech",
    "notebook",
    "rl-agent",
    "evals",
)

_FIRST_UID = 1001
_OVERHEAD = 2**20
"""What the driver itself needs on each device."""
_IDLE_CELSIUS = 34.0
_BUSY_CELSIUS = 76.0
_WARMING = 0.25
"""Share of the way to its final temperature that a device goes in one tick."""
_DIP_TICKS = 15
"""A training job validates and writes a checkpoint once in so many ticks; the GPU waits for it."""
_LASTING_DEVICE = 6
"""Of a machine with many devices: somebody keeps it for days and does nothing, while somebody else computes on it."""
_LASTING_TICKS = 4_320
"""For how many ticks that has been so: half a day of ticks of ten seconds."""


@dataclass(frozen=True, slots=True)
class _State:
    """The machine in one tick."""

    tick: int = 0
    jobs: tuple[Job, ...] = ()
    temperatures: tuple[float, ...] = ()
    utilization: tuple[float, ...] = ()
    wear: tuple[Wear, ...] = ()
    next_number: int = 0


@dataclass(frozen=True, slots=True)
class _Pace:
    """How far apart ticks are, from one of them on."""

    tick: int
    moment: float
    """Unix time of the tick."""
    seconds: float


@dataclass
class DemoMachine:
    """What the simulated collectors have in common."""

    devices: int = 8
    seed: int = 0
    seconds_per_tick: float = 10.0
    """Until :meth:`set_interval` says something else."""
    epoch: float = 0.0
    """Unix time of the first reading."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._first_tick = 4 * _DIP_TICKS
        self._paces: tuple[_Pace, ...] = (_Pace(self._first_tick, self.epoch, self.seconds_per_tick),)
        self._random = random.Random(self.seed)
        self._chance = random.Random(f"wear {self.seed}")
        idle = (_IDLE_CELSIUS,) * self.devices
        wear = tuple(demo_devices.wear_before(index, self.devices, self.time_of(0)) for index in range(self.devices))
        jobs = _lasting_jobs(self.devices)
        self._states = [_State(0, jobs, idle, (0.0,) * self.devices, wear, len(jobs))]
        for _ in range(4 * _DIP_TICKS):  # nobody wants to watch an empty machine fill up
            self._states = [self._next(self._states[-1])]

    def time_of(self, tick: int) -> float:
        """Return the Unix time of a tick."""
        pace = next((pace for pace in reversed(self._paces) if pace.tick <= tick), self._paces[0])
        return pace.moment + (tick - pace.tick) * pace.seconds

    def set_interval(self, seconds: float) -> None:
        """Have the ticks from now on so far apart; what was before stays when it was."""
        with self._lock:
            if seconds != self._paces[-1].seconds:
                tick = self._states[-1].tick
                self._paces = (*self._paces, _Pace(tick, self.time_of(tick), seconds))

    def state(self, reading: int) -> _State:
        """Return the machine as the reading of that number, counted from 0, finds it."""
        with self._lock:
            while self._states[-1].tick < self._first_tick + reading:
                self._states = [*self._states[-2:], self._next(self._states[-1])]
            return next((s for s in self._states if s.tick == self._first_tick + reading), self._states[-1])

    def _next(self, state: _State) -> _State:
        tick = state.tick + 1
        jobs = [job for job in state.jobs if job.ends > tick]
        number = state.next_number
        while (job := self._new_job(number, tick, jobs)) is not None:
            jobs.append(job)
            number += 1
        utilization = tuple(self._utilization(index, tick, jobs) for index in range(self.devices))
        temperatures = tuple(
            temperature + _WARMING * (_IDLE_CELSIUS + (_BUSY_CELSIUS - _IDLE_CELSIUS) * load - temperature)
            for temperature, load in zip(state.temperatures, utilization, strict=True)
        )
        moment = self.time_of(tick)
        wear = tuple(
            worn.after(load, self._paces[-1].seconds, moment, self._chance)
            for worn, load in zip(state.wear, utilization, strict=True)
        )
        return replace(
            state,
            wear=wear,
            tick=tick,
            jobs=tuple(jobs),
            temperatures=temperatures,
            utilization=utilization,
            next_number=number,
        )

    def _new_job(self, number: int, tick: int, jobs: list[Job]) -> Job | None:
        free = sorted(set(range(self.devices)) - {index for job in jobs for index in job.devices})
        if len(free) <= self.devices // 8 or self._random.random() < 0.6:
            return None
        wanted = min(len(free), self._random.choice((1, 1, 1, 1, 2, 2)))
        return Job(
            number=number,
            user=self._random.choice(USERS),
            project=self._random.choice(PROJECTS),
            devices=tuple(sorted(self._random.sample(free, wanted))),
            starts=tick,
            ends=tick + self._random.randint(2 * _DIP_TICKS, 10 * _DIP_TICKS),
            load=self._random.choice((0.0, 0.0, 0.35, 0.6, 0.8, 0.9, 0.97)),
            memory=int(DEVICE_MEMORY * self._random.uniform(0.15, 0.92)),
            managed=self._random.random() < 0.8,
        )

    def _utilization(self, index: int, tick: int, jobs: list[Job]) -> float:
        load = 0.0
        for job in jobs:
            if index in job.devices and job.load:
                dip = (tick - job.starts) % _DIP_TICKS == 0
                load += (0.1 if dip else job.load) + self._random.gauss(0, 0.02)
        return min(1.0, max(0.0, load))


class DemoGpus:
    """Devices and contexts of the simulated machine."""

    name = "nvml"

    def __init__(self, machine: DemoMachine) -> None:
        self._machine = machine
        self._reading = 0

    def collect(self, request: GpuRequest) -> GpuFacts:
        """Return the next moment of the simulation."""
        state = self._machine.state(self._reading)
        self._reading += 1
        devices = self._machine.devices
        contexts = (
            *demo_people.desktop(devices),
            *(
                Context(
                    pid,
                    index,
                    demo_people.memory_of(job, state.tick),
                    utilization=share,
                    mig_place=demo_devices.mig_place(index, devices),
                    engines=demo_devices.engines(share),
                )
                for job in state.jobs
                for index, pid in zip(job.devices, job.pids, strict=False)
                for share in (_share(job, state.utilization[index], mig=demo_devices.has_mig(index, devices)),)
            ),
        )
        used = {index: _OVERHEAD + demo_people.unaccounted(index, state.tick, devices) for index in range(devices)}
        for context in contexts:
            used[context.device_index] += context.memory_bytes or 0
        contexts += tuple(demo_people.ended(state.tick, devices))
        described = (
            demo_devices.device(
                index,
                load=state.utilization[index],
                celsius=state.temperatures[index],
                used=used[index],
                wear=state.wear[index],
                mig=demo_devices.has_mig(index, devices),
                old=demo_devices.is_old(index, devices),
            )
            for index in used
        )
        driver = DriverVersions("570.86.15", "12.8", "12.570.86.15")
        return GpuFacts(tuple(demo_devices.only(device, request.groups) for device in described), contexts, driver)


def _share(job: Job, utilization: float, *, mig: bool) -> float | None:
    """Return the job's share of a device, which in MIG mode no driver tells."""
    if mig:
        return None
    return utilization if job.load else 0.0


class DemoGenv:
    """Environments and attachments of the simulated machine."""

    name = "genv"

    def __init__(self, machine: DemoMachine) -> None:
        self._machine = machine
        self._reading = 0

    def collect(self, request: None = None) -> GenvFacts:
        """Return the next moment of the simulation."""
        state = self._machine.state(self._reading)
        self._reading += 1
        jobs = [job for job in state.jobs if job.managed]
        return GenvFacts(
            environments=tuple(
                EnvironmentRecord(
                    eid=job.eid,
                    uid=_uid(job),
                    username=job.user,
                    name=job.project,
                    gpu_memory_bytes=demo_people.memory_limit(job),
                    gpus=demo_people.devices_asked(job),
                    created=self._machine.time_of(job.starts),
                    pids=(job.shell,),
                )
                for job in jobs
            ),
            attachments=tuple(
                Attachment(
                    job.eid,
                    index,
                    gpu_memory_bytes=demo_people.memory_limit(job),
                    attached=self._machine.time_of(job.starts),
                )
                for job in jobs
                for index in job.devices
            ),
        )


class DemoGenvCommand:
    """The genv command of the simulated machine."""

    name = "genv_command"

    def collect(self, request: None = None) -> bool:
        """Tell that there is one."""
        return True


class DemoProcesses:
    """Processes of the simulated machine."""

    name = "processes"

    def __init__(self, machine: DemoMachine) -> None:
        self._machine = machine
        self._reading = 0

    def collect(self, request: ProcessRequest) -> ProcessFacts:
        """Answer as of the next moment of the simulation."""
        state = self._machine.state(self._reading)
        self._reading += 1
        owners = {
            pid: demo_people.process_of(job, self._machine.time_of(job.starts), _uid(job))
            for job in state.jobs
            for pid in job.pids
        }
        owners[demo_people.DESKTOP_PID] = demo_people.display_server(self._machine.time_of(0))
        return ProcessFacts(
            owners={pid: owner for pid, owner in owners.items() if pid in request.gpu_pids},
            live_pids=frozenset(job.shell for job in state.jobs) & request.environment_pids,
            uids={job.shell: _uid(job) for job in state.jobs if job.shell in request.environment_pids},
            gone=request.gpu_pids & {demo_people.ENDED_PID},
            all_seen=not request.all_seen,  # there is a container with a pid namespace of its own
        )


class DemoAccounts:
    """Accounts of the simulated machine."""

    name = "accounts"

    def collect(self, request: AccountRequest) -> AccountFacts:
        """Tell the names of its users."""
        return AccountFacts({uid: USERS[uid - _FIRST_UID] if uid else "root" for uid in request.uids})


def _lasting_jobs(devices: int) -> tuple[Job, ...]:
    """Return what has been there for long and stays, numbered from 0."""
    if devices <= _LASTING_DEVICE:
        return ()
    ends = sys.maxsize
    gib = demo_people.GIB
    forgotten = Job(0, "heidi", "notebook", (_LASTING_DEVICE,), -_LASTING_TICKS, ends, load=0.0, memory=30 * gib)
    outside = Job(
        1, "frank", "sweep", (_LASTING_DEVICE,), -_LASTING_TICKS, ends, load=0.35, memory=20 * gib, managed=False
    )
    return forgotten, outside


def _uid(job: Job) -> int:
    return _FIRST_UID + USERS.index(job.user)
