"""Measures for how long environments have held GPUs without working on any of them."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from genvd.analysis.restart_state import LastWork
from genvd.common.clock import Moment
from genvd.common.text import escape_unprintable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from genvd.model.snapshot import Environment, Holding

LONGEST_GAP_SECONDS = 300.0
"""After a longer time without data the idle time starts again: the environment may have worked in between."""

_ROUNDING_SECONDS = 1e-3
"""Maximum rounding error of sums of Unix times."""


@dataclass(slots=True)
class _State:
    """The state of one environment; times are seconds of the monotonic clock."""

    held: float
    """Since when it has held GPUs without interruption."""
    known: float
    """When it was last known whether it works."""
    worked: float | None = None
    """When it was last seen to work, or when its idle time started again after a gap; None before that."""
    active: dict[int, bool] = field(default_factory=dict)
    """Whether it worked on a device when this was last known, by device index."""


class IdleClock:
    """Remembers when each environment that holds GPUs last worked on one of them.

    It uses the monotonic clock, so setting the wall clock changes no idle time. After a restart of the monitor the
    saved state must be restored: without it an environment is idle since its attachment until it is seen to work.
    """

    def __init__(self) -> None:
        self._states: dict[tuple[str, float | None], _State] = {}
        self._restored: dict[tuple[str, int | None, float], LastWork] = {}
        self._restored_at = 0.0, Moment(0.0, 0.0)
        """When :meth:`restore` was called: time of the monotonic clock, and of the others."""
        self.last_work: tuple[LastWork, ...] = ()
        """The state to save: all environments that hold GPUs and have been seen to work."""

    def restore(self, saved: Iterable[LastWork], monotonic: float | None = None, at: Moment | None = None) -> None:
        """Continue with what :attr:`last_work` was before the restart.

        Args:
            saved: the earlier value of :attr:`last_work`.
            monotonic: the current time as of :func:`time.monotonic`; None to read the clock.
            at: the current time by the other clocks; None to read them.
        """
        self._restored_at = time.monotonic() if monotonic is None else monotonic, at or Moment.now()
        self._restored = {work.identity: work for work in saved if work.worked <= work.known}

    def update(
        self,
        environments: Iterable[Environment],
        holdings: Iterable[Holding],
        monotonic: float | None = None,
        at: Moment | None = None,
    ) -> Mapping[str, float]:
        """Return the idle seconds by eid, for all environments that hold GPUs and whose work is known.

        Args:
            environments: all active environments; the others are forgotten.
            holdings: the GPUs they hold.
            monotonic: the current time as of :func:`time.monotonic`; None to read the clock.
            at: the current time by the other clocks; None to read them.
        """
        now = time.monotonic() if monotonic is None else monotonic
        at = at or Moment.now()
        held: dict[str, list[Holding]] = defaultdict(list)
        for holding in holdings:
            held[holding.eid].append(holding)
        previous, self._states = self._states, {}
        idle = {}
        last_work = []
        for environment in environments:
            if not held[environment.eid]:
                continue
            key = environment.eid, environment.claimed_creation
            state = previous.get(key) or _State(now - _age(environment, held[environment.eid], at.unix), now)
            self._states[key] = state
            self._apply_restored(state, environment, held[environment.eid])
            seconds = _idle_seconds(state, held[environment.eid], now)
            if seconds is not None:
                idle[environment.eid] = seconds
            identity = _identity(environment)
            if state.worked is not None and identity is not None:
                worked_age, known_age = now - state.worked, now - state.known
                last_work.append(LastWork(*identity, at.unix - worked_age, at.unix - known_age, at.boot - known_age))
        self.last_work = tuple(last_work)
        return idle

    def _apply_restored(self, state: _State, environment: Environment, holdings: list[Holding]) -> None:
        """Apply the saved state of an environment, unless it has worked since, or held no GPU in between."""
        since, identity = _held_since(environment, holdings), _identity(environment)
        if state.worked is not None or since is None or identity is None:
            return
        saved = self._restored.pop(identity, None)
        if saved is None:
            return
        now, at = self._restored_at
        # Seconds between these events and the restore.
        known_age = at.unix - saved.known if saved.known_boot is None else at.boot - saved.known_boot
        worked_age = known_age + saved.known - saved.worked
        if since > at.unix - worked_age + _ROUNDING_SECONDS:
            return
        # While the monitor was stopped the environment may have worked, as in any other gap. A time in the future means
        # that the clock was set: then the length of the gap is unknown.
        short_gap = 0 <= known_age <= LONGEST_GAP_SECONDS
        state.worked = now - worked_age if short_gap else now
        if short_gap:
            state.known = min(state.known, now - known_age)


def _identity(environment: Environment) -> tuple[str, int | None, float] | None:
    """Return what identifies an environment across restarts; None if genv's files do not have enough."""
    created = environment.claimed_creation
    return None if created is None else (escape_unprintable(environment.eid), environment.uid, created)


def _idle_seconds(state: _State, holdings: list[Holding], now: float) -> float | None:
    """Update the state of an environment and return its idle seconds; None while it is unknown whether it works."""
    previous = state.active
    state.active = {
        holding.device_index: active for holding in holdings if (active := _last_active(holding, previous)) is not None
    }
    if any(holding.active for holding in holdings):
        state.worked = state.known = now
        return 0.0
    if not _all_idle(holdings, previous):
        return None
    if now - state.known > LONGEST_GAP_SECONDS:
        state.worked = now
    state.known = now
    return now - (state.held if state.worked is None else state.worked)


def _last_active(holding: Holding, previous: Mapping[int, bool]) -> bool | None:
    """Return whether the environment works on the GPU; if the GPU does not answer, the last known value."""
    if holding.active is None and holding.device_up is False:
        return previous.get(holding.device_index)
    return holding.active


def _all_idle(holdings: list[Holding], previous: Mapping[int, bool]) -> bool:
    """Return True if the environment is known to work on none of its GPUs.

    A GPU that does not answer is ignored, unless the environment was working there when this was last known: it may
    still be working. At least one GPU must be known.
    """
    known = [holding for holding in holdings if holding.active is not None]
    unknown = [holding for holding in holdings if holding.active is None]
    return bool(known) and not any(
        holding.device_up is not False or previous.get(holding.device_index) for holding in unknown
    )


def _age(environment: Environment, holdings: list[Holding], unix: float) -> float:
    """Return for how many seconds a new environment has held GPUs; 0 if unknown."""
    since = _held_since(environment, holdings)
    return 0.0 if since is None else max(0.0, unix - since)


def _held_since(environment: Environment, holdings: list[Holding]) -> float | None:
    """Return the Unix time of the oldest current attachment, or else of the environment's creation."""
    attached = [holding.attached for holding in holdings if holding.attached is not None]
    return min(attached, default=environment.created)
