"""What the ledger reads from a Snapshot: who holds which GPU, who works on it, and how much energy it draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from genvd.common.text import escape_unprintable
from genvd.ledger.amounts import Consumer
from genvd.model.identity import device_keys

if TYPE_CHECKING:
    from genvd.model.snapshot import Environment, Snapshot

_MAX_TIME = 2**37
"""Larger Unix times are nonsense from a state file, and do not fit everywhere."""

_MAX_UID = 2**32


@dataclass(frozen=True, slots=True)
class HeldDevice:
    """A GPU that is attached to an environment."""

    consumer: Consumer
    device: str
    """The GPU's key from :func:`genvd.model.identity.device_keys`."""
    active: bool | None = None
    """Whether the environment used it since the previous observation."""
    share: float | None = None
    """The environment's share of the GPU's SM time, 0 to 1."""


@dataclass(frozen=True, slots=True)
class UnattachedWork:
    """Work on a GPU that is not attached to the environment of the process, or by a process outside genv."""

    consumer: Consumer
    """Without a username and an environment, the work is counted for nobody."""
    device: str
    share: float


@dataclass(frozen=True, slots=True)
class EnergyReading:
    """A GPU's energy counter and its power."""

    device: str
    energy_joules: float | None = None
    """Since the driver was loaded."""
    power_watts: float | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """The parts of one Snapshot that the ledger counts."""

    held: tuple[HeldDevice, ...] | None
    """None if it is not known who holds what."""
    unattached_work: tuple[UnattachedWork, ...] = ()
    readings: tuple[EnergyReading, ...] = ()


def observe(snapshot: Snapshot) -> Observation:
    """Return what the ledger counts of a Snapshot. A GPU that the driver does not list is held by nobody."""
    if snapshot.holdings is None or snapshot.devices is None:
        return Observation(None)
    devices = device_keys(snapshot.devices)
    consumers = {environment.eid: _consumer(environment) for environment in snapshot.environments or ()}
    held = {
        (holding.eid, holding.device_index): HeldDevice(
            consumers[holding.eid], devices[holding.device_index], holding.active, _valid_share(holding.share)
        )
        for holding in snapshot.holdings
        if holding.eid in consumers and holding.device_index in devices
    }
    unattached_work = (
        UnattachedWork(
            consumers.get(process.eid or "")
            or Consumer(escape_unprintable(process.username or ""), uid=_valid_uid(process.uid)),
            devices[use.device_index],
            share,
        )
        for process in snapshot.processes or ()
        for use in process.uses
        if use.device_index in devices and (process.eid, use.device_index) not in held
        if (share := _valid_share(use.utilization))
    )
    readings = (
        EnergyReading(devices[device.index], device.details.energy_joules, device.details.power_watts)
        for device in snapshot.devices
    )
    return Observation(tuple(held.values()), tuple(unattached_work), tuple(readings))


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
