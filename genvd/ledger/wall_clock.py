"""The time by which the ledger deletes old data.

What is deleted cannot be restored, and a machine's clock can be years off for a while: empty battery, no time server.
So the clock is compared with how long the ledger has been counting.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

log = logging.getLogger(__name__)

DAY = 86400.0

MAX_JUMP_SECONDS = 7 * DAY
"""The clock is trusted if it differs from the expected time by at most this, as after the machine was off..."""

MAX_JUMP_RETENTION_RATIO = 0.1
"""...and by at most this part of the retention."""

ACCEPT_AFTER_SECONDS = 7 * DAY
"""A clock that differs by more is trusted once the ledger has counted for this long with it."""


class TrustedClockState(NamedTuple):
    """What the file stores of the trusted clock."""

    trusted: float | None = None
    """Unix time in seconds; None if nothing was written yet."""
    distrusted_seconds: float = 0.0
    """How long the ledger has counted while the machine's clock was distrusted."""


class TrustedClock:
    """Follows the machine's clock as long as that does not jump."""

    def __init__(self, state: TrustedClockState) -> None:
        """Continue from a stored state."""
        self.state = state
        self._monotonic: float | None = None
        self._distrusted = False

    def now(self, monotonic: float, wall: float, retention: float) -> float:
        """Return the Unix time by which old data may be deleted: the earlier of the clock and the trusted time.

        Args:
            monotonic: seconds of CLOCK_MONOTONIC.
            wall: Unix time in seconds, from the machine's clock.
            retention: for how many seconds data is kept.
        """
        elapsed = 0.0 if self._monotonic is None else max(0.0, monotonic - self._monotonic)
        self._monotonic = monotonic
        expected = wall if self.state.trusted is None else self.state.trusted + elapsed
        distrusted_seconds = self.state.distrusted_seconds + elapsed
        jumped = abs(wall - expected) > min(MAX_JUMP_SECONDS, MAX_JUMP_RETENTION_RATIO * retention)
        if jumped and distrusted_seconds < ACCEPT_AFTER_SECONDS:
            self._log_distrust(wall - expected)
            self.state = TrustedClockState(expected, distrusted_seconds)
        else:
            self._log_trust()
            self.state = TrustedClockState(wall)
        return min(wall, self.state.trusted or wall)

    def _log_distrust(self, ahead: float) -> None:
        if not self._distrusted:
            log.warning(
                "ledger: the system clock is %.0f days %s the time of the last write; old data is not deleted by this"
                " clock until the ledger has counted for %.0f days with it; set the clock if it is wrong",
                abs(ahead) / DAY,
                "ahead of" if ahead > 0 else "behind",
                ACCEPT_AFTER_SECONDS / DAY,
            )
        self._distrusted = True

    def _log_trust(self) -> None:
        if self._distrusted:
            log.info("ledger: the system clock is trusted again")
        self._distrusted = False
