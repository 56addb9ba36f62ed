"""When environments were created and GPUs attached, whatever genv's files say."""

from __future__ import annotations

import pytest

from genvd.analysis.first_seen import MAX_GONE, FirstSeenTracker
from genvd.analysis.restart_state import NO_DEVICE, RestartState, SavedTime
from genvd.common.clock import Moment
from genvd.model.facts import Attachment, EnvironmentRecord, GenvFacts, ProcessFacts
from genvd.model.snapshot import Environment, Holding

NOW = 1_800_000_000.0
BOOT = 50_000.0
HOUR = 3600.0
OWNER = ProcessFacts(live_pids=frozenset({7, 8}), uids={7: 1001, 8: 0}, starts={7: BOOT - 2 * HOUR, 8: 1.0})


def moment(at: float, wall: float | None = None) -> Moment:
    return Moment(BOOT + at, NOW + (at if wall is None else wall))


def facts(created: float | None, attached: float | None = None, pids: tuple[int, ...] = (7, 8)) -> GenvFacts:
    record = EnvironmentRecord("a", 1001, "alice", created=created, pids=pids)
    return GenvFacts((record,), (Attachment("a", 0, attached=attached),))


def first_seen(
    tracker: FirstSeenTracker,
    genv: GenvFacts,
    at: float,
    wall: float | None = None,
    processes: ProcessFacts = OWNER,
    *,
    fresh: bool = True,
) -> tuple[float | None, float | None]:
    """Return when the environment was created and its GPU attached, in seconds after :data:`NOW`."""
    corrected = tracker.update(genv, processes, moment(at, wall), moment(at, wall), fresh=fresh)
    times = [one.created for one in corrected.environments[:1]] + [one.attached for one in corrected.attachments[:1]]
    created, attached = (None if time is None else time - NOW for time in (*times, None)[:2])
    return created, attached


@pytest.mark.parametrize(
    ("claimed", "expected"),
    [(95, 95), (89.5, 89.5), (-8 * HOUR, 90), (-HOUR, 90), (9 * HOUR, 100), (100.5, 100)],
    ids=["just now", "in whole seconds", "west", "not older though its process is", "east", "in the future"],
)
def test_an_entry_that_appears_while_the_monitor_runs_appeared_between_two_collections(
    claimed: float, expected: float
) -> None:
    tracker = FirstSeenTracker()
    tracker.update(GenvFacts(), ProcessFacts(), moment(80), moment(80))
    tracker.update(GenvFacts(), ProcessFacts(), moment(90), moment(90))
    genv = facts(NOW + claimed, NOW + claimed)
    assert first_seen(tracker, genv, 100) == (expected, expected)
    assert first_seen(tracker, genv, 10 * HOUR) == (expected, expected), "it stays the same"


@pytest.mark.parametrize(
    ("claimed", "pids", "expected"),
    [
        (-HOUR, (7, 8), -HOUR),
        (-8 * HOUR, (7, 8), -2 * HOUR),
        (-8 * HOUR, (8,), -8 * HOUR),
        (-HOUR, (9,), 0),
        (HOUR, (7,), 0),
    ],
    ids=["as it says", "as old as its owner's process", "of others alone", "of none known", "in the future"],
)
def test_an_entry_from_before_the_first_collection_is_not_older_than_its_processes(
    claimed: float, pids: tuple[int, ...], expected: float
) -> None:
    genv = facts(NOW + claimed, NOW + claimed, pids)
    assert first_seen(FirstSeenTracker(), genv, 0) == (expected, expected)


def test_the_process_of_a_jupyter_kernel_counts() -> None:
    record = EnvironmentRecord("a", 1001, created=NOW - 8 * HOUR, kernel_ids=("k",))
    kernels = ProcessFacts(kernel_uids={"k": frozenset({1001})}, kernel_starts={"k": BOOT - HOUR})
    assert first_seen(FirstSeenTracker(), GenvFacts((record,)), 0, processes=kernels) == (-HOUR, None)


def test_an_attachment_is_not_older_than_its_environment() -> None:
    assert first_seen(FirstSeenTracker(), facts(NOW - 100, NOW - HOUR), 0) == (-100, -100)
    assert first_seen(FirstSeenTracker(), facts(None, NOW - HOUR), 0) == (None, 0)


def test_a_collection_that_did_not_read_the_files_is_no_lower_bound() -> None:
    tracker = FirstSeenTracker()
    tracker.update(GenvFacts(), ProcessFacts(), moment(0), moment(0))
    tracker.update(GenvFacts(), ProcessFacts(), moment(50), moment(50), fresh=False)
    assert first_seen(tracker, facts(NOW + 20, NOW + 30), 60) == (20, 30)


