"""The rows of the GPUs that the driver no longer lists, with the environments that have them attached."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from genvd.overview.devices import MAX_PARTS, Holder
from genvd.overview.problem import name_of

if TYPE_CHECKING:
    from genvd.model.snapshot import Environment, MissingDevice, Snapshot


class LostRow(NamedTuple):
    """A GPU that the driver no longer lists. Of its holders and their users at most :data:`MAX_PARTS` are listed."""

    index: int  # type: ignore[assignment]
    """Its last index, which another GPU may have now."""
    uuid: str | None
    pci_bus_id: str | None
    holders: tuple[Holder, ...]
    holders_total: int
    people: tuple[str, ...]
    people_total: int


def lost_rows(snapshot: Snapshot) -> tuple[LostRow, ...]:
    """Return the rows of the GPUs that the driver no longer lists."""
    return tuple(_row(snapshot, missing) for missing in snapshot.missing_devices)


def environments_hit(snapshot: Snapshot, missing: MissingDevice) -> tuple[Environment, ...]:
    """Return the environments that have a lost GPU attached.

    In genv's files they are those with its last index, unless it is known that they mean the GPU that has it now.
    """
    known = {(holding.eid, holding.device_index) for holding in snapshot.holdings or ()}
    return tuple(
        environment
        for environment in snapshot.environments or ()
        if missing.index in environment.device_indices and (environment.eid, missing.index) not in known
    )


def _row(snapshot: Snapshot, missing: MissingDevice) -> LostRow:
    hit = environments_hit(snapshot, missing)
    people = tuple(dict.fromkeys(environment.username for environment in hit if environment.username))
    holders = tuple(Holder(one.eid, name_of(one), one.username, idle=False) for one in hit[:MAX_PARTS])
    return LostRow(missing.index, missing.uuid, missing.pci_bus_id, holders, len(hit), people[:MAX_PARTS], len(people))
