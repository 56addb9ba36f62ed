"""What the ledger reads from a Snapshot: who holds which GPU, who works on it, its state, and the energy it draws."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from genvd.analysis import policy
from genvd.analysis.availability import availability
from genvd.common.text import escape_unprintable
from genvd.ledger.amounts import CapacityState, Consumer
from genvd.model.identity import device_keys

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from genvd.model.snapshot import DeviceUse, Environment, Process, Snapshot

_MAX_TIME = 2**37
"""Larger Unix times are nonsense from a state file, and do not fit everywhere."""

_MAX_UID = 2**32


class HeldDevice(NamedTuple):
    """A GPU that is attached to an environment."""

    consumer: Consumer
    device: str
    """The GPU's key from :func:`genvd.model.identity.device_keys`."""
    active: bool | None = None
    """Whether the environment used it since the previous observation."""
    share: float | None = None
    """The environment's share of the GPU's SM time, 0 to 1."""


class UnattachedWork(NamedTuple):
    """Work on a GPU that is not attached to the environment of the process, or by a process outside genv."""

    consumer: Consumer
    """Without a username and an environment, the work is counted for nobody."""
    device: str
    share: float


class OutsideUse(NamedTuple):
    """A GPU on which a process computes that is in no active environment, or in one that has not attached it."""

    consumer: Consumer
    device: str


class EnergyReading(NamedTuple):
    """A GPU's energy counter and its power."""

    device: str
    energy_joules: float | None = None
    """Since the driver was loaded."""
    power_watts: float | None = None


class Observation(NamedTuple):
    """The parts of one Snapshot that the ledger counts."""

    held: tuple[HeldDevice, ...] | None
    """None if it is not known who holds what."""
    unattached_work: tuple[UnattachedWork, ...] = ()
    readings: tuple[EnergyReading, ...] = ()
    outside: tuple[OutsideUse, ...] = ()
    """One for each consumer and GPU."""
    outside_known: frozenset[str] = frozenset()
    """The GPUs on which all outside use is known."""
    states: tuple[tuple[str, CapacityState], ...] = ()
    """The state of each GPU."""


def observe(snapshot: Snapshot) -> Observation:
    """Return what the ledger counts of a Snapshot. A GPU that the driver does not list is held by nobody."""
    if snapshot.devices is None:
        return Observation(None)
    devices = device_keys(snapshot.devices)
    if snapshot.holdings is None:
        return Observation(None, states=tuple((key, "unknown") for key in devices.values()))
    consumers = {environment.eid: _consumer(environment) for environment in snapshot.environments or ()}
    held = {
        (holding.eid, holding.device_index): HeldDevice(
            consumers[holding.eid], devices[holding.device_index], holding.active, _valid_share(holding.share)
        )
        for holding in snapshot.holdings
        if holding.eid in consumers and holding.device_index in devices
    }
    unattached_work = (
        UnattachedWork(_consumer_of_process(process, consumers), devices[use.device_index], share)
        for process in snapshot.processes or ()
        for use in process.uses
        if use.device_index in devices and (process.eid, use.device_index) not in held
        if (share := _valid_share(use.utilization))
    )
    readings = (
        EnergyReading(devices[device.index], device.details.energy_joules, device.details.power_watts)
        for device in snapshot.devices
    )
    outside_indices = _outside_indices(snapshot)
    outside = _outside(snapshot, consumers, devices, outside_indices)
    return Observation(
        tuple(held.values()),
        tuple(unattached_work),
        tuple(readings),
        outside,
        frozenset(devices[index] for index in outside_indices),
        _states(snapshot, devices, {use.device for use in outside}),
    )


def _outside_indices(snapshot: Snapshot) -> frozenset[int]:
    """Return the GPUs whose processes and holders are known."""
    if snapshot.processes is None or snapshot.environments is None:
        return frozenset()
    return frozenset(
        device.index
        for device in snapshot.devices or ()
        if device.processes_listed and device.index not in snapshot.holders_unknown
    )


def _outside(
    snapshot: Snapshot, consumers: Mapping[str, Consumer], devices: Mapping[int, str], known: Collection[int]
) -> tuple[OutsideUse, ...]:
    """Return who computes on which GPU without having it attached, as far as that is known."""
    active = policy.active_eids(snapshot)
    attached = {(holding.eid, holding.device_index) for holding in snapshot.holdings or ()}
    unclear = {environment.eid for environment in snapshot.environments or () if not environment.devices_known}
    found = {
        OutsideUse(_consumer_of_process(process, consumers), devices[use.device_index]): None
        for process in snapshot.processes or ()
        if not process.gone and process.eid not in unclear
        for use in process.uses
        if use.device_index in known and (process.eid, use.device_index) not in attached
        if process.eid in active or policy.is_unmanaged(process, active)
        if _computes(process, use)
    }
    return tuple(found)


def _computes(process: Process, use: DeviceUse) -> bool:
    return (use.computes or use.type == "mps") and not policy.is_mps_server(process)


def _states(
    snapshot: Snapshot, devices: Mapping[int, str], outside: Collection[str]
) -> tuple[tuple[str, CapacityState], ...]:
    """Return the state of each GPU. It is active if one of its holders works, and idle if none is known to work.

    Unlike in :mod:`genvd.analysis.availability`, a GPU is idle from the first moment without work, as the time of its
    holders is.
    """
    working: dict[int, list[bool | None]] = defaultdict(list)
    for holding in snapshot.holdings or ():
        working[holding.device_index].append(holding.active)
    found: list[tuple[str, CapacityState]] = []
    for one in availability(snapshot) or ():
        state: CapacityState = "free" if one.state == "free" else "unknown"
        if one.state in ("down", "no_mig_devices"):
            state = "down"
        elif one.index in snapshot.holders_unknown:
            state = "unknown"
        elif one.index in working:
            state = _state_of_attached(working[one.index])
        elif devices[one.index] in outside:
            state = "outside"
        found.append((devices[one.index], state))
    return tuple(found)


def _state_of_attached(working: Collection[bool | None]) -> CapacityState:
    if any(working):
        return "active"
    return "attached" if None in working else "idle"


def _consumer_of_process(process: Process, consumers: Mapping[str, Consumer]) -> Consumer:
    return consumers.get(process.eid or "") or Consumer(
        escape_unprintable(process.username or ""), uid=_valid_uid(process.uid)
    )


def _consumer(environment: Environment) -> Consumer:
    """Return the consumer for an environment; its username is empty if the owner's name is unknown."""
    created = environment.created
    return Consumer(
        escape_unprintable(environment.username or ""),
        escape_unprintable(environment.eid),
        int(created) if created is not None and 0 <= created < _MAX_TIME else None,
        _valid_uid(environment.uid),
        escape_unprintable(environment.name) if environment.name else None,
    )


def _valid_uid(uid: int | None) -> int | None:
    return uid if uid is not None and 0 <= uid < _MAX_UID else None


def _valid_share(share: float | None) -> float | None:
    return share if share is not None and share >= 0 else None  # NaN fails this comparison too