def test_entries_that_disappear_and_return_keep_their_times() -> None:
    tracker = FirstSeenTracker()
    genv = facts(NOW - HOUR, NOW - 60)
    assert first_seen(tracker, genv, 0) == (-HOUR, -60)
    tracker.update(GenvFacts(), ProcessFacts(), moment(10), moment(10))
    assert first_seen(tracker, genv, 9 * HOUR) == (-HOUR, -60)
    assert first_seen(tracker, facts(NOW - 7 * HOUR, NOW - 60), 9 * HOUR + 10)[0] == 9 * HOUR, "another environment"
    tracker.reset()
    assert first_seen(tracker, facts(NOW - 1.5 * HOUR), 9 * HOUR + 20)[0] == -1.5 * HOUR, "other files"


@pytest.mark.parametrize("step", [-600 * 86400.0, 600 * 86400.0])
def test_times_are_corrected_when_the_clock_is_corrected(step: float) -> None:
    """The start of the process gives the bound, on a clock that nobody can set."""
    tracker = FirstSeenTracker()
    tracker.update(GenvFacts(), ProcessFacts(), moment(0), moment(0, step))
    genv = facts(NOW + 5 + step, NOW + 5 + step)
    assert first_seen(tracker, genv, 10, 10 + step) == (5 + step, 5 + step)
    created, attached = first_seen(tracker, genv, 20)
    assert created is not None and 0 <= created <= 10
    assert attached is not None and 0 <= attached <= 10


def test_times_stay_the_same_after_a_restart() -> None:
    """Even if the shell that activated the environment has ended, and only a later one is alive."""
    before = FirstSeenTracker()
    before.update(GenvFacts(), ProcessFacts(), moment(0), moment(0))
    genv = facts(NOW - 8 * HOUR, NOW + 9 * HOUR)
    assert first_seen(before, genv, 10) == (0, 10)
    record, attachment = genv.environments[0], genv.attachments[0]
    environment = Environment("a", record.uid, None, None, None, None, None, (0,), ())
    saved = before.to_save([environment], [Holding("a", 1001, None, 0, None, None, None, attachment.attached)])
    assert [(one.claimed - NOW, one.resolved - NOW) for one in saved] == [(-8 * HOUR, 0), (9 * HOUR, 10)]
    later = ProcessFacts(live_pids=frozenset({7}), uids={7: 1001}, starts={7: BOOT + 2 * HOUR})
    after = FirstSeenTracker()
    assert first_seen(after, genv, 5 * HOUR, processes=later) == (2 * HOUR, 5 * HOUR)
    after.restore(saved)
    assert first_seen(after, genv, 5 * HOUR, processes=later) == (0, 10)
    assert first_seen(after, facts(NOW - 8 * HOUR, NOW + 10 * HOUR), 11 * HOUR)[1] == 10 * HOUR, "attached again"


@pytest.mark.parametrize("ahead", [-2 * HOUR, 2 * HOUR, 400 * 24 * HOUR])
def test_a_wrong_clock_during_restarts_does_no_lasting_harm(ahead: float) -> None:
    """The environment is an hour old; the clock differs at each start of the monitor."""
    genv = facts(NOW - HOUR, NOW - 60)
    one = Environment("a", 1001, None, None, None, None, None, (0,), ()), Holding("a", 1001, None, 0, *(None,) * 4)
    saved: tuple[SavedTime, ...] = ()
    for at, wrong in enumerate((0.0, ahead, ahead, 0.0)):
        tracker = FirstSeenTracker()
        tracker.restore(saved)
        created, attached = first_seen(tracker, genv, at, at + wrong)
        assert created is not None and attached is not None
        assert -2 * HOUR <= created - wrong <= at, "no older than its process, and not in the future"
        assert created <= attached and attached - wrong <= at
        saved = tracker.to_save([one[0]], [one[1]])
    assert (created, attached) == (-HOUR, -60), "the times are correct again"


def test_times_of_another_boot_or_from_the_future_are_not_restored() -> None:
    times = (SavedTime("a", NO_DEVICE, NOW - 8 * HOUR, NOW - 8 * HOUR, BOOT - 8 * HOUR, BOOT - 7 * HOUR, NOW - BOOT),)
    state = RestartState(times=times, boot_id="one")
    assert state.for_boot("one") == state
    assert state.for_boot("other").times == state.for_boot(None).times == ()
    assert RestartState(times=times).for_boot(None).times == ()
    tracker = FirstSeenTracker()
    tracker.restore([times[0]._replace(latest=BOOT + 1)])
    assert first_seen(tracker, facts(NOW - 8 * HOUR), 0) == (-2 * HOUR, None)


def test_the_number_of_remembered_entries_is_bounded() -> None:
    tracker = FirstSeenTracker()
    for tick in range(5):
        many = tuple(EnvironmentRecord(f"{tick} {number}", created=NOW) for number in range(5000))
        tracker.update(GenvFacts(many), ProcessFacts(), moment(tick), moment(tick))
    assert len(tracker._gone) == MAX_GONE
    assert len(tracker._present) == 5000
