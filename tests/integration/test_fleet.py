"""The simulation of many machines, in small: what it prints of twenty is what it would of a thousand."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest
import yaml

import genvd.publish
from genvd.publish.publication import published_files
from tests.support import debian

MACHINES = 20
ARGUMENTS = ("--machines", str(MACHINES), "--devices", "2", "--interval", "4", "--seconds", "10", "--history", "0")


@pytest.fixture(scope="module")
def printed() -> str:
    """What the simulation says; it ended well."""
    debian.program("prometheus", "prometheus")
    command = (sys.executable, "-m", "tools.fleet", *ARGUMENTS)
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout


def test_every_machine_is_scraped_and_none_is_lost(printed: str) -> None:
    match = re.search(r"^up: (\d+) of (\d+); scrapes: (\d+), of which (\d+) failed$", printed, re.MULTILINE)
    assert match
    up, machines, scrapes, failed = map(int, match.groups())
    assert (up, machines, failed) == (MACHINES, MACHINES, 0)
    assert scrapes >= MACHINES


def test_the_published_rules_are_evaluated(printed: str) -> None:
    files = [path for path in published_files() if path.match("prometheus/rules/*.yml")]
    texts = [(resources.files(genvd.publish) / "files" / str(path)).read_text(encoding="utf-8") for path in files]
    groups = {group["name"] for text in texts for group in yaml.safe_load(text)["groups"]}
    assert set(re.findall(r"^evaluation of (\S+): [0-9.]+ s$", printed, re.MULTILINE)) == groups
    assert "evaluations missed: 0" in printed


def test_each_query_of_each_dashboard_is_timed_the_slowest_first(printed: str) -> None:
    sections = re.findall(r"^dashboard (\S+): (\d+) queries.*\n((?:  .*\n)+)", printed, re.MULTILINE)
    dashboards = {path.stem for path in published_files() if path.match("grafana/dashboards/*.json")}
    assert {name for name, _, _ in sections} == dashboards
    for _, number, lines in sections:
        seconds = [float(line.split()[0]) for line in lines.splitlines()]
        assert len(seconds) == int(number)
        assert seconds == sorted(seconds, reverse=True)


MAY_BE_EMPTY = ("Alerts firing", "XID errors", "Rules broken now", "Rules over time")
"""What is not on each machine at each moment, or is recorded once a minute only."""


@pytest.mark.parametrize("dashboard", ["fleet", "overview", "people", "processes"])
def test_each_query_about_many_machines_has_data(dashboard: str, printed: str) -> None:
    (lines,) = re.findall(rf"^dashboard {dashboard}: \d+ queries.*\n((?:  .*\n)+)", printed, re.MULTILINE)
    empty = re.findall(r"^ +[0-9.]+ s  (.*)  \(.*, empty\)$", lines, re.MULTILINE)
    assert [title for title in empty if not title.startswith(MAY_BE_EMPTY)] == []


def test_the_machines_are_told_apart(printed: str) -> None:
    match = re.search(r"^series: (\d+), (\d+) for each machine$", printed, re.MULTILINE)
    assert match
    assert int(match[2]) > 200
