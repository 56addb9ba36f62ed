"""The GPU time of each user, as far as the Snapshot has it: since the ledger was created."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genvd.model.snapshot import Snapshot

MAX_ROWS = 1000
"""Maximum number of users."""


@dataclass(frozen=True, slots=True)
class UserUsageRow:
    """The GPU time of a user. ``None`` means *not known*."""

    username: str
    attached_seconds: float
    """GPU-seconds: two GPUs attached for one second are two."""
    active_seconds: float | None
    idle_seconds: float | None


def usage_rows(snapshot: Snapshot) -> tuple[UserUsageRow, ...] | None:
    """Return the GPU time by user, the most first; None while it is unknown, or without a ledger."""
    if snapshot.ledger is None or snapshot.ledger.users is None:
        return None
    users = sorted(snapshot.ledger.users, key=lambda user: -user.allocated_seconds)
    return tuple(
        UserUsageRow(user.username, user.allocated_seconds, user.active_seconds, user.idle_seconds)
        for user in users[:MAX_ROWS]
    )
