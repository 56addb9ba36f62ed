"""Determines what cannot be known of environments while the environments of some processes are unknown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from genvd.model.facts import ProcessOwner, UnknownEnvironment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from genvd.analysis.ownership import OwnedRecord
    from genvd.model.facts import AccountFacts, ProcessFacts
    from genvd.model.snapshot import DeviceUse, Process

EnvironmentDevice = tuple[str, int]
"""eid and device index."""


class PossibleUse(NamedTuple):
    """What the processes of unknown environments do on GPUs, for each environment they may belong to."""

    present: frozenset[EnvironmentDevice] = frozenset()
    """They have a context on the GPU, and so use memory of it."""
    computing: frozenset[EnvironmentDevice] = frozenset()
    """They have a context on the GPU that can compute."""
    working: frozenset[EnvironmentDevice] = frozenset()
    """They may have worked on the GPU since the last collection."""

    def computing_devices(self) -> Mapping[str, tuple[int, ...]]:
        """Return :attr:`computing` as sorted device indices by eid."""
        devices: dict[str, list[int]] = defaultdict(list)
        for eid, index in sorted(self.computing):
            devices[eid].append(index)
        return {eid: tuple(indices) for eid, indices in devices.items()}


NO_POSSIBLE_USE = PossibleUse()

ADVICE: Mapping[UnknownEnvironment, str] = {
    "no_permission": "Run the monitor as root, or use 'genv-monitor top', which gets its data from the service.",
    "overwritten": "The program has overwritten its environment variables with a process title. Start it from a shell"
    " in which the environment is activated: then the monitor uses the environment of the shell.",
    "not_visible": "The monitor must see all processes of the machine: run it outside of a container, and mount /proc"
    " without hidepid.",
    "unreadable": "This usually resolves itself; if not, 'journalctl -u genv-monitor' has the reason.",
}
"""What to do if the environment of a process is unknown, by reason."""


def unknown_environment_text(number: int) -> str:
    """Return a sentence, without its full stop, for the number of processes whose environment is unknown."""
    belong = "1 GPU process belongs" if number == 1 else f"{number} GPU processes belong"
    return f"It is unknown which environment {belong} to"


def possible_use(
    processes: Iterable[Process],
    facts: ProcessFacts,
    owned: Iterable[OwnedRecord],
    accounts: AccountFacts | None,
    unseen: frozenset[int] = frozenset(),
) -> PossibleUse:
    """Return what the processes of unknown environments do, for each environment they may belong to.

    A process may belong to every environment of which its user is a member. A process of root, of an unknown user, or
    of a uid without an account (as in a container, see user_namespaces(7)) may belong to any environment.

    Args:
        processes: all GPU processes.
        facts: their owners.
        owned: the active environments.
        accounts: None if unknown.
        unseen: GPUs with memory of processes that the driver does not list. They may belong to any environment.
    """
    unknown = [process for process in processes if process.environment_unknown and not process.gone]
    if not unknown and not unseen:
        return NO_POSSIBLE_USE
    owned = tuple(owned)
    owner_pids = frozenset(pid for environment in owned for pid in environment.pids)
    uses_by_owner: dict[ProcessOwner | None, list[DeviceUse]] = defaultdict(list)
    for process in unknown:
        owner = _relevant_owner(facts.owners.get(process.pid), accounts, owner_pids)
        uses_by_owner[owner].extend(process.uses)
    present: set[EnvironmentDevice] = {(environment.record.eid, index) for environment in owned for index in unseen}
    computing, working = set(present), set(present)
    for owner, uses in uses_by_owner.items():
        eids = [environment.record.eid for environment in owned if owner is None or environment.admits(owner)]
        for indices, result in (
            ({use.device_index for use in uses}, present),
            ({use.device_index for use in uses if use.computes or use.type == "mps"}, computing),
            ({use.device_index for use in uses if use.utilization != 0 or use.works_beside}, working),
        ):
            result.update((eid, index) for eid in eids for index in indices)
    return PossibleUse(frozenset(present), frozenset(computing), frozenset(working))


def _relevant_owner(
    owner: ProcessOwner | None, accounts: AccountFacts | None, owner_pids: frozenset[int]
) -> ProcessOwner | None:
    """Return only what determines the environments of a process, to group equal ones; None if it may be in any."""
    if owner is None or owner.uid is None or accounts is None or accounts.names.get(owner.uid) is None:
        return None
    return ProcessOwner(
        owner.uid,
        namespace_uid=owner.namespace_uid,
        login_uid=owner.login_uid,
        ancestors=owner.ancestors & owner_pids,
    )
