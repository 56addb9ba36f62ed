"""For how long environments have held devices without working on any of them."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from genvd.model import Environment, Holding

LONGEST_GAP_SECONDS = 300.0
"""For so long nothing may be known of an environment's work without its time beginning anew: it may have worked."""


@dataclass(slots=True)
class _Seen:
    """What is known of one environment, in seconds of the monotonic clock."""

    held: float
    """Since when it holds devices without a break."""
    known: float
    """When it was last known whether it works."""
    worked: float | None = None


class IdleClock:
    """Remembers when each environment that holds devices was last seen to work on one of them.

    It counts on the monotonic clock, so that nothing jumps when the wall clock is set. What it remembers is lost when
    the monitor ends: after a restart an environment is idle since its attachment until it is seen to work.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[str, float | None], _Seen] = {}

    def take(
        self,
        environments: Iterable[Environment],
        holdings: Iterable[Holding],
        monotonic: float | None = None,
        wall: float | None = None,
    ) -> Mapping[str, float]:
        """Take in what is seen now, and return for how many seconds each environment is idle.

        One that holds nothing is not in the answer, nor is one of which it is not known whether it works.

        Args:
            environments: all that are active; what is not among them is forgotten.
            holdings: of these.
            monotonic: the time by :func:`time.monotonic`; None for the time it is.
            wall: the Unix time; likewise.
        """
        now = time.monotonic() if monotonic is None else monotonic
        unix = time.time() if wall is None else wall
        held: dict[str, list[Holding]] = defaultdict(list)
        for holding in holdings:
            held[holding.eid].append(holding)
        before, self._seen = self._seen, {}
        idle = {}
        for environment in environments:
            if not held[environment.eid]:
                continue
            key = environment.eid, environment.created
            seen = before.get(key) or _Seen(now - _age(environment, held[environment.eid], unix), now)
            self._seen[key] = seen
            seconds = _idle(seen, held[environment.eid], now)
            if seconds is not None:
                idle[environment.eid] = seconds
        return idle


def _idle(seen: _Seen, holdings: list[Holding], now: float) -> float | None:
    if any(holding.active for holding in holdings):
        seen.worked = seen.known = now
        return 0.0
    if any(holding.active is None for holding in holdings):
        return None
    if now - seen.known > LONGEST_GAP_SECONDS:
        seen.worked = now
    seen.known = now
    return now - (seen.held if seen.worked is None else seen.worked)


def _age(environment: Environment, holdings: list[Holding], unix: float) -> float:
    """Return for how long an environment that was not seen before has held devices, as the state files tell.

    Everybody can write these, and the clock may have been set: it is never less than 0.
    """
    attached = [holding.attached for holding in holdings if holding.attached is not None]
    since = min(attached, default=environment.created)
    return 0.0 if since is None else max(0.0, unix - since)
