"""Since when environments and attachments are there, whatever genv's files say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from genvd.analysis.first_seen import MAX_GONE, NO_DEVICE, FirstSeenTracker, SavedTime
from genvd.analysis.restart_state import RestartState
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


def look(
    sightings: FirstSeenTracker,
    genv: GenvFacts,
    at: float,
    wall: float | None = None,
    processes: ProcessFacts = OWNER,
    *,
    fresh: bool = True,
) -> tuple[float | None, float | None]:
    """Return since when the environment and its attachment are there, in seconds from :data:`NOW` on."""
    found = sightings.update(genv, processes, moment(at, wall), moment(at, wall), fresh=fresh)
    times = [one.created for one in found.environments[:1]] + [one.attached for one in found.attachments[:1]]
    created, attached = (None if time is None else time - NOW for time in (*times, None)[:2])
    return created, attached


@pytest.mark.parametrize(
    ("claimed", "believed"),
    [(95, 95), (89.5, 89.5), (-8 * HOUR, 90), (-HOUR, 90), (9 * HOUR, 100), (100.5, 100)],
    ids=["just now", "in whole seconds", "west", "not older though its process is", "east", "in the future"],
)
def test_what_was_seen_to_appear_appeared_between_two_collections(claimed: float, believed: float) -> None:
    sightings = FirstSeenTracker()
    sightings.update(GenvFacts(), ProcessFacts(), moment(80), moment(80))
    sightings.update(GenvFacts(), ProcessFacts(), moment(90), moment(90))
    claims = facts(NOW + claimed, NOW + claimed)
    assert look(sightings, claims, 100) == (believed, believed)
    assert look(sightings, claims, 10 * HOUR) == (believed, believed), "and it stays so"


@pytest.mark.parametrize(
    ("claimed", "pids", "believed"),
    [
        (-HOUR, (7, 8), -HOUR),
        (-8 * HOUR, (7, 8), -2 * HOUR),
        (-8 * HOUR, (8,), -8 * HOUR),
        (-HOUR, (9,), 0),
        (HOUR, (7,), 0),
    ],
    ids=["as it says", "as old as its owner's process", "of others alone", "of none known", "in the future"],
)
def test_what_was_there_before_is_as_old_as_its_processes_at_most(
    claimed: float, pids: tuple[int, ...], believed: float
) -> None:
    claims = facts(NOW + claimed, NOW + claimed, pids)
    assert look(FirstSeenTracker(), claims, 0) == (believed, believed)


def test_a_jupyter_kernel_is_a_process_too() -> None:
    record = EnvironmentRecord("a", 1001, created=NOW - 8 * HOUR, kernel_ids=("k",))
    kernels = ProcessFacts(kernel_uids={"k": frozenset({1001})}, kernel_starts={"k": BOOT - HOUR})
    assert look(FirstSeenTracker(), GenvFacts((record,)), 0, processes=kernels) == (-HOUR, None)


def test_an_attachment_is_not_older_than_its_environment() -> None:
    assert look(FirstSeenTracker(), facts(NOW - 100, NOW - HOUR), 0) == (-100, -100)
    assert look(FirstSeenTracker(), facts(None, NOW - HOUR), 0) == (None, 0)


def test_what_was_not_read_does_not_tell_what_is_not_there() -> None:
    sightings = FirstSeenTracker()
    sightings.update(GenvFacts(), ProcessFacts(), moment(0), moment(0))
    sightings.update(GenvFacts(), ProcessFacts(), moment(50), moment(50), fresh=False)
    assert look(sightings, facts(NOW + 20, NOW + 30), 60) == (20, 30)


def test_files_that_were_away_for_a_while_say_what_they_said() -> None:
    sightings = FirstSeenTracker()
    claims = facts(NOW - HOUR, NOW - 60)
    assert look(sightings, claims, 0) == (-HOUR, -60)
    sightings.update(GenvFacts(), ProcessFacts(), moment(10), moment(10))
    assert look(sightings, claims, 9 * HOUR) == (-HOUR, -60)
    assert look(sightings, facts(NOW - 7 * HOUR, NOW - 60), 9 * HOUR + 10)[0] == 9 * HOUR, "another one"
    sightings.reset()
    assert look(sightings, facts(NOW - 1.5 * HOUR), 9 * HOUR + 20)[0] == -1.5 * HOUR, "other files"


@pytest.mark.parametrize("step", [-600 * 86400.0, 600 * 86400.0])
def test_setting_the_clock_puts_right_what_it_made_wrong(step: float) -> None:
    """The process tells when that was, by a clock that nobody sets."""
    sightings = FirstSeenTracker()
    sightings.update(GenvFacts(), ProcessFacts(), moment(0), moment(0, step))
    claims = facts(NOW + 5 + step, NOW + 5 + step)
    assert look(sightings, claims, 10, 10 + step) == (5 + step, 5 + step)
    created, attached = look(sightings, claims, 20)
    assert created is not None and 0 <= created <= 10
    assert attached is not None and 0 <= attached <= 10


def test_it_is_the_same_after_a_restart() -> None:
    """Though the shell that activated the environment has ended meanwhile, and only a later one lives."""
    before = FirstSeenTracker()
    before.update(GenvFacts(), ProcessFacts(), moment(0), moment(0))
    claims = facts(NOW - 8 * HOUR, NOW + 9 * HOUR)
    assert look(before, claims, 10) == (0, 10)
    record, attachment = claims.environments[0], claims.attachments[0]
    environment = Environment("a", record.uid, None, None, None, None, None, (0,), ())
    kept = before.to_save([environment], [Holding("a", 1001, None, 0, None, None, None, attachment.attached)])
    assert [(one.claimed - NOW, one.found - NOW) for one in kept] == [(-8 * HOUR, 0), (9 * HOUR, 10)]
    later = ProcessFacts(live_pids=frozenset({7}), uids={7: 1001}, starts={7: BOOT + 2 * HOUR})
    after = FirstSeenTracker()
    assert look(after, claims, 5 * HOUR, processes=later) == (2 * HOUR, 5 * HOUR)
    after.restore(kept)
    assert look(after, claims, 5 * HOUR, processes=later) == (0, 10)
    assert look(after, facts(NOW - 8 * HOUR, NOW + 10 * HOUR), 11 * HOUR)[1] == 10 * HOUR, "attached again"


@pytest.mark.parametrize("ahead", [-2 * HOUR, 2 * HOUR, 400 * 24 * HOUR])
def test_a_clock_that_was_wrong_over_a_restart_leaves_nothing_wrong(ahead: float) -> None:
    """What is seen for the first time is there for an hour; with each start of the monitor the clock is another one."""
    claims = facts(NOW - HOUR, NOW - 60)
    one = Environment("a", 1001, None, None, None, None, None, (0,), ()), Holding("a", 1001, None, 0, *(None,) * 4)
    kept: tuple[SavedTime, ...] = ()
    for at, wrong in enumerate((0.0, ahead, ahead, 0.0)):
        sightings = FirstSeenTracker()
        sightings.restore(kept)
        created, attached = look(sightings, claims, at, at + wrong)
        assert created is not None and attached is not None
        assert -2 * HOUR <= created - wrong <= at, "no older than its process, and not in the future"
        assert created <= attached and attached - wrong <= at
        kept = sightings.to_save([one[0]], [one[1]])
    assert (created, attached) == (-HOUR, -60), "it is right again"


def test_what_was_kept_of_another_boot_or_of_the_future_does_not_count() -> None:
    times = (SavedTime("a", NO_DEVICE, NOW - 8 * HOUR, NOW - 8 * HOUR, BOOT - 8 * HOUR, BOOT - 7 * HOUR, NOW - BOOT),)
    remembered = RestartState(times=times, boot_id="one")
    assert remembered.for_boot("one") == remembered
    assert remembered.for_boot("other").times == remembered.for_boot(None).times == ()
    assert RestartState(times=times).for_boot(None).times == ()
    sightings = FirstSeenTracker()
    sightings.restore([replace(times[0], latest=BOOT + 1)])
    assert look(sightings, facts(NOW - 8 * HOUR), 0) == (-2 * HOUR, None)


def test_what_is_remembered_is_bounded() -> None:
    sightings = FirstSeenTracker()
    for tick in range(5):
        many = tuple(EnvironmentRecord(f"{tick} {number}", created=NOW) for number in range(5000))
        sightings.update(GenvFacts(many), ProcessFacts(), moment(tick), moment(tick))
    assert len(sightings._gone) == MAX_GONE
    assert len(sightings._seen) == 5000
