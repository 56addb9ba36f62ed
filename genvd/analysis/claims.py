"""What somebody says and does not hold: the reasons, and the account of how often each was met."""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
    ENVIRONMENT_OWNER: "an environment says to be of somebody of whom no process lives in it",
    USERNAME: "an environment names a user who is not its owner",
    PROCESS_ENVIRONMENT: "a process names an environment of somebody else",
    DUPLICATE: "an environment has the identifier of another one that is active",
    RESERVED_NAME: "a name is used that stands for what is over the limits",
    MALFORMED: "genv's state files have entries that make no sense",
    DEVICE: "genv's state files have devices with a number that none can have",
}
"""In words, for the log."""

MAX_TRACKED = 20_000
"""Claims that are told apart. A state file has room for more, whose author gets no better count than this."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A claim that does not hold."""

    reason: str
    claim: tuple[object, ...]
    """What tells it from all others, fit to be logged."""


class RejectedClaimCounter:
    """Counts each claim that does not hold once, when it appears; one that goes and comes back counts anew."""

    def __init__(self) -> None:
        self._totals = dict.fromkeys(REASONS, 0)
        self._there: frozenset[Rejection] = frozenset()
        self._left_out: dict[str, int] = defaultdict(int)
        self._errors = ErrorLog(log)

    def update(self, rejections: Iterable[Rejection], left_out: dict[str, int]) -> None:
        """Count what was not there at the last call.

        Args:
            rejections: all claims that do not hold now.
            left_out: how many more there are by reason, which nothing tells apart; more than before are new.
        """
        there = frozenset(rejection for _, rejection in zip(range(MAX_TRACKED), rejections, strict=False))
        for rejection in there - self._there:
            self._totals[rejection.reason] += 1
            self._report(rejection.reason, ", ".join(map(repr, rejection.claim)))
        self._there = there
        for reason, number in left_out.items():
            if number > self._left_out[reason]:
                self._totals[reason] += number - self._left_out[reason]
                self._report(reason, f"{number} now")
            self._left_out[reason] = number
        self._clear({rejection.reason for rejection in there})

    def totals(self) -> tuple[RejectedClaims, ...]:
        """Return how many claims were counted, for every reason there is."""
        return tuple(RejectedClaims(reason, total) for reason, total in self._totals.items())

    def _report(self, reason: str, what: str) -> None:
        rest = "see docs/trust.md; further ones are counted in genv_monitor_rejected_claims_total only"
        self._errors.report(reason, f"{REASONS[reason]}: {what}; {rest}", kind=reason)

    def _clear(self, there: set[str]) -> None:
        """Let it be over for the reasons of which there is no claim any more."""
        for reason in list(self._errors.active):
            if reason not in there and not self._left_out[str(reason)]:
                self._errors.clear(reason, f"no longer: {REASONS[str(reason)]}")
