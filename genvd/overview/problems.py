"""The problems of a machine, in sentences: what is wrong and what to do about it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from genvd.analysis import policy
from genvd.analysis.unknown_environments import ADVICE, unknown_environment_text
from genvd.common.text import gpus
from genvd.overview import driver_help

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from genvd.model.device import Device
    from genvd.model.snapshot import CollectorStatus, Snapshot

ORPHAN_BYTES = 512 * 2**20
"""More orphan memory than this on one GPU is a problem; docs/metrics.md has the reason for the value."""

XID_SECONDS = 3600.0
"""An XID error is a problem until this long after it was last seen."""

_MAX_NAMES = 5

_GPU_COLLECTOR = "nvml"
"""The collector that fails when the driver does."""

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that needs the attention of an administrator."""

    severity: Severity
    summary: str
    """What is wrong, in one sentence."""
    action: str
    """What to do, in one or two sentences."""
    names: tuple[str, ...] = ()
    """The first few affected processes, environments or GPUs. Users choose some of the names."""
    more: int = 0
    """Number of further affected ones."""
    detail: str | None = None
    """The original error message."""


_COLLECTORS = {
    "genv": ("genv's state cannot be read.", "Check that the named files belong to genv and are readable."),
    "genv_command": ("Unknown whether genv is installed.", "See 'journalctl -u genv-monitor'."),
    "processes": (
        "Process list unavailable.",
        "Check whether the helper that reads it runs: 'systemctl status genv-monitor-processes'.",
    ),
    "accounts": ("User accounts cannot be looked up.", "Check whether the directory service answers: 'getent passwd'."),
}
"""What is wrong if a collector fails, and what to do, by its name."""

_RULES: dict[str, tuple[tuple[str, str], str]] = {
    policy.MEMORY_LIMIT: (
        ("environment uses more GPU memory than its limit", "environments use more GPU memory than their limits"),
        "Ask the users to use less, or to activate with a higher limit: 'genv activate --gpu-memory'.",
    ),
    policy.UNATTACHED_DEVICE: (
        ("environment computes on a GPU that is not attached", "environments compute on GPUs that are not attached"),
        "Ask the users to attach these GPUs ('genv attach') or to stop using them.",
    ),
    policy.DEVICE_LIMIT: (
        ("environment has more GPUs than it asked for", "environments have more GPUs than they asked for"),
        "Ask the users to detach some: 'genv detach'.",
    ),
}
"""By rule: the words for one environment and for several, and what to do."""

_SELF_EXPLANATORY = frozenset({"missing", "not_loaded", "no_permission"})
"""Driver states for which the error message of the collector adds nothing."""

_BAD_THROTTLING = {
    "hw_slowdown": "hardware protection",
    "hw_thermal": "too hot",
    "hw_power_brake": "power brake of the power supply",
    "sw_thermal": "too hot",
}
"""Throttling reasons that are problems. The others are normal operation, such as a power limit."""


def problems(snapshot: Snapshot) -> tuple[Problem, ...]:
    """Return the problems, errors first. Their number is bounded by the number of GPUs."""
    found = [problem for check in _CHECKS for problem in check(snapshot)]
    return tuple(sorted(found, key=lambda problem: problem.severity != "error"))


def _collectors(snapshot: Snapshot) -> Iterator[Problem]:
    for status in snapshot.collectors:
        if not status.success:
            detail = None if _is_explained(snapshot, status) else status.error
            yield Problem("error", *_collector_advice(snapshot, status), detail=detail)


def _collector_advice(snapshot: Snapshot, status: CollectorStatus) -> tuple[str, str]:
    if status.name == _GPU_COLLECTOR:
        return driver_help.DRIVER.get(snapshot.driver_state, driver_help.DRIVER_FAILED)
    return _COLLECTORS.get(status.name, (f"Collector {status.name} fails.", "See 'journalctl -u genv-monitor'."))


def _is_explained(snapshot: Snapshot, status: CollectorStatus) -> bool:
    """Return whether the advice on the driver already says what the error message says."""
    return status.name == _GPU_COLLECTOR and snapshot.driver_state in _SELF_EXPLANATORY


def _service(snapshot: Snapshot) -> Iterator[Problem]:
    service, ledger = snapshot.service, snapshot.ledger
    if not service.config_reload_successful:
        yield Problem(
            "error",
            "Configuration reload failed; still using the previous one.",
            "'genv monitor check' shows what is wrong. Correct it, then run 'systemctl reload genv-monitor'.",
        )
    if service.publish_success is False:
        yield Problem(
            "error",
            "The Prometheus and Grafana files could not be written, or were changed by another program.",
            "'journalctl -u genv-monitor' has the names and the reason. The monitor retries automatically.",
        )
    if ledger is not None and ledger.write_success is False:
        yield Problem(
            "error",
            "GPU usage could not be written to the ledger.",
            "Check whether the disk is full; 'journalctl -u genv-monitor' has the reason. The monitor retries"
            " automatically.",
        )


