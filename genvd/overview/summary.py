"""The machine in one line: which GPUs are free, how many people are on it, what is held idle, what is broken."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from genvd.analysis import policy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from genvd.analysis.availability import Availability, DeviceState
    from genvd.model.snapshot import Snapshot

STATE_WORDS: Mapping[DeviceState, str] = {
    "free": "free",
    "in_use": "in use",
    "idle": "idle",
    "outside": "in use outside genv",
    "down": "down",
    "no_mig_devices": "no MIG devices",
    "unknown": "not known",
}
"""What people read. The duration follows ``idle``: "idle 6 h 30 min"."""


def duration_text(seconds: float) -> str:
    """Return a duration in one or two units, such as "6 h 30 min"."""
    rest = max(0, round(seconds))
    if rest < 60:
        return f"{rest} s"
    minutes, hours = rest // 60, rest // 3600
    if minutes < 60:
        return f"{minutes} min"
    if hours < 48:
        return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    return f"{hours // 24} d"


class Summary(NamedTuple):
    """The GPUs by state. ``None`` means *not known*."""

    text: str
    """Which GPUs are free, without a full stop, such as "2 of 8 GPUs are free: 6, 7"."""
    gpus: int | None
    """Number of GPUs, with those that the driver no longer lists."""
    free: tuple[int, ...] | None
    """Indices of the GPUs that are known to be free."""
    idle: tuple[int, ...] | None
    """Indices of the GPUs that are held idle; None while it is unknown which GPUs are attached, or used."""
    down: int | None
    """Number of GPUs that do not answer, or that the driver no longer lists."""
    unknown: int | None
    """Number of GPUs of which it is unknown whether they are free."""
    people: int | None
    """Number of users who have a GPU attached or a process on one."""


def summary(snapshot: Snapshot, gpus: Sequence[Availability] | None) -> Summary:
    """Return the summary.

    Args:
        snapshot: the machine.
        gpus: what :func:`genvd.analysis.availability.availability` returns for it.
    """
    people = _people(snapshot)
    if gpus is None:
        return Summary("It is not known which GPUs are free", None, None, None, None, None, people)
    free, idle, down, unknown = (
        tuple(gpu.index for gpu in gpus if gpu.state == state) for state in ("free", "idle", "down", "unknown")
    )
    total = len(gpus) + len(snapshot.missing_devices)
    return Summary(
        text=_free_text(total, free, len(unknown)),
        gpus=total,
        free=free,
        idle=idle if idle or _idle_known(snapshot) else None,
        down=len(down) + len(snapshot.missing_devices),
        unknown=len(unknown),
        people=people,
    )


def _idle_known(snapshot: Snapshot) -> bool:
    """Return whether it can be known which GPUs are held idle: who has them attached, and what runs on them."""
    return snapshot.holdings is not None and (snapshot.processes is not None or not snapshot.holdings)


def _free_text(total: int, free: tuple[int, ...], unknown: int) -> str:
    if not total:
        return "There are no GPUs"
    verb = "is" if len(free) == 1 or total == 1 else "are"
    text = f"{len(free)} of {total} {'GPU' if total == 1 else 'GPUs'} {verb} free"
    names = f": {', '.join(map(str, free))}" if free else ""
    return f"{text}{names}{f'; {unknown} not known' if unknown else ''}"


def _people(snapshot: Snapshot) -> int | None:
    """Return how many users have a GPU or a process on one; None while either is unknown.

    A process outside genv that only draws, as that of a desktop, makes nobody a user.
    """
    if snapshot.holdings is None or snapshot.processes is None or snapshot.environments is None:
        return None
    unlisted = any(device.up is not False and not device.processes_listed for device in snapshot.devices or ())
    if unlisted or snapshot.holders_unknown:
        return None
    active = policy.active_eids(snapshot)
    using = [
        process
        for process in snapshot.processes
        if not process.gone and (process.eid in active or policy.computes_outside(process, active))
    ]
    if any(process.uid is None for process in using):
        return None
    users = {holding.username for holding in snapshot.holdings} | {process.username for process in using}
    return len(users - {None})
