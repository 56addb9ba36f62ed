"""What is wrong, in words, and what to do about it."""

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
    from genvd.model.snapshot import CollectorStatus, Environment, Snapshot

ORPHAN_BYTES = 512 * 2**20
"""On a device, from which on orphan memory is a problem; docs/metrics.md says why not less."""

XID_SECONDS = 3600.0
"""For so long an XID error is a problem after it was last seen."""

_MOST_NAMES = 5

_GPU_COLLECTOR = "nvml"
"""The collector that fails when the driver does."""

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that somebody should look after."""

    severity: Severity
    what: str
    """A sentence."""
    todo: str
    """What to do, in one or two sentences."""
    names: tuple[str, ...] = ()
    """Of those that it is about, a few. Users choose some of them."""
    more: int = 0
    """How many there are besides."""
    detail: str | None = None
    """What the monitor was told, as it was told."""


_COLLECTORS = {
    "genv": ("genv's state cannot be read.", "See that the files that are named are genv's, and readable."),
    "genv_command": ("It cannot be told whether genv is installed.", "See 'journalctl -u genv-monitor'."),
    "processes": ("The processes cannot be read.", "See that the service has the capabilities of its unit."),
    "accounts": ("Accounts cannot be looked up.", "See whether the directory service answers: 'getent passwd'."),
}

_RULES = {
    policy.MEMORY_LIMIT: (
        "Over the memory that was asked for",
        "Ask their users to take less, or to activate with more: 'genv activate --gpu-memory'.",
    ),
    policy.UNATTACHED_DEVICE: (
        "Computing on a GPU that they do not hold",
        "Ask their users to attach the GPUs, 'genv attach', or to leave them to others.",
    ),
    policy.DEVICE_LIMIT: (
        "Holding more GPUs than were asked for",
        "Ask their users to give some back: 'genv detach'.",
    ),
}

_SAID_ALREADY = frozenset({"missing", "not_loaded", "no_permission"})
"""States of the driver to which the collector has nothing to add."""

_SLOW = {
    "hw_slowdown": "the hardware protects itself",
    "hw_thermal": "too hot",
    "hw_power_brake": "the power supply asks for it",
    "sw_thermal": "too hot",
}
"""Reasons for low clocks that somebody should look after; the others are how devices are run."""


def problems(snapshot: Snapshot) -> tuple[Problem, ...]:
    """Return what is wrong, the worst first. However much is wrong, it is bounded by the number of devices."""
    found = [problem for rule in _CHECKS for problem in rule(snapshot)]
    return tuple(sorted(found, key=lambda problem: problem.severity != "error"))


def _collectors(snapshot: Snapshot) -> Iterator[Problem]:
    for status in snapshot.collectors:
        if not status.success:
            what, todo = _of_collector(snapshot, status)
            yield Problem("error", what, todo, detail=None if _says_all(snapshot, status) else status.error)


def _of_collector(snapshot: Snapshot, status: CollectorStatus) -> tuple[str, str]:
    if status.name == _GPU_COLLECTOR:
        return driver_help.DRIVER.get(snapshot.driver_state, driver_help.DRIVER_FAILED)
    return _COLLECTORS.get(status.name, (f"{status.name} fails.", "See 'journalctl -u genv-monitor'."))


def _says_all(snapshot: Snapshot, status: CollectorStatus) -> bool:
    """Return whether the words about the driver say what the error says."""
    return status.name == _GPU_COLLECTOR and snapshot.driver_state in _SAID_ALREADY


def _service(snapshot: Snapshot) -> Iterator[Problem]:
    service, ledger = snapshot.service, snapshot.ledger
    if not service.config_reload_successful:
        yield Problem(
            "error",
            "The configuration is broken and was not applied; the one before still holds.",
            "'genv monitor check' says what is wrong. Put it right, then 'systemctl reload genv-monitor'.",
        )
    if service.publish_success is False:
        yield Problem(
            "error",
            "The Prometheus and Grafana files could not be written, or somebody else has changed them.",
            "'journalctl -u genv-monitor' says which and why. They are written again automatically.",
        )
    if ledger is not None and ledger.write_success is False:
        yield Problem(
            "error",
            "Who used how much could not be written to the ledger.",
            "See whether the disk is full: 'journalctl -u genv-monitor' says why. It is tried again by itself.",
        )


def _certificates(snapshot: Snapshot) -> Iterator[Problem]:
    for one in snapshot.service.certificate_ends:
        if wrong := one.invalidity(snapshot.timestamp):
            yield Problem("error", *_invalid(one.certificate, wrong))


def _invalid(certificate: str, wrong: str) -> tuple[str, str]:
    """Return what is wrong with a certificate, and what to do."""
    if certificate == "server":
        return (
            f"The certificate of the monitor {wrong}, so nobody who checks it can scrape this machine.",
            "Put a valid one in its place: it is taken without a restart. See also whether the clock is right.",
        )
    return (
        f"A certificate of client_ca_file {wrong}, so clients that it signed are refused.",
        "Put a valid one in its place, or take it out of the file. See also whether the clock is right.",
    )


def _no_devices(snapshot: Snapshot) -> Iterator[Problem]:
    if snapshot.driver_state == "ok" and snapshot.devices == ():
        yield Problem(
            "warning",
            "The NVIDIA driver works, and lists no GPU.",
            "See 'nvidia-smi -L', and with 'lspci -d 10de:' whether there is one at all. A container or virtual machine"
            " has only those that it was given.",
        )


def _devices(snapshot: Snapshot) -> Iterator[Problem]:
    for device in snapshot.devices or ():
        if device.up is False:
            yield Problem(
                "error",
                f"GPU {device.index} does not answer.",
                f"It is lost, hangs or needs a reset: {driver_help.LOOK}, then {driver_help.reset(device.index)}.",
            )
        yield from _health(device, driver_help.reset(device.index))
        yield from _repairs(device, driver_help.reset(device.index))
        yield from _xids(device, snapshot.timestamp)


def _missing(snapshot: Snapshot) -> Iterator[Problem]:
    missing = snapshot.missing_devices
    if missing:
        names = [f"GPU {one.index} ({one.uuid or one.pci_bus_id})" for one in missing]
        yield _about(
            "The driver does not list any more",
            names,
            ("GPU", "GPUs"),
            "If nobody has taken it away on purpose: 'dmesg' says what has happened to it, and only a restart of the"
            " machine may bring it back. If it stays away, restart the monitor: 'systemctl restart genv-monitor'.",
            "error",
        )


def _health(device: Device, reset: str) -> Iterator[Problem]:
    health = device.health
    if health.remap_failed or health.unrepairable_memory:
        yield Problem(
            "error",
            f"GPU {device.index} has broken memory that it cannot replace.",
            "Take it out of service, and have it exchanged.",
        )
    if (action := device.details.recovery_action) not in (None, "none"):
        yield Problem(
            "error",
            f"GPU {device.index} is out of order; the driver recommends: {str(action).replace('_', ' ')}.",
            f"When nobody uses it, {reset}.",
        )
    if health.remap_pending or health.retirement_pending:
        yield Problem(
            "warning",
            f"GPU {device.index} has memory errors, and needs a reset to put that memory out of use.",
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
            "What it keeps of its own faults may be wrong: ask the vendor, who may have it exchanged.",
        )


def _xids(device: Device, now: float) -> Iterator[Problem]:
    recent = [str(x.xid) for x in device.xids if x.last_seen is not None and now - x.last_seen < XID_SECONDS]
    if recent:
        yield Problem(
            "warning",
            f"GPU {device.index} had XID errors within the last hour: {', '.join(recent[:_MOST_NAMES])}.",
            "'dmesg' has them with the process. NVIDIA's list of XID errors says what each of them means.",
        )


def _slow(snapshot: Snapshot) -> Iterator[Problem]:
    why: dict[str, list[int]] = defaultdict(list)
    for device in snapshot.devices or ():
        reasons = [one.reason for one in device.details.throttling if one.active and one.reason in _SLOW]
        if reasons:
            why[_SLOW[reasons[-1]]].append(device.index)
    for reason, indices in why.items():
        yield Problem("warning", f"Slowed down, {reason}: {gpus(indices)}.", "See to cooling and power.")


def _holders_unknown(snapshot: Snapshot) -> Iterator[Problem]:
    which = gpus(snapshot.holders_unknown)
    if snapshot.holders_unknown and not snapshot.sees_machine:
        yield Problem(
            "warning",
            f"It is not known who holds {which}: environments whose processes the monitor cannot see may.",
            ADVICE["not_visible"],
        )
    elif snapshot.holders_unknown:
        yield Problem(
            "warning",
            f"The indices of GPUs have changed since environments were attached, so it is not known who holds {which}.",
            "'nvidia-smi -L' shows which GPU is missing. Once it is back at its place all is as before; otherwise ask"
            " users to attach again: 'genv detach', then 'genv attach'.",
            *_few([_whose(one.name or one.eid, one.username) for one in _of_unknown_devices(snapshot)]),
        )


def _of_unknown_devices(snapshot: Snapshot) -> list[Environment]:
    return [environment for environment in snapshot.environments or () if not environment.devices_known]


def _violations(snapshot: Snapshot) -> Iterator[Problem]:
    broken: dict[str, list[str]] = defaultdict(list)
    for environment, rule, is_broken in policy.all_violations(snapshot):
        if is_broken:
            broken[rule].append(_whose(environment.name or environment.eid, environment.username))
    for rule, names in broken.items():
        what, todo = _RULES[rule]
        yield _about(what, names, ("environment", "environments"), todo, "error")


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
        names = [_whose(f"{process.command or 'process'} {process.pid}", process.username) for process in outside]
        yield _about(
            "Computing outside of any environment",
            names,
            ("process", "processes"),
            "Ask their users to run them in an environment: 'genv activate'.",
            "warning",
        )


def _memory(snapshot: Snapshot) -> Iterator[Problem]:
    for device, amount in policy.orphan_memory(snapshot):
        if amount > ORPHAN_BYTES:
            yield Problem(
                "warning",
                f"GPU {device.index}: {amount / 2**30:.1f} GiB are in use, and no live process is known to have them.",
                driver_help.freed(device),
            )
    for device, amount in policy.unseen_memory(snapshot):
        yield Problem(
            "warning",
            f"GPU {device.index}: {amount / 2**30:.1f} GiB are in use by processes that the monitor cannot see,"
            " for example in a container with a pid namespace of its own.",
            driver_help.who_has_it_open(device),
        )
    twice = [device.index for device, promised in policy.oversubscribed(snapshot) if promised]
    if twice:
        yield Problem(
            "warning",
            f"More is promised of {gpus(twice)} than there is.",
            "Ask those who hold them to agree on memory, 'genv activate --gpu-memory', or detach some of them.",
        )


_CHECKS: tuple[Callable[[Snapshot], Iterator[Problem]], ...] = (
    _collectors,
    _service,
    _certificates,
    _no_devices,
    _devices,
    _missing,
    _slow,
    _holders_unknown,
    _violations,
    _outside,
    _unknown_environments,
    _memory,
)


def _about(what: str, names: list[str], things: tuple[str, str], todo: str, severity: Severity) -> Problem:
    """Return a problem of several things, whose word is given for one and for many."""
    number = f"{len(names)} {things[len(names) != 1]}"
    return Problem(severity, f"{what}: {number}.", todo, *_few(names))


def _few(names: list[str]) -> tuple[tuple[str, ...], int]:
    """Return the first names, and how many there are besides."""
    return tuple(names[:_MOST_NAMES]), max(0, len(names) - _MOST_NAMES)


def _whose(name: str, username: str | None) -> str:
    return f"{name} ({username})" if username else name