def _certificates(snapshot: Snapshot) -> Iterator[Problem]:
    for validity in snapshot.service.certificate_ends:
        if invalidity := validity.invalidity(snapshot.timestamp):
            yield Problem("error", *_certificate_advice(validity.certificate, invalidity))


def _certificate_advice(certificate: str, invalidity: str) -> tuple[str, str]:
    if certificate == "server":
        return (
            f"The certificate of the monitor {invalidity}, so clients that verify it cannot connect.",
            "Replace it; no restart is needed. Check the clock of the machine too.",
        )
    return (
        f"A certificate of client_ca_file {invalidity}, so clients that it signed are refused.",
        "Replace it or remove it from the file. Check the clock of the machine too.",
    )


def _no_devices(snapshot: Snapshot) -> Iterator[Problem]:
    if snapshot.driver_state == "ok" and snapshot.devices == ():
        yield Problem(
            "warning",
            "The NVIDIA driver works but lists no GPU.",
            "See 'nvidia-smi -L', and 'lspci -d 10de:' for the hardware. A container or virtual machine has only the"
            " GPUs that it was given.",
        )


def _devices(snapshot: Snapshot) -> Iterator[Problem]:
    for device in snapshot.devices or ():
        if device.up is False:
            yield Problem(
                "error",
                f"GPU {device.index} does not answer.",
                f"It is lost, hangs or needs a reset: look for 'NVRM: Xid' in 'dmesg', then"
                f" {driver_help.reset(device.index)}.",
            )
        yield from _health(device, driver_help.reset(device.index))
        yield from _repairs(device, driver_help.reset(device.index))
        yield from _xids(device, snapshot.timestamp)


def _missing(snapshot: Snapshot) -> Iterator[Problem]:
    missing = snapshot.missing_devices
    if missing:
        names = [f"GPU {device.index} ({device.uuid or device.pci_bus_id})" for device in missing]
        yield Problem(
            "error",
            f"The driver no longer lists {_count(names, ('GPU', 'GPUs'))}.",
            "If it was not removed on purpose, see 'dmesg'; a restart of the machine may bring it back. If it was"
            " removed, restart the monitor: 'systemctl restart genv-monitor'.",
            *_first_names(names),
        )


def _health(device: Device, reset: str) -> Iterator[Problem]:
    health = device.health
    if health.remap_failed or health.unrepairable_memory:
        yield Problem(
            "error",
            f"GPU {device.index} has defective memory that cannot be repaired.",
            "Take it out of service and have it replaced.",
        )
    if (action := device.details.recovery_action) not in (None, "none"):
        yield Problem(
            "error",
            f"GPU {device.index} needs recovery; the driver recommends: {str(action).replace('_', ' ')}.",
            f"When nobody uses it, {reset}.",
        )
    if health.remap_pending or health.retirement_pending:
        yield Problem(
            "warning",
            f"GPU {device.index} has memory errors and needs a reset to retire the faulty memory.",
            f"When nobody uses it, {reset}.",
        )


def _repairs(device: Device, reset: str) -> Iterator[Problem]:
    if device.health.channel_repair_pending or device.health.tpc_repair_pending:
        yield Problem(
            "warning", f"GPU {device.index} needs a reset to finish a repair.", f"When nobody uses it, {reset}."
        )
    if device.details.inforom_corrupted:
        yield Problem(
            "warning",
            f"GPU {device.index} has a corrupted InfoROM.",
            "Its own records of faults may be wrong. Ask the vendor whether to replace it.",
        )


def _xids(device: Device, now: float) -> Iterator[Problem]:
    ages = {xid_error.xid: now - xid_error.last_seen for xid_error in device.xids if xid_error.last_seen is not None}
    recent = {xid: max(0.0, age) for xid, age in ages.items() if age < XID_SECONDS}
    if recent:
        errors = "; ".join(_xid_error(xid, age) for xid, age in list(recent.items())[:_MAX_NAMES])
        only_programs = driver_help.PROGRAM_XIDS.issuperset(recent)
        cause = "Usually a bug in the program." if only_programs else "NVIDIA's list of XID errors has the causes."
        yield Problem("warning", f"GPU {device.index}: {errors}.", f"{cause} 'dmesg' names the process.")


def _xid_error(xid: int, age: float) -> str:
    meaning = driver_help.XID_MEANINGS.get(xid)
    return f"XID {xid}{f' ({meaning})' if meaning else ''}, {age / 60:.0f} min ago"


