"""For how long an environment is idle, whatever the clocks do."""

from __future__ import annotations

import pytest

from genvd.idleness import LONGEST_GAP_SECONDS, IdleClock
from genvd.model import Environment, Holding

NOW = 1_800_000_000.0


def environment(eid: str = "a", created: float | None = NOW - 900) -> Environment:
    return Environment(eid, 1001, "alice", None, None, None, created, (0,), ())


def holding(active: bool | None, index: int = 0, attached: float | None = None, eid: str = "a") -> Holding:
    return Holding(eid, 1001, "alice", index, None, active, None, attached)


def seconds(
    clock: IdleClock, at: float, *holdings: Holding, wall: float | None = None, created: float | None = NOW - 900
) -> float | None:
    """Return for how long the environment is idle, so many seconds after the first look."""
    idle = clock.take([environment(created=created)], holdings, 500.0 + at, NOW + at if wall is None else wall)
    return idle.get("a")


@pytest.mark.parametrize(
    ("holdings", "created", "expected"),
    [
        ((holding(False, attached=NOW - 60),), NOW - 900, 60),
        ((holding(False, attached=NOW - 60), holding(False, 1, attached=NOW - 30)), NOW - 900, 60),
        ((holding(False),), NOW - 90, 90),
        ((holding(False),), None, 0),
        ((holding(False, attached=NOW + 3600),), None, 0),
        ((holding(True, attached=NOW - 60),), None, 0),
        ((holding(False), holding(True, 1)), None, 0),
        ((holding(None), holding(True, 1)), None, 0),
        ((holding(None), holding(False, 1)), None, None),
        ((), None, None),
    ],
)
def test_at_the_first_look(holdings: tuple[Holding, ...], created: float | None, expected: float | None) -> None:
    assert seconds(IdleClock(), 0, *holdings, created=created) == expected


def test_it_counts_from_the_last_work() -> None:
    clock = IdleClock()
    assert seconds(clock, 0, holding(False, attached=NOW - 60)) == 60
    assert seconds(clock, 10, holding(True, attached=NOW - 60)) == 0
    assert seconds(clock, 25, holding(False, attached=NOW - 60)) == 15
    assert seconds(clock, 40, holding(False, attached=NOW - 60)) == 30


@pytest.mark.parametrize("wall", [0.0, NOW - 1e6, NOW + 1e6])
def test_setting_the_clock_changes_nothing(wall: float) -> None:
    clock = IdleClock()
    seconds(clock, 0, holding(False, attached=NOW - 60))
    assert seconds(clock, 10, holding(False, attached=NOW - 60), wall=wall) == 70


def test_who_holds_anew_is_idle_since_then() -> None:
    clock = IdleClock()
    seconds(clock, 0, holding(True))
    assert seconds(clock, 500) is None
    assert seconds(clock, 1000, holding(False, attached=NOW + 990)) == 10


@pytest.mark.parametrize(("gap", "expected"), [(LONGEST_GAP_SECONDS - 1, 10), (LONGEST_GAP_SECONDS + 1, 0)])
def test_work_that_could_not_be_seen(gap: float, expected: float) -> None:
    clock = IdleClock()
    seconds(clock, 0, holding(True))
    for after in range(1, int(gap), 10):
        assert seconds(clock, after, holding(None)) is None
    found = seconds(clock, gap, holding(False))
    assert found == (gap if expected else 0)


def test_another_environment_with_an_old_identifier_begins_anew() -> None:
    clock = IdleClock()
    seconds(clock, 0, holding(False), created=NOW - 900)
    assert seconds(clock, 10, holding(False), created=NOW + 5) == 5


def test_what_is_gone_is_forgotten() -> None:
    clock = IdleClock()
    for number in range(50):
        one = environment(str(number))
        clock.take([one], [holding(False, eid=one.eid)], 500.0 + number, NOW)
    assert len(clock._seen) == 1
