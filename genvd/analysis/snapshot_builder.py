"""Builds a Snapshot: runs all collectors and joins their facts."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, NamedTuple

from genvd.analysis import activity, join, policy
from genvd.analysis.claims import DEVICE, MALFORMED, RejectedClaimCounter
from genvd.analysis.first_seen import FirstSeenTracker
from genvd.analysis.idleness import IdleClock
from genvd.analysis.known_accounts import KnownAccounts
from genvd.analysis.memory_peaks import MemoryPeaks
from genvd.analysis.missing_devices import MissingDevices
from genvd.analysis.orphan_memory import OrphanMemoryTracker, has_unaccounted_memory
from genvd.analysis.ownership import add_record_names, memberships, resolve_owners
from genvd.analysis.renumbering import ALL_CERTAIN, RenumberingDetector, UncertainAttachments
from genvd.analysis.restart_state import RestartState
from genvd.analysis.unknown_environments import ADVICE, possible_use, unknown_environment_text
from genvd.collectors.base import DeviceGroups, GpuRequest, GroupPeriods
from genvd.collectors.runner import Runner
from genvd.common.clock import Moment, boot_id
from genvd.common.error_log import ErrorLog
from genvd.common.worker_pool import WorkerPool
from genvd.model.facts import AccountFacts, GenvFacts, GpuFacts, ProcessFacts, ProcessRequest
from genvd.model.identity import Identity, LastUuids
from genvd.model.snapshot import ServiceStatus, Snapshot

if TYPE_CHECKING:
    from genvd.analysis.claims import Rejection
    from genvd.analysis.ownership import Memberships, OwnedRecord
    from genvd.collectors.registry import Collectors
    from genvd.model.facts import AccountRequest, UnknownEnvironment
    from genvd.model.snapshot import CollectorStatus, Environment, Holding, Process, UnseenMemory, User

log = logging.getLogger(__name__)


class SnapshotBuilder:
    """Builds Snapshots, and remembers what is needed from one to the next. Not thread-safe."""

    timeout: float
    """Seconds to wait for a collector; may be changed."""

    groups: DeviceGroups
    """The groups of GPU values to collect; may be changed."""

    periods: GroupPeriods
    """How often those that hardly change are read; may be changed."""

    def __init__(
        self,
        collectors: Collectors,
        timeout: float,
        groups: DeviceGroups | None = None,
        pool: WorkerPool | None = None,
    ) -> None:
        """Create a builder that has built no Snapshot yet.

        Args:
            collectors: the collectors to run.
            timeout: see :attr:`timeout`.
            groups: see :attr:`groups`; None for the default.
            pool: the threads in which the collectors run; None to create a pool.
        """
        self.timeout = timeout
        self.groups = groups or DeviceGroups()
        self.periods = GroupPeriods()
        pool = pool or WorkerPool("collectors")
        self._gpus: Runner[GpuRequest, GpuFacts] = Runner(collectors.gpus, pool)
        self._genv: Runner[None, GenvFacts] = Runner(collectors.genv, pool)
        self._genv_command: Runner[None, bool] = Runner(collectors.genv_command, pool)
        self._processes: Runner[ProcessRequest, ProcessFacts] = Runner(collectors.processes, pool)
        self._accounts: Runner[AccountRequest, AccountFacts] = Runner(collectors.accounts, pool)
        self._memberships: Memberships = {}
        self._claims = RejectedClaimCounter()
        self._orphan_memory = OrphanMemoryTracker()
        self._missing_devices = MissingDevices()
        self._errors = ErrorLog(log)
        self._previous_unknown: dict[UnknownEnvironment, int] = {}
        self._peaks = MemoryPeaks()
        self._last_uuids = LastUuids()
        self._idle_clock = IdleClock()
        self._first_seen = FirstSeenTracker()
        self._renumbering = RenumberingDetector()
        self._known_accounts = KnownAccounts()
        self._check_times = collectors.mode == "live"  # a simulated machine has no process starts to compare with

    def build(self, service: ServiceStatus) -> Snapshot:
        """Run all collectors and return what they found as a Snapshot. No state of the machine makes it raise."""
        facts = self._collect(service.collections + service.collections_skipped)
        joined = self._join(facts)
        snapshot = self._snapshot(service, facts, joined)
        self._log_unknown_environments(snapshot)
        return snapshot

    def _snapshot(self, service: ServiceStatus, facts: _Facts, joined: _Joined) -> Snapshot:
        return Snapshot(
            timestamp=time.time(),
            service=service,
            collectors=facts.statuses,
            # An active environment proves that genv is installed, wherever it is.
            genv_installed=True if joined.environments else facts.genv_command,
            driver_state=facts.driver_state,
            driver=facts.gpu.driver if facts.gpu else None,
            devices=facts.gpu.devices if facts.gpu else None,
            host_memory=facts.gpu.host_memory if facts.gpu else None,
            processes=joined.processes,
            environments=joined.environments,
            users=joined.users,
            holdings=joined.holdings,
            holders_unknown=joined.holders_unknown,
            missing_devices=self._missing_devices.update(
                facts.gpu.devices if facts.gpu and facts.driver_state == "ok" else None
            ),
            sees_machine=facts.processes is None or facts.processes.sees_machine,
            unseen_memory=joined.unseen_memory,
            attached_device_indices=(
                None if joined.environments is None else join.attached_devices(joined.environments)
            ),
            rejected_claims=self._claims.totals(),
        )

    def _log_unknown_environments(self, snapshot: Snapshot) -> None:
        """Log why environments of processes are unknown.

        The reason "unreadable" usually resolves itself, so it is logged only if the previous collection had it too.
        """
        if snapshot.processes is None:
            return
        numbers = policy.count_unknown_environments(snapshot)
        for reason, number in numbers.items():
            if not number:
                self._errors.clear(reason, f"processes: their environments are known again ({reason})")
            elif self._previous_unknown.get(reason) or reason != "unreadable":
                text = f"processes: {unknown_environment_text(number)} ({reason}). {ADVICE[reason]}"
                self._errors.report(reason, text, kind=reason)
        self._previous_unknown = numbers

    def restart_state(self, snapshot: Snapshot) -> RestartState | None:
        """Return the state to save for the next start of the monitor; None if the environments are unknown."""
        if snapshot.holdings is None or snapshot.environments is None:
            return None
        times = self._first_seen.to_save(snapshot.environments, snapshot.holdings)
        attachments = self._renumbering.to_save(snapshot.environments)
        return RestartState(self._idle_clock.last_work, times, attachments, self._known_accounts.accounts, boot_id())

    def restore(self, state: RestartState) -> None:
        """Continue with what :meth:`restart_state` returned before the restart."""
        state = state.for_boot(boot_id())
        self._idle_clock.restore(state.last_work)
        self._first_seen.restore(state.times)
        self._renumbering.restore(state.attachments)
        self._last_uuids.restore(Identity(attachment.uuid, attachment.pci_bus_id) for attachment in state.attachments)
        self._known_accounts.restore(state.accounts)

    def reset_first_seen(self) -> None:
        """Forget when genv's files were last read, because other files are read from now on."""
        self._first_seen.reset()

    def _collect(self, number: int) -> _Facts:
        """Run all collectors, first those that need no input from others.

        Args:
            number: of the collection.
        """
        began, deadline = Moment.now(), time.monotonic() + self.timeout
        self._gpus.start(GpuRequest(deadline, self.groups, number, self.periods), deadline)
        self._genv.start(None, deadline)
        self._genv_command.start(None, deadline)
        gpu, gpu_status = self._gpus.result()
        gpu = gpu._replace(devices=self._last_uuids.add_uuids(gpu.devices)) if gpu else None
        genv, genv_status = self._genv.result()
        # Before the attachment times are corrected, because their original values identify the attachments.
        uncertain = self._renumbering.update(gpu.devices if gpu else None, genv.attachments) if genv else ALL_CERTAIN
        command, command_status = self._genv_command.result()
        deadline = time.monotonic() + self.timeout
        self._processes.start(_process_request(gpu, genv, self._orphan_memory), deadline)
        processes, processes_status = self._processes.result()
        doubtful_devices: frozenset[int] = frozenset()
        if genv and processes:
            genv, processes, doubtful_devices = join.leave_out_unasked(genv, processes)
        if genv and processes and self._check_times:
            genv = self._first_seen.update(genv, processes, began, Moment.now(), fresh=genv_status.success)
        owned, rejections = resolve_owners(genv, processes, self._memberships) if genv and processes else ((), ())
        if genv and processes:
            processes, more_devices = join.doubt_invalid_records(genv, processes, owned)
            doubtful_devices |= more_devices
        request = join.account_request(processes or ProcessFacts(), owned)
        self._accounts.start(request, deadline)
        answer, accounts_status = self._accounts.result()
        accounts = self._known_accounts.update(answer, request)
        statuses = (gpu_status, genv_status, command_status, processes_status, accounts_status)
        state = _driver_state(gpu_status)
        return _Facts(
            *(gpu, genv, uncertain, command, processes, accounts, owned, rejections, state, statuses), doubtful_devices
        )

    def _join(self, facts: _Facts) -> _Joined:
        """Join the facts, and count the rejected claims."""
        gpu, genv, process_facts = facts.gpu, facts.genv, facts.processes
        processes, rejections = None, facts.rejections
        accounts = add_record_names(facts.owned, facts.accounts)
        if gpu and gpu.contexts is not None and process_facts:
            with self._peaks.of_processes(gpu.devices) as peak_of_process:
                processes, more_rejections = join.processes(
                    gpu.contexts, process_facts, facts.owned, accounts, peak_of_process
                )
            rejections += more_rejections
        devices = gpu.devices if gpu else None
        unseen = self._unseen_memory(facts, processes)
        if not genv or not process_facts:
            return _Joined(processes, unseen_memory=unseen)
        unseen_devices = frozenset(part.device_index for part in unseen)
        possible = possible_use(processes or (), process_facts, facts.owned, facts.accounts, unseen_devices)
        environments, more_rejections = join.environments(facts.owned, genv.attachments, processes, accounts, possible)
        holdings = activity.holdings(environments, genv.attachments, processes, devices, possible)
        holdings, uncertain = facts.uncertain.split_holdings(environments, holdings)
        idle = self._idle_clock.update(environments, (*holdings, *uncertain))
        holdings = activity.add_idle_times(holdings, idle.devices)
        peak_of = self._peaks.of_environments(environments, devices)
        environments = activity.add_activity(
            environments, genv.attachments, processes, devices, idle.environments, possible, peak_of
        )
        environments = facts.uncertain.mark_environments(environments)
        self._memberships = memberships(facts.owned)
        self._claims.update(rejections + more_rejections, {MALFORMED: genv.malformed, DEVICE: genv.impossible_devices})
        users = join.users(environment for environment in environments if environment.named)
        holders_unknown = facts.uncertain.uncertain_devices(environments) | facts.doubtful_devices
        if not process_facts.sees_machine:
            holders_unknown |= join.devices_of_unseen_environments(genv, facts.owned)
        return _Joined(processes, environments, users, holdings, tuple(sorted(holders_unknown)), unseen)

    def _unseen_memory(self, facts: _Facts, processes: tuple[Process, ...] | None) -> tuple[UnseenMemory, ...]:
        gpu, process_facts = facts.gpu, facts.processes
        if gpu is None or process_facts is None or processes is None:
            return ()
        all_seen = process_facts.all_seen and process_facts.sees_machine
        return self._orphan_memory.update(gpu.devices, processes, process_facts.live_pids, all_seen=all_seen)


