"""The generated files in the repository are what the code generates."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from genvd.config import schema
from tools.reference import generated

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("path", generated(), ids=lambda path: path.name)
def test_it_is_up_to_date(path: Path) -> None:
    assert path.read_text() == generated()[path], "run 'make generate'"


@pytest.mark.skipif(
    importlib.util.find_spec("grafana_foundation_sdk") is None, reason="the Grafana SDK is not installed"
)
def test_the_dashboards_are_up_to_date() -> None:
    command = [sys.executable, "-m", "tools.dashboards", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_setting_has_a_row_in_the_reference() -> None:
    reference = (ROOT / "docs" / "configuration.md").read_text()
    for setting in schema.settings():
        (row,) = (line for line in reference.splitlines() if line.startswith(f"| `{setting.section}.{setting.key}` |"))
        assert setting.description.replace("|", "\\|") in row
        assert len(re.split(r"(?<!\\)\|", row)) == len(("", "key", "default", "meaning", ""))
