"""Metrics of the ledger: GPU time and energy per user, and the state of its file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genvd.metrics.metric import Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from genvd.metrics.samples import Sample
    from genvd.model.snapshot import LedgerStatus, Snapshot, UserUse


def _users(amount: Callable[[UserUse], float | None]) -> Callable[[Snapshot], Iterable[Sample]]:
    def samples(snapshot: Snapshot) -> Iterable[Sample]:
        users = (snapshot.ledger.users if snapshot.ledger else None) or ()
        return (((user.username,), amount(user)) for user in users)

    return samples


def _status(value: Callable[[LedgerStatus], float | bool | None]) -> Callable[[Snapshot], Iterable[Sample]]:
    return lambda snapshot: [((), value(snapshot.ledger) if snapshot.ledger else None)]


LEDGER = (
    Metric(
        "genv_user_allocated_device_seconds_total",
        "Time for which the user's environments held devices, in seconds, summed over the devices.",
        ("username",),
        _users(lambda user: user.allocated_seconds),
        type="counter",
        by_arrival=True,
    ),
    Metric(
        "genv_user_active_device_seconds_total",
        "Time for which the user's environments held devices and worked on them, in seconds, summed over the devices.",
        ("username",),
        _users(lambda user: user.active_seconds),
        type="counter",
        by_arrival=True,
    ),
    Metric(
        "genv_user_idle_device_seconds_total",
        "Time for which the user's environments held devices and did not work on them, in seconds, summed over the"
        " devices.",
        ("username",),
        _users(lambda user: user.idle_seconds),
        type="counter",
        by_arrival=True,
    ),
    Metric(
        "genv_user_energy_joules_total",
        "Energy of the devices in joules: of those who work on a device by their share of its SM time, else of those"
        " who hold it in equal parts.",
        ("username",),
        _users(lambda user: user.energy_joules),
        type="counter",
        by_arrival=True,
    ),
)

LEDGER_STATUS = (
    Metric(
        "genv_monitor_ledger_write_success",
        "1 when the file of the ledger could be written when that was last tried, else 0; absent where it is kept in"
        " memory only.",
        (),
        _status(lambda ledger: ledger.write_success),
    ),
    Metric(
        "genv_monitor_ledger_last_write_timestamp_seconds",
        "When the file of the ledger was last written, in seconds since the epoch.",
        (),
        _status(lambda ledger: ledger.last_write_timestamp),
    ),
)