def _throttling(snapshot: Snapshot) -> Iterator[Problem]:
    by_reason: dict[str, list[int]] = defaultdict(list)
    for device in snapshot.devices or ():
        reasons = [
            throttling.reason
            for throttling in device.details.throttling
            if throttling.active and throttling.reason in _BAD_THROTTLING
        ]
        if reasons:
            by_reason[_BAD_THROTTLING[reasons[-1]]].append(device.index)
    for reason, indices in by_reason.items():
        verb = "is" if len(indices) == 1 else "are"
        yield Problem("warning", f"{gpus(indices)} {verb} slowed down: {reason}.", "Check cooling and power.")


def _holders_unknown(snapshot: Snapshot) -> Iterator[Problem]:
    names = gpus(snapshot.holders_unknown)
    if snapshot.holders_unknown and not snapshot.sees_machine:
        yield Problem(
            "warning",
            f"It is unknown which environments have {names} attached: the monitor cannot see all processes.",
            ADVICE["not_visible"],
        )
    elif snapshot.holders_unknown:
        environments = snapshot.environments or ()
        yield Problem(
            "warning",
            f"GPU indices have changed, so it is unknown which environments have {names} attached.",
            "'nvidia-smi -L' shows which GPU is missing. Bring it back, or ask the users to attach again:"
            " 'genv detach', then 'genv attach'.",
            *_first_names(
                [
                    _with_user(environment.name or environment.eid, environment.username)
                    for environment in environments
                    if not environment.devices_known
                ]
            ),
        )


def _violations(snapshot: Snapshot) -> Iterator[Problem]:
    broken: dict[str, list[str]] = defaultdict(list)
    for environment, rule, is_broken in policy.all_violations(snapshot):
        if is_broken:
            broken[rule].append(_with_user(environment.name or environment.eid, environment.username))
    for rule, names in broken.items():
        words, action = _RULES[rule]
        yield Problem("error", f"{_count(names, words)}.", action, *_first_names(names))


def _unknown_environments(snapshot: Snapshot) -> Iterator[Problem]:
    numbers = policy.count_unknown_environments(snapshot)
    for reason, number in numbers.items():
        if number:
            yield Problem("warning", f"{unknown_environment_text(number)}.", ADVICE[reason])


def _outside(snapshot: Snapshot) -> Iterator[Problem]:
    if snapshot.processes is None or snapshot.environments is None:
        return
    active = policy.active_eids(snapshot)
    outside = [process for process in snapshot.processes if policy.is_unmanaged(process, active)]
    if outside:
        names = [_with_user(f"{process.command or 'process'} {process.pid}", process.username) for process in outside]
        words = (
            "GPU process runs outside genv, so genv still shows its GPU as free",
            "GPU processes run outside genv, so genv still shows their GPUs as free",
        )
        yield Problem(
            "warning",
            f"{_count(names, words)}.",
            "Ask the users to run them in an environment: 'genv activate'.",
            *_first_names(names),
        )


def _memory(snapshot: Snapshot) -> Iterator[Problem]:
    for device, amount in policy.orphan_memory(snapshot):
        if amount > ORPHAN_BYTES:
            yield Problem(
                "warning",
                f"GPU {device.index}: {amount / 2**30:.1f} GiB are in use that no live process accounts for.",
                driver_help.freed(device),
            )
    for device, amount in policy.unseen_memory(snapshot):
        yield Problem(
            "warning",
            f"GPU {device.index}: {amount / 2**30:.1f} GiB are in use by processes that the monitor cannot see,"
            " for example in a container with its own pid namespace.",
            driver_help.who_has_it_open(device),
        )
    oversubscribed = [device.index for device, applies in policy.oversubscribed(snapshot) if applies]
    if oversubscribed:
        single = len(oversubscribed) == 1
        yield Problem(
            "warning",
            f"{gpus(oversubscribed)} {'is' if single else 'are'} oversubscribed: {'its' if single else 'their'}"
            f" environments asked for more memory than {'it has' if single else 'they have'}.",
            "Ask the users to agree on memory limits ('genv activate --gpu-memory') or to detach some environments.",
        )


_CHECKS: tuple[Callable[[Snapshot], Iterator[Problem]], ...] = (
    _collectors,
    _service,
    _certificates,
    _no_devices,
    _devices,
    _missing,
    _throttling,
    _holders_unknown,
    _violations,
    _outside,
    _unknown_environments,
    _memory,
)


def _count(names: list[str], words: tuple[str, str]) -> str:
    """Return the number of names with the words for one or for several."""
    return f"{len(names)} {words[len(names) != 1]}"


def _first_names(names: list[str]) -> tuple[tuple[str, ...], int]:
    """Return the first names, and the number of the others."""
    return tuple(names[:_MAX_NAMES]), max(0, len(names) - _MAX_NAMES)


def _with_user(name: str, username: str | None) -> str:
    return f"{name} ({username})" if username else name
