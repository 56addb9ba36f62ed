"""For how long an environment is idle, whatever the clocks do."""

from __future__ import annotations

from functools import partial

import pytest

from genvd.analysis.idleness import LONGEST_GAP_SECONDS, IdleClock
from genvd.analysis.restart_state import DeviceWork, LastWork
from genvd.common.clock import Moment
from genvd.model.snapshot import Environment, Holding

NOW = 1_800_000_000.0
BOOT = 40_000.0


def environment(eid: str = "a", created: float | None = NOW - 900) -> Environment:
    return Environment(eid, 1001, "alice", None, None, None, created, (0,), ())


def holding(active: bool | None, index: int = 0, attached: float | None = None, eid: str = "a") -> Holding:
    return Holding(eid, 1001, "alice", index, None, active, None, attached)


def moment(at: float, wall: float | None = None) -> Moment:
    return Moment(BOOT + at, NOW + at if wall is None else wall)


def seconds(
    clock: IdleClock, at: float, *holdings: Holding, wall: float | None = None, created: float | None = NOW - 900
) -> float | None:
    """Return the idle seconds of the environment ``at`` seconds after the first collection."""
    idle = clock.update([environment(created=created)], holdings, 500.0 + at, moment(at, wall))
    return idle.environments.get("a")


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
def test_the_first_collection(holdings: tuple[Holding, ...], created: float | None, expected: float | None) -> None:
    assert seconds(IdleClock(), 0, *holdings, created=created) == expected


def test_idle_time_counts_from_the_last_work() -> None:
    clock = IdleClock()
    assert seconds(clock, 0, holding(False, attached=NOW - 60)) == 60
    assert seconds(clock, 10, holding(True, attached=NOW - 60)) == 0
    assert seconds(clock, 25, holding(False, attached=NOW - 60)) == 15
    assert seconds(clock, 40, holding(False, attached=NOW - 60)) == 30


@pytest.mark.parametrize("wall", [0.0, NOW - 1e6, NOW + 1e6])
def test_setting_the_clock_does_not_change_the_idle_time(wall: float) -> None:
    clock = IdleClock()
    seconds(clock, 0, holding(False, attached=NOW - 60))
    assert seconds(clock, 10, holding(False, attached=NOW - 60), wall=wall) == 70


def lost(index: int = 0) -> Holding:
    return Holding("a", 1001, "alice", index, None, None, None, None, device_up=False)


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ((holding(False), holding(False, 1)), 910),
        ((holding(True), holding(False, 1)), None),
        ((holding(False), holding(True, 1)), 10),
        ((lost(), holding(False, 1)), 910),
        ((holding(None), holding(False, 1)), 910),
    ],
    ids=["idle on both", "worked on the lost one", "worked on the other", "lost from the start", "never known"],
)
def test_a_lost_device_does_not_make_the_others_look_busy(before: tuple[Holding, ...], expected: float | None) -> None:
    clock = IdleClock()
    seconds(clock, 0, *before)
    assert seconds(clock, 10, lost(), holding(False, 1)) == expected
    if expected is None:
        assert seconds(clock, 20, lost(), holding(False, 1)) is None, "it may go on"


def test_idle_time_is_unknown_if_all_devices_are_lost() -> None:
    clock = IdleClock()
    seconds(clock, 0, holding(False))
    assert seconds(clock, 10, lost()) is None


def test_idle_time_starts_again_with_the_next_attachment() -> None:
    clock = IdleClock()
    seconds(clock, 0, holding(True))
    assert seconds(clock, 500) is None
    assert seconds(clock, 1000, holding(False, attached=NOW + 990)) == 10


@pytest.mark.parametrize(("gap", "expected"), [(LONGEST_GAP_SECONDS - 1, 10), (LONGEST_GAP_SECONDS + 1, 0)])
def test_a_gap_in_the_data(gap: float, expected: float) -> None:
    clock = IdleClock()
    seconds(clock, 0, holding(True))
    for after in range(1, int(gap), 10):
        assert seconds(clock, after, holding(None)) is None
    found = seconds(clock, gap, holding(False))
    assert found == (gap if expected else 0)


def test_idle_time_starts_again_for_a_new_environment_with_the_same_eid() -> None:
    clock = IdleClock()
    seconds(clock, 0, holding(False), created=NOW - 900)
    assert seconds(clock, 10, holding(False), created=NOW + 5) == 5


def test_inactive_environments_are_forgotten() -> None:
    clock = IdleClock()
    for number in range(50):
        one = environment(str(number))
        clock.update([one], [holding(False, eid=one.eid)], 500.0 + number, moment(0))
    assert len(clock._states) == 2, "the environment and its GPU"


