"""The schedule of ticks."""

from __future__ import annotations

import statistics
import threading
import time

from genvd.common.clock import AutoResetEvent
from genvd.service.timer import Timer
from tests.support.waiting import wait_for


def test_ticks_do_not_drift() -> None:
    interval, moments = 0.1, list[float]()

    def tick(_: int) -> None:
        moments.append(time.monotonic())
        time.sleep(0.04)  # work, which must not add to the interval

    timer = Timer(interval, tick)
    timer.start()
    wait_for(lambda: len(moments) >= 11, "eleven ticks")
    timer.stop()
    offsets = [(moment - moments[0]) / interval for moment in moments[:11]]
    # A busy machine makes some of them late. If the work were added, they would be anywhere between two ticks.
    late = [(offset + 0.02) % 1 for offset in offsets]
    assert statistics.median(late) < 0.3, offsets


def test_missed_ticks_are_skipped_and_counted() -> None:
    calls, release = list[tuple[float, int]](), threading.Event()

    def tick(skipped: int) -> None:
        calls.append((time.monotonic(), skipped))
        if len(calls) == 1:
            release.wait(0.35)  # misses the ticks at 0.1, 0.2 and 0.3

    timer = Timer(0.1, tick)
    timer.start()
    wait_for(lambda: len(calls) >= 3, "three ticks")
    timer.stop()
    assert calls[1][1] == 3
    assert calls[2][1] == 0
    assert calls[1][0] - calls[0][0] >= 0.39


def test_stop_ends_the_wait() -> None:
    ticked = threading.Event()
    timer = Timer(3600, lambda _: ticked.set())
    timer.start()
    assert ticked.wait(10)
    thread = next(thread for thread in threading.enumerate() if thread.name == "timer")
    timer.stop()
    thread.join(5)
    assert not thread.is_alive()


def test_a_set_event_ends_one_wait() -> None:
    event = AutoResetEvent()
    event.set()
    assert event.wait(0)
    assert not event.wait(0)
