"""The problems of GPUs, in sentences. GPUs with the same problem are in one sentence."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, TypeVar

from genvd.analysis import policy
from genvd.analysis.orphan_memory import NEGLIGIBLE_BYTES
from genvd.common.text import gpus
from genvd.overview import driver_help
from genvd.overview.lost import environments_hit
from genvd.overview.problem import MAX_NAMES, Problem, first_names, name_of, with_user, worst

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from genvd.model.device import Device
    from genvd.model.snapshot import MissingDevice, Snapshot

_Kind = TypeVar("_Kind")

XID_SECONDS = 3600.0
"""An XID error is a problem until this long after it was last seen."""

_JUST_NOW_SECONDS = 30.0

_BAD_THROTTLING = {
    "hw_slowdown": "hardware protection",
    "hw_thermal": "too hot",
    "hw_power_brake": "power brake of the power supply",
    "sw_thermal": "too hot",
}
"""Throttling reasons that are problems. The others are normal operation, such as a power limit."""


def device_problems(snapshot: Snapshot) -> Iterator[Problem]:
    """Yield the problems of the GPUs that the driver lists, and of those that it no longer lists."""
    yield from _missing(snapshot)
    for check in (_down, _defective, _recovery, _retirement, _repairs, _no_mig, _sram, _inforom, _throttling, _xids):
        yield from check(snapshot)
    yield from _memory(snapshot)
    yield from _oversubscribed(snapshot)


def _missing(snapshot: Snapshot) -> Iterator[Problem]:
    missing = snapshot.missing_devices
    if missing:
        names = [name for device in missing for name in _lost_names(snapshot, device)]
        one = len(missing) == 1
        yield Problem(
            "warning",
            f"The driver no longer lists {len(missing)} {'GPU' if one else 'GPUs'}.",
            f"If {'it was' if one else 'they were'} not removed on purpose, see 'dmesg'; a restart of the machine may"
            f" bring {'it' if one else 'them'} back. If {'it was' if one else 'they were'} removed, restart the"
            " monitor: 'systemctl restart genv-monitor'.",
            *first_names(names),
            alert="GenvDeviceMissing",
        )


def _lost_names(snapshot: Snapshot, missing: MissingDevice) -> Iterator[str]:
    """Yield a lost GPU and who is hit, each to be shortened by itself: a UUID takes all the room there is."""
    yield f"GPU {missing.index} ({missing.uuid or missing.pci_bus_id})"
    for environment in environments_hit(snapshot, missing):
        yield f"attached to {with_user(name_of(environment), environment.username)}"


def _down(snapshot: Snapshot) -> Iterator[Problem]:
    indices = _indices(snapshot, lambda device: device.up is False)
    if indices:
        them = "It is lost, hangs or needs" if len(indices) == 1 else "They are lost, hang or need"
        yield Problem(
            "error",
            f"{gpus(indices)} {'does' if len(indices) == 1 else 'do'} not answer.",
            f"{them} a reset: look for 'NVRM: Xid' in 'dmesg', then {driver_help.reset(indices)}.",
            *_holders(snapshot, indices),
            devices=indices,
            alert="GenvDeviceLost",
        )


def _defective(snapshot: Snapshot) -> Iterator[Problem]:
    indices = _indices(snapshot, lambda device: device.health.remap_failed or device.health.unrepairable_memory)
    if indices:
        one = len(indices) == 1
        yield Problem(
            "error",
            f"{gpus(indices)} {'has' if one else 'have'} defective memory that cannot be repaired.",
            f"Take {'it' if one else 'them'} out of service and have {'it' if one else 'them'} replaced.",
            *_holders(snapshot, indices),
            devices=indices,
            alert="GenvDeviceRemapFailed",
        )


def _recovery(snapshot: Snapshot) -> Iterator[Problem]:
    by_action = _grouped(snapshot, lambda device: device.details.recovery_action)
    for action, indices in by_action.items():
        if action != "none":
            yield Problem(
                "error" if action in driver_help.URGENT_RECOVERIES else "warning",
                f"{gpus(indices)} {'needs' if len(indices) == 1 else 'need'} recovery; the driver recommends:"
                f" {str(action).replace('_', ' ')}.",
                f"When nobody uses {'it' if len(indices) == 1 else 'them'}, {driver_help.reset(indices)}.",
                *_holders(snapshot, indices),
                devices=indices,
                alert="GenvDeviceRecoveryAction",
            )


def _retirement(snapshot: Snapshot) -> Iterator[Problem]:
    indices = _indices(snapshot, lambda device: device.health.remap_pending or device.health.retirement_pending)
    if indices:
        one = len(indices) == 1
        yield Problem(
            "warning",
            f"{gpus(indices)} {'has' if one else 'have'} memory errors and {'needs' if one else 'need'} a reset to"
            " retire the faulty memory.",
            f"When nobody uses {'it' if one else 'them'}, {driver_help.reset(indices)}.",
            *_holders(snapshot, indices),
            devices=indices,
            alert="GenvDeviceRemapPending",
        )


def _repairs(snapshot: Snapshot) -> Iterator[Problem]:
    indices = _indices(
        snapshot, lambda device: device.health.channel_repair_pending or device.health.tpc_repair_pending
    )
    if indices:
        one = len(indices) == 1
        yield Problem(
            "warning",
            f"{gpus(indices)} {'needs' if one else 'need'} a reset to finish a repair.",
            f"When nobody uses {'it' if one else 'them'}, {driver_help.reset(indices)}.",
            *_holders(snapshot, indices),
            devices=indices,
        )


def _no_mig(snapshot: Snapshot) -> Iterator[Problem]:
    indices = _indices(snapshot, lambda device: device.mig_devices == 0)
    if indices:
        one, numbers = len(indices) == 1, ",".join(map(str, indices))
        yield Problem(
            "warning",
            f"{gpus(indices)} {'is' if one else 'are'} in MIG mode and {'has' if one else 'have'} no MIG devices, so"
            f" nobody can use {'it' if one else 'them'}.",
            f"'nvidia-smi mig -lgip -i {numbers}' lists the profiles; 'nvidia-smi mig -cgi PROFILE -C -i {numbers}'"
            f" creates MIG devices, 'nvidia-smi -i {numbers} -mig 0' switches MIG mode off.",
            *_holders(snapshot, indices),
            devices=indices,
        )


def _sram(snapshot: Snapshot) -> Iterator[Problem]:
    indices = _indices(snapshot, lambda device: device.health.sram_threshold_exceeded)
    if indices:
        yield Problem(
            "warning",
            f"The SRAM of {gpus(indices)} had more errors than the driver tolerates.",
            "Have it examined; most likely it must be replaced. A reset does not clear this.",
            devices=indices,
            alert="GenvDeviceSramThreshold",
        )


def _inforom(snapshot: Snapshot) -> Iterator[Problem]:
    indices = _indices(snapshot, lambda device: device.details.inforom_corrupted)
    if indices:
        one = len(indices) == 1
        yield Problem(
            "warning",
            f"{gpus(indices)} {'has a corrupted InfoROM' if one else 'have corrupted InfoROMs'}.",
            f"{'Its' if one else 'Their'} own records of faults may be wrong. Ask the vendor whether to replace"
            f" {'it' if one else 'them'}.",
            devices=indices,
        )


def _throttling(snapshot: Snapshot) -> Iterator[Problem]:
    for reason, indices in _grouped(snapshot, _throttling_reason).items():
        yield Problem(
            "warning",
            f"{gpus(indices)} {'is' if len(indices) == 1 else 'are'} slowed down: {reason}"
            f"{_temperatures(snapshot, indices)}.",
            "Check cooling and power.",
            *_holders(snapshot, indices),
            devices=indices,
            alert="GenvDeviceThrottled",
        )


def _throttling_reason(device: Device) -> str | None:
    reasons = [
        throttling.reason
        for throttling in device.details.throttling
        if throttling.active and throttling.reason in _BAD_THROTTLING
    ]
    return _BAD_THROTTLING[reasons[-1]] if reasons else None


def _temperatures(snapshot: Snapshot, indices: Sequence[int]) -> str:
    known = [
        device.temperature_celsius
        for device in snapshot.devices or ()
        if device.index in indices and device.temperature_celsius is not None
    ]
    if not known:
        return ""
    return f", {min(known)} °C" if min(known) == max(known) else f", {min(known)} to {max(known)} °C"


def _xids(snapshot: Snapshot) -> Iterator[Problem]:
    ages = {device.index: _recent_xids(device, snapshot.timestamp) for device in snapshot.devices or ()}
    by_xids = _grouped(snapshot, lambda device: tuple(ages[device.index]) or None)
    for xids, indices in by_xids.items():
        latest = {xid: min(ages[index][xid] for index in indices) for xid in xids}
        last = "last " if len(indices) > 1 else ""
        errors = "; ".join(_xid_error(xid, latest[xid], last) for xid in xids[:MAX_NAMES])
        severity = worst(driver_help.xid_severity(xid) for xid in xids)
        cause = "Usually a bug in the program." if severity == "info" else "NVIDIA's list of XID errors has the causes."
        yield Problem(
            severity,
            f"{gpus(indices)}: {errors}.",
            f"{cause} 'dmesg' names the process.",
            devices=indices,
            alert="GenvDeviceXid",
        )


def _recent_xids(device: Device, now: float) -> dict[int, float]:
    """Return how many seconds ago each recent error was."""
    ages = {xid_error.xid: now - xid_error.last_seen for xid_error in device.xids if xid_error.last_seen is not None}
    return {xid: max(0.0, age) for xid, age in ages.items() if age < XID_SECONDS}


def _xid_error(xid: int, age: float, last: str) -> str:
    meaning = driver_help.XID_MEANINGS.get(xid)
    when = f"{last}{age / 60:.0f} min ago" if age >= _JUST_NOW_SECONDS else "just now"
    return f"XID {xid}{f' ({meaning})' if meaning else ''}, {when}"


def _memory(snapshot: Snapshot) -> Iterator[Problem]:
    left = [(device, amount) for device, amount in policy.orphan_memory(snapshot) if amount > NEGLIGIBLE_BYTES]
    if left:
        devices = [device for device, _ in left]
        yield Problem(
            "warning",
            f"{_in_use(left)} in use that no live process accounts for.",
            driver_help.freed(devices),
            *_holders(snapshot, _indices_of(devices)),
            devices=_indices_of(devices),
            alert="GenvOrphanMemory",
        )
    unseen = list(policy.unseen_memory(snapshot))
    if unseen:
        devices = [device for device, _ in unseen]
        yield Problem(
            "warning",
            f"{_in_use(unseen)} in use by processes that the monitor cannot see, for example in a container with its"
            " own pid namespace.",
            driver_help.who_has_it_open(devices),
            devices=_indices_of(devices),
        )


def _in_use(amounts: Sequence[tuple[Device, int]]) -> str:
    """Return "GPU 0: 1.0 GiB are" or "GPUs 0 and 1: 1.0 and 2.5 GiB are"."""
    *others, last = [f"{amount / 2**30:.1f}" for _, amount in amounts]
    listed = f"{', '.join(others)} and {last}" if others else last
    return f"{gpus(device.index for device, _ in amounts)}: {listed} GiB are"


def _indices_of(devices: Sequence[Device]) -> tuple[int, ...]:
    return tuple(device.index for device in devices)


def _oversubscribed(snapshot: Snapshot) -> Iterator[Problem]:
    indices = tuple(device.index for device, applies in policy.oversubscribed(snapshot) if applies)
    if indices:
        one = len(indices) == 1
        yield Problem(
            "warning",
            f"{gpus(indices)} {'is' if one else 'are'} oversubscribed: {'its' if one else 'their'} environments asked"
            f" for more memory than {'it has' if one else 'they have'}.",
            "Ask the users to agree on memory limits ('genv activate --gpu-memory') or to detach some environments.",
            *_holders(snapshot, indices),
            devices=indices,
        )


def _indices(snapshot: Snapshot, applies: Callable[[Device], object]) -> tuple[int, ...]:
    return tuple(device.index for device in snapshot.devices or () if applies(device))


def _grouped(snapshot: Snapshot, kind: Callable[[Device], _Kind | None]) -> Mapping[_Kind, tuple[int, ...]]:
    """Return the indices of the GPUs of each kind, in the order of the GPUs; without those of no kind."""
    groups: dict[_Kind, list[int]] = defaultdict(list)
    for device in snapshot.devices or ():
        if (found := kind(device)) is not None:
            groups[found].append(device.index)
    return {found: tuple(indices) for found, indices in groups.items()}


def _holders(snapshot: Snapshot, indices: Sequence[int]) -> tuple[tuple[str, ...], int]:
    """Return who is hit: the environments that have one of these GPUs attached, and processes on GPUs without any."""
    names = {environment.eid: name_of(environment) for environment in snapshot.environments or ()}
    holdings = [holding for holding in snapshot.holdings or () if holding.device_index in indices]
    rest = {*indices} - {holding.device_index for holding in holdings}
    processes = [
        process
        for process in snapshot.processes or ()
        if not process.gone and any(use.device_index in rest for use in process.uses)
    ]
    hit = (
        *(with_user(names.get(holding.eid, holding.eid), holding.username) for holding in holdings),
        *(with_user(f"{process.command or 'process'} {process.pid}", process.username) for process in processes),
    )
    return first_names(tuple(dict.fromkeys(hit)))
