"""What a run of the tests says at its end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

TESTS = """
import pytest

@pytest.mark.parametrize("number", range(12))
def test_alike(number):
    raise AssertionError(f"after {number} s still not: ready ('/tmp/{number}')")

@pytest.fixture
def broken():
    raise OSError("no localhost")

def test_other(broken):
    pass

@pytest.mark.parametrize("why", ["makes users", "makes users", "mounts"])
def test_left_out(why):
    pytest.skip(f"needs root: {why}")

@pytest.mark.parametrize("name", ["a@b"])
def test_of_a_group(name):
    raise ValueError("grouped")

def test_good():
    pass
"""


@pytest.mark.parametrize("processes", ["0", "2"])
def test_the_summary_has_failures_first_and_groups_reasons(tmp_path: Path, processes: str) -> None:
    (tmp_path / "test_some.py").write_text(TESTS)
    (tmp_path / "conftest.py").write_text(
        "import pytest\nfrom tests.support import summary\n\ndef pytest_terminal_summary(terminalreporter):\n"
        "    summary.write(terminalreporter)\n\n"
        "@pytest.hookimpl(tryfirst=True)\ndef pytest_collection_modifyitems(items):\n"
        "    for item in items:\n        item.add_marker(pytest.mark.xdist_group(str(item.path)))\n"
    )
    options = ["-rN", "--tb=no", "-n", processes, "--dist=loadgroup", "-c", "/dev/null"]
    command = [sys.executable, "-m", "pytest", *options, "."]
    environment = {"PYTHONPATH": str(REPOSITORY), "PATH": ""}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    lines = done.stdout.partition("summary =")[2].splitlines()[1:]
    assert lines[0] == "FAILED: 14"
    assert lines[1].startswith("   12 x AssertionError: after ")
    assert len([line for line in lines if "::test_alike[" in line]) == 8
    assert "          and 4 more" in lines
    other = lines.index("    1 x OSError: no localhost")
    assert lines[other + 1].endswith("::test_other")
    grouped = lines.index("    1 x ValueError: grouped")
    assert lines[grouped + 1].endswith("::test_of_a_group[a@b]")  # a name that pytest takes again
    again = f"Again, one after the other: {sys.executable} -m pytest -n0 test_some.py"
    assert lines[-4:-1] == [again, "Left out: 3", "    3 x needs root: makes users, mounts"]
    assert "13 failed, 1 passed, 3 skipped, 1 error" in lines[-1]
