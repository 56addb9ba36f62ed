"""What is made from code is what the code gives."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from genvd.config import schema
from genvd.metrics import ALL
from tools.reference import generated


@pytest.mark.parametrize("path", generated(), ids=lambda path: path.name)
def test_it_is_up_to_date(path: Path) -> None:
    assert path.read_text() == generated()[path], "run 'make generate'"


def test_every_metric_is_in_the_reference() -> None:
    reference = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    for metric in ALL:
        assert f"| `{metric.name}` | {metric.type} |" in reference


def test_every_setting_is_in_the_reference() -> None:
    reference = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
    for setting in schema.settings():
        (row,) = (line for line in reference.splitlines() if line.startswith(f"| `{setting.section}.{setting.key}` |"))
        assert setting.description.replace("|", "\\|") in row
        assert len(re.split(r"(?<!\\)\|", row)) == len(("", "key", "default", "meaning", ""))
