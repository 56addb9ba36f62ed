"""The simulated machine of ``--demo``, with users, environments and training jobs, and its collectors.

Everything depends only on the seed and on the number of collections, never on the clock.
"""

from __future__ import annotations

import random
import sys
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from genvd.collectors.base import GpuRequest
from genvd.collectors.demo import devices as demo_devices
from genvd.collectors.demo import jobs as demo_jobs
from genvd.collectors.demo.devices import DEVICE_MEMORY, Counters
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
_DRIVER_BYTES = 2**20
"""Memory that the driver uses on each GPU."""
_IDLE_CELSIUS = 34.0
_BUSY_CELSIUS = 76.0
_WARMUP_SHARE = 0.25
"""Share of the distance to its final temperature that a GPU covers in one tick."""
_CHECKPOINT_TICKS = 15
"""Number of ticks from one checkpoint of a training job to the next. The GPU is nearly idle while it is written."""
_LONG_JOB_DEVICE = 6
"""On a machine with many GPUs, one user holds this one for days without using it while another one computes on it."""
_LONG_JOB_AGE_TICKS = 4_320
"""Age of these two jobs at the start: half a day with ticks of ten seconds."""


@dataclass(frozen=True, slots=True)
class _State:
    """The state of the machine in one tick."""

    tick: int = 0
    jobs: tuple[Job, ...] = ()
    temperatures: tuple[float, ...] = ()
    utilization: tuple[float, ...] = ()
    counters: tuple[Counters, ...] = ()
    next_job_number: int = 0


@dataclass(frozen=True, slots=True)
class _Interval:
    """The time between ticks, from one tick on."""

    tick: int
    moment: float
    """Unix time of that tick."""
    seconds: float


@dataclass
class DemoMachine:
    """The simulation, which all demo collectors share."""

    devices: int = 8
    seed: int = 0
    seconds_per_tick: float = 10.0
    """Seconds between two ticks, until :meth:`set_interval` changes it."""
    epoch: float = 0.0
    """Unix time of the first collection."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._first_tick = 4 * _CHECKPOINT_TICKS
        self._intervals: tuple[_Interval, ...] = (_Interval(self._first_tick, self.epoch, self.seconds_per_tick),)
        self._random = random.Random(self.seed)
        self._counter_random = random.Random(f"wear {self.seed}")
        idle = (_IDLE_CELSIUS,) * self.devices
        counters = tuple(
            demo_devices.initial_counters(index, self.devices, self.time_of(0)) for index in range(self.devices)
        )
        jobs = _long_jobs(self.devices)
        self._states = [_State(0, jobs, idle, (0.0,) * self.devices, counters, len(jobs))]
        for _ in range(4 * _CHECKPOINT_TICKS):  # so that the machine is not empty at first
            self._states = [self._advance(self._states[-1])]

    def time_of(self, tick: int) -> float:
        """Return the Unix time of a tick."""
        interval = next(
            (interval for interval in reversed(self._intervals) if interval.tick <= tick), self._intervals[0]
        )
        return interval.moment + (tick - interval.tick) * interval.seconds

    def set_interval(self, seconds: float) -> None:
        """Change the seconds between two ticks from now on. Earlier ticks keep their times."""
        with self._lock:
            if seconds != self._intervals[-1].seconds:
                tick = self._states[-1].tick
                self._intervals = (*self._intervals, _Interval(tick, self.time_of(tick), seconds))

    def state(self, collection: int) -> _State:
        """Return the state in the collection with this number, counted from 0.

        Only the last three states are kept. A collector that asks for an older one gets the latest.
        """
        with self._lock:
            while self._states[-1].tick < self._first_tick + collection:
                self._states = [*self._states[-2:], self._advance(self._states[-1])]
            return next((s for s in self._states if s.tick == self._first_tick + collection), self._states[-1])

    def _advance(self, state: _State) -> _State:
        tick = state.tick + 1
        jobs = [job for job in state.jobs if job.ends > tick]
        number = state.next_job_number
        while (job := self._new_job(number, tick, jobs)) is not None:
            jobs.append(job)
            number += 1
        utilization = tuple(self._utilization(index, tick, jobs) for index in range(self.devices))
        temperatures = tuple(
            temperature + _WARMUP_SHARE * (_IDLE_CELSIUS + (_BUSY_CELSIUS - _IDLE_CELSIUS) * load - temperature)
            for temperature, load in zip(state.temperatures, utilization, strict=True)
        )
        moment = self.time_of(tick)
        counters = tuple(
            counter.advance(load, self._intervals[-1].seconds, moment, self._counter_random)
            for counter, load in zip(state.counters, utilization, strict=True)
        )
        return _State(tick, tuple(jobs), temperatures, utilization, counters, number)

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
            ends=tick + self._random.randint(2 * _CHECKPOINT_TICKS, 10 * _CHECKPOINT_TICKS),
            load=self._random.choice((0.0, 0.0, 0.35, 0.6, 0.8, 0.9, 0.97)),
            memory=int(DEVICE_MEMORY * self._random.uniform(0.15, 0.92)),
            in_genv=self._random.random() < 0.8,
        )

    def _utilization(self, index: int, tick: int, jobs: list[Job]) -> float:
        load = 0.0
        for job in jobs:
            if index in job.devices and job.load:
                checkpoint = (tick - job.starts) % _CHECKPOINT_TICKS == 0
                load += (0.1 if checkpoint else job.load) + self._random.gauss(0, 0.02)
        return min(1.0, max(0.0, load))


class DemoGpus:
    """Collects the GPUs and contexts of the simulated machine."""

    name = "nvml"

    def __init__(self, machine: DemoMachine) -> None:
        self._machine = machine
        self._collections = 0

    def collect(self, request: GpuRequest) -> GpuFacts:
        """Return the facts of the next tick."""
        state = self._machine.state(self._collections)
        self._collections += 1
        devices = self._machine.devices
        contexts = (
            *demo_jobs.desktop_contexts(devices),
            *(
                Context(
                    pid,
                    index,
                    demo_jobs.memory_used(job, state.tick),
                    utilization=share,
                    mig_place=demo_devices.mig_place(index, devices),
                    engines=demo_devices.engine_shares(share),
                )
                for job in state.jobs
                for index, pid in zip(job.devices, job.pids, strict=False)
                for share in (_share(job, state.utilization[index], mig=demo_devices.has_mig(index, devices)),)
            ),
        )
        used = {
            index: _DRIVER_BYTES + demo_jobs.unaccounted_bytes(index, state.tick, devices) for index in range(devices)
        }
        for context in contexts:
            used[context.device_index] += context.memory_bytes or 0
        contexts += tuple(demo_jobs.ended_contexts(state.tick, devices))
        described = (
            demo_devices.make_device(
                index,
                load=state.utilization[index],
                celsius=state.temperatures[index],
                used=used[index],
                counters=state.counters[index],
                mig=demo_devices.has_mig(index, devices),
                older_model=demo_devices.is_older_model(index, devices),
            )
            for index in used
        )
        moment = self._machine.time_of(state.tick)
        return GpuFacts(
            devices=tuple(demo_devices.without_disabled_groups(device, request.groups, moment) for device in described),
            contexts=contexts,
            driver=DriverVersions("570.86.15", "12.8", "12.570.86.15"),
        )


def _share(job: Job, utilization: float, *, mig: bool) -> float | None:
    """Return the job's share of a GPU; None in MIG mode, in which no driver reports it."""
    if mig:
        return None
    return utilization if job.load else 0.0


