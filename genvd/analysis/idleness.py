"""Measures for how long environments have held GPUs without working on them: on each one, and on all of them."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from genvd.analysis.restart_state import DeviceWork, LastWork
from genvd.common.clock import Moment
from genvd.common.text import escape_unprintable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from genvd.model.snapshot import Environment, Holding

LONGEST_GAP_SECONDS = 300.0
"""After a longer time without data the idle time starts again: the environment may have worked in between."""

_ROUNDING_SECONDS = 1e-3
"""Maximum rounding error of sums of Unix times."""


class IdleTimes(NamedTuple):
    """For how many seconds nobody has worked; an unknown time is absent."""

    environments: Mapping[str, float]
    """By eid: since the environment last worked on any of its GPUs."""
    devices: Mapping[tuple[str, int], float]
    """By eid and device index: since the environment last worked on this GPU."""


@dataclass(slots=True)
class _State:
    """The state of one environment, or of one of its GPUs; times are seconds of the monotonic clock."""

    held: float
    """Since when it has held GPUs, or this GPU, without interruption."""
    known: float
    """When it was last known whether it works."""
    worked: float | None = None
    """When it was last seen to work, or when its idle time started again after a gap; None before that."""
    active: dict[int, bool] = field(default_factory=dict)
    """Whether it worked on a device when this was last known, by device index."""

    def update(self, holdings: Sequence[Holding], now: float) -> float | None:
        """Return the idle seconds; None while it is unknown whether the environment works on one of these GPUs."""
        previous = self.active
        self.active = {
            holding.device_index: active
            for holding in holdings
            if (active := _last_active(holding, previous)) is not None
        }
        if any(holding.active for holding in holdings):
            self.worked = self.known = now
            return 0.0
        if not _all_idle(holdings, previous):
            return None
        if now - self.known > LONGEST_GAP_SECONDS:
            self.worked = now
        self.known = now
        return now - self.begin

    @property
    def begin(self) -> float:
        """When the idle time began."""
        return self.held if self.worked is None else self.worked


_Key = tuple[str, float | None, int | None]
"""The eid and the creation of an environment, and the index of the GPU; None for all GPUs together."""


class IdleClock:
    """Remembers when each environment that holds GPUs last worked on each of them, and on any of them.

    It uses the monotonic clock, so setting the wall clock changes no idle time. After a restart of the monitor the
    saved state must be restored: without it an environment is idle since its attachment until it is seen to work.
    """

    def __init__(self) -> None:
        self._states: dict[_Key, _State] = {}
        self._restored: dict[tuple[str, int | None, float], LastWork] = {}
        self._restored_at = 0.0, Moment(0.0, 0.0)
        """When :meth:`restore` was called: time of the monotonic clock, and of the others."""
        self._updated: float | None = None
        """The time of the last :meth:`update`."""
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
    ) -> IdleTimes:
        """Return the idle times of all environments that hold GPUs and whose work is known.

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
        by_environment, by_device, last_work = {}, {}, []
        for environment in environments:
            own = held[environment.eid]
            if not own:
                continue
            whole, states = self._take_states(previous, environment, own, now, at)
            seconds = whole.update(own, now)
            if seconds is not None:
                by_environment[environment.eid] = seconds
            for holding, state in zip(own, states, strict=True):
                seconds = state.update((holding,), now)
                if seconds is not None:
                    by_device[environment.eid, holding.device_index] = seconds
            identity = _identity(environment)
            if whole.worked is not None and identity is not None:
                last_work.append(_last_work(identity, whole, own, states, now, at))
        self.last_work, self._updated = tuple(last_work), now
        return IdleTimes(by_environment, by_device)

    def _take_states(
        self,
        previous: Mapping[_Key, _State],
        environment: Environment,
        holdings: Sequence[Holding],
        now: float,
        at: Moment,
    ) -> tuple[_State, list[_State]]:
        """Return the states of an environment and of each of its GPUs, with what was restored."""
        eid, created = environment.eid, environment.claimed_creation

        def state(index: int | None, since: float | None, oldest: float | None = None) -> _State:
            key = eid, created, index
            held = now if since is None else now - max(0.0, at.unix - since)
            new = _State(held if oldest is None else max(held, oldest), now)
            return self._states.setdefault(key, previous.get(key) or new)

        # What was not there at the previous update, or not listed by the driver, begins after that.
        oldest = self._updated if (eid, created, None) in previous else None
        whole = state(None, _held_since(environment, holdings))
        states = [
            state(
                holding.device_index,
                _held_since(environment, (holding,)) if oldest is None else holding.attached,
                oldest,
            )
            for holding in holdings
        ]
        self._apply_restored(environment, holdings, whole, states)
        return whole, states

    def _apply_restored(
        self, environment: Environment, holdings: Sequence[Holding], whole: _State, states: Sequence[_State]
    ) -> None:
        """Apply the saved state of an environment to what has not been seen to work since."""
        identity = _identity(environment)
        if identity is None or _held_since(environment, holdings) is None:
            return
        saved = self._restored.pop(identity, None)
        if saved is None:
            return
        self._apply(whole, _held_since(environment, holdings), saved)
        for holding, state in zip(holdings, states, strict=True):
            self._apply(state, _held_since(environment, (holding,)), saved.on_device(holding.device_index))

    def _apply(self, state: _State, since: float | None, saved: LastWork) -> None:
        """Apply a saved state, unless the environment has worked since, or did not hold the GPU in between."""
        if state.worked is not None or since is None:
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