class _Facts(NamedTuple):
    """The results of all collectors; None for those that did not answer."""

    gpu: GpuFacts | None
    genv: GenvFacts | None
    uncertain: UncertainAttachments
    genv_command: bool | None
    processes: ProcessFacts | None
    accounts: AccountFacts
    owned: tuple[OwnedRecord, ...]
    rejections: tuple[Rejection, ...]
    driver_state: str
    statuses: tuple[CollectorStatus, ...]
    doubtful_devices: frozenset[int]
    """Devices that may be attached to environments which are too new for the facts of processes, or that have invalid
    entries in genv's files."""


class _Joined(NamedTuple):
    """The parts of a Snapshot that are made of the facts of several collectors; None if unknown."""

    processes: tuple[Process, ...] | None = None
    environments: tuple[Environment, ...] | None = None
    users: tuple[User, ...] | None = None
    holdings: tuple[Holding, ...] | None = None
    holders_unknown: tuple[int, ...] = ()
    unseen_memory: tuple[UnseenMemory, ...] = ()


def _process_request(
    gpu: GpuFacts | None, genv: GenvFacts | None, orphan_memory: OrphanMemoryTracker
) -> ProcessRequest:
    environments = genv.environments if genv else ()
    gpu_pids = frozenset(context.pid for context in (gpu.contexts if gpu else None) or ())
    return ProcessRequest(
        gpu_pids=gpu_pids,
        environment_pids=frozenset(pid for environment in environments for pid in environment.pids)
        | orphan_memory.unlisted_pids(gpu_pids),
        kernel_ids=frozenset(kernel for environment in environments for kernel in environment.kernel_ids),
        all_seen=gpu is not None and has_unaccounted_memory(gpu),
        environments=environments,
    )


def _driver_state(gpu_status: CollectorStatus) -> str:
    return "ok" if gpu_status.success else gpu_status.reason or "failed"
