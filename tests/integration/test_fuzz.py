"""The fuzzers: each for a moment, and each over a defect that it has to find."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from tests.support.needs import need
from tools.fuzz.__main__ import inputs, run
from tools.fuzz.harness import TARGETS

# Defects that were there once, or might be: each is what is done to the code when it is imported.
DEFECTS = {
    "state": "from genvd.collectors.genv import state_parser; state_parser.clean = str",
    "environment": (
        "from genvd.collectors.host import process_environment; from tests.property import holds;"
        "holds.environment_variable = lambda block, name: process_environment.environment_variable(block[:64], name)"
    ),
    "configuration": "import yaml; from genvd.config import yaml_reader; yaml_reader._tree = yaml.compose",
    "web_configuration": "import yaml; from genvd.config import yaml_reader; yaml_reader._tree = yaml.compose",
}
HARNESS = """
import sys
from tools.fuzz.harness import main

def spoil():
    {defect}

main(sys.argv[1:], spoil)
"""


def fuzz(target: str, directory: Path, runs: int, defect: str = "pass") -> int:
    """Fuzz for so many inputs, always the same; return the exit status."""
    need(importlib.util.find_spec("atheris"), "needs atheris: pip install '.[fuzz]', where it is to be had")
    command = [sys.executable, "-c", HARNESS.format(defect=defect), target, "-seed=1", f"-runs={runs}"]
    return run([*command, *inputs(target, directory)]).returncode


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_is_found(target: str, tmp_path: Path) -> None:
    assert fuzz(target, tmp_path, 3000) == 0


@pytest.mark.parametrize("target", TARGETS)
def test_a_defect_is_found(target: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert fuzz(target, tmp_path, 100_000, DEFECTS[target]) != 0
    assert "Uncaught Python exception" in capfd.readouterr().out
    assert list(tmp_path.glob(f"{target}-crash-*")), "the input is kept"
