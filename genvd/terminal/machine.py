"""What the views show: the overview of a Snapshot with the last hour and the usage, for all users or for one."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genvd.overview import overview
from genvd.overview.devices import DeviceRow
from genvd.overview.problem import worst_first
from genvd.overview.problems import people_problems
from genvd.overview.talks import talks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from collections.abc import Set as AbstractSet

    from genvd.model.device import MigInstance
    from genvd.overview import Overview
    from genvd.overview.environments import EnvironmentRow, ProcessRow, UserRow, UserUsageRow
    from genvd.overview.lost import LostRow
    from genvd.overview.problem import Problem
    from genvd.overview.talks import Talk
    from genvd.terminal.client import TimedSnapshot
    from genvd.terminal.curves import Curves


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU and who is on it."""

    row: DeviceRow
    users: tuple[str, ...]
    """The users of the environments that have it attached, then those who compute on it without.

    While it is unknown who has it attached, all who compute on it.
    """
    guests: frozenset[str]
    """Those of :attr:`users` who do not have it attached."""
    environments: tuple[str, ...]
    """The names of the environments that have it attached, then those of the environments and processes without."""


@dataclass(frozen=True, slots=True)
class Person:
    """A user who has something now, or had it while the ledger counted."""

    name: str
    row: UserRow | None
    """What they have now; None for nothing."""
    idle_since: float | None
    """Unix time since which the GPU of theirs that has been idle the longest has been idle."""
    usage: UserUsageRow | None
    """Their usage since the ledger was created."""


@dataclass(frozen=True, eq=False)
class Machine:
    """The rows of all tables. None means *not known*. It is only equal to itself, so results for it can be kept."""

    overview: Overview
    curves: Curves
    gpus: Sequence[Gpu] | None
    instances: Sequence[tuple[int, MigInstance]]
    """The MIG devices, with the index of their GPU."""
    environments: Sequence[EnvironmentRow] | None
    people: Sequence[Person] | None
    processes: Sequence[ProcessRow] | None
    user: str | None
    """The user to whom the rows are limited; None for all."""
    one_name: str | None
    """The name of the GPUs, if all have the same."""

    @property
    def now(self) -> float:
        """The Unix time of the Snapshot in seconds."""
        return self.overview.timestamp


def machine_of(timed: TimedSnapshot, user: str | None = None) -> Machine:
    """Return what is shown of a Snapshot.

    Args:
        timed: the Snapshot and the last hour.
        user: the user whose GPUs, environments and processes are shown; None for all.
    """
    seen = overview(timed.snapshot)
    gpus = _gpus(seen)
    names = {device.name for device in seen.devices or () if device.name}  # one that is down has none
    machine = Machine(
        overview=seen,
        curves=timed.curves,
        gpus=gpus,
        instances=[(device.index, instance) for device in seen.devices or () for instance in device.mig],
        environments=seen.environments,
        people=_people(seen),
        processes=seen.processes,
        user=None,
        one_name=names.pop() if len(names) == 1 else None,
    )
    return machine if user is None else _limited(machine, user, talks(timed.snapshot))


def _limited(machine: Machine, user: str, with_people: Iterable[Talk]) -> Machine:
    """Return only what belongs to a user: also the GPUs on which only a process of theirs is."""
    gpus = None if machine.gpus is None else [gpu for gpu in machine.gpus if user in gpu.users]
    shown = {gpu.row.index for gpu in gpus or ()}
    return Machine(
        overview=machine.overview._replace(
            problems=_problems_of(machine.overview, [talk for talk in with_people if talk.username == user], shown),
        ),
        curves=machine.curves,
        gpus=gpus,
        instances=[instance for instance in machine.instances if instance[0] in shown],
        environments=machine.environments and [row for row in machine.environments if row.username == user],
        people=machine.people and [person for person in machine.people if person.name == user],
        processes=machine.processes and [process for process in machine.processes if process.username == user],
        user=user,
        one_name=machine.one_name,
    )


def _problems_of(seen: Overview, own: Iterable[Talk], shown: AbstractSet[int]) -> tuple[Problem, ...]:
    """Return what concerns a user: their GPUs, what they are asked to do, and errors because of which data is missing.

    Args:
        seen: the overview.
        own: what is to be talked about with them.
        shown: the indices of their GPUs.
    """
    others = (problem for problem in seen.problems if not problem.people)
    concerned = (
        problem
        for problem in others
        if not shown.isdisjoint(problem.devices) or (problem.severity == "error" and not problem.devices)
    )
    return worst_first((*concerned, *people_problems(own)))


def _gpus(seen: Overview) -> list[Gpu] | None:
    if seen.devices is None:
        return None
    holders: dict[int, list[EnvironmentRow]] = defaultdict(list)
    for environment in seen.environments or ():
        for index in environment.devices:
            holders[index].append(environment)
    listed = [_gpu(device, holders[device.index]) for device in seen.devices]
    known = {device.index for device in seen.devices}
    lost = [_lost(missing) for missing in seen.missing if missing.index not in known]
    return sorted([*listed, *lost], key=lambda gpu: gpu.row.index)


def _lost(missing: LostRow) -> Gpu:
    """Return a GPU that the driver no longer lists. Only its index, its UUID and who has it attached are known."""
    values: dict[str, Any] = dict.fromkeys(DeviceRow._fields)
    values |= {"index": missing.index, "uuid": missing.uuid, "up": False, "state": "down", "state_text": "lost"}
    values |= {"throttled": (), "people": missing.people, "guests": (), "mig": (), "mig_enabled": False}
    values |= {"holders": missing.holders or None, "holders_total": missing.holders_total, "running_total": 0}
    values |= {"people_total": missing.people_total}
    names = tuple(holder.name or holder.eid for holder in missing.holders)
    return Gpu(DeviceRow(**values), missing.people, frozenset(), names)


def _gpu(device: DeviceRow, holders: Sequence[EnvironmentRow]) -> Gpu:
    attached = dict.fromkeys(holder.username for holder in holders if holder.username)
    guests = device.guests
    if device.holders is None and not attached and not guests:  # whoever computes there is known all the same
        names = tuple(f"{process.command or 'process'} {process.pid}" for process in device.running or ())
        return Gpu(device, device.people, frozenset(), names)
    others = dict.fromkeys(guest.username for guest in guests if guest.username and guest.username not in attached)
    return Gpu(
        row=device,
        users=(*attached, *others),
        guests=frozenset(others),
        environments=(*(holder.name for holder in holders), *(guest.name for guest in guests)),
    )


def _people(seen: Overview) -> list[Person] | None:
    """Return the users: those with the most GPUs first, then those with the most usage."""
    if seen.users is None:
        return None
    idle: dict[str, float] = {}
    for environment in seen.environments or ():
        times = [use.idle_since for use in environment.uses or () if use.idle_since is not None]
        if times and environment.username:
            idle[environment.username] = min(*times, idle.get(environment.username, seen.timestamp))
    rows = {row.username: row for row in seen.users}
    usage = {row.username: row for row in seen.usage or ()}
    people = [Person(name, rows.get(name), idle.get(name), usage.get(name)) for name in {**rows, **usage}]
    return sorted(people, key=_rank)


def _rank(person: Person) -> tuple[bool, int, float, str]:
    gpus = len(person.row.devices) if person.row else 0
    used = person.usage.attached_seconds if person.usage else 0.0
    return person.row is None, -gpus, -used, person.name
