"""What cannot be said of environments because of processes of which it is not known in which environment they run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genvd.model.facts import ProcessOwner, UnknownEnvironment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from genvd.analysis.ownership import OwnedRecord
    from genvd.model.facts import AccountFacts, ProcessFacts
    from genvd.model.snapshot import DeviceUse, Process

Place = tuple[str, int]
"""The identifier of an environment, and the index of a device."""


@dataclass(frozen=True, slots=True)
class PossibleUse:
    """By environment and device, what a process may do there of which it is not known whether it is in that one."""

    present: frozenset[Place] = frozenset()
    """It has a context on the device, and so memory."""
    computing: frozenset[Place] = frozenset()
    """It has a context there that can compute."""
    working: frozenset[Place] = frozenset()
    """It may have worked there since the collection before."""

    def computing_devices(self) -> Mapping[str, tuple[int, ...]]:
        """Return :attr:`computing` by environment, in the order of the devices."""
        devices: dict[str, list[int]] = defaultdict(list)
        for eid, index in sorted(self.computing):
            devices[eid].append(index)
        return {eid: tuple(indices) for eid, indices in devices.items()}


NO_POSSIBLE_USE = PossibleUse()

ADVICE: Mapping[UnknownEnvironment, str] = {
    "no_permission": "Run the monitor as root, or ask the service, which may read them: 'genv-monitor top'.",
    "overwritten": "A title that the program gave itself has taken the place of its environment variables. Start it"
    " from a shell in which the environment is activated: then it is found by its shell.",
    "not_visible": "The monitor has to see the processes of the whole machine: run it outside of a container, and"
    " without hidepid for /proc.",
    "unreadable": "This should pass by itself.",
}
"""What to do about each reason for which the environment of a process is not known."""


def unknown_environment_text(number: int) -> str:
    """Say of how many processes the environment is not known."""
    processes, belong = ("GPU process", "belongs") if number == 1 else ("GPU processes", "belong")
    return f"It is not known to which environment {number} {processes} {belong}"


def possible_use(
    processes: Iterable[Process],
    facts: ProcessFacts,
    owned: Iterable[OwnedRecord],
    accounts: AccountFacts | None,
    unseen: frozenset[int] = frozenset(),
) -> PossibleUse:
    """Return what is in doubt as long as the environments of some processes are not known.

    A process may be in the environments whose members include its user. Anybody may be behind root, behind a user that
    is not known, and behind one without an account, as in a container (see user_namespaces(7)).

    Args:
        processes: all that hold contexts.
        facts: whose they are.
        owned: the active environments.
        accounts: None while nothing is known of them.
        unseen: devices on which processes have memory that the driver does not list. They may be of any environment.
    """
    unknown = [process for process in processes if process.environment_unknown and not process.gone]
    if not unknown and not unseen:
        return NO_POSSIBLE_USE
    owned = tuple(owned)
    listed = frozenset(pid for one in owned for pid in one.pids)
    by_owner: dict[ProcessOwner | None, list[DeviceUse]] = defaultdict(list)
    for process in unknown:
        by_owner[_owner(facts.owners.get(process.pid), accounts, listed)].extend(process.uses)
    hidden = {(one.record.eid, index) for one in owned for index in unseen}
    present: set[Place] = set(hidden)
    computing: set[Place] = set(hidden)
    working: set[Place] = set(hidden)
    for owner, uses in by_owner.items():
        eids = [one.record.eid for one in owned if owner is None or one.admits(owner)]
        for indices, places in (
            ({use.device_index for use in uses}, present),
            ({use.device_index for use in uses if use.computes or use.type == "mps"}, computing),
            ({use.device_index for use in uses if use.utilization != 0 or use.works_beside}, working),
        ):
            places.update((eid, index) for eid in eids for index in indices)
    return PossibleUse(frozenset(present), frozenset(computing), frozenset(working))


def _owner(owner: ProcessOwner | None, accounts: AccountFacts | None, listed: frozenset[int]) -> ProcessOwner | None:
    """Return what decides in which environments a process may be, the same for all that are alike; None for in any."""
    if owner is None or owner.uid is None or accounts is None or accounts.names.get(owner.uid) is None:
        return None
    return ProcessOwner(
        owner.uid,
        namespace_uid=owner.namespace_uid,
        login_uid=owner.login_uid,
        ancestors=owner.ancestors & listed,
    )