# --- Each GPU -------------------------------------------------------------------------------------------------


def by_device(clock: IdleClock, at: float, *holdings: Holding, created: float | None = NOW - 900) -> dict[int, float]:
    """Return the idle seconds of each GPU of the environment ``at`` seconds after the first collection."""
    idle = clock.update([environment(created=created)], holdings, 500.0 + at, moment(at))
    return {index: seconds for (_, index), seconds in idle.devices.items()}


def test_each_gpu_is_idle_for_itself() -> None:
    clock = IdleClock()
    held = partial(holding, attached=NOW - 600)
    assert by_device(clock, 0, held(True, 8), held(False, 10)) == {8: 0, 10: 600}
    assert by_device(clock, 10, held(False, 8), held(True, 10)) == {8: 10, 10: 0}
    assert by_device(clock, 30, held(True, 8), held(False, 10)) == {8: 0, 10: 20}
    assert by_device(clock, 40, held(None, 8), held(False, 10)) == {10: 30}
    assert by_device(clock, 50, held(False, 8), lost(10)) == {8: 20}
    assert by_device(clock, 60, held(False, 8), held(False, 10)) == {8: 30, 10: 50}


@pytest.mark.parametrize(("gap", "expected"), [(LONGEST_GAP_SECONDS, 900 + LONGEST_GAP_SECONDS), (301.0, 0)])
def test_a_gap_in_the_data_of_a_gpu(gap: float, expected: float) -> None:
    """Somebody may have worked there, whatever they did on the others."""
    clock = IdleClock()
    by_device(clock, 0, holding(False), holding(False, 1))
    assert by_device(clock, 10, lost(), holding(False, 1)) == {1: 910}
    assert by_device(clock, gap, holding(False), holding(False, 1)) == {0: expected, 1: 900 + gap}


def test_a_gpu_that_is_added_is_idle_since_then() -> None:
    clock = IdleClock()
    by_device(clock, 0, holding(False))
    assert by_device(clock, 60, holding(False), holding(False, 1), holding(False, 2, attached=NOW + 40)) == {
        0: 960,
        1: 0,
        2: 20,
    }
    assert by_device(clock, 70, holding(False)) == {0: 970}
    again = holding(False), holding(False, 1, attached=NOW - 600)
    assert by_device(clock, 90, *again) == {0: 990, 1: 20}, "the driver did not list it in between"


# --- After a restart ------------------------------------------------------------------------------------------


def restarted(*saved: LastWork) -> IdleClock:
    """Return the clock of a monitor that was started just now."""
    clock = IdleClock()
    clock.restore(saved, 500.0, moment(0))
    return clock


def last_work(
    worked: float, known: float, eid: str = "a", uid: int | None = 1001, created: float = NOW - 900
) -> LastWork:
    """Return work so many seconds ago, of which something was known so many seconds ago."""
    return LastWork(eid, uid, created, NOW - worked, NOW - known)


def test_idle_time_continues_after_a_restart() -> None:
    before = IdleClock()
    seconds(before, -70, holding(True, attached=NOW - 600))
    seconds(before, -10, holding(False, attached=NOW - 600))
    devices = (DeviceWork(0, NOW - 70, NOW - 10),)
    assert before.last_work == (last_work(70, 10)._replace(known_boot=BOOT - 10, devices=devices),)
    clock = restarted(*before.last_work)
    assert seconds(clock, 5, holding(False, attached=NOW - 600)) == 75
    devices = (DeviceWork(0, NOW - 70, NOW + 5),)
    assert clock.last_work == (last_work(70, -5)._replace(known_boot=BOOT + 5, devices=devices),)
    assert seconds(clock, 10, holding(True, attached=NOW - 600)) == 0
    assert seconds(clock, 20, holding(False, attached=NOW - 600)) == 10


@pytest.mark.parametrize(
    ("saved", "attached", "expected"),
    [
        (last_work(70, 10), NOW - 600, 70),
        (last_work(70, 10), None, 70),
        (last_work(600, 10), NOW - 600, 600),
        (last_work(601, 10), NOW - 600, 600),
        (last_work(70, 10), NOW - 60, 60),
        (last_work(-70, -80), NOW - 600, 0),  # the clock was set back
        (last_work(70, -80), NOW - 600, 0),
        (last_work(70, 80), NOW - 600, 600),
        (last_work(float("nan"), 10), NOW - 600, 600),
        (last_work(500, LONGEST_GAP_SECONDS - 1), NOW - 600, 500),
        (last_work(500, LONGEST_GAP_SECONDS + 1), NOW - 600, 0),
        (last_work(70, 10, eid="b"), NOW - 600, 600),
        (last_work(70, 10, uid=1002), NOW - 600, 600),
        (last_work(70, 10, uid=None), NOW - 600, 600),
        (last_work(70, 10, created=NOW - 901), NOW - 600, 600),
    ],
)
def test_saved_state_is_used_only_for_the_same_environment_and_if_plausible(
    saved: LastWork, attached: float | None, expected: float
) -> None:
    assert seconds(restarted(saved), 0, holding(False, attached=attached)) == expected


