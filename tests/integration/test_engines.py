"""The comparison of Prometheus with VictoriaMetrics, in small: few machines, and no rates, which need some minutes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from genvd.publish.publication import published_files
from tests.support import debian, rules
from tests.support.victoriametrics import PACKAGE

ARGUMENTS = ("--machines", "2", "--interval", "3", "--seconds", "45", "--no-counters", "--no-federation")
DASHBOARDS = sorted(path.stem for path in published_files() if path.match("grafana/dashboards/*.json"))


@pytest.fixture(scope="module")
def printed() -> str:
    """What the comparison says; nothing was different."""
    debian.program("prometheus", "prometheus")
    for name in ("victoria-metrics", "vmalert"):
        debian.program(name, PACKAGE)
    command = (sys.executable, "-m", "tools.engines", *ARGUMENTS)
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=400, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout


@pytest.mark.parametrize("name", DASHBOARDS)
def test_the_queries_of_a_dashboard_have_the_same_answers(name: str, printed: str) -> None:
    match = re.search(
        rf"^dashboard {name}: (\d+) queries(?:, (\d+) without data on both)?\n((?:  .*\n)+)", printed, re.M
    )
    assert match
    number, empty, verdicts = int(match[1]), int(match[2] or 0), re.findall(r"^ +(\d+) the same", match[3], re.M)
    assert number >= 20
    assert empty < number / 5  # a simulated machine has nearly everything
    assert sum(map(int, verdicts)) == number


def test_vmalert_evaluates_all_rules_and_comes_to_the_same(printed: str) -> None:
    match = re.search(r"^vmalert: (\d+) rules, 0 failed; series of (\d+) recording rules, 0 different; ", printed, re.M)
    assert match
    assert int(match[1]) == len(rules.always_published())
    assert int(match[2]) >= 15
    assert "0 alerts different" in printed
    assert re.search(r"texts of [1-9]\d* alerts, 0 different", printed)


@pytest.mark.parametrize("engine", ["Prometheus", "VictoriaMetrics"])
def test_it_says_what_each_engine_needs(engine: str, printed: str) -> None:
    pattern = rf"^{engine}: (\d+) series, (\d+) samples, \d+ a second; ([0-9.]+) MiB on disk, ([0-9.]+) bytes a sample$"
    match = re.search(pattern, printed, re.M)
    assert match
    assert min(map(float, match.groups())) > 0
    assert re.search(rf"^{engine}.*: [0-9.]+ cores, \d+ MiB resident$", printed, re.M)
