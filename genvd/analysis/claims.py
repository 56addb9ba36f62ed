"""Counts and logs rejected claims: false data in genv's files or in the environment variables of processes."""

from __future__ import annotations

import logging
from collections import defaultdict
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from genvd.common.error_log import ErrorLog
from genvd.model.snapshot import RejectedClaims

if TYPE_CHECKING:
    from collections.abc import Iterable

log = logging.getLogger(__name__)

ENVIRONMENT_OWNER = "environment_owner"
USERNAME = "username"
PROCESS_ENVIRONMENT = "process_environment"
DUPLICATE = "duplicate"
RESERVED_NAME = "reserved"
MALFORMED = "malformed"
DEVICE = "device"

REASONS = {
    ENVIRONMENT_OWNER: "an environment names an owner who has no process in it",
    USERNAME: "an environment names a user who is not its owner",
    PROCESS_ENVIRONMENT: "a process names an environment of somebody else",
    DUPLICATE: "several active environments have the same ID",
    RESERVED_NAME: "a name or an ID is '(other)', which is reserved for what exceeds the limits",
    MALFORMED: "genv's state files have invalid entries",
    DEVICE: "genv's state files have impossible device numbers",
}
"""What is logged, by reason."""

MAX_TRACKED = 20_000
"""Maximum number of claims that are distinguished. A state file can have more; the rest is not counted."""


class Rejection(NamedTuple):
    """A rejected claim."""

    reason: str
    claim: tuple[object, ...]
    """What distinguishes it from all others; it is logged."""


class RejectedClaimCounter:
    """Counts each rejected claim when it appears; one that disappears and returns is counted again."""

    def __init__(self) -> None:
        self._totals = dict.fromkeys(REASONS, 0)
        self._current: frozenset[Rejection] = frozenset()
        self._skipped_entries: dict[str, int] = defaultdict(int)
        self._errors = ErrorLog(log)

    def update(self, rejections: Iterable[Rejection], skipped_entries: dict[str, int]) -> None:
        """Count the claims that are new since the last call.

        Args:
            rejections: all current rejections.
            skipped_entries: number of skipped entries of the state files by reason; only an increase is counted.
        """
        current = frozenset(islice(rejections, MAX_TRACKED))
        for rejection in current - self._current:
            self._totals[rejection.reason] += 1
            self._report(rejection.reason, ", ".join(map(repr, rejection.claim)))
        self._current = current
        for reason, number in skipped_entries.items():
            if number > self._skipped_entries[reason]:
                self._totals[reason] += number - self._skipped_entries[reason]
                self._report(reason, f"{number} now")
            self._skipped_entries[reason] = number
        self._clear({rejection.reason for rejection in current})

    def totals(self) -> tuple[RejectedClaims, ...]:
        """Return the number of rejected claims for every reason."""
        return tuple(RejectedClaims(reason, total) for reason, total in self._totals.items())

    def _report(self, reason: str, claim: str) -> None:
        rest = "see docs/trust.md; more of these are only counted, in genv_monitor_rejected_claims_total"
        self._errors.report(reason, f"{REASONS[reason]}: {claim}; {rest}", kind=reason)

    def _clear(self, current_reasons: set[str]) -> None:
        for reason in list(self._errors.active):
            if reason not in current_reasons and not self._skipped_entries[str(reason)]:
                self._errors.clear(reason, f"resolved: {REASONS[str(reason)]}")
