"""The soak, short: nothing is left behind by many ticks, and whatever is left behind is seen."""

from __future__ import annotations

import sys

import pytest

from tools.soak.__main__ import main
from tools.soak.measure import MIB, TOLERATED_THREADS, Sample, highest, judge

# A monitor with defects: each tick leaves some memory behind, each tenth one a thread and a descriptor.
LEAKING = """
import os, sys, threading
from genvd.service.monitor import Monitor
from tools.soak import subject

left, tick = [], Monitor.tick

def leaking(self, skipped):
    tick(self, skipped)
    left.append(os.urandom(16384))
    if not len(left) % 10:
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        os.dup(0)

Monitor.tick = leaking
subject.main(sys.argv[1:])
"""


@pytest.mark.parametrize("mode", ["demo", "standin"])
def test_nothing_grows(mode: str, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--ticks", "1000", "--only", mode])
    output = capsys.readouterr().out
    assert status == 0, output
    assert all(word in output for word in ("1000 ticks", "resident memory", "threads", "descriptors", "most memory"))


def test_each_leak_is_seen(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--ticks", "1000", "--only", "demo"], (sys.executable, "-c", LEAKING)) == 1
    grows = [line for line in capsys.readouterr().out.splitlines() if line.endswith("GROWS")]
    for kind in ("resident memory", "threads", "descriptors"):
        assert any(line.startswith(kind) for line in grows), kind


def test_what_comes_and_goes_is_no_growth() -> None:
    samples = [Sample(30 * MIB + number % 7 * MIB, 5 + number % 3, 9 + number % 4) for number in range(100)]
    assert not any(finding.grows for finding in judge(samples))


def test_growth_before_it_is_warm_does_not_count() -> None:
    samples = [Sample(min(number, 15) * MIB, min(number, 15), min(number, 15)) for number in range(100)]
    assert not any(finding.grows for finding in judge(samples))


@pytest.mark.parametrize(("more", "grows"), [(TOLERATED_THREADS, []), (TOLERATED_THREADS + 1, ["threads"])])
def test_more_threads_than_late_workers_are_growth(more: int, grows: list[str]) -> None:
    samples = [Sample(30 * MIB, 5 + more * (number > 60) + number % 2, 9) for number in range(100)]
    assert [finding.name for finding in judge(samples) if finding.grows] == grows


def test_one_descriptor_more_is_growth() -> None:
    samples = [Sample(30 * MIB, 5, 9 + (number > 60) + number % 2) for number in range(100)]
    assert [finding.name for finding in judge(samples) if finding.grows] == ["descriptors"]


def test_much_more_than_early_is_growth_though_it_goes_on_flat() -> None:
    early = Sample(28 * MIB, 5, 9)
    assert not highest(early, [early, Sample(41 * MIB, 5, 9)]).grows
    assert highest(early, [early, Sample(43 * MIB, 5, 9), early]).grows
