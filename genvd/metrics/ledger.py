"""Metrics of the ledger: GPU time and energy per user, and the state of its file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genvd.metrics.metric import Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from genvd.metrics.samples import Sample
    from genvd.model.snapshot import EnvironmentUsage, LedgerStatus, Snapshot, UserUsage


def _users(amount: Callable[[UserUsage], float | None]) -> Callable[[Snapshot], Iterable[Sample]]:
    def samples(snapshot: Snapshot) -> Iterable[Sample]:
        users = (snapshot.ledger.users if snapshot.ledger else None) or ()
        return (((user.username,), amount(user)) for user in users)

    return samples


def _status(value: Callable[[LedgerStatus], float | bool | None]) -> Callable[[Snapshot], Iterable[Sample]]:
    return lambda snapshot: [((), value(snapshot.ledger) if snapshot.ledger else None)]


def _environments(amount: Callable[[EnvironmentUsage], float | None]) -> Callable[[Snapshot], Iterable[Sample]]:
    def samples(snapshot: Snapshot) -> Iterable[Sample]:
        environments = snapshot.ledger.environments if snapshot.ledger else ()
        return (((environment.eid,), amount(environment)) for environment in environments)

    return samples


_SINCE = "since it was activated or the monitor started, whichever is later"

_ENVIRONMENT_USAGE = tuple(
    Metric(f"genv_environment_{name}_total", f"{text}, {_SINCE}.", ("eid",), _environments(amount), "counter", False)
    for name, text, amount in (
        (
            "allocated_device_seconds",
            "GPU-seconds attached to the environment, summed over the GPUs",
            lambda e: e.allocated_seconds,
        ),
        (
            "active_device_seconds",
            "GPU-seconds in which the environment worked on its attached GPUs, summed over the GPUs",
            lambda e: e.active_seconds,
        ),
        (
            "idle_device_seconds",
            "GPU-seconds in which GPUs were attached to the environment but idle, summed over the GPUs",
            lambda e: e.idle_seconds,
        ),
        (
            "energy_joules",
            "Energy of the GPUs attributed to the environment, in joules, as for users",
            lambda e: e.energy_joules,
        ),
    )
)

LEDGER = (
    Metric(
        "genv_user_allocated_device_seconds_total",
        "GPU-seconds attached to the user's environments, summed over the GPUs.",
        ("username",),
        _users(lambda user: user.allocated_seconds),
        type="counter",
        by_arrival=True,
    ),
    Metric(
        "genv_user_active_device_seconds_total",
        "GPU-seconds in which the user's environments worked on their attached GPUs, summed over the GPUs.",
        ("username",),
        _users(lambda user: user.active_seconds),
        type="counter",
        by_arrival=True,
    ),
    Metric(
        "genv_user_idle_device_seconds_total",
        "GPU-seconds in which GPUs were attached to the user's environments but idle, summed over the GPUs.",
        ("username",),
        _users(lambda user: user.idle_seconds),
        type="counter",
        by_arrival=True,
    ),
    Metric(
        "genv_user_outside_device_seconds_total",
        "GPU-seconds in which the user computed on GPUs that were not attached to the environment of the process, or"
        " outside genv, summed over the GPUs; without time in which the user had the GPU attached anyway.",
        ("username",),
        _users(lambda user: user.outside_seconds),
        type="counter",
        by_arrival=True,
    ),
    Metric(
        "genv_user_energy_joules_total",
        "Energy of the GPUs attributed to the user, in joules: by share of SM time among users who work on a GPU, else"
        " in equal parts among the users who have it attached.",
        ("username",),
        _users(lambda user: user.energy_joules),
        type="counter",
        by_arrival=True,
    ),
    *_ENVIRONMENT_USAGE,
    Metric(
        "genv_capacity_device_seconds_total",
        "GPU-seconds of all GPUs since the monitor started, by state: active or idle (attached, and used or not),"
        " attached (whether it is used is unknown), outside (attached to nobody, but computing), free, down, unknown.",
        ("state",),
        lambda s: (((one.state,), one.seconds) for one in (s.ledger.capacity if s.ledger else ())),
        type="counter",
    ),
)

LEDGER_STATUS = (
    Metric(
        "genv_monitor_ledger_write_success",
        "1 when the last write of the ledger file succeeded, else 0; absent if the ledger is kept in memory only.",
        (),
        _status(lambda ledger: ledger.write_success),
    ),
    Metric(
        "genv_monitor_ledger_last_write_timestamp_seconds",
        "Time of the last write of the ledger file, in Unix time.",
        (),
        _status(lambda ledger: ledger.last_write_timestamp),
    ),
)