def _last_work(
    identity: tuple[str, int | None, float],
    whole: _State,
    holdings: Sequence[Holding],
    states: Sequence[_State],
    now: float,
    at: Moment,
) -> LastWork:
    """Return the state to save of an environment that has been seen to work.

    Args:
        identity: see :func:`_identity`.
        whole: its state for all GPUs together.
        holdings: the GPUs it holds.
        states: its state for each of them.
        now: the current time of the monotonic clock.
        at: the current time by the other clocks.
    """

    def unix(moment: float) -> float:
        return at.unix - (now - moment)

    return LastWork(
        *identity,
        worked=unix(whole.begin),
        known=unix(whole.known),
        known_boot=at.boot - (now - whole.known),
        devices=tuple(
            DeviceWork(holding.device_index, unix(state.begin), unix(state.known))
            for holding, state in zip(holdings, states, strict=True)
        ),
    )


def _identity(environment: Environment) -> tuple[str, int | None, float] | None:
    """Return what identifies an environment across restarts; None if genv's files do not have enough."""
    created = environment.claimed_creation
    return None if created is None else (escape_unprintable(environment.eid), environment.uid, created)


def _last_active(holding: Holding, previous: Mapping[int, bool]) -> bool | None:
    """Return whether the environment works on the GPU; if the GPU does not answer, the last known value."""
    if holding.active is None and holding.device_up is False:
        return previous.get(holding.device_index)
    return holding.active


def _all_idle(holdings: Sequence[Holding], previous: Mapping[int, bool]) -> bool:
    """Return True if the environment is known to work on none of its GPUs.

    A GPU that does not answer is ignored, unless the environment was working there when this was last known: it may
    still be working. At least one GPU must be known.
    """
    known = [holding for holding in holdings if holding.active is not None]
    unknown = [holding for holding in holdings if holding.active is None]
    return bool(known) and not any(
        holding.device_up is not False or previous.get(holding.device_index) for holding in unknown
    )


def _held_since(environment: Environment, holdings: Sequence[Holding]) -> float | None:
    """Return the Unix time of the oldest current attachment, or else of the environment's creation."""
    attached = [holding.attached for holding in holdings if holding.attached is not None]
    return min(attached, default=environment.created)