class DemoGenv:
    """Collects the environments and attachments of the simulated machine."""

    name = "genv"

    def __init__(self, machine: DemoMachine) -> None:
        self._machine = machine
        self._collections = 0

    def collect(self, request: None = None) -> GenvFacts:
        """Return the facts of the next tick."""
        state = self._machine.state(self._collections)
        self._collections += 1
        jobs = [job for job in state.jobs if job.in_genv]
        return GenvFacts(
            environments=tuple(
                EnvironmentRecord(
                    eid=job.eid,
                    uid=_uid(job),
                    username=job.user,
                    name=job.project,
                    gpu_memory_bytes=demo_jobs.memory_limit(job),
                    gpus=demo_jobs.requested_gpus(job),
                    created=self._machine.time_of(job.starts),
                    pids=(job.shell,),
                )
                for job in jobs
            ),
            attachments=tuple(
                Attachment(
                    job.eid,
                    index,
                    gpu_memory_bytes=demo_jobs.memory_limit(job),
                    attached=self._machine.time_of(job.starts),
                )
                for job in jobs
                for index in job.devices
            ),
        )


class DemoGenvCommand:
    """Reports that genv is installed on the simulated machine."""

    name = "genv_command"

    def collect(self, request: None = None) -> bool:
        """Return True."""
        return True


class DemoProcesses:
    """Collects the processes of the simulated machine."""

    name = "processes"

    def __init__(self, machine: DemoMachine) -> None:
        self._machine = machine
        self._collections = 0

    def collect(self, request: ProcessRequest) -> ProcessFacts:
        """Return the facts of the next tick."""
        state = self._machine.state(self._collections)
        self._collections += 1
        owners = {
            pid: demo_jobs.process_owner(job, self._machine.time_of(job.starts), _uid(job))
            for job in state.jobs
            for pid in job.pids
        }
        owners[demo_jobs.DESKTOP_PID] = demo_jobs.display_server_owner(self._machine.time_of(0))
        return ProcessFacts(
            owners={pid: owner for pid, owner in owners.items() if pid in request.gpu_pids},
            live_pids=frozenset(job.shell for job in state.jobs) & request.environment_pids,
            uids={job.shell: _uid(job) for job in state.jobs if job.shell in request.environment_pids},
            gone=request.gpu_pids & {demo_jobs.ENDED_PID},
            all_seen=not request.all_seen,  # a container has its own pid namespace
        )


class DemoAccounts:
    """Collects the accounts of the simulated machine."""

    name = "accounts"

    def collect(self, request: AccountRequest) -> AccountFacts:
        """Return the names of its users."""
        return AccountFacts({uid: USERS[uid - _FIRST_UID] if uid else "root" for uid in request.uids})


def _long_jobs(devices: int) -> tuple[Job, ...]:
    """Return the two jobs that run since before the start and never end, numbered from 0."""
    if devices <= _LONG_JOB_DEVICE:
        return ()
    ends = sys.maxsize
    gib = demo_jobs.GIB
    forgotten = Job(0, "heidi", "notebook", (_LONG_JOB_DEVICE,), -_LONG_JOB_AGE_TICKS, ends, load=0.0, memory=30 * gib)
    outside = Job(
        1, "frank", "sweep", (_LONG_JOB_DEVICE,), -_LONG_JOB_AGE_TICKS, ends, load=0.35, memory=20 * gib, in_genv=False
    )
    return forgotten, outside


def _uid(job: Job) -> int:
    return _FIRST_UID + USERS.index(job.user)
