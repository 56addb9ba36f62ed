"""For how long environments have held devices without working on any of them."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from genvd.common.clock import Moment
from genvd.common.text import escape_unprintable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from genvd.model.snapshot import Environment, Holding

LONGEST_GAP_SECONDS = 300.0
"""For so long nothing may be known of an environment's work without its time beginning anew: it may have worked."""

_ROUNDING_SECONDS = 1e-3
"""By so much less than their true values may be what sums of Unix times give."""


@dataclass(slots=True)
class _Seen:
    """What is known of one environment, in seconds of the monotonic clock."""

    held: float
    """Since when it holds devices without a break."""
    known: float
    """When it was last known whether it works."""
    worked: float | None = None
    active: dict[int, bool] = field(default_factory=dict)
    """By device index, whether it worked there when that was last known."""


_Identity = tuple[str, int | None, float]


@dataclass(frozen=True, slots=True)
class LastWork:
    """When an environment that holds devices last worked, for the next start of the monitor. Times are Unix seconds."""

    eid: str
    uid: int | None
    created: float
    """As genv's files say. With the two above it tells the environment from others: genv takes the numbers of processes
    as identifiers."""
    worked: float
    known: float
    """When it was last known whether it works."""
    known_boot: float | None = None
    """The same in seconds of CLOCK_BOOTTIME, as the clock may be set meanwhile; None if that is of another boot."""

    @property
    def identity(self) -> _Identity:
        """What tells the environment from others."""
        return self.eid, self.uid, self.created


class IdleClock:
    """Remembers when each environment that holds devices was last seen to work on one of them.

    It counts on the monotonic clock, so that nothing jumps when the wall clock is set. What it is to know after a
    restart of the monitor must be handed to the next one: an environment of which that knows nothing is idle since its
    attachment until it is seen to work.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[str, float | None], _Seen] = {}
        self._kept: dict[_Identity, LastWork] = {}
        self._recalled = 0.0, Moment(0.0, 0.0)
        """When that was handed over, by the monotonic clock and by the others."""
        self.last_work: tuple[LastWork, ...] = ()
        """What is to be kept: of each environment that holds devices now and was seen to work."""

    def restore(self, kept: Iterable[LastWork], monotonic: float | None = None, at: Moment | None = None) -> None:
        """Begin from what an earlier clock had in :attr:`last_work`.

        Args:
            kept: this.
            monotonic: the time by :func:`time.monotonic`; None for the time it is.
            at: the same instant by the other clocks; likewise.
        """
        self._recalled = time.monotonic() if monotonic is None else monotonic, at or Moment.now()
        self._kept = {one.identity: one for one in kept if one.worked <= one.known}

    def update(
        self,
        environments: Iterable[Environment],
        holdings: Iterable[Holding],
        monotonic: float | None = None,
        at: Moment | None = None,
    ) -> Mapping[str, float]:
        """Take in what is seen now, and return for how many seconds each environment is idle.

        One that holds nothing is not in the answer, nor is one of which it is not known whether it works.

        Args:
            environments: all that are active; what is not among them is forgotten.
            holdings: of these.
            monotonic: the time by :func:`time.monotonic`; None for the time it is.
            at: the same instant by the other clocks; likewise.
        """
        now = time.monotonic() if monotonic is None else monotonic
        at = at or Moment.now()
        held: dict[str, list[Holding]] = defaultdict(list)
        for holding in holdings:
            held[holding.eid].append(holding)
        before, self._seen = self._seen, {}
        idle = {}
        last_work = []
        for environment in environments:
            if not held[environment.eid]:
                continue
            key = environment.eid, environment.claimed_creation
            seen = before.get(key) or _Seen(now - _age(environment, held[environment.eid], at.unix), now)
            self._seen[key] = seen
            self._remember(seen, environment, held[environment.eid])
            seconds = _idle(seen, held[environment.eid], now)
            if seconds is not None:
                idle[environment.eid] = seconds
            identity = _identity(environment)
            if seen.worked is not None and identity is not None:
                worked, known = now - seen.worked, now - seen.known
                last_work.append(LastWork(*identity, at.unix - worked, at.unix - known, at.boot - known))
        self.last_work = tuple(last_work)
        return idle

    def _remember(self, seen: _Seen, environment: Environment, holdings: list[Holding]) -> None:
        """Take in what is kept of an environment that was not seen to work since, unless it held nothing meanwhile."""
        since, identity = _since(environment, holdings), _identity(environment)
        if seen.worked is not None or since is None or identity is None:
            return
        kept = self._kept.pop(identity, None)
        if kept is None:
            return
        now, at = self._recalled
        known = at.unix - kept.known if kept.known_boot is None else at.boot - kept.known_boot  # seconds ago, as below
        worked = known + kept.known - kept.worked
        if since > at.unix - worked + _ROUNDING_SECONDS:
            return
        # Nobody saw what it did while the monitor was down: as with any other gap, it may have worked. If it was last
        # seen in the future, the clock was set, and nobody knows for how long the monitor was down.
        gone = not 0 <= known <= LONGEST_GAP_SECONDS
        seen.worked = now if gone else now - worked
        if not gone:
            seen.known = min(seen.known, now - known)


def _identity(environment: Environment) -> _Identity | None:
    """Return what tells an environment from others, over restarts as well; None where its files do not say enough."""
    created = environment.claimed_creation
    return None if created is None else (escape_unprintable(environment.eid), environment.uid, created)


def _idle(seen: _Seen, holdings: list[Holding], now: float) -> float | None:
    before = seen.active
    seen.active = {h.device_index: active for h in holdings if (active := _active(h, before)) is not None}
    if any(holding.active for holding in holdings):
        seen.worked = seen.known = now
        return 0.0
    if not _all_idle(holdings, before):
        return None
    if now - seen.known > LONGEST_GAP_SECONDS:
        seen.worked = now
    seen.known = now
    return now - (seen.held if seen.worked is None else seen.worked)


def _active(holding: Holding, before: Mapping[int, bool]) -> bool | None:
    """Return whether the environment works on the device; on one that does not answer, whether it did before that."""
    if holding.active is None and holding.device_up is False:
        return before.get(holding.device_index)
    return holding.active


def _all_idle(holdings: list[Holding], before: Mapping[int, bool]) -> bool:
    """Tell whether an environment is known to work on none of its devices.

    A device that does not answer does not count, so that it makes no other look busy: unless the environment worked
    there when that was last known, and so may go on. At least one device must be known.
    """
    known = [holding for holding in holdings if holding.active is not None]
    lost = [holding for holding in holdings if holding.active is None]
    return bool(known) and not any(h.device_up is not False or before.get(h.device_index) for h in lost)


def _age(environment: Environment, holdings: list[Holding], unix: float) -> float:
    """Return for how long an environment that was not seen before has held devices, as far as is known."""
    since = _since(environment, holdings)
    return 0.0 if since is None else max(0.0, unix - since)


def _since(environment: Environment, holdings: list[Holding]) -> float | None:
    """Return the Unix time of the first attachment that is left, or of the activation."""
    attached = [holding.attached for holding in holdings if holding.attached is not None]
    return min(attached, default=environment.created)
