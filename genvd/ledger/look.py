"""What the ledger reads of a Snapshot: who holds which device, who works on it, and what it draws."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genvd.ledger.use import Holder
from genvd.text import clean

if TYPE_CHECKING:
    from genvd.model import Environment, Snapshot

_MOST_TIME = 2**40
"""Unix times beyond are nonsense that somebody wrote into a state file; they would not fit everywhere."""

_MOST_UID = 2**32


@dataclass(frozen=True, slots=True)
class Held:
    """A device that an environment holds."""

    holder: Holder
    device: str
    """Its UUID."""
    active: bool | None = None
    """Whether the environment worked on it since the last look."""
    share: float | None = None
    """Its share of the device's SM time, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Outside:
    """Work on a device outside of any environment."""

    username: str | None
    uid: int | None
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

    A device that the driver does not show, and so has no UUID, is held by nobody.
    """
    uuids = {device.index: clean(device.uuid) for device in snapshot.devices or () if device.uuid}
    if snapshot.devices is None or snapshot.environments is None:
        return Look(None)
    held = tuple(
        Held(holder, uuids[index])
        for environment in snapshot.environments
        for holder in (holder_of(environment),)
        for index in environment.device_indices
        if index in uuids
    )
    return Look(held)


def holder_of(environment: Environment) -> Holder:
    """Return whose an environment is; one without a name of its owner is nobody's."""
    created = environment.created
    known = created is not None and math.isfinite(created) and 0 <= created < _MOST_TIME
    return Holder(
        clean(environment.username or ""),
        clean(environment.eid),
        int(created) if known and created is not None else None,
        environment.uid if environment.uid is not None and 0 <= environment.uid < _MOST_UID else None,
        clean(environment.name) if environment.name else None,
    )