@pytest.mark.parametrize("ahead", [-7200.0, -30.0, 30.0, 7200.0, 400 * 86400.0])
def test_setting_the_clock_while_the_monitor_is_stopped_does_not_change_the_idle_time(ahead: float) -> None:
    saved = last_work(70, 10)._replace(known_boot=BOOT - 10)
    clock = IdleClock()
    clock.restore([saved], 500.0, moment(0, NOW + ahead))
    held = holding(False, attached=NOW + ahead - 600)
    assert clock.update([environment()], [held], 500.0, moment(0, NOW + ahead)).environments == {"a": 70}


def test_an_unknown_state_stays_unknown_after_a_restart() -> None:
    """However often it is restarted meanwhile: nobody saw what the environment did in these more than 5 minutes."""
    clock = restarted(last_work(200, 100))
    assert seconds(clock, 0, holding(None)) is None
    saved = clock.last_work
    clock = IdleClock()
    clock.restore(saved, 900.0, moment(150))
    idle = clock.update([environment()], [holding(None)], 900.0, moment(150))
    assert not idle.environments
    idle = clock.update([environment()], [holding(False)], 960.0, moment(210))
    assert idle.environments == {"a": 0}


def test_saved_state_is_ignored_if_the_environment_has_worked_since() -> None:
    idle, working = IdleClock(), IdleClock()
    assert seconds(idle, -5, holding(False)) == 895
    assert seconds(working, -5, holding(True)) == 0
    for clock in (idle, working):
        clock.restore([last_work(70, 10)], 500.0, moment(0))
    assert seconds(idle, 0, holding(False)) == 70
    assert seconds(working, 0, holding(False)) == 5


def test_only_environments_that_hold_devices_and_have_worked_are_saved() -> None:
    clock = IdleClock()
    seconds(clock, 0, holding(False))
    assert clock.last_work == ()
    seconds(clock, 1, holding(True))
    assert clock.last_work != ()
    seconds(clock, 2)
    assert clock.last_work == ()


def test_the_idle_time_of_each_gpu_continues_after_a_restart() -> None:
    before = IdleClock()
    held = partial(holding, attached=NOW - 600)
    by_device(before, -80, held(True, 8), held(True, 9), held(False, 10), lost(11))
    by_device(before, -10, held(True, 8), held(False, 9), held(False, 10), lost(11))
    clock = restarted(*before.last_work)
    now = (held(False, 8), held(False, 9), held(False, 10), held(False, 11), held(False, 12))
    # 12 was not there: nobody knows where the environment worked last.
    assert by_device(clock, 5, *now) == {8: 15, 9: 85, 10: 605, 11: 605, 12: 15}


@pytest.mark.parametrize(
    ("saved", "expected"),
    [
        ((), 70),
        ((DeviceWork(1, NOW - 500, NOW - 10),), 70),
        ((DeviceWork(0, NOW - 500, NOW - 10),), 500),
        ((DeviceWork(0, NOW - 500, NOW - 20),), 500),
        ((DeviceWork(0, NOW - 500, NOW - 301),), 0),
        ((DeviceWork(0, NOW - 500, NOW + 1),), 70),
        ((DeviceWork(0, float("nan"), NOW - 10),), 70),
    ],
    ids=["older version", "another", "this one", "not at the end", "long ago", "later than the rest", "garbage"],
)
@pytest.mark.parametrize("ahead", [0.0, 86400.0])
def test_the_saved_state_of_a_gpu(saved: tuple[DeviceWork, ...], expected: float, ahead: float) -> None:
    clock = IdleClock()
    work = last_work(70, 10)._replace(known_boot=BOOT - 10, devices=saved)
    clock.restore([work], 500.0, moment(0, NOW + ahead))
    held = holding(False, attached=NOW + ahead - 600)
    idle = clock.update([environment()], [held], 500.0, moment(0, NOW + ahead))
    assert idle.devices == {("a", 0): pytest.approx(expected)}
    assert idle.environments == {"a": 70}
