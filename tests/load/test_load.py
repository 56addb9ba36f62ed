"""The load of ``make load``, scaled down: how fast it is is not judged, but no scrape may be lost."""

from __future__ import annotations

from pathlib import Path

from tests.load.__main__ import MOST_MIB, load
from tests.support.monitor import Monitor


def test_bad_connections_cost_good_scrapers_nothing(tmp_path: Path) -> None:
    with Monitor(["--demo", "-i", "0.5", "--config-dir", tmp_path]) as monitor:
        figures = load(monitor, good=40, bad=600, seconds=5)
        assert "Traceback" not in monitor.log
    assert figures.lost == []
    assert figures.scrapes > 100
    assert figures.resident_mib < MOST_MIB
