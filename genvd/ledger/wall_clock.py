"""What time the ledger believes that it is, by which it throws old things away.

Nothing that is thrown away comes back, and the clock of a machine can be years off for a while: an empty battery, no
time server. So the clock alone does not count, but also for how long the ledger has been kept.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

log = logging.getLogger(__name__)

DAY = 86400.0

MOST_LEAP_SECONDS = 7 * DAY
"""By so much the clock may be further than the ledger knows of, as after a time in which the machine was off."""

LEAP_OF_RETENTION = 0.1
"""And by no more than this part of the time for which things are kept."""

CONFIRMED_SECONDS = 7 * DAY
"""After so long of counting a clock that is further than that is believed."""


@dataclass(frozen=True, slots=True)
class ClockState:
    """What is kept of it in the file."""

    believed: float | None = None
    """Unix time in seconds; None for a file in which nothing was written yet."""
    doubted_seconds: float = 0.0
    """For how long the clock of the machine has said something else while the ledger was counting."""


class LedgerClock:
    """Goes by the clock of the machine as long as that does not leap."""

    def __init__(self, state: ClockState) -> None:
        """Go on from what an earlier one has kept."""
        self.state = state
        self._monotonic: float | None = None
        self._doubts = False

    def now(self, monotonic: float, wall: float, retention: float) -> float:
        """Return the Unix time by which old things may be thrown away: the earlier one of the two that are possible.

        Args:
            monotonic: seconds of CLOCK_MONOTONIC.
            wall: Unix time in seconds, as the clock of the machine says.
            retention: for how many seconds things are kept.
        """
        passed = 0.0 if self._monotonic is None else max(0.0, monotonic - self._monotonic)
        self._monotonic = monotonic
        believed = wall if self.state.believed is None else self.state.believed + passed
        doubted = self.state.doubted_seconds + passed
        leaps = abs(wall - believed) > min(MOST_LEAP_SECONDS, LEAP_OF_RETENTION * retention)
        if leaps and doubted < CONFIRMED_SECONDS:
            self._doubt(wall - believed)
            self.state = ClockState(believed, doubted)
        else:
            self._believe()
            self.state = ClockState(wall)
        return min(wall, self.state.believed or wall)

    def _doubt(self, ahead: float) -> None:
        if not self._doubts:
            log.warning(
                "ledger: the clock of this machine is %.0f days %s what was last written; nothing is thrown away by it"
                " until it has been so for %.0f days of counting; if it is wrong, set it",
                abs(ahead) / DAY,
                "ahead of" if ahead > 0 else "behind",
                CONFIRMED_SECONDS / DAY,
            )
        self._doubts = True

    def _believe(self) -> None:
        if self._doubts:
            log.info("ledger: the clock of this machine is believed again")
        self._doubts = False
