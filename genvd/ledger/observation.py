"""What the ledger reads of a Snapshot: who holds which device, who works on it, and what it draws."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genvd.common.text import escape_unprintable
from genvd.ledger.amounts import Consumer
from genvd.model.identity import device_keys

if TYPE_CHECKING:
    from genvd.model.device import Device
    from genvd.model.snapshot import Environment, Snapshot

_MOST_TIME = 2**37
"""Unix times beyond are nonsense that somebody wrote into a state file; they would not fit everywhere."""

_MOST_UID = 2**32


@dataclass(frozen=True, slots=True)
class Held:
    """A device that an environment holds."""

    consumer: Consumer
    device: str
    """See :func:`genvd.model.identity.device_keys`."""
    active: bool | None = None
    """Whether the environment worked on it since the last look."""
    share: float | None = None
    """Its share of the device's SM time, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Outside:
    """Work on a device that the environment does not hold, or outside of any environment."""

    consumer: Consumer
    """Whose it is; without a name and an environment it is nobody's."""
    device: str
    share: float


@dataclass(frozen=True, slots=True)
class Reading:
    """What a device says of the energy it takes."""

    device: str
    energy_joules: float | None = None
    """Since the driver was loaded."""
    power_watts: float | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """One Snapshot, as far as the ledger is concerned."""

    held: tuple[Held, ...] | None
    """None while it is not known who holds what."""
    outside: tuple[Outside, ...] = ()
    readings: tuple[Reading, ...] = ()


def look_of(snapshot: Snapshot) -> Look:
    """Return what counts of a Snapshot.

    A device that the driver does not show is held by nobody.
    """
    devices = device_keys(snapshot.devices or ())
    if snapshot.holdings is None or snapshot.devices is None:
        return Look(None)
    consumers = {environment.eid: consumer_of(environment) for environment in snapshot.environments or ()}
    held = {
        (holding.eid, holding.device_index): Held(
            consumers[holding.eid], devices[holding.device_index], holding.active, _share(holding.share)
        )
        for holding in snapshot.holdings
        if holding.eid in consumers and holding.device_index in devices
    }
    outside = (
        Outside(
            consumers.get(process.eid or "")
            or Consumer(escape_unprintable(process.username or ""), uid=_uid(process.uid)),
            devices[use.device_index],
            share,
        )
        for process in snapshot.processes or ()
        for use in process.uses
        if use.device_index in devices and (process.eid, use.device_index) not in held
        if (share := _share(use.utilization))
    )
    return Look(
        tuple(held.values()),
        tuple(outside),
        tuple(_reading(device, devices[device.index]) for device in snapshot.devices),
    )


def consumer_of(environment: Environment) -> Consumer:
    """Return whose an environment is; one without a name of its owner is nobody's."""
    created = environment.created
    known = created is not None and math.isfinite(created) and 0 <= created < _MOST_TIME
    return Consumer(
        escape_unprintable(environment.username or ""),
        escape_unprintable(environment.eid),
        int(created) if known and created is not None else None,
        _uid(environment.uid),
        escape_unprintable(environment.name) if environment.name else None,
    )


def _uid(uid: int | None) -> int | None:
    return uid if uid is not None and 0 <= uid < _MOST_UID else None


def _share(share: float | None) -> float | None:
    return share if share is not None and share >= 0 else None  # which NaN is not


def _reading(device: Device, key: str) -> Reading:
    return Reading(key, device.details.energy_joules, device.details.power_watts)
